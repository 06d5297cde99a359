"""``decklog policy suggest``: a policy from recorded traffic."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click
import msgspec

from decklog.ask.terminal import visible, visible_json
from decklog.cli.policy_logs import log_options
from decklog.cli.searching import tell
from decklog.policy.rules import to_json
from decklog.policy.suggest import LEAST_SHARE, suggestion
from decklog.policy.traffic import Traffic

if TYPE_CHECKING:
    from decklog.cli.policy_logs import Logs
    from decklog.policy.suggest import Suggestion

_HELP: Final = """Suggest a policy that fits recorded traffic.

It keeps changes, ways into containers, secrets (without their contents) and whatever it does not know, and drops the
noise that this log really shows; each rule says its share of the volume. LOG is a file (its rotated and .gz parts are
found), a directory, or - for standard input.

\b
decklog policy suggest /var/log/kubernetes/audit.log > suggested.yaml
decklog policy check suggested.yaml
decklog policy replay suggested.yaml /var/log/kubernetes/audit.log
"""


@click.command("suggest", help=_HELP)
@log_options
@click.option(
    "--least-share",
    type=click.FloatRange(0, 100),
    default=LEAST_SHARE * 100,
    show_default=True,
    metavar="PERCENT",
    help="Noise below this share of the events and of the bytes gets no rule.",
)
@click.option("-o", "--output", type=click.Choice(("yaml", "json")), default="yaml", show_default=True)
def command(logs: Logs, least_share: float, output: str) -> None:
    """Suggest a policy."""
    traffic = Traffic()
    traffic.extend(logs.lines())
    made = suggestion(traffic, least_share=least_share / 100)
    if output == "json":
        sys.stdout.write(_json(made) + "\n")
    else:
        sys.stdout.writelines(f"{visible(line)}\n" for line in made.text.splitlines())
    logs.tell(traffic.unreadable, traffic.first, traffic.last)
    if not traffic.total.events:
        tell("the log holds no events: this is what decklog suggests without any")


def _json(made: Suggestion) -> str:
    whole = {
        "policy": to_json(made.policy),
        "comments": made.comments,
        "dropped": [{"title": each.title, "events": each.events, "bytes": each.bytes} for each in made.dropped],
    }
    return visible_json(msgspec.json.encode(whole).decode())

"""``decklog policy apply``: a policy after the fact, from log to log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click
import msgspec

from decklog.ask.terminal import visible_json
from decklog.cli.policy_logs import INCOMPLETE, log_options, percent, policy_options, size
from decklog.cli.searching import tell
from decklog.policy.apply import Applied, apply, blocks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.cli.policy_logs import Logs
    from decklog.policy.event_filter import LoadedFilter

_HELP: Final = """Apply a policy to a recorded log, and write what it keeps to standard output.

Events and stages are dropped, levels lowered (bodies go), managed fields taken out; nothing is ever added. What is
lowered says so in its annotation decklog/lowered; what is kept whole is kept byte by byte. FILE is an audit policy, or
an EventFilter, which also knows wildcards and response codes (docs/policy/apply.md). LOG is a file (its rotated and .gz
parts are found), a directory, or - for standard input.

\b
decklog policy apply policy.yaml /var/log/kubernetes/audit.log > smaller.log
zcat old.gz | decklog policy apply policy.yaml - | gzip > smaller.gz

A summary goes to stderr. A line in which no event is found is evidence, too: it is passed on as it is.
"""


@click.command(
    "apply",
    help=_HELP,
    epilog="Exit code 0: done; 1: a part of the logs could not be read (stderr names it); 2: the input is wrong.",
)
@policy_options
@log_options
@click.option("--drop-unreadable", is_flag=True, help="Drop lines in which no event is found.")
@click.option("--no-annotation", is_flag=True, help="Do not mark what was lowered.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="How to write the summary on stderr.",
)
def command(policy: LoadedFilter, logs: Logs, drop_unreadable: bool, no_annotation: bool, output: str) -> None:
    """Apply a policy to logs."""
    applied = Applied()
    _write(apply(logs.lines(), policy.decide, applied, drop_unreadable=drop_unreadable, mark=not no_annotation))
    if output == "json":
        click.echo(visible_json(msgspec.json.encode(_summary(applied, logs)).decode()), err=True)
    else:
        _tell(applied, logs, drop_unreadable=drop_unreadable)
    if logs.incomplete:
        click.get_current_context().exit(INCOMPLETE)


def _write(lines: Iterable[bytes]) -> None:
    """Write lines as they are; to a terminal with everything spelled out that it would obey."""
    out = sys.stdout
    if out.isatty():
        for line in lines:
            out.write(visible_json(line.decode("utf-8", "replace")) + "\n")
        return
    out.flush()
    for block in blocks(lines):
        out.buffer.write(block)
    out.buffer.flush()


def _summary(applied: Applied, logs: Logs) -> dict[str, object]:
    return {
        "before": {"events": applied.events, "bytes": applied.bytes},
        "after": {"events": applied.kept_events, "bytes": applied.kept_bytes},
        "lowered": applied.lowered,
        "unreadable": applied.unreadable,
        "unreadableBecause": applied.problems,
        "files": logs.coverage.files,
        "problems": [
            *logs.coverage.problems,
            *(f"{b.file}:{b.number}: {b.problem}" for b in logs.coverage.bad_examples),
        ],
    }


def _tell(applied: Applied, logs: Logs, *, drop_unreadable: bool) -> None:
    tell(
        f"kept {applied.kept_events:,} of {applied.events:,} events"
        f" ({percent(applied.kept_events, applied.events)}), {applied.lowered:,} of them lowered;"
        f" {size(applied.kept_bytes)} of {size(applied.bytes)} ({percent(applied.kept_bytes, applied.bytes)})"
    )
    if applied.unreadable:
        fate = "dropped" if drop_unreadable else "passed on as they are"
        why = ", ".join(f"{problem} ({count:,})" for problem, count in applied.problems.items())
        tell(f"{applied.unreadable:,} lines could not be read and were {fate}: {why}")
    for problem in logs.coverage.problems:
        tell(f"not all was read: {problem}")
    for bad in logs.coverage.bad_examples:
        tell(f"not all was read: {bad.file}:{bad.number}: {bad.problem}")

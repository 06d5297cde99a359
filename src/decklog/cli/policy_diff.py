"""``decklog policy diff``: what one policy records that another does not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from decklog.cli.flags import environment_name
from decklog.cli.policy_diff_report import WRITERS, Side
from decklog.errors import DecklogError
from decklog.policy.releases import NEWEST

if TYPE_CHECKING:
    from decklog.policy.compare import Comparison

CHANGED: Final = 1

_HELP: Final = """Say what is recorded more, less or no longer when one policy takes another's place.

Compares what the policies decide, not their texts, for every request that either of them can tell apart: a rule that
is moved, split or spelled otherwise without effect is no difference. Each difference has the rules that decide, the
requests, and one of these as an example. A file named - is standard input.

\b
decklog policy diff old.yaml new.yaml
git show main:policy.yaml | decklog policy diff - policy.yaml
decklog policy diff --exit-code any -o json old.yaml new.yaml
"""
_EXIT_CODES: Final = (
    "Exit code 0: nothing that was recorded is lost; 1: something is recorded less or no longer (a level is lower, a"
    " stage or the managed fields are dropped), or, with --exit-code any, anything is recorded otherwise; 2: a policy"
    " cannot be used."
)


@click.command("diff", help=_HELP, epilog=_EXIT_CODES)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--all", "everything", is_flag=True, help="Show, too, what is decided otherwise but recorded the same.")
@click.option(
    "--exit-code",
    "exit_code",
    type=click.Choice(("less", "any", "never")),
    default="less",
    show_default=True,
    help="When the exit code is 1: if something is recorded less, if anything changes, or never.",
)
@click.option(
    "--audit-policy-lenient",
    "lenient",
    is_flag=True,
    envvar=environment_name("--audit-policy-lenient"),
    help="Unknown and duplicate keys are warnings, as kube-apiserver has them.",
)
@click.option(
    "--kubernetes",
    default=f"1.{NEWEST}",
    show_default=True,
    metavar="VERSION",
    help="Read the policies as this release of Kubernetes does.",
)
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(
    old: str,
    new: str,
    everything: bool,
    exit_code: str,
    lenient: bool,
    kubernetes: str,
    output: str,
) -> None:
    """Say what is recorded more, less or no longer."""
    from decklog.policy.compare import compare  # noqa: PLC0415  # because: --help does not need the comparison

    if old == new == "-":
        raise DecklogError("only one of the policies can come from standard input: name a file for the other")
    before, after = (_load(path, lenient=lenient, kubernetes=kubernetes) for path in (old, new))
    found = compare(before.policy, after.policy)
    WRITERS[output](found, before, after, everything=everything)
    sys.stdout.flush()
    click.get_current_context().exit(CHANGED if _tells(found, exit_code) else 0)


def _load(path: str, *, lenient: bool, kubernetes: str) -> Side:
    from decklog.audit.documents.tree import MAX_BYTES  # noqa: PLC0415  # because: the same
    from decklog.policy.reader import load, parse  # noqa: PLC0415  # because: the same

    if path != "-":
        return Side(path, load(path, lenient=lenient, kubernetes=kubernetes))
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    return Side("<stdin>", parse(data, source="<stdin>", lenient=lenient, kubernetes=kubernetes))


def _tells(found: Comparison, exit_code: str) -> bool:
    """Tell whether the exit code is to be 1."""
    if exit_code == "any":
        return bool(found.undecided) or any(each.old != each.new for each in found.differences)
    return exit_code == "less" and found.loses

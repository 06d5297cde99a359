"""``decklog policy check``: what is wrong with a policy, and what is worth a word."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final

import click

from decklog.cli.flags import environment_name
from decklog.cli.policy_report import WRITERS
from decklog.errors import DecklogError
from decklog.policy.findings import Severity
from decklog.policy.releases import NEWEST, parse_release

if TYPE_CHECKING:
    from decklog.policy.kinds import Kind
    from decklog.policy.lint import Report

FINDINGS: Final = 1
ERRORS: Final = 2

_RANGE: Final = re.compile(r"\s*(?:\.{2,3}|…|-(?=v?1\.))\s*")
_HELP: Final = """Check audit policies: errors, and warnings with a reason and what to write instead.

Each finding has its place, a code and its advice; docs/policy/findings.md explains the codes. What is recorded is
always judged by the first rule that matches. A file named - is standard input.

\b
decklog policy check policy.yaml
decklog policy check --strict -o sarif policy.yaml > findings.sarif
decklog policy check --kubernetes 1.24…1.37 --witness policy.yaml
decklog policy check --discovery ~/.kube/config policy.yaml
"""


@click.command(
    "check", help=_HELP, epilog="Exit code 0: clean, or warnings only; 1: warnings, with --strict; 2: errors."
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Warnings make the exit code 1.")
@click.option(
    "--kubernetes",
    multiple=True,
    metavar="VERSION",
    envvar=environment_name("--kubernetes"),
    help="Check for this release; a list or a range (1.24…1.37, 1.24-1.37) says what each would do."
    f"  [default: 1.{NEWEST}]",
)
@click.option(
    "--discovery",
    multiple=True,
    metavar="FILE",
    help="Know the resources that a cluster serves, CRDs among them: its discovery documents (APIResourceList,"
    " APIGroupDiscoveryList), or a kubeconfig to ask it.",
)
@click.option(
    "--context", default="", metavar="NAME", help="The kubeconfig's context to ask. Default: its current one."
)
@click.option(
    "--audit-policy-lenient",
    "lenient",
    is_flag=True,
    envvar=environment_name("--audit-policy-lenient"),
    help="Unknown and duplicate keys are warnings, as kube-apiserver has them.",
)
@click.option(
    "--audit-log-mode",
    "mode",
    type=click.Choice(("batch", "blocking", "blocking-strict")),
    default="blocking",
    show_default=True,
    help="The mode that the log will be written in; blocking-strict needs RequestReceived.",
)
@click.option(
    "--witness", is_flag=True, help="Print for each rule a request that it decides: proof that it is reachable."
)
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave out warnings of this code; may be repeated.")
@click.option("-o", "--output", type=click.Choice(("text", "json", "sarif")), default="text", show_default=True)
def command(
    files: tuple[str, ...],
    strict: bool,
    kubernetes: tuple[str, ...],
    discovery: tuple[str, ...],
    context: str,
    lenient: bool,
    mode: str,
    witness: bool,
    ignore: tuple[str, ...],
    output: str,
) -> None:
    """Check audit policies."""
    from decklog.policy.lint import check  # noqa: PLC0415  # because: --help does not need the checks

    releases = _releases(kubernetes)
    ignored = _codes(ignore)
    served = _served(discovery, context)
    reports = [
        _without(
            check(
                data,
                source=source,
                kubernetes=releases,
                lenient=lenient,
                discovered=served,
                strict_mode=mode == "blocking-strict",
            ),
            ignored,
        )
        if isinstance(data, bytes)
        else data
        for source, data in map(_read, files)
    ]
    WRITERS[output](reports, witness=witness)
    sys.stdout.flush()
    errors = any(report.errors for report in reports)
    warnings = any(report.warnings for report in reports)
    click.get_current_context().exit(ERRORS if errors else FINDINGS if strict and warnings else 0)


def _releases(given: tuple[str, ...]) -> list[str]:
    named: dict[str, None] = {}
    for text in (part for value in given for part in value.split(",")):
        ends = _RANGE.split(text.strip())
        if len(ends) == 1:
            named[str(parse_release(ends[0]))] = None
            continue
        if len(ends) != 2:
            raise DecklogError(f"{text[:40]!r} is no range of releases: write it as in 1.24…1.37")
        first, last = (parse_release(end).minor for end in ends)
        if first > last:
            raise DecklogError(f"the range {text[:40]!r} ends before it begins: write the older release first")
        named |= dict.fromkeys(f"1.{minor}" for minor in range(first, last + 1))
    return list(named)


def _codes(given: tuple[str, ...]) -> frozenset[str]:
    from decklog.policy.lint import CODES  # noqa: PLC0415  # because: the same

    codes = frozenset(code.strip().upper() for value in given for code in value.split(","))
    for code in sorted(codes.difference(CODES)):
        raise DecklogError(f"there is no code {code[:40]!r}: docs/policy/findings.md lists them")
    return codes


def _served(discovery: tuple[str, ...], context: str) -> tuple[Kind, ...]:
    if context and not discovery:
        raise DecklogError("--context names a context of a kubeconfig: give --discovery FILE as well")
    if not discovery:
        return ()
    from decklog.cli.discovering import discover  # noqa: PLC0415  # because: only --discovery needs it

    return tuple(kind for path in discovery for kind in discover(path, context))


def _read(path: str) -> tuple[str, bytes | Report]:
    """Read a file, or standard input; one that cannot be read is a report, and the others are checked."""
    from decklog.audit.documents.tree import MAX_BYTES  # noqa: PLC0415  # because: the same
    from decklog.policy.findings import PolicyError  # noqa: PLC0415  # because: the same
    from decklog.policy.lint.checking import unreadable  # noqa: PLC0415  # because: the same
    from decklog.policy.reader import read  # noqa: PLC0415  # because: the same

    if path == "-":
        return "<stdin>", sys.stdin.buffer.read(MAX_BYTES + 1)
    # A name that is no text keeps its letters; its other bytes can stand in no report.
    source = os.fsencode(path).decode("utf-8", "replace")
    try:
        return source, read(path)
    except PolicyError as error:
        return source, unreadable(source, error)


def _without(report: Report, ignored: frozenset[str]) -> Report:
    from msgspec import structs  # noqa: PLC0415  # because: the same

    kept = tuple(remark for remark in report.remarks if remark.severity is Severity.ERROR or remark.code not in ignored)
    return structs.replace(report, remarks=kept)

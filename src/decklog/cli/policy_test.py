"""``decklog policy test``: hold a policy to a table of requests and what is expected of each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.cli.policy_explain import policy_options
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from decklog.policy.expect import Case, Outcome
    from decklog.policy.findings import Finding

    Suites = list[tuple[str, list[Outcome]]]
    """Each table, as the user named it, with its outcomes."""

FAILED: Final = 1

_HELP: Final = """Test a policy against a table of requests and what is expected.

EXPECT is YAML: named cases, each with a request as in 'decklog policy explain', who asks, and what is expected of the
level, the stages, the rule. docs/policy/test.md has all keys.

\b
decklog policy test policy.yaml expect.yaml
decklog policy test policy.yaml expect.yaml --junit results.xml

\b
cases:
- name: a shell in a pod is seen
  request: create pods/exec web-0 -n shop
  as: alice
  groups: [dev]
  expect: {level: Metadata, stages: [ResponseStarted, ResponseComplete]}
"""


@click.command(
    "test", help=_HELP, epilog="Exit code 0: all as expected; 1: something is not; 2: policy or table cannot be used."
)
@click.argument("file", metavar="FILE")
@click.argument("tables", metavar="EXPECT...", nargs=-1, required=True)
@click.option("--junit", "junit_file", metavar="FILE", help="Write the outcomes as JUnit XML, too.")
@click.option("-v", "--verbose", is_flag=True, help="Name the cases that pass, too.")
@policy_options
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(
    file: str,
    tables: tuple[str, ...],
    junit_file: str | None,
    verbose: bool,
    lenient: bool,
    kubernetes: str,
    output: str,
) -> None:
    """Test a policy."""
    from decklog.policy.expect import judge  # noqa: PLC0415  # because: --help does not need the policy room
    from decklog.policy.reader import load  # noqa: PLC0415  # because: the same

    read = _read_all(tables)
    loaded = load(file, lenient=lenient, kubernetes=kubernetes)
    suites = [(table, [judge(loaded, case, file) for case in cases]) for table, cases in read]
    if junit_file is not None:
        _write_junit(junit_file, suites, file)
    _WRITERS[output](suites, file, verbose=verbose)
    for warning in loaded.warnings:
        _complain(str(warning))
    failed = any(not outcome.passed for _, outcomes in suites for outcome in outcomes)
    click.get_current_context().exit(FAILED if failed else 0)


def _read_all(tables: tuple[str, ...]) -> list[tuple[str, tuple[Case, ...]]]:
    """Read every table; the mistakes in all of them are told at once."""
    from decklog.policy.expect import ExpectationError, read_cases  # noqa: PLC0415  # because: the same
    from decklog.policy.kinds import built_in  # noqa: PLC0415  # because: the same

    read: list[tuple[str, tuple[Case, ...]]] = []
    wrong: list[Finding] = []
    for table in tables:
        try:
            read.append((table, read_cases(_data(table), table, built_in())))
        except ExpectationError as error:
            wrong += error.findings
    if wrong:
        raise ExpectationError(tuple(wrong))
    return read


def _data(path: str) -> bytes:
    from decklog.audit.documents.tree import MAX_BYTES  # noqa: PLC0415  # because: the same

    if path == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1) if sys.stdin else b""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DecklogError(f"{path} cannot be read: {reason}: name a file of expectations") from None


def _write_junit(path: str, suites: Suites, policy: str) -> None:
    from decklog.policy.junit import junit  # noqa: PLC0415  # because: only --junit needs it

    try:
        Path(path).write_bytes(junit(suites, policy))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DecklogError(f"{path} cannot be written: {reason}: give --junit another file") from None


# Printing


def _complain(text: str) -> None:
    from decklog.ask.terminal import visible  # noqa: PLC0415  # because: not needed where nothing is wrong

    click.echo(visible(text), err=True)


def _write_text(suites: Suites, policy: str, *, verbose: bool) -> None:
    from decklog.ask.terminal import visible  # noqa: PLC0415  # because: JSON does not need it

    for line in _lines(suites, policy, verbose=verbose):
        click.echo(visible(line))


def _lines(suites: Suites, policy: str, *, verbose: bool) -> Iterator[str]:
    total = failed = 0
    for table, outcomes in suites:
        for outcome in outcomes:
            total += 1
            failed += not outcome.passed
            if not outcome.passed:
                yield from _failure(outcome, table)
            elif verbose:
                yield f"ok    {table}:{outcome.case.line}: {outcome.case.name}"
    cases = "1 case" if total == 1 else f"{total} cases"
    yield f"{policy}: {cases}, {f'{failed} not as expected' if failed else 'all as expected'}"


def _failure(outcome: Outcome, table: str) -> Iterator[str]:
    from decklog.policy.explained import asked, by  # noqa: PLC0415  # because: --help does not need it

    case = outcome.case
    yield f"FAIL  {table}:{case.line}: {case.name}"
    yield f"      {asked(case.attributes)}, by {by(case.user)}"
    yield from (f"      {mismatch}" for mismatch in outcome.mismatches)
    yield from (f"      {reason}" for reason in outcome.reasons)


def _write_json(suites: Suites, policy: str, *, verbose: bool) -> None:
    del verbose  # all cases are in it
    from decklog.cli.printing import print_json  # noqa: PLC0415  # because: text does not need it

    cases = [_of_outcome(outcome, table) for table, outcomes in suites for outcome in outcomes]
    failed = sum(not case["passed"] for case in cases)
    print_json({"policy": policy, "total": len(cases), "failed": failed, "cases": cases})


def _of_outcome(outcome: Outcome, table: str) -> dict[str, Any]:
    from decklog.policy.explained import request_to_json, to_json, user_to_json  # noqa: PLC0415  # because: the same

    case = outcome.case
    found = to_json(outcome.explanation, "")
    return {
        "file": table,
        "line": case.line,
        "name": case.name,
        "passed": outcome.passed,
        "request": request_to_json(case.attributes),
        "user": user_to_json(case.user),
        "expected": case.expected,
        "found": {key: found[key] for key in FOUND},
        "reasons": list(outcome.reasons),
    }


FOUND: Final = ("level", "stages", "omitStages", "rule", "line", "omitManagedFields", "requestBody", "responseBody")
"""What a case can expect, and what -o json says was found."""

_WRITERS: Final[dict[str, Callable[..., None]]] = {"text": _write_text, "json": _write_json}

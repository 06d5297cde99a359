"""Reports: what ``decklog policy check`` prints, as text, JSON or SARIF."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from decklog.ask.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from decklog.policy.lint import Remark, Report


def _write_text(reports: list[Report], *, witness: bool) -> None:
    for report in reports:
        sys.stdout.writelines(f"{line}\n" for line in _text(report, witness=witness))


def _text(report: Report, *, witness: bool) -> Iterator[str]:
    source = visible(report.source)
    for remark in report.remarks:
        place = f"{source}:{remark.line}:{remark.column}" if remark.line else source
        only = f" [Kubernetes {_span(remark.releases)}]" if remark.releases else ""
        yield f"{place}: {remark.severity} {remark.code}: {visible(remark.text)}{only}"
        yield f"    why: {remark.why}"
        yield f"    write: {visible(remark.write)}"
    if witness:
        yield from _witnesses(report)
    if len(report.verdicts) > 1:
        for span, says in _verdicts(report):
            yield f"{source}: Kubernetes {span} {visible(says)}"
    if report.remarks:
        yield f"{source}: {_number(report.errors, 'error')}, {_number(report.warnings, 'warning')}"
    else:
        yield f"{source}: nothing to say"


def _witnesses(report: Report) -> Iterator[str]:
    from decklog.policy.lint.witnessing import told  # noqa: PLC0415  # because: only --witness needs it

    for reached in report.reached:
        place = f"{visible(report.source)}:{reached.line}"
        yield f"{place}: rule {reached.index} {visible(told(reached))}"


def _verdicts(report: Report) -> Iterator[tuple[str, str]]:
    """Give what releases do, those that do the same together."""
    same: dict[str, list[str]] = {}
    for verdict in report.verdicts:
        said = "starts with this policy" if verdict.starts else f"does not start: {verdict.says}"
        if verdict.starts and verdict.says:
            said += f", and warns: {verdict.says}"
        same.setdefault(said.replace("\n", " "), []).append(verdict.release)
    for said, releases in same.items():
        yield _span(tuple(releases)), said


def _span(releases: tuple[str, ...]) -> str:
    """Write releases in ranges: ``1.24…1.27, 1.30``."""
    minors = sorted(int(release.partition(".")[2]) for release in releases)
    spans: list[list[int]] = []
    for minor in minors:
        if spans and spans[-1][1] == minor - 1:
            spans[-1][1] = minor
        else:
            spans.append([minor, minor])
    return ", ".join(f"1.{first}" if first == last else f"1.{first}…1.{last}" for first, last in spans)


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _write_json(reports: list[Report], *, witness: bool) -> None:
    _write({"files": [_of_report(report, witness=witness) for report in reports]})


def _of_report(report: Report, *, witness: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "file": report.source,
        "errors": report.errors,
        "warnings": report.warnings,
        "findings": [_of_remark(remark) for remark in report.remarks],
        "kubernetes": [
            {"version": each.release, "starts": each.starts, "message": each.says} for each in report.verdicts
        ],
        "cis": [
            {"code": t.code, "request": t.request, "level": t.level, "rule": t.rule, "line": t.line}
            for t in report.topics
        ],
    }
    if witness:
        from decklog.policy.lint.witnessing import to_json  # noqa: PLC0415  # because: only --witness needs it

        shown["rules"] = [to_json(reached) for reached in report.reached]
    return shown


def _of_remark(remark: Remark) -> dict[str, Any]:
    return {
        "code": remark.code,
        "severity": remark.severity,
        "line": remark.line,
        "column": remark.column,
        "path": remark.path,
        "text": remark.text,
        "why": remark.why,
        "write": remark.write,
        "kubernetes": list(remark.releases),
    }


def _write_sarif(reports: list[Report], *, witness: bool) -> None:  # noqa: ARG001  # because: the format has no place for it
    from decklog import __version__  # noqa: PLC0415  # because: only this format needs it
    from decklog.policy.lint.sarif import sarif  # noqa: PLC0415  # because: the same

    _write(sarif(reports, version=__version__))


def _write(value: dict[str, Any]) -> None:
    import msgspec  # noqa: PLC0415  # because: text does not need it

    from decklog.ask.terminal import visible_json  # noqa: PLC0415  # because: the same

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.writelines(f"{visible_json(line)}\n" for line in text.split("\n"))


WRITERS: Final[dict[str, Callable[..., None]]] = {"text": _write_text, "json": _write_json, "sarif": _write_sarif}

"""What ``decklog enable`` prints: the diff to stdout, what is worth knowing to stderr, or all of it as JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.ask.terminal import visible
from decklog.cli.printing import print_json
from decklog.cli.searching import tell
from decklog.enable.cis import checks
from decklog.enable.edit import unified_diff
from decklog.enable.findings import Severity
from decklog.enable.preflight import findings

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.enable.cis import Check
    from decklog.enable.edit import Edit
    from decklog.enable.estimate import Estimate
    from decklog.enable.findings import Finding
    from decklog.enable.trial import Proved, Waited
    from decklog.enable.writing import Undone

_COLOURS: Final = {b"+": "green", b"-": "red", b"@": "cyan"}


class Report:
    """One run's report."""

    def __init__(self, output: str, path: str, edit: Edit) -> None:
        self.edit = edit
        self.backup = ""
        self._output = output
        self._path = path
        self._findings: tuple[Finding, ...] = ()
        self._checks: tuple[Check, ...] = ()
        self._estimate: Estimate | None = None
        self._waited: Waited | None = None
        self._proved: Proved | None = None

    @property
    def grave(self) -> bool:
        """Whether something would keep the API server from starting, or from recording."""
        return any(finding.severity is Severity.GRAVE for finding in self._findings)

    def examine(self, root: Path, logs: tuple[str, ...]) -> None:
        """Look at what the new manifest would do, and show it."""
        self._findings = findings(self.edit.edited, root)
        self._checks = checks(self.edit.edited, root)
        if logs:
            self._estimate = _estimate(self.edit, root, logs)
        if self._output == "text":
            self._show()

    def waited(self, waited: Waited) -> None:
        """Say how the wait ended."""
        self._waited = waited
        if self._output == "text":
            tell(waited.text)
            for line in waited.output:
                tell(f"  {line}")

    def proved(self, proved: Proved) -> None:
        """Say what became of the marked request."""
        self._proved = proved
        if self._output == "text":
            tell(proved.text)

    def unchanged(self) -> int:
        """End where nothing has to be done."""
        self.end(f"nothing has to change in {self._path}", written=False)
        return 0

    def end(self, text: str, *, written: bool) -> None:
        """Say how it ended."""
        if self._output == "json":
            print_json(self._as_json(written=written))
        elif text:
            tell(text)

    def _show(self) -> None:
        print_diff(self.edit.diff(self._path))
        for finding in self._findings:
            tell(str(finding))
        failed = [check for check in self._checks if not check.passed]
        if self._checks:
            tell(f"CIS: {len(self._checks) - len(failed)} of {len(self._checks)} checks on auditing pass")
        for check in self._checks:
            tell(f"  {'pass' if check.passed else 'fail'} {check.id} {check.title}: {check.reason}")
        for sentence in self._estimate.sentences if self._estimate is not None else ():
            tell(f"estimate: {sentence}")

    def _as_json(self, *, written: bool) -> dict[str, Any]:
        return {
            "manifest": self._path,
            "changes": [
                {"kind": each.kind, "what": each.what, **({"line": each.line} if each.line else {})}
                for each in self.edit.changes
            ],
            "diff": self.edit.diff(self._path).decode("utf-8", "replace"),
            "findings": self._findings,
            "checks": self._checks,
            "estimate": self._estimate,
            "written": written,
            "backup": self.backup or None,
            "waited": self._waited,
            "proved": self._proved,
        }


def _estimate(edit: Edit, root: Path, logs: tuple[str, ...]) -> Estimate:
    from decklog.cli.policy_logs import Logs  # noqa: PLC0415  # because: only --estimate-from needs the sources
    from decklog.enable.estimate import estimate  # noqa: PLC0415  # because: the same

    named = Logs(logs, rotated=True)
    return estimate(edit.edited, root, named.lines())


def print_diff(diff: bytes) -> None:
    """Write a diff as it is; to a terminal in colour, with everything spelled out that it would obey."""
    if not sys.stdout.isatty():
        sys.stdout.flush()
        sys.stdout.buffer.write(diff)
        sys.stdout.buffer.flush()
        return
    for line in diff.removesuffix(b"\n").split(b"\n") if diff else ():
        shown = visible(line.removesuffix(b"\r").decode("utf-8", "replace"))
        click.secho(shown, fg=_COLOURS.get(line[:1]))


def print_text(text: str) -> None:
    """Write lines as they are; to a terminal with everything spelled out that it would obey."""
    is_shown = sys.stdout.isatty()
    sys.stdout.writelines(f"{visible(line) if is_shown else line}\n" for line in text.removesuffix("\n").split("\n"))


def print_undone(output: str, undone: Undone, waited: Waited | None) -> None:
    """Say what an undo did."""
    diff = unified_diff(undone.was, undone.now, undone.record.manifest)
    if output == "json":
        said = {"manifest": undone.record.manifest, "diff": diff.decode("utf-8", "replace"), "restored": True}
        print_json({**said, "note": undone.note or None, "waited": waited})
        return
    print_diff(diff)
    if undone.note:
        tell(undone.note)
    tell(f"{undone.record.manifest} is as it was before {undone.record.written}")
    if waited is not None:
        tell(waited.text)
        for line in waited.output:
            tell(f"  {line}")

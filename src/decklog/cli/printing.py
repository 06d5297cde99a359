"""Printing: rows and verbatim lines to stdout, in the format asked for. On a terminal nothing foreign is unescaped."""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final

import msgspec

from decklog.ask.terminal import visible, visible_json
from decklog.cli.table import NARROW, WIDE, of_events, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from decklog.ask.rows import Row
    from decklog.cli.table import Column
    from decklog.sources.record import Coverage

_LIST_HEAD: Final = '{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['


@contextmanager
def printer(output: str, *, events: bool) -> Iterator[Printer]:
    """Give the printer of a format, on stdout; what it has printed is flushed at the end."""
    out = sys.stdout
    if isinstance(out, TextIOWrapper):
        out.reconfigure(errors="backslashreplace")  # an encoding that lacks a character shows its number, and goes on
    yield _PRINTERS[output](out, events=events)
    out.flush()


class Printer(ABC):
    """One format; what it is handed it prints and counts."""

    def __init__(self, out: TextIO, *, events: bool) -> None:
        self.out = out
        self.events = events

    @abstractmethod
    def rows(self, rows: Iterable[Row]) -> int:
        """Print rows; give their number."""

    def finish(self, coverage: Coverage, since: str | None, until: str | None) -> None:  # noqa: B027  # because: most formats have nothing to add
        """Print what comes after the last row."""

    def line(self, text: str) -> None:
        """Print one line."""
        self.out.write(f"{text}\n")

    def verbatim_line(self, line: bytes, end: str = "\n") -> None:
        """Print an event as it stands in the log: byte by byte; on a terminal as JSON of the same value."""
        if self.out.isatty():
            self.out.write(visible_json(line.decode("utf-8", "replace")) + end)
            return
        self.out.flush()
        self.out.buffer.write(line + end.encode())


class Verbatim(Printer):
    """A format that has single events as they stand in the log, not as rows."""

    @abstractmethod
    def lines(self, lines: Iterable[bytes]) -> int:
        """Print the lines of events; give their number."""


class _Table(Printer):
    columns: tuple[Column, ...] = NARROW

    def rows(self, rows: Iterable[Row]) -> int:
        counted = _Counted(rows)
        shown = of_events(self.columns) if self.events else self.columns
        for line in table(counted, shown, width=self._width(), colours=has_colours(self.out)):
            self.line(line)
        return counted.number

    def _width(self) -> int | None:
        return terminal_width(self.out)


class _Wide(_Table):
    columns = WIDE

    def _width(self) -> int | None:
        return None


class _Name(Printer):
    def rows(self, rows: Iterable[Row]) -> int:
        counted = _Counted(rows)
        for row in counted:
            self.line(visible("/".join(filter(None, (row.resource_path, row.name))) or row.what))
        return counted.number


class _JsonLines(Verbatim):
    def rows(self, rows: Iterable[Row]) -> int:
        counted = _Counted(rows)
        for row in counted:
            self.line(_json(row))
        return counted.number

    def lines(self, lines: Iterable[bytes]) -> int:
        number = 0
        for number, line in enumerate(lines, start=1):  # noqa: B007  # because: the last number is the count
            self.verbatim_line(line)
        return number


class _Json(Verbatim):
    def rows(self, rows: Iterable[Row]) -> int:
        counted = _Counted(rows)
        self.out.write('{"requests": [')
        for row in counted:
            self.out.write(f"{',' if counted.number > 1 else ''}\n{_json(row)}")
        self.out.write("\n], " if counted.number else "], ")
        return counted.number

    def lines(self, lines: Iterable[bytes]) -> int:
        number = 0
        self.out.write(_LIST_HEAD)
        for number, line in enumerate(lines, start=1):
            self.out.write(",\n" if number > 1 else "\n")
            self.verbatim_line(line, end="")
        return number

    def finish(self, coverage: Coverage, since: str | None, until: str | None) -> None:
        if self.events:
            self.line("\n]}")
        else:
            self.line(f'"searched": {_json(searched(coverage, since, until))}}}')


_PRINTERS: Final[dict[str, Callable[..., Printer]]] = {
    "table": _Table,
    "wide": _Wide,
    "name": _Name,
    "json": _Json,
    "jsonl": _JsonLines,
}


class _Counted:
    """An iterable that counts what passes."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.number = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.number += 1
            yield row


def _json(value: Any) -> str:
    return visible_json(msgspec.json.encode(value).decode())


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.writelines(f"{visible_json(line)}\n" for line in text.split("\n"))


def searched(coverage: Coverage, since: str | None, until: str | None) -> dict[str, Any]:
    """Say in JSON what an answer covers."""
    return {
        "since": since,
        "until": until,
        "files": coverage.files,
        "bytes": coverage.size_bytes,
        "lines": coverage.lines,
        "undecodedLines": coverage.undecoded,
        "badLines": coverage.bad_lines,
        "badExamples": [
            {"file": bad.file, "line": bad.number, "problem": bad.problem} for bad in coverage.bad_examples
        ],
        "problems": coverage.problems,
        "first": coverage.first,
        "last": coverage.last,
    }


def terminal_width(out: TextIO) -> int | None:
    """Give the columns of the terminal behind `out`; None if there is none: then nothing is cut."""
    return shutil.get_terminal_size().columns if out.isatty() else None


def has_colours(out: TextIO) -> bool:
    """Tell whether colours are welcome: on a terminal that knows them, and not with NO_COLOR (no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

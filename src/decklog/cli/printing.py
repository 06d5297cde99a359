"""Printing: rows and verbatim lines to stdout, in the format asked for. On a terminal nothing foreign is unescaped."""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from decklog.ask.terminal import visible, visible_json
from decklog.cli.table import NARROW, WIDE, of_events, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from click.shell_completion import CompletionItem

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
    yield _made(output, out, events=events)
    out.flush()


class OutputFormat(click.ParamType[str]):
    """One of the formats of a command; ``NAME=TEXT`` stands for a format with a text of the user's."""

    name = "format"

    def __init__(self, formats: tuple[str, ...]) -> None:
        self.formats = formats

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002  # because: click's signature
        """List the formats."""
        return f"[{'|'.join(self.formats)}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take a known format; what stands behind the = is read before anything else is."""
        name, is_equal, _ = value.partition("=")
        if value in self.formats and not is_equal:
            return value
        if is_equal and any(known.startswith(f"{name}=") for known in self.formats):
            _made(value, sys.stdout, events=False)
            return value
        if name in {known.partition("=")[0] for known in self.formats} and not is_equal:
            problem = f"{name} needs a template: -o {name}='{{.user}}'"
        else:
            problem = f"{value!r} is not one of {', '.join(self.formats)}"
        return self.fail(problem, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002  # because: click's signature
        """Offer the formats."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  # because: only a shell that completes needs it

        names = (f"{known.partition('=')[0]}{'=' if '=' in known else ''}" for known in self.formats)
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _made(output: str, out: TextIO, *, events: bool) -> Printer:
    """Make the printer of a format."""
    name, _, text = output.partition("=")
    if name in _PRINTERS:
        return _PRINTERS[name](out, events=events)
    # Because: each of these pulls in a library that the usual formats do without.
    if name == "csv":
        from decklog.cli.spreadsheets import CsvPrinter  # noqa: PLC0415  # because: the library of one format is for who asks for it

        return CsvPrinter(out, events=events)
    if name == "yaml":
        from decklog.cli.yaml_printing import YamlPrinter  # noqa: PLC0415  # because: the library of one format is for who asks for it

        return YamlPrinter(out, events=events)
    from decklog.cli.jsonpath_printing import JsonPathPrinter  # noqa: PLC0415  # because: the library of one format is for who asks for it

    return JsonPathPrinter(out, text, events=events)


class Printer(ABC):
    """One format; what it is handed it prints and counts."""

    def __init__(self, out: TextIO, *, events: bool) -> None:
        self.out = out
        self.events = events
        self.also: dict[str, Any] = {}
        """What else there is to say of the search, for the formats that say it."""
        self.beside: dict[str, Any] = {}
        """What further belongs to the answer, for the formats that have a place for it."""
        self.streams = False
        """Whether each row is wanted as soon as it is there."""

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
        for line in table(counted, shown, width=self._width(), colours=has_colours(self.out), waits=not self.streams):
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
            beside = "".join(f"{_json(key)}: {_json(value)}, " for key, value in self.beside.items())
            self.line(f'{beside}"searched": {_json({**searched(coverage, since, until), **self.also})}}}')


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
        "cutLines": coverage.cut,
        "otherMessages": coverage.others,
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

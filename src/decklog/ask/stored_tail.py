"""Stored tail: the events in journals as a table of DuckDB, which grows with them.

A row has the columns of a segment, and where the event stands: the journal, the number of its line, offset and size.
Only lines that were not there before are read. The table ``tail`` belongs to one connection; whoever changes it does
so in a transaction.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from decklog.store import columns, reading
from decklog.store.columns import COLUMNS, READ
from decklog.store.items import identity_of
from decklog.store.recent import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from decklog.disk import Disk
    from decklog.store.reading import JournalSegment

    Run = Callable[..., Any]

_BATCH_BYTES: Final = 4 << 20
_MARGIN: Final = 2 << 20
_NAMED: Final = ", ".join(f"'{name}': '{kind}'" for name, kind in READ.items())
_MADE: Final = ", ".join(f'{made} AS "{name}"' for name, made in COLUMNS.items())
_PLACES: Final = "{'k': 'VARCHAR', 'n': 'BIGINT', 'o': 'BIGINT', 'z': 'BIGINT'}"
_FRESH: Final = (
    f"SELECT {_MADE}, $cluster AS cluster, unhex(p.k) AS identity,"  # noqa: S608  # because: our own words, values are parameters
    " $file AS filename, p.n AS file_row_number, p.o AS at, p.z AS size, FALSE AS superseded"
    f" FROM read_json($rows, format = 'newline_delimited', compression = 'none', maximum_object_size = $longest,"
    f" columns = {{{_NAMED}}}) c POSITIONAL JOIN"
    f" read_json($places, format = 'newline_delimited', compression = 'none', columns = {_PLACES}) p"
)


@dataclass(slots=True)
class _Read:
    """How far a journal was read."""

    end: int = 0
    lines: int = 0


class Tail:
    """The table ``tail``."""

    def __init__(self, run: Run, disk: Disk, folder: Path) -> None:
        self._run = run
        self._disk = disk
        self._rows = folder / "tail.rows"
        self._places = folder / "tail.places"
        self._read: dict[str, _Read] = {}
        self._rows.write_bytes(b"")
        self._places.write_bytes(b"")
        run(f"CREATE TABLE tail AS {_FRESH} LIMIT 0", self._values("", "", 0))

    @property
    def read(self) -> dict[str, tuple[int, int]]:
        """Of each journal how many lines were read, and how many bytes."""
        return {name: (read.lines, read.end) for name, read in self._read.items()}

    def reset(self) -> None:
        """Read everything anew the next time."""
        self._run("DELETE FROM tail")
        self._read.clear()

    def forget(self, known: Sequence[JournalSegment]) -> bool:
        """Strike out the journals that are not among `known`; tells whether there were any."""
        gone = self._read.keys() - {str(journal.path) for journal in known}
        for name in gone:
            self._run("DELETE FROM tail WHERE filename = ?", [name])
            del self._read[name]
        return bool(gone)

    def grow(self, journals: Iterable[JournalSegment]) -> bool:
        """Read the new lines of journals into the table ``fresh``; False: there are none. Raises OSError."""
        made = False
        for journal in journals:
            read = self._read.setdefault(str(journal.path), _Read())
            if self._disk.stat(journal.path).st_size > read.end:
                for lines in _batches(reading.lines(journal, self._disk, read.end)):
                    made = self._add(journal, read, lines, first=not made)
        return made

    def accept(self) -> None:
        """Add ``fresh`` to the tail; what stands in it already is left out."""
        self._run(
            'INSERT INTO tail SELECT DISTINCT ON ("identity") f.* FROM fresh f'
            ' WHERE f."identity" NOT IN (SELECT "identity" FROM tail)'
        )
        self._run("DROP TABLE fresh")

    def _add(self, journal: JournalSegment, read: _Read, lines: list[tuple[int, bytes]], *, first: bool) -> bool:
        with self._rows.open("wb") as out:
            for chunk in columns.chunks(b"".join(line + b"\n" for _, line in lines)):
                out.write(columns.encoded(columns.rows_of(chunk)))
        with self._places.open("wb") as out:
            for number, (at, line) in enumerate(lines, start=read.lines):
                key = identity_of(journal.cluster, line)[:KEY_BYTES].hex()
                out.write(b'{"k":"%b","n":%d,"o":%d,"z":%d}\n' % (key.encode(), number, at, len(line)))
        values = self._values(journal.cluster, str(journal.path), max(len(line) for _, line in lines))
        self._run(f"CREATE TEMP TABLE fresh AS {_FRESH}" if first else f"INSERT INTO fresh {_FRESH}", values)
        read.lines += len(lines)
        read.end = lines[-1][0] + len(lines[-1][1]) + 1
        return True

    def _values(self, cluster: str, file: str, longest: int) -> dict[str, object]:
        return {
            "cluster": cluster,
            "file": file,
            "rows": str(self._rows),
            "places": str(self._places),
            "longest": 2 * longest + _MARGIN,
        }


def _batches(lines: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    batch: list[tuple[int, bytes]] = []
    size = 0
    for at, line in lines:
        batch.append((at, line))
        size += len(line)
        if size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def line_at(disk: Disk, path: Path, at: int, size: int) -> bytes | None:
    """Read one line of a journal; None: the journal was removed. Raises OSError."""
    try:
        fd = disk.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return disk.read_at(fd, size, at)
    finally:
        disk.close(fd)

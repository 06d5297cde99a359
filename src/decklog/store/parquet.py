"""Parquet: what DuckDB does for the store. Imported by maintenance alone; readers of journals need none of it.

Text and columns reach DuckDB in files that we wrote, with every type named: nothing is guessed, and nothing parses what
a client wrote but `store.columns`. Its numbers are compared with ours before anything counts.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

import duckdb

from decklog.errors import DecklogError
from decklog.store import columns, unreadable
from decklog.store.columns import COLUMNS, READ
from decklog.store.recent import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

MEMORY_MB: Final = 700
ROW_GROUP: Final = 4096
"""Rows whose events are unpacked together to read one of them: 7 MB. Larger ones save a twentieth of the file."""
ORDER: Final = '"namespace", "resource", "name", "time", "stageTime"'
LASTING: Final = "COMPRESSION zstd, COMPRESSION_LEVEL 3"
PASSING: Final = "COMPRESSION zstd, COMPRESSION_LEVEL 1, WRITE_BLOOM_FILTER false"
"""For what compaction will write again: a fifth faster, a quarter larger."""
UNKNOWN_DAY: Final = "unknown"
MOST_DAYS: Final = 400
"""Of one journal segment; events of further days go to the unknown day, so that nobody makes a million files."""
_BATCH: Final = 4096
_LINE_BYTES: Final = 2 << 20
"""DuckDB takes buffers of a multiple of the longest line that it is told of."""
_LONG_BYTES: Final = 16 << 20
_BUFFERS: Final = 40
"""How much of the longest line DuckDB takes in all, where it is long."""
_NO_TEXT: Final = (b"\r", b"\0", b"\x01")
"""What no line may hold that DuckDB reads as text; JSON has none of these but the first."""
_DAY: Final = f"coalesce(strftime(\"time\", '%Y-%m-%d'), '{UNKNOWN_DAY}')"
_MICROTIME: Final = "coalesce(strftime({}, '%Y-%m-%dT%H:%M:%S.%fZ'), '')"
_FIRST: Final = _MICROTIME.format('min("time")')
_LATEST: Final = _MICROTIME.format('max(greatest("time", "stageTime"))')
"""A request that began before a window may end in it."""
_ABOUT: Final = f'count(*), coalesce(sum(octet_length("event") + 1), 0), {_FIRST}, {_LATEST}'


@dataclass(frozen=True, slots=True)
class Made:
    """A Parquet file that is written, and not yet part of the store."""

    file: Path
    cluster: str
    day: str
    rows: int
    raw_bytes: int
    min_time: str
    max_time: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """Events on their way into DuckDB."""

    cluster: str
    days: set[str]
    rows: int
    raw_bytes: int
    longest: int
    """Bytes of a line that DuckDB has to expect."""
    decoded: str
    """How SQL makes the event of what it reads."""
    sources: list[Path]
    """Columns, identities, events."""
    files: list[Path]
    """What was written for the occasion."""


class Engine:
    """DuckDB, with a directory of its own for what is on its way; see `engine`."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, folder: Path, numbers: Iterator[int] | None = None
    ) -> None:
        self.connection = connection
        self.folder = folder
        self._numbers = count(1) if numbers is None else numbers

    def beside(self) -> Engine:
        """Give the same database and directory to another thread."""
        return Engine(self.connection.cursor(), self.folder, self._numbers)

    def interrupt(self) -> None:
        """End what runs in another thread; it raises there."""
        self.connection.interrupt()

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run SQL of ours; raises DecklogError."""
        try:
            return self.connection.execute(sql, list(values)).fetchall()
        except duckdb.Error as error:
            raise DecklogError(f"DuckDB: {unreadable.words(error)}") from error

    def fresh(self, suffix: str) -> Path:
        """Name a file in the directory."""
        return self.folder / f"{next(self._numbers)}{suffix}"

    def prepare(self, journal: Path, read: Callable[[], Iterable[bytes]], keys: bytes, cluster: str) -> Prepared:
        """Read events into columns, in files for DuckDB: a journal, its lines piece by piece, and their identities.

        Needs no DuckDB, so it may go on while another thread is in `write`. Raises OSError, and what `read` raises.
        """
        made = [self.fresh(suffix) for suffix in (".json", ".keys", ".lines")]
        rows, listed, digits = made
        try:
            found = _write_rows(rows, read())
            listed.write_bytes(keys.hex("\n", KEY_BYTES).encode() + b"\n")
            if not found.is_text:  # what DuckDB reads as it is needs no copy
                _write_digits(digits, read())
        except BaseException:
            _remove(made)
            raise
        return Prepared(
            cluster=cluster,
            days=found.days,
            rows=len(keys) // KEY_BYTES,
            raw_bytes=found.size,
            longest=2 * found.longest + _LINE_BYTES,
            decoded="encode(e)" if found.is_text else "unhex(e)",
            sources=[rows, listed, journal if found.is_text else digits],
            files=made,
        )

    def write(self, prepared: Prepared) -> list[Made]:
        """Write prepared events as a file a day. Raises DecklogError."""
        if prepared.longest > _LONG_BYTES:
            self.all(f"SET memory_limit = '{MEMORY_MB + (_BUFFERS * prepared.longest >> 20)}MB'")
        source = _source(prepared.longest, prepared.decoded)
        values = [prepared.cluster, *map(str, prepared.sources)]
        try:
            if len(prepared.days) == 1:
                (day,) = prepared.days
                made = [self.copy(f"{source} ORDER BY {ORDER}", values, day, prepared.cluster, PASSING)]
            else:
                made = self._split(source, values, prepared.cluster)
        finally:
            _remove(prepared.files)
        written = sum(one.rows for one in made), sum(one.raw_bytes for one in made)
        if written != (prepared.rows, prepared.raw_bytes):
            raise DecklogError(f"DuckDB took other events than the {prepared.rows:,} given: nothing was sealed")
        return made

    def _split(self, source: str, values: Sequence[Any], cluster: str) -> list[Made]:
        self.all(f"CREATE OR REPLACE TEMP TABLE loaded AS {source}", values)
        select = f"SELECT * FROM loaded WHERE {_DAY} = ? ORDER BY {ORDER}"  # noqa: S608  # because: our own words
        try:
            return [self.copy(select, [day], day, cluster, PASSING) for day in self._days()]
        finally:
            self.all("DROP TABLE loaded")

    def _days(self) -> list[str]:
        """List the days of ``loaded``, those with most events first; what is beyond MOST_DAYS has no day."""
        found = self.all(f"SELECT {_DAY} AS d, count(*) FROM loaded GROUP BY d ORDER BY 2 DESC, d")  # noqa: S608  # because: our own words
        days = [str(row[0]) for row in found]
        if len(days) <= MOST_DAYS:
            return days
        marks = ", ".join("?" * MOST_DAYS)
        self.all(f'UPDATE loaded SET "time" = NULL WHERE {_DAY} NOT IN ({marks})', days[:MOST_DAYS])  # noqa: S608  # because: the same
        return self._days()

    def copy(self, select: str, values: Sequence[Any], day: str, cluster: str, how: str = LASTING) -> Made:
        """Write what a query gives, and read it back; raises DecklogError."""
        file = self.fresh(".parquet")
        self.all(
            f"COPY ({select}) TO '{_quoted(file)}' (FORMAT parquet, ROW_GROUP_SIZE {ROW_GROUP}, {how})",
            values,
        )
        about = self.about(file)
        return Made(file, cluster, day, *about)

    def without(self, file: Path, numbers: Sequence[int], day: str, cluster: str) -> Made:
        """Write a Parquet file again without some of its rows."""
        listed = self.fresh(".rows")
        listed.write_text("".join(f"{number}\n" for number in numbers))
        going = f"SELECT n::BIGINT FROM {_csv('n', _LINE_BYTES)}"  # noqa: S608  # because: our own words
        select = (
            "SELECT * EXCLUDE (file_row_number) FROM read_parquet(?, file_row_number = true, hive_partitioning = false)"  # noqa: S608  # because: our own words
            f" WHERE file_row_number NOT IN ({going}) ORDER BY file_row_number"
        )
        try:
            return self.copy(select, [str(file), str(listed)], day, cluster)
        finally:
            listed.unlink()

    def pairs(self, events: Iterable[tuple[bytes, bytes]]) -> None:
        """Add identity, audit ID and stage of events in journals to the table ``pairs``."""
        listed = self.fresh(".pairs")
        with listed.open("wb") as out:
            for key, line in events:
                row = columns.row_of(line)
                out.write(columns.paired(key, row) + b"\n")
        names = "{'k': 'VARCHAR', 'i': 'VARCHAR', 's': 'VARCHAR'}"
        self.all(
            "INSERT INTO pairs SELECT unhex(k), i, s FROM"  # noqa: S608  # because: our own words
            f" read_json(?, format = 'newline_delimited', compression = 'none', columns = {names})",
            [str(listed)],
        )
        listed.unlink()

    def about(self, file: Path) -> tuple[int, int, str, str]:
        """Count the events of a Parquet file, their bytes, and give the first and the last time."""
        rows, size, first, last = self.all(f"SELECT {_ABOUT} FROM read_parquet(?)", [str(file)])[0]  # noqa: S608  # because: our own words
        return int(rows), int(size), str(first), str(last)

    def events(self, file: Path) -> Iterator[tuple[int, bytes]]:
        """Give each event of a Parquet file with its number, from 0."""
        sql = 'SELECT file_row_number, "event" FROM read_parquet(?, file_row_number = true, hive_partitioning = false)'
        try:
            cursor = self.connection.cursor().execute(sql, [str(file)])
            while rows := cursor.fetchmany(_BATCH):
                yield from ((int(number), bytes(event)) for number, event in rows)
        except duckdb.Error as error:
            raise DecklogError(f"{file} cannot be read: decklog store check names the damage") from error


def files_sql(files: Iterable[Path]) -> str:
    """Write a list of files as SQL."""
    return "[" + ", ".join(f"'{_quoted(file)}'" for file in files) + "]"


@contextmanager
def engine(aside: Path, *, memory_mb: int = MEMORY_MB, threads: int = 1) -> Iterator[Engine]:
    """Give DuckDB with a directory below `aside` (in the store: a rename must not cross file systems).

    One thread: a second one costs a fifth more in all, and sealing writes two journals at once anyway.
    """
    folder = Path(mkdtemp(prefix="work-", dir=aside))
    settings: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": threads,
        "temp_directory": str(folder / "spilled"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
    }
    try:
        connection = duckdb.connect(":memory:", config=settings)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield Engine(connection, folder)
        finally:
            connection.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _source(longest: int, decoded: str) -> str:
    """Give the query that reads what was written for DuckDB; its parameters: cluster, columns, identities, events."""
    typed = ", ".join(f"'{name}': '{kind}'" for name, kind in READ.items())
    made = ", ".join(f'{made} AS "{name}"' for name, made in COLUMNS.items())
    return (
        f"SELECT {made}, ?::VARCHAR AS cluster, k.identity, e.event FROM"  # noqa: S608  # because: our own words
        f" read_json(?, format = 'newline_delimited', compression = 'none', maximum_object_size = {longest},"
        f" columns = {{{typed}}}) c"
        f" POSITIONAL JOIN (SELECT unhex(k) AS identity FROM {_csv('k', _LINE_BYTES)}) k"
        f" POSITIONAL JOIN (SELECT {decoded} AS event FROM {_csv('e', longest)}) e"
    )


def _csv(name: str, longest: int) -> str:
    """Read lines of text as they are: nothing quotes, nothing escapes, and no byte of a line is the delimiter."""
    return (
        "read_csv(?, auto_detect = false, header = false, delim = '\x01', quote = '', escape = '', new_line = '\\n',"
        f" compression = 'none', max_line_size = {longest}, buffer_size = {2 * longest}, null_padding = false,"
        f" columns = {{'{name}': 'VARCHAR'}})"
    )


@dataclass(slots=True)
class _Found:
    """What was read of a journal."""

    days: set[str]
    size: int = 0
    longest: int = 0
    """No line is longer."""
    is_text: bool = True
    """DuckDB reads the lines as they are."""


def _write_rows(file: Path, pieces: Iterable[bytes]) -> _Found:
    """Write what the columns are made of."""
    found = _Found(set())
    days: set[date | None] = set()
    with file.open("wb") as out:
        for piece in pieces:
            found.size += len(piece)
            found.is_text = found.is_text and _is_text(piece)
            for chunk in columns.chunks(piece):
                rows = columns.rows_of(chunk)
                days.update([row.received.date() if row.received else None for row in rows])
                out.write(columns.encoded(rows))
                found.longest = max(found.longest, len(chunk))
    found.days = {day.isoformat() if day and day.year > 1 else UNKNOWN_DAY for day in days}
    return found


def _write_digits(file: Path, pieces: Iterable[bytes]) -> None:
    """Write the events as hexadecimal digits, where DuckDB would not take them as they are."""
    with file.open("wb") as out:
        for piece in filter(None, pieces):
            out.writelines(line.hex().encode() + b"\n" for line in piece[:-1].split(b"\n"))


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _is_text(data: bytes) -> bool:
    if any(byte in data for byte in _NO_TEXT):
        return False
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _quoted(file: Path) -> str:
    return str(file).replace("'", "''")

"""Parquet: what DuckDB does for the store. Imported by maintenance alone; readers of journals need none of it.

Text and columns reach DuckDB in files that we wrote, with every type named: nothing is guessed, and nothing parses what
a client wrote but `store.columns`. Its numbers are compared with ours before anything counts.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

import duckdb

from decklog.errors import DecklogError
from decklog.store import columns
from decklog.store.columns import COLUMNS
from decklog.store.recent import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MEMORY_MB: Final = 700
ROW_GROUP: Final = 16_384
ORDER: Final = '"namespace", "resource", "name", "time", "stageTime"'
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
_MICROTIME: Final = "coalesce(strftime({}(\"time\"), '%Y-%m-%dT%H:%M:%S.%fZ'), '')"
_ABOUT: Final = (
    f'count(*), coalesce(sum(octet_length("event") + 1), 0), {_MICROTIME.format("min")}, {_MICROTIME.format("max")}'
)


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


class Engine:
    """DuckDB, with a directory of its own for what is on its way; see `engine`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder
        self._number = 0

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run SQL of ours; raises DecklogError."""
        try:
            return self.connection.execute(sql, list(values)).fetchall()
        except duckdb.Error as error:
            words = " ".join(str(error).split("\n\n")[0].split())[:300]
            raise DecklogError(f"DuckDB: {words}") from error

    def fresh(self, suffix: str) -> Path:
        """Name a file in the directory."""
        self._number += 1
        return self.folder / f"{self._number}{suffix}"

    def split(self, data: bytes, keys: bytes, cluster: str) -> list[Made]:
        """Write the lines of a journal, each with its newline, as a file a day. `keys`: their identities."""
        lines = data[:-1].split(b"\n")
        longest = 2 * max(map(len, lines)) + _LINE_BYTES
        if longest > _LONG_BYTES:
            self.all(f"SET memory_limit = '{MEMORY_MB + (_BUFFERS * longest >> 20)}MB'")
        rows, days = self._write_rows(lines)
        files = [rows, self._write_keys(keys)]
        text, decoded = self._write_lines(data, lines)
        files.append(text)
        source = _source(longest, decoded)
        values = [cluster, *map(str, files)]
        if len(days) == 1:
            made = [self.copy(f"{source} ORDER BY {ORDER}", values, days.pop(), cluster)]
        else:
            made = self._split(source, values, cluster)
        for file in files:
            file.unlink()
        if (sum(one.rows for one in made), sum(one.raw_bytes for one in made)) != (len(lines), len(data)):
            raise DecklogError(
                f"DuckDB took other events than the {len(lines):,} that it was given: nothing was sealed"
            )
        return made

    def _split(self, source: str, values: Sequence[Any], cluster: str) -> list[Made]:
        self.all(f"CREATE OR REPLACE TABLE loaded AS {source}", values)
        select = f"SELECT * FROM loaded WHERE {_DAY} = ? ORDER BY {ORDER}"  # noqa: S608  # because: our own words
        try:
            return [self.copy(select, [day], day, cluster) for day in self._days()]
        finally:
            self.all("DROP TABLE loaded")

    def _write_rows(self, lines: Sequence[bytes]) -> tuple[Path, set[str]]:
        """Write the columns; gives the days, roughly: a time that DuckDB cannot read makes one of its own."""
        file = self.fresh(".json")
        days: set[str] = set()
        with file.open("wb") as out:
            for at in range(0, len(lines), _BATCH):
                rows = [columns.row_of(line) for line in lines[at : at + _BATCH]]
                days.update([row.time[:10] if row.time else UNKNOWN_DAY for row in rows])
                out.write(columns.encoded(rows))
        return file, days

    def _write_keys(self, keys: bytes) -> Path:
        file = self.fresh(".keys")
        file.write_bytes(keys.hex("\n", KEY_BYTES).encode() + b"\n")
        return file

    def _write_lines(self, data: bytes, lines: Sequence[bytes]) -> tuple[Path, str]:
        """Write the events as text that DuckDB reads as it is, or as hexadecimal digits where it would not."""
        file = self.fresh(".lines")
        if _is_text(data):
            file.write_bytes(data)
            return file, "encode(e)"
        with file.open("wb") as out:
            out.writelines(line.hex().encode() + b"\n" for line in lines)
        return file, "unhex(e)"

    def _days(self) -> list[str]:
        """List the days of ``loaded``, those with most events first; what is beyond MOST_DAYS has no day."""
        found = self.all(f"SELECT {_DAY} AS d, count(*) FROM loaded GROUP BY d ORDER BY 2 DESC, d")  # noqa: S608  # because: our own words
        days = [str(row[0]) for row in found]
        if len(days) <= MOST_DAYS:
            return days
        marks = ", ".join("?" * MOST_DAYS)
        self.all(f'UPDATE loaded SET "time" = NULL WHERE {_DAY} NOT IN ({marks})', days[:MOST_DAYS])  # noqa: S608  # because: the same
        return self._days()

    def copy(self, select: str, values: Sequence[Any], day: str, cluster: str) -> Made:
        """Write what a query gives, and read it back; raises DecklogError."""
        file = self.fresh(".parquet")
        self.all(
            f"COPY ({select}) TO '{_quoted(file)}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3,"
            f" ROW_GROUP_SIZE {ROW_GROUP})",
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
def engine(aside: Path, *, memory_mb: int = MEMORY_MB, threads: int = 2) -> Iterator[Engine]:
    """Give DuckDB with a directory below `aside` (in the store: a rename must not cross file systems)."""
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
    typed = ", ".join(f"'{name}': '{'VARCHAR' if kind == 'TIMESTAMP' else kind}'" for name, kind in COLUMNS.items())
    times = ", ".join(f'try_cast("{name}" AS TIMESTAMP) AS "{name}"' for name in ("time", "stageTime"))
    return (
        f"SELECT c.* REPLACE ({times}), ?::VARCHAR AS cluster, k.identity, e.event FROM"  # noqa: S608  # because: our own words
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

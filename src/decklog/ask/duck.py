"""Duck: a log as tables of DuckDB, for SQL and for Parquet.

Lines are read by our own readers, never by DuckDB: it takes a number for a text, keeps one of two equal keys without a
word, and reads as NULL what it does not like. So the table ``events`` has every event that the reader yields, as rows
(`ask.flat`), and ``requests`` the requests that `ask.requests.merge` makes of them. Their number is compared.

The tables stand in a database file of their own in a directory for the occasion, so that memory stays bounded.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import duckdb

from decklog.ask.flat import BODIES, COLUMNS, encoded, flat
from decklog.ask.forking import fork_map
from decklog.ask.made_requests import EVENTS, REQUESTS, TOLD
from decklog.ask.parts import Sizes, survey
from decklog.ask.tally import uncollected
from decklog.ask.usual import PIECE_BYTES, LongLineError, Usual, whole_lines
from decklog.errors import DecklogError
from decklog.sources.reader import read, records_of
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from decklog.ask.flat import Flat
    from decklog.ask.parts import Log, Part
    from decklog.sources.places import Place
    from decklog.sources.record import Record

MEMORY_MB: Final = 700
"""DuckDB's share; with our own readers it stays below a gigabyte."""
ROWS_A_FILE: Final = 20_000

_ONE_SELECT: Final = "SQL: one SELECT is run, nothing else: the log is only read"
_QUERY: Final = re.compile(
    r"(?:\s|--[^\n]*\n|\()*(?:select|with|from|values|table|describe|show|summarize|explain|pivot|unpivot)\b",
    re.IGNORECASE,
)
_SIZES: Final = Sizes(piece=PIECE_BYTES)
_OBJECT_BYTES: Final = 256 << 20
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Tables:
    """A database with the tables ``events`` and ``requests``."""

    folder: Path
    memory_mb: int
    threads: int
    coverage: Coverage = field(default_factory=Coverage)
    _connection: duckdb.DuckDBPyConnection | None = None
    _closed: bool = False

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The database; opened late, because it has threads, and a process with threads should not fork."""
        if self._connection is None:
            settings: dict[str, Any] = {
                "memory_limit": f"{self.memory_mb}MB",
                "threads": self.threads,
                "temp_directory": str(self.folder / "spilled"),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
                "python_enable_replacements": False,
            }
            self._connection = duckdb.connect(str(self.folder / "log.duckdb"), config=settings)
            self._connection.execute("SET TimeZone = 'UTC'")
        return self._connection

    def close(self) -> None:
        """Let go of the database."""
        if self._connection is not None:
            self._connection.close()

    def load(
        self,
        places: Iterable[Place],
        *,
        bodies: bool = False,
        since: str | None = None,
        until: str | None = None,
        processes: int = 1,
        sizes: Sizes = _SIZES,
    ) -> None:
        """Read a log into the tables, with its bodies if `bodies`; only requests of the window, if one is given.

        `processes` above 1 forks: only for a caller without threads, and before the first query.
        """
        waiting = list(places)
        try:
            with uncollected():
                files = _Writing(self.folder, bodies=bodies).write(waiting, self.coverage, processes, sizes)
        finally:
            for place in waiting:
                place.close()
        self._create(files, {**COLUMNS, **(BODIES if bodies else {})})
        self._window(since, until)

    def load_records(
        self,
        records: Iterable[Record],
        *,
        bodies: bool = False,
        since: str | None = None,
        until: str | None = None,
    ) -> None:
        """Put the events of `records` into the tables; only requests of the window, if one is given."""
        files = _Writing(self.folder, bodies=bodies).write_slowly(records)
        self._create(files, {**COLUMNS, **(BODIES if bodies else {})})
        self._window(since, until)

    def write_parquet(self, path: Path, *, requests: bool) -> None:
        """Write a table to a Parquet file; raises DecklogError if it cannot be written."""
        table = "requests" if requests else "events"
        try:
            self.connection.execute(f"COPY {table} TO ? (FORMAT parquet, COMPRESSION zstd)", [str(path)])
        except duckdb.Error as error:
            raise DecklogError(f"cannot write {path}: {_words(error)}") from None

    def count(self, *, requests: bool) -> int:
        """Count the rows of a table."""
        sql = "SELECT count(*) FROM requests" if requests else "SELECT count(*) FROM events"
        found: int = self.connection.execute(sql).fetchall()[0][0]
        return found

    def _create(self, files: Sequence[_File], columns: dict[str, str]) -> None:
        types = {**columns, "seq": "BIGINT", "same": "BIGINT"}
        fields = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
        names = ", ".join(f"'{name}': '{kind}'" for name, kind in types.items())
        self.connection.execute(f"CREATE TABLE stored ({fields})")
        reading = f"format = 'newline_delimited', compression = 'none', maximum_object_size = {_OBJECT_BYTES}"
        for file in files:
            self.connection.execute(
                f"INSERT INTO stored SELECT * REPLACE (line + {file.base} AS line)"  # noqa: S608  # because: our own words
                f" FROM read_json(?, {reading}, columns = {{{names}}})",
                [str(file.path)],
            )
            file.path.unlink()
        loaded, written = (
            self.connection.sql("SELECT count(*) FROM stored").fetchall()[0][0],
            sum(file.rows for file in files),
        )
        if loaded != written:
            raise DecklogError(f"DuckDB took {loaded:,} rows of {written:,}: the answer would not be whole")

    def _window(self, since: str | None, until: str | None) -> None:
        """Make the requests, and what SQL sees of both; what the window leaves out is gone."""
        run = self.connection.execute
        run(TOLD)
        if until is not None:
            run('DELETE FROM stored WHERE NOT coalesce("time" < ?::TIMESTAMP, false)', [until])
        if since is not None:
            run('DELETE FROM stored WHERE NOT coalesce(coalesce(stageTime, "time") >= ?::TIMESTAMP, false)', [since])
        run(EVENTS)
        run(REQUESTS)

    def close_doors(self) -> None:
        """From here on SQL reaches nothing but the tables: no file, no extension, no setting, no Python variable."""
        if not self._closed:
            self.connection.execute("SET enable_external_access = false; SET lock_configuration = true")
            self._closed = True


@contextmanager
def tables(*, memory_mb: int = MEMORY_MB, threads: int = 2) -> Iterator[Tables]:
    """Give an empty database; it is gone afterwards. What DuckDB cannot do becomes a DecklogError."""
    with TemporaryDirectory(prefix="decklog-sql-") as folder:
        made = Tables(Path(folder), memory_mb, threads)
        try:
            yield made
        except duckdb.Error as error:
            raise DecklogError(f"SQL: {_words(error)}") from error
        finally:
            made.close()


@dataclass(slots=True)
class Answer:
    """What a query gave."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    cut: bool
    """There is more than the limit."""


def check(sql: str) -> None:
    """Refuse at once, before a log is read, what does not begin as a query does; raises DecklogError."""
    if _QUERY.match(sql) is None:
        raise DecklogError(_ONE_SELECT)


def _statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise DecklogError(f"SQL: {_words(error)}") from None
    if len(statements) != 1 or statements[0].type not in {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}:
        raise DecklogError(_ONE_SELECT)
    return statements[0]


def ask(filled: Tables, sql: str, *, max_rows: int, timeout_s: float) -> Answer:
    """Run one SELECT. Raises DecklogError for anything else, for SQL that fails, and for what takes too long."""
    connection = filled.connection
    statement = _statement(connection, sql)
    filled.close_doors()
    late = threading.Event()

    def stop() -> None:
        late.set()
        connection.interrupt()

    timer = threading.Timer(timeout_s, stop)
    timer.start()
    try:
        done = connection.execute(statement)
        rows = done.fetchmany(max_rows + 1)
        return Answer([column[0] for column in done.description or ()], rows[:max_rows], len(rows) > max_rows)
    except (duckdb.Error, RuntimeError) as error:
        if late.is_set():
            raise DecklogError(f"SQL: stopped after {timeout_s:g} s: ask for less, or give --timeout") from None
        raise DecklogError(f"SQL: {_words(error)}") from None
    finally:
        timer.cancel()


def mentions(sql: str, names: Iterable[str]) -> bool:
    """Tell whether SQL may ask for one of these columns: by name, or by a star for all."""
    return re.search(rf"\b({'|'.join(names)})\b", sql, re.IGNORECASE) is not None


def _words(error: BaseException) -> str:
    """Give the first paragraph of DuckDB's message, and where in the text it is."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return "the memory is not enough: ask for less, or give more with --memory-mb"
    return " ".join(str(error).split("\n\nLINE")[0].split())


@dataclass(slots=True)
class _File:
    """Rows on their way into the database."""

    path: Path
    rows: int
    base: int = 0
    """Lines of the log's file before the part that was written."""


@dataclass(slots=True)
class _Done:
    """What was written of one part."""

    coverage: Coverage
    files: list[_File]
    feeds: int = 0
    too_much: bool = False


class _Writing:
    """The readers' side: events become rows in files, several processes at once where the log allows."""

    def __init__(self, folder: Path, *, bodies: bool) -> None:
        self._folder = folder
        self._bodies = bodies

    def write(self, places: list[Place], coverage: Coverage, processes: int, sizes: Sizes) -> list[_File]:
        logs = survey(places, sizes)
        if logs is not None:
            parts = [part for log in logs for part in log.parts()]
            done = fork_map(self._write_part, list(enumerate(parts)), processes)
            if not any(part.too_much for part in done):
                _cover(coverage, logs, done)
                return [file for part in done for file in part.files]
            for part in done:
                for file in part.files:
                    file.path.unlink()
        return self.write_slowly(read(places, coverage))

    def _write_part(self, numbered: tuple[int, Part]) -> _Done:
        place, part = numbered
        out = _Rows(self._folder / f"part-{place}", place << 40, part.log.name)
        usual = Usual(whole=True)
        done = _Done(Coverage(), out.files)
        first = part.start == 0
        try:
            for lines in whole_lines(part.pieces()):
                block = lines.removeprefix(_BYTE_ORDER_MARK) if first else lines
                first = False
                feeds, events = usual.decode(block)
                if events is None:
                    self._read(block, out, done)
                else:
                    self._take(block, events, out, done)
                done.feeds += feeds
        except LongLineError:
            done.too_much = True
        out.flush()
        done.coverage.problems += part.damage
        return done

    def _take(self, block: bytes, events: list[Any], out: _Rows, done: _Done) -> None:
        coverage, number = done.coverage, done.feeds
        coverage.lines += len(events)
        times = [event.stage_timestamp for event in events]
        coverage.first = min(filter(None, (coverage.first, *times)))
        coverage.last = max(filter(None, (coverage.last, *times)))
        for event, line in zip(events, block.split(b"\n"), strict=False):
            number += 1
            out.add(flat(event, out.name, number, bodies=self._bodies), hash(line))

    def _read(self, block: bytes, out: _Rows, done: _Done) -> None:
        for number, line in enumerate(block.split(b"\n"), done.feeds + 1):
            if line and not line.isspace():
                for record in records_of(line, out.name, number, done.coverage):
                    done.coverage.count(record)
                    if record.event is not None:
                        out.add(flat(record.event, out.name, number, bodies=self._bodies), hash(record.line))

    def write_slowly(self, records: Iterable[Record]) -> list[_File]:
        out = _Rows(self._folder / "slow", 0, "")
        for record in records:
            if record.event is not None:
                out.add(flat(record.event, record.file, record.number, bodies=self._bodies), hash(record.line))
        out.flush()
        return out.files


def _cover(coverage: Coverage, logs: list[Log], done: Sequence[_Done]) -> None:
    parts = iter(done)
    for log in logs:
        if log.problem:
            coverage.problems.append(log.problem)
            continue
        coverage.files.append(log.name)
        coverage.size_bytes += log.size_bytes
        base = 0
        for _ in log.parts():
            part = next(parts)
            coverage.add(part.coverage, base)
            for file in part.files:
                file.base = base
            base += part.feeds


class _Rows:
    """Rows of one part, written to files."""

    def __init__(self, path: Path, seq: int, name: str) -> None:
        self.name = name
        self.files: list[_File] = []
        self._path = path
        self._seq = seq
        self._rows: list[Flat] = []
        self._bytes = 0

    def add(self, row: Flat, same: int) -> None:
        self._seq += 1
        row.seq, row.same = self._seq, same
        self._rows.append(row)
        if row.requestObject is not None or row.responseObject is not None:
            self._bytes += len(bytes(row.requestObject or b"")) + len(bytes(row.responseObject or b""))
        if len(self._rows) >= ROWS_A_FILE or self._bytes > 32 << 20:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            path = self._path.with_suffix(f".{len(self.files)}.json")
            path.write_bytes(encoded(self._rows))
            self.files.append(_File(path, len(self._rows)))
            self._rows, self._bytes = [], 0

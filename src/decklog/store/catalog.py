"""The catalog: which files are the store. A SQLite database (WAL), ``DIR/catalog.db``.

A segment counts from the transaction on that enters it; in the same one, what it takes the place of counts no more:
the journal segments that were sealed, or the segments that were compacted. So every event stands in exactly one file
that counts, whatever dies when. Files that count no more stay for a grace period, for readers that began before.

| table | what |
|---|---|
| segments | each Parquet file: ``writing`` (announced), ``live`` (counts), ``dead`` (to be removed) |
| journals | each journal segment that was sealed; its file may be there yet, and counts no more |
| ages | how many events of a segment have to be kept for how long, by the rules that said so |
| holds | legal holds |
| settings | the latest time that maintenance has seen, the latest number of a file |

The database has to be on a local file system.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import Struct

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

CATALOG: Final = "catalog.db"
SEGMENTS: Final = "segments"
"""The directory of a store that holds a folder of Parquet files for each day."""
BLOCK_BYTES: Final = 1 << 20
"""Of how many bytes each CRC of a segment is."""
_WAIT_S: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS segments (
  id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, state TEXT NOT NULL, kind TEXT NOT NULL,
  cluster TEXT NOT NULL, day TEXT NOT NULL,
  rows INTEGER NOT NULL, raw_bytes INTEGER NOT NULL, file_bytes INTEGER NOT NULL,
  min_time TEXT NOT NULL, max_time TEXT NOT NULL, sha256 TEXT NOT NULL, crcs BLOB NOT NULL, made_s REAL NOT NULL,
  dead_s REAL
);
CREATE TABLE IF NOT EXISTS journals (
  writer TEXT NOT NULL, number INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, sealed_s REAL NOT NULL,
  removed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (writer, number)
);
CREATE TABLE IF NOT EXISTS ages (
  segment INTEGER NOT NULL, rules TEXT NOT NULL, age_s REAL, rows INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS holds (name TEXT PRIMARY KEY, query TEXT NOT NULL, made_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value REAL NOT NULL);
"""
_REPAIR: Final = "decklog store check --repair makes a new one of the segments"
_FIELDS: Final = "path, kind, cluster, day, rows, raw_bytes, file_bytes, min_time, max_time, sha256, crcs, made_s"

SEALED: Final = "sealed"
"""Kind of a segment that was made of a journal: events may be doubled in it and with others."""
COMPACTED: Final = "compacted"
"""Kind of a segment whose events are nowhere else in a compacted one."""


class Segment(Struct, frozen=True):
    """A Parquet file of the store."""

    path: str
    """Below the store's directory."""
    kind: str
    cluster: str
    day: str
    """Of its events, UTC: ``2026-01-31``; ``unknown`` where they have no time."""
    rows: int
    raw_bytes: int
    """Of the verbatim events, each with a newline."""
    file_bytes: int
    min_time: str
    """MicroTime of the first receipt; empty where they have none."""
    max_time: str
    """MicroTime of the last stage, or receipt."""
    sha256: str
    crcs: bytes
    """CRC-32, big-endian, of each BLOCK_BYTES of the file."""
    made_s: float
    id: int = 0


class SealedJournal(Struct, frozen=True):
    """A journal segment whose events are in segments."""

    writer: str
    number: int
    rows: int
    raw_bytes: int
    sealed_s: float = 0.0


class EmptyCatalogError(DecklogError):
    """There is no catalog yet, or one without tables: maintenance ended before it made them, or it is lost."""


class Catalog:
    """The catalog of a store. Writing methods are one transaction each; all raise DecklogError if SQLite fails.

    Raises DecklogError if it cannot be opened; to read, EmptyCatalogError if there is none.
    """

    def __init__(self, store: Path, *, write: bool = False) -> None:
        self.path = store / CATALOG
        self._database = _open(self.path, write=write)

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self._database.close()

    # Reading

    def live(self) -> list[Segment]:
        """List the segments that count, oldest day first."""
        return self._segments("state = 'live'")

    def snapshot(self) -> tuple[list[Segment], set[tuple[str, int]]]:
        """Give what `live` and `sealed` give, of one moment."""
        self._all("BEGIN")
        try:
            return self.live(), self.sealed()
        finally:
            self._all("ROLLBACK")

    def dead(self, before_s: float) -> list[Segment]:
        """List the segments that count no more since before then."""
        return self._segments("state = 'dead' AND dead_s <= ?", (before_s,))

    def unfinished(self) -> list[str]:
        """List the paths that were announced, and never came to count."""
        return [str(row[0]) for row in self._all("SELECT path FROM segments WHERE state = 'writing'")]

    def known(self) -> set[str]:
        """List the paths of all segments, whatever their state."""
        return {str(row[0]) for row in self._all("SELECT path FROM segments")}

    def sound(self) -> str:
        """Say what SQLite finds wrong with the database; empty: nothing."""
        found = str(self._all("PRAGMA quick_check(1)")[0][0])
        return "" if found == "ok" else found

    def sealed(self) -> set[tuple[str, int]]:
        """List writer and number of the journal segments that count no more."""
        return {(str(row[0]), int(row[1])) for row in self._all("SELECT writer, number FROM journals")}

    def removable(self, before_s: float) -> list[SealedJournal]:
        """List sealed journal segments whose files may go."""
        sql = "SELECT writer, number, rows, bytes, sealed_s FROM journals WHERE removed = 0 AND sealed_s <= ?"
        return [SealedJournal(*row) for row in self._all(sql, (before_s,))]

    def ages(self, segment: Segment, rules: str) -> dict[float | None, int] | None:
        """Tell how many events are to be kept how long (None: for ever); None: not counted yet."""
        rows = self._all("SELECT age_s, rows FROM ages WHERE segment = ? AND rules = ?", (segment.id, rules))
        return dict(rows) or None

    def holds(self) -> dict[str, str]:
        """Give the legal holds: name → query, as JSON."""
        return dict(self._all("SELECT name, query FROM holds ORDER BY name"))

    def latest_s(self) -> float:
        """Give the latest time that maintenance has seen; 0: none yet."""
        rows = self._all("SELECT value FROM settings WHERE name = 'latest_s'")
        return float(rows[0][0]) if rows else 0.0

    # Writing

    def next_number(self) -> int:
        """Give a number that no segment had before."""
        with self._transaction() as run:
            run.execute("INSERT INTO settings VALUES ('number', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1")
            return int(run.execute("SELECT value FROM settings WHERE name = 'number'").fetchone()[0])

    def announce(self, paths: Iterable[str]) -> None:
        """Say that files may appear at these paths, which do not count yet."""
        with self._transaction() as run:
            run.executemany(
                "INSERT INTO segments"
                " (path, state, kind, cluster, day, rows, raw_bytes, file_bytes, min_time,"
                " max_time, sha256, crcs, made_s) VALUES (?, 'writing', '', '', '', 0, 0, 0, '', '', '', x'', 0)",
                [(path,) for path in paths],
            )

    def replace(
        self,
        made: Iterable[Segment],
        *,
        now_s: float,
        segments: Iterable[Segment] = (),
        journals: Iterable[SealedJournal] = (),
    ) -> None:
        """Let `made` count from now on, and `segments` and `journals` no more."""
        marks = ", ".join("?" * len(_FIELDS.split(",")))
        with self._transaction() as run:
            for segment in made:
                values = [getattr(segment, name) for name in _FIELDS.split(", ")]
                run.execute("DELETE FROM segments WHERE path = ? AND state = 'writing'", (segment.path,))
                run.execute(f"INSERT INTO segments (state, {_FIELDS}) VALUES ('live', {marks})", values)  # noqa: S608  # because: our own words
            for segment in segments:
                done = run.execute(
                    "UPDATE segments SET state = 'dead', dead_s = ? WHERE id = ? AND state = 'live'",
                    (now_s, segment.id),
                )
                if done.rowcount != 1:
                    raise DecklogError(f"{segment.path} is no segment any more: is somebody else at work in the store?")
            run.executemany(
                "INSERT INTO journals (writer, number, rows, bytes, sealed_s) VALUES (?, ?, ?, ?, ?)",
                [(each.writer, each.number, each.rows, each.raw_bytes, now_s) for each in journals],
            )

    def restore(self, segments: Sequence[Segment], holds: dict[str, str], *, number: int, now_s: float) -> None:
        """Fill a new catalog in one step: with segments that count, legal holds, and the last number of a file."""
        marks = ", ".join("?" * len(_FIELDS.split(",")))
        rows = [[getattr(segment, name) for name in _FIELDS.split(", ")] for segment in segments]
        latest_s = max((segment.made_s for segment in segments), default=0.0)
        with self._transaction() as run:
            run.executemany(f"INSERT INTO segments (state, {_FIELDS}) VALUES ('live', {marks})", rows)  # noqa: S608  # because: our own words
            run.executemany("INSERT INTO holds VALUES (?, ?, ?)", [(*hold, now_s) for hold in holds.items()])
            run.executemany(
                "INSERT INTO settings VALUES (?, ?)", [("number", number), ("latest_s", min(latest_s, now_s))]
            )

    def forget(self, path: str) -> None:
        """Strike out a segment whose file is gone."""
        with self._transaction() as run:
            run.execute("DELETE FROM ages WHERE segment IN (SELECT id FROM segments WHERE path = ?)", (path,))
            run.execute("DELETE FROM segments WHERE path = ? AND state <> 'live'", (path,))

    def removed(self, journal: SealedJournal) -> None:
        """Note that a sealed journal segment's file is gone. The entry stays: a number is never used twice."""
        with self._transaction() as run:
            run.execute(
                "UPDATE journals SET removed = 1 WHERE writer = ? AND number = ?", (journal.writer, journal.number)
            )

    def keep_ages(self, segment: Segment, rules: str, ages: dict[float | None, int]) -> None:
        """Note how many events are to be kept how long; forgets what other rules said."""
        with self._transaction() as run:
            run.execute("DELETE FROM ages WHERE segment = ?", (segment.id,))
            run.executemany(
                "INSERT INTO ages VALUES (?, ?, ?, ?)",
                [(segment.id, rules, age_s, rows) for age_s, rows in ages.items()],
            )

    def hold(self, name: str, query: str, now_s: float) -> None:
        """Hold what a query matches, until `release`."""
        with self._transaction() as run:
            run.execute("INSERT OR REPLACE INTO holds VALUES (?, ?, ?)", (name, query, now_s))

    def release(self, name: str) -> bool:
        """End a hold; False: there is none of that name."""
        with self._transaction() as run:
            return run.execute("DELETE FROM holds WHERE name = ?", (name,)).rowcount == 1

    def seen(self, now_s: float) -> None:
        """Note the time."""
        with self._transaction() as run:
            run.execute(
                "INSERT INTO settings VALUES ('latest_s', ?) ON CONFLICT (name) DO UPDATE"
                " SET value = max(value, excluded.value)",
                (now_s,),
            )

    # Within

    def _segments(self, condition: str, values: Sequence[object] = ()) -> list[Segment]:
        sql = f"SELECT {_FIELDS}, id FROM segments WHERE {condition} ORDER BY day, cluster, path"  # noqa: S608  # because: our own words
        return [Segment(*row) for row in self._all(sql, values)]

    def _all(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(sql, tuple(values)).fetchall()
        except sqlite3.Error as error:
            raise self._told(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        try:
            with closing(self._database.cursor()) as cursor:
                cursor.execute("BEGIN IMMEDIATE")
                try:
                    yield cursor
                except BaseException:
                    cursor.execute("ROLLBACK")
                    raise
                cursor.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._told(error) from error

    def _told(self, error: sqlite3.Error) -> DecklogError:
        return DecklogError(f"the catalog {self.path} cannot be used: {error}{_hint(error)}")


def exists(store: Path) -> bool:
    """Tell whether a store has a catalog; without one it is journals alone."""
    return (store / CATALOG).exists()


def segment_files(store: Path) -> Iterator[Path]:
    """Give the Parquet files of a store, whether they count or not, oldest day first."""
    yield from sorted((store / SEGMENTS).glob("day=*/*.parquet"))


def trouble(store: Path) -> str:
    """Say what is wrong with a catalog; empty: nothing, or the store was never sealed."""
    try:
        with Catalog(store) as opened:
            return opened.sound() or _forgotten(store, opened)
    except EmptyCatalogError:
        return _forgotten(store)
    except DecklogError as error:
        return str(error.__cause__ or error)


def _forgotten(store: Path, opened: Catalog | None = None) -> str:
    if (opened is not None and opened.known()) or not any(segment_files(store)):
        return ""
    return "it knows of no segment, and there are some"


def refuse_lost(store: Path, opened: Catalog | None = None) -> None:
    """Raise DecklogError for a catalog that is lost or damaged: answers would lack what it does not know.

    One that is `opened` is sound enough to be read, hence may only be empty.
    """
    why = trouble(store) if opened is None else _forgotten(store, opened)
    if why:
        raise DecklogError(f"the catalog {store / CATALOG} is lost: {why}: {_REPAIR}")


def _hint(error: sqlite3.Error) -> str:
    """Give what to do about a damaged file: such errors are of no subclass."""
    return f": {_REPAIR}" if type(error) is sqlite3.DatabaseError else ""


def _open(path: Path, *, write: bool) -> sqlite3.Connection:
    try:
        if write:
            return _open_to_write(path)
        return _open_to_read(path)
    except sqlite3.Error as error:
        why = _hint(error) or ": is it a store that you may read?"
        raise DecklogError(f"the catalog {path} cannot be opened: {error}{why}") from error


def _open_to_write(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # a transaction is on the device before a file is removed
        database.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
        path.chmod(0o600)
    except BaseException:
        database.close()  # on a full disk, say: what is left open keeps the file system busy
        raise
    return database


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Open without writing; where the directory may not be written to, as a file that nobody changes."""
    if not path.exists():
        raise EmptyCatalogError(f"there is no catalog {path}")
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        database = sqlite3.connect(
            f"{path.absolute().as_uri()}?{mode}", timeout=_WAIT_S, isolation_level=None, uri=True
        )
        try:
            database.execute("SELECT count(*) FROM segments").fetchall()
        except sqlite3.OperationalError as error:
            database.close()
            if "no such table" in str(error):
                raise EmptyCatalogError(f"the catalog {path} has no tables") from error
            log = path.with_name(f"{path.name}-wal")  # what stands there alone, an unchanging file would lack
            if mode != "mode=ro" or (log.exists() and log.stat().st_size):
                raise
        except BaseException:
            database.close()
            raise
        else:
            return database
    raise AssertionError

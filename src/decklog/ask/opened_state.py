"""Opened state: what an `opened.OpenStore` knows of its store, brought up to date before each question.

| table | holds |
|---|---|
| ``tail`` | the events in journals that stand in no segment (`stored_tail`) |
| ``unended`` | the requests that begin and do not end in the segments of a day and cluster |
| ``begun`` | the rows of these, less the lists; made when a second question comes to that day |
| ``doubled`` | of segments the rows that stand there another time |

What segments hold never changes, so these are made once for a day, when a question first comes to it. Changes are
transactions; a question reads what was there when it began.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import duckdb

from decklog.ask.opened_memory import Memory
from decklog.ask.stored import Segments, table
from decklog.ask.stored_rows import PLACE
from decklog.ask.stored_tail import Tail
from decklog.ask.stored_told import KEPT, LAST, LATEST, LISTS, READ, columns
from decklog.errors import DecklogError
from decklog.sources.record import BadLine
from decklog.store import unreadable
from decklog.store.catalog import COMPACTED
from decklog.store.columns import microtime
from decklog.store.parquet import UNKNOWN_DAY
from decklog.store.view import READING, View
from decklog.store.view import view as look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from decklog.disk import Disk
    from decklog.sources.record import Coverage
    from decklog.store.catalog import Segment

_TRIES: Final = 5
_MOST_VALUES: Final = 1000
"""Of a question that is remembered."""
_ROW: Final = columns((*KEPT, *PLACE))
_PLAIN: Final = columns([name for name in (*KEPT, *PLACE) if name not in LISTS])
_NO_LISTS: Final = ", ".join(f'NULL AS "{name}"' if name in LISTS else f'"{name}"' for name in (*KEPT, *PLACE))
_OF_LISTS: Final = tuple(f'"{name}"' for name in LISTS)
_ONCE: Final = " AND (filename, file_row_number) NOT IN (SELECT (filename, file_row_number) FROM doubled)"
_NOBODY: Final = f"SELECT {_ROW} FROM tail WHERE FALSE"  # noqa: S608  # because: our own words
_NO_VIEW: Final = View(Path(), (), ())


class TooSlowError(DecklogError):
    """The question took longer than its deadline."""


class Current:
    """The store as one question sees it."""

    def __init__(
        self,
        cursor: Any,
        view: View,
        parts: Sequence[str],
        widened: frozenset[str],
        read: dict[str, tuple[int, int]],
        limit: _Deadline,
        *,
        tail: bool,
        doubled: bool,
        where: str,
        made: tuple[tuple[int, ...], ...],
        memory: Memory,
    ) -> None:
        self.cursor = cursor
        self.view = view
        self.has_tail = tail
        self._parts = parts
        self._widened = widened
        self._read = read
        self._doubled = doubled
        self._where = where
        """Of the tail, which clusters are asked for."""
        self._made = made
        """All segments of the days that are asked for: they say which of their rows are doubled."""
        self.check = limit.check
        self._memory = memory

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run SQL of ours. Raises TooSlowError."""
        self.check()
        found: list[tuple[Any, ...]] = self.cursor.execute(sql, list(values)).fetchall()
        return found

    def kept_rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run SQL of ours that is about segments alone, and names them; its rows are remembered."""
        if len(values) > _MOST_VALUES:
            return self.rows(sql, values)
        return self._memory.get((self._made, sql, tuple(values)), lambda: self.rows(sql, values))

    def added(self, write: Callable[[str], str], asked: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run SQL, written over a table of requests, over those that ended in segments and over the others; give both.

        Of what adds up, that is the answer; of the former what was found before is remembered. `asked`: as of `told`.
        """
        ended, others = self.ended(self.view.segments), self.others(asked)
        found = self.kept_rows(write(f"({ended})"), values) if ended else []
        return [*found, *self.rows(write(f"({others})"), values)] if others else found

    def told(self, asked: str, segments: Sequence[Segment] | None = None) -> str:
        """Write the table of the rows that stand for requests; of `segments` those that are given.

        `asked` is the SQL that will be about it: columns that it does not mention may be NULL.
        """
        parts = [self.ended(self.view.segments if segments is None else segments), self.others(asked)]
        return f"({' UNION ALL '.join(filter(None, parts)) or _NOBODY})"

    def ended(self, segments: Sequence[Segment]) -> str:
        """Write the rows of requests that end in segments; empty: there are none."""
        if not segments:
            return ""
        return f"SELECT {_ROW} FROM {table(self.view, segments)} WHERE {READ} AND {LAST}{self._once()}"  # noqa: S608  # because: our own words, here and below

    def others(self, asked: str) -> str:
        """Write the rows of all other requests; empty: there are none."""
        parts = []
        if self.has_tail:
            parts.append(f"SELECT {_ROW} FROM tail WHERE {READ} AND {LAST}{self._where}")  # noqa: S608  # because: the same
        parts += self._under_way(any(name in asked for name in _OF_LISTS))
        return " UNION ALL ".join(parts)

    def _once(self) -> str:
        return _ONCE if self._doubled else ""

    def _under_way(self, lists: bool) -> Iterator[str]:
        begun = [] if lists else [part for part in self._parts if part in self._widened]
        others = [part for part in self._parts if part not in begun]
        parts = []
        if begun:
            parts.append(f"SELECT {_NO_LISTS} FROM begun WHERE part IN ({_quoted(begun)})")  # noqa: S608  # because: the same
        if others:
            segments = [segment for segment in self.view.segments if part_of(segment) in others]
            unended = f'SELECT "request" FROM unended WHERE part IN ({_quoted(others)})'  # noqa: S608  # because: the same
            parts.append(
                f"SELECT {_ROW} FROM {table(self.view, segments)}"  # noqa: S608  # because: the same
                f' WHERE {READ} AND NOT {LAST}{self._once()} AND "request" IN ({unended})'
            )
        if self.has_tail:
            parts.append(f"SELECT {_ROW} FROM tail WHERE {READ} AND NOT superseded AND NOT {LAST}{self._where}")  # noqa: S608  # because: the same
        if not parts:
            return
        ended = f' WHERE NOT EXISTS (SELECT 1 FROM tail e WHERE {LAST} AND e."request" = b."request")'  # noqa: S608  # because: the same
        yield (
            f"SELECT {_ROW} FROM ({' UNION ALL '.join(parts)}) b"  # noqa: S608  # because: the same
            f"{ended if self.has_tail else ''} QUALIFY {LATEST}"
        )

    def cover(self, coverage: Coverage) -> None:
        """Say what is searched."""
        Segments(self.view, (), self.cursor, Path()).cover(coverage, undecoded=False)
        self.cover_tail(coverage)
        sealed = f"SELECT * FROM {table(self.view, self.view.segments)}" if self.view.segments else ""  # noqa: S608  # because: our own words
        for rows in filter(None, (sealed, self.events() if self.has_tail else "")):
            # Because: of each by itself, what a file says of its least value tells at once that there is none.
            run = self.kept_rows if rows is sealed else self.rows
            bad = sum(
                run(f"SELECT count(*) FROM ({rows}) WHERE {odd}")[0][0]  # noqa: S608  # because: the same
                for odd in ("\"level\" = ''", "\"stage\" = '' AND \"level\" <> ''")
            )
            if bad:
                coverage.bad_lines += bad
                coverage.bad_examples.append(BadLine(str(self.view.store), 0, "not an audit event that can be read"))

    def cover_tail(self, coverage: Coverage) -> None:
        """Say what is searched of journals."""
        for name in (str(journal.path) for journal in self.view.journals):
            lines, size = self._read.get(name, (0, 0))
            coverage.files.append(name)
            coverage.lines += lines
            coverage.size_bytes += size
        if self.has_tail:
            (times,) = self.rows(f'SELECT min("stageTime"), max("stageTime") FROM {self.events()}')  # noqa: S608  # because: the same
            for moment in filter(None, times):
                coverage.stretch(microtime(moment))

    def events(self) -> str:
        """Write the table of all rows of journals, with where their lines stand."""
        return f"(SELECT * FROM tail WHERE TRUE{self._where})"  # noqa: S608  # because: the same


class State:
    """DuckDB, and what was read."""

    def __init__(self, store: Path, disk: Disk, view: View | None, *, threads: int, memory_mb: int) -> None:
        self._store = store
        self._fixed = view
        self._disk = disk
        self._lock = threading.Lock()
        self._folder = TemporaryDirectory(prefix="decklog-open-")
        folder = Path(self._folder.name)
        settings: dict[str, Any] = {
            "memory_limit": f"{memory_mb}MB",
            "threads": threads,
            "temp_directory": str(folder / "spilled"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        }
        self._connection = duckdb.connect(":memory:", config=settings)
        self._run = self._connection.execute
        self._run("SET TimeZone = 'UTC'")
        self._run("SET parquet_metadata_cache = true")
        self._tail = Tail(self._run, disk, folder)
        self._run(f"CREATE TABLE begun AS SELECT {_PLAIN}, '' AS part FROM tail LIMIT 0")  # noqa: S608  # because: our own words
        self._run("CREATE TABLE unended AS SELECT \"request\", '' AS part FROM tail LIMIT 0")
        self._run("CREATE TABLE doubled (part VARCHAR, filename VARCHAR, file_row_number BIGINT)")
        self._memory = Memory()
        self._view = _NO_VIEW
        self._made: dict[str, tuple[int, ...]] = {}
        """Part → its segments, for which the tables were made."""
        self._widened: set[str] = set()
        """Parts of which ``begun`` has the rows."""
        self._doubled: set[str] = set()
        """Parts with rows that stand there another time."""

    def close(self) -> None:
        """Let go of DuckDB."""
        self._connection.close()
        self._folder.cleanup()

    @contextmanager
    def current(
        self, since: str | None, until: str | None, cluster: str | None, deadline_s: float | None
    ) -> Iterator[Current]:
        """Give the store as it is. Raises DecklogError, also within; TooSlowError."""
        limit = _Deadline(deadline_s)
        cursor = self._connection.cursor()
        limit.watch(cursor)
        try:
            yield self._current(cursor, since, until, cluster, limit)
        except (duckdb.Error, RuntimeError) as error:
            limit.check()
            raise unreadable.of_store(self._store, error) from error
        except OSError as error:
            raise DecklogError(
                f"cannot read the store {self._store} ({error.strerror}): run as a user who may"
            ) from error
        finally:
            limit.cancel()
            cursor.close()

    def _current(
        self, cursor: Any, since: str | None, until: str | None, cluster: str | None, limit: _Deadline
    ) -> Current:
        with limit.holding(self._lock):
            self._refresh()
            view = self._view.during(since, until)
            if self._fixed is None:
                view = view.of(cluster)
            parts = {part_of(segment): None for segment in view.segments}
            for part in parts:
                limit.check()
                if self._prepare(part) and part not in self._widened:
                    self._widen(part)
            cursor.execute("BEGIN")
            has_tail = bool(cursor.execute("SELECT 1 FROM tail LIMIT 1").fetchall())
            return Current(
                cursor,
                view,
                list(parts),
                frozenset(self._widened),
                self._tail.read,
                limit,
                tail=has_tail,
                doubled=not self._doubled.isdisjoint(parts),
                where=_cluster(cluster) if self._fixed is None else "",
                made=tuple(self._made[part] for part in parts),
                memory=self._memory,
            )

    # Bringing up to date

    def _refresh(self) -> None:
        for _ in range(_TRIES):
            view = look(self._store, self._disk) if self._fixed is None else self._fixed
            self._run("BEGIN")
            try:
                self._follow(view)
                self._run("COMMIT")
            except BaseException as error:
                self._run("ROLLBACK")
                self._tail.reset()
                self._view = _NO_VIEW
                if not isinstance(error, FileNotFoundError):
                    raise
            else:
                self._view = view
                return
        raise DecklogError(f"the journals of {self._store} change faster than they can be read: ask again")

    def _follow(self, view: View) -> None:
        self._tail.forget(view.journals)
        known = {segment.id for segment in self._view.segments}
        fresh = [segment for segment in view.segments if segment.id not in known]
        if fresh and self._tail.read:
            self._settle("tail", view, fresh)
        if self._tail.grow(view.journals):
            days = {
                str(row[0]) for row in self._run("SELECT DISTINCT strftime(\"time\", '%Y-%m-%d') FROM fresh").fetchall()
            }
            near = [segment for segment in view.segments if segment.day in days or segment.day == UNKNOWN_DAY]
            if near:
                self._settle("fresh", view, near)
            self._tail.accept()

    def _settle(self, rows: str, view: View, segments: Sequence[Segment]) -> None:
        """Strike out of rows of journals what stands in segments, and mark the stages of requests that end there."""
        sealed = table(view, segments)
        self._run(f'DELETE FROM {rows} WHERE "identity" IN (SELECT "identity" FROM {sealed})')  # noqa: S608  # because: the same
        if self._run(f"SELECT 1 FROM {rows} WHERE NOT {LAST} AND NOT superseded LIMIT 1").fetchall():  # noqa: S608  # because: the same
            self._run(
                f"UPDATE {rows} b SET superseded = TRUE WHERE NOT {_of('b')} AND EXISTS"  # noqa: S608  # because: the same
                f" (SELECT 1 FROM {sealed} e WHERE {_of('e')} AND e.request = b.request)"
            )

    def _prepare(self, part: str) -> bool:
        """Make the tables for the segments of a day and cluster; tells whether that had been done."""
        segments = [segment for segment in self._view.segments if part_of(segment) == part]
        ids = tuple(segment.id for segment in segments)
        if self._made.get(part) == ids:
            return True
        self._widened.discard(part)
        sealed = table(self._view, segments)
        self._run("BEGIN")
        try:
            self._run("DELETE FROM begun WHERE part = ?", [part])
            self._run("DELETE FROM unended WHERE part = ?", [part])
            self._run("DELETE FROM doubled WHERE part = ?", [part])
            is_doubled = False
            if any(segment.kind != COMPACTED for segment in segments):
                is_doubled = self._find_doubles(part, sealed)
            self._find_unended(part, sealed)
            self._run("COMMIT")
        except BaseException:
            self._run("ROLLBACK")
            raise
        self._made[part] = ids
        (self._doubled.add if is_doubled else self._doubled.discard)(part)
        return False

    def _widen(self, part: str) -> None:
        """Keep the rows of requests that do not end, so that no further question looks for them."""
        segments = [segment for segment in self._view.segments if part_of(segment) == part]
        once = _ONCE if part in self._doubled else ""
        self._run(
            f"INSERT INTO begun SELECT {_PLAIN}, $part FROM {table(self._view, segments)}"  # noqa: S608  # because: the same
            f' WHERE {READ} AND NOT {LAST}{once} AND "request" IN (SELECT "request" FROM unended WHERE part = $part)',
            {"part": part},
        )
        self._widened.add(part)

    def _find_doubles(self, part: str, sealed: str) -> bool:
        twice = f'SELECT "identity" FROM {sealed} GROUP BY "identity" HAVING count(*) > 1'  # noqa: S608  # because: the same
        self._run(
            "INSERT INTO doubled SELECT ?, filename, file_row_number FROM"  # noqa: S608  # because: the same
            f' (SELECT filename, file_row_number FROM {sealed} WHERE "identity" IN ({twice}) QUALIFY row_number() OVER'
            ' (PARTITION BY "identity" ORDER BY filename, file_row_number) > 1)',
            [part],
        )
        return bool(self._run("SELECT 1 FROM doubled WHERE part = ? LIMIT 1", [part]).fetchall())

    def _find_unended(self, part: str, sealed: str) -> None:
        self._run(
            f'INSERT INTO unended SELECT DISTINCT b."request", ? FROM {sealed} b WHERE {READ} AND NOT {LAST}'  # noqa: S608  # because: the same
            f" AND NOT EXISTS (SELECT 1 FROM {sealed} e WHERE {_of('e')} AND e.request = b.request)",
            [part],
        )


class _Deadline:
    """When an answer has to be there; None: whenever."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = math.inf if seconds is None else time.monotonic() + seconds
        self._timer: threading.Timer | None = None

    def watch(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Interrupt what runs there then."""
        if self._seconds is not None:

            def stop() -> None:
                with contextlib.suppress(duckdb.Error):  # it may just have been answered
                    cursor.interrupt()

            self._timer = threading.Timer(max(0.0, self._seconds), stop)
            self._timer.daemon = True
            self._timer.start()

    @contextmanager
    def holding(self, lock: threading.Lock) -> Iterator[None]:
        """Hold a lock, unless that has to be waited for too long."""
        if not lock.acquire(timeout=-1 if self._seconds is None else max(0.0, self._end - time.monotonic())):
            raise self._passed()
        try:
            yield
        finally:
            lock.release()

    def check(self) -> None:
        """Raise TooSlowError, if it has passed."""
        if time.monotonic() >= self._end:
            raise self._passed() from None

    def _passed(self) -> TooSlowError:
        return TooSlowError(f"the store was asked for more than can be found in {self._seconds:g} s: ask for less")

    def cancel(self) -> None:
        """Interrupt nothing any more."""
        if self._timer is not None:
            self._timer.cancel()


def part_of(segment: Segment) -> str:
    """Name the day and cluster of a segment."""
    return f"{segment.day}/{segment.cluster}"


def _of(alias: str) -> str:
    return LAST.replace('"stage"', f'{alias}."stage"').replace('"user"', f'{alias}."user"')


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join("'{}'".format(text.replace("'", "''")) for text in texts)


def _cluster(cluster: str | None) -> str:
    quoted = (READING if cluster is None else cluster).replace("'", "''")
    return f" AND \"cluster\" {'<>' if cluster is None else '='} '{quoted}'"


def parts_by_day(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Give the segments day by day, the newest first; those of no known day last."""
    days = [list(group) for _, group in groupby(segments, lambda segment: segment.day)]
    return sorted(days, key=lambda day: (day[0].day != UNKNOWN_DAY, day[0].day), reverse=True)

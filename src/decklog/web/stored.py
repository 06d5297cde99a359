"""Stored: what pages need of a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from decklog.ask.requests import merge
from decklog.ask.stored import stored
from decklog.audit.query import Query
from decklog.errors import DecklogError
from decklog.sources.record import Coverage
from decklog.store.view import view
from decklog.web.scanned import looked, since_time, used
from decklog.web.tailing import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from decklog.ask.requests import Request
    from decklog.disk import Disk
    from decklog.sources.record import Record
    from decklog.store.view import View
    from decklog.web.data import Look, Uses, Wanted
    from decklog.web.limits import Deadline


class Stored:
    """A store."""

    has_clusters = True

    def __init__(self, store: str, disk: Disk) -> None:
        """Look at it; raises DecklogError if it is none."""
        self._store = Path(store)
        self._disk = disk
        self._view(None, None, None)

    @property
    def title(self) -> str:
        """Its directory."""
        return f"the store {self._store}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """As flags."""
        return ("--store", str(self._store))

    def look(self, wanted: Wanted, deadline: Deadline, *, before: str = "", limit: int, around: bool = True) -> Look:
        """Read, and keep the newest."""
        coverage = Coverage()
        found = self._requests((wanted.query,), wanted.cluster, deadline, coverage)
        return looked(found, coverage, before=before, limit=limit, around=around)

    def requests(self, queries: Sequence[Query], deadline: Deadline, cluster: str | None = None) -> Iterator[Request]:
        """Read the requests that are asked for."""
        return iter(self._requests(queries, cluster, deadline, Coverage()))

    def uses(self, wanted: Wanted, deadline: Deadline) -> Uses:
        """Count what somebody did."""
        return used(self._requests((wanted.query,), wanted.cluster, deadline, Coverage()))

    def lines(self, since: str, deadline: Deadline) -> Iterator[bytes]:
        """Read what was written from a time on."""
        seen = self._view(since or None, None, None)
        records = stored(seen, self._disk, Coverage(), (Query(since=since or None),))
        return since_time(deadline.over(records), since)

    def follow(self, wait: Callable[[float], object], stopped: Callable[[], bool]) -> Iterator[Sequence[Record]]:
        """Follow the journals of all writers."""
        return tail(self._store, self._disk, wait, stopped)

    def _requests(
        self, queries: Sequence[Query], cluster: str | None, deadline: Deadline, coverage: Coverage
    ) -> Iterable[Request]:
        since = [query.since or query.after for query in queries]
        until = [query.until for query in queries]
        seen = self._view(
            min(filter(None, since), default=None) if all(since) else None,
            max(filter(None, until), default=None) if all(until) else None,
            cluster,
        )
        records = stored(seen, self._disk, coverage, queries)
        return merge(deadline.over(records), *queries)

    def _view(self, since: str | None, until: str | None, cluster: str | None) -> View:
        try:
            return view(self._store, self._disk).within(since, until, cluster)
        except OSError as error:
            raise DecklogError(
                f"cannot read the store {self._store} ({error.strerror}): run as a user who may"
            ) from error

"""Data: what pages need of a log or a store; `scanned` reads it from events, `columns` from a store's index.

Everything here may block and is called in threads, by several at once. Raises DecklogError for what cannot be read,
TooBroadError (`limits`) for what takes too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct, field

from decklog.ask.rows import Row  # noqa: TC001  # because: hints of a value are read at run time, too
from decklog.ask.top import Timeline  # noqa: TC001  # because: the same
from decklog.audit.query import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from decklog.ask.requests import Request
    from decklog.sources.record import Record
    from decklog.web.limits import Deadline


T = TypeVar("T")


class Wanted(Struct, frozen=True):
    """What is asked for: a filter, and of a store the cluster."""

    query: Query = Query()
    cluster: str | None = None
    """None: any."""


class Facet(Struct, frozen=True):
    """How often each value of a field is there; the most frequent first."""

    values: tuple[tuple[str, int], ...]
    more: int = 0
    """Values that are left out."""


class Covered(Struct, frozen=True, rename="camel"):
    """What an answer was read from."""

    size_bytes: int = 0
    lines: int = 0
    bad_lines: int = 0
    problems: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None


class Look(Struct, frozen=True):
    """A page of requests, newest first, with what there is around it."""

    rows: tuple[Row, ...]
    older: str = ""
    """Where the next page begins; empty: there is none."""
    total: int = 0
    """Requests that are asked for, on all pages."""
    timeline: Timeline | None = None
    """None: not asked for."""
    facets: dict[str, Facet] = field(default_factory=dict)
    covered: Covered = Covered()


class Uses(Struct, frozen=True):
    """What one user did, counted."""

    total: int
    first: str | None
    last: str | None
    cells: tuple[tuple[str, str, int, int], ...]
    """Verb, resource, requests, of these refused or failed; the most frequent first."""
    facets: dict[str, Facet]
    timeline: Timeline | None = None


class Data(Protocol):
    """A log or a store, as pages see it."""

    @property
    def title(self) -> str:
        """What it is called on the pages."""
        ...

    @property
    def arguments(self) -> tuple[str, ...]:
        """What names it on the command line: ``("-f", "audit.log")``."""
        ...

    @property
    def advice(self) -> str:
        """What to know before looking; empty: nothing."""
        ...

    @property
    def has_clusters(self) -> bool:
        """Whether it tells clusters apart."""
        ...

    def close(self) -> None:
        """Let go of it; nobody may be asking."""
        ...

    def look(self, wanted: Wanted, deadline: Deadline, *, before: str = "", limit: int, around: bool = True) -> Look:
        """Give a page of requests; `before` is the `older` of the page before. Without `around`, the rows alone."""
        ...

    def requests(self, queries: Sequence[Query], deadline: Deadline, cluster: str | None = None) -> Iterator[Request]:
        """Give whole requests of which the latest stage matches one of `queries`."""
        ...

    def uses(self, wanted: Wanted, deadline: Deadline) -> Uses:
        """Count what somebody did."""
        ...

    def together(self, *calls: Callable[[], T]) -> list[T]:
        """Put several questions at once, where that is quicker; give their answers in the same order."""
        ...

    def newest(self, deadline: Deadline, cluster: str | None = None) -> str | None:
        """Give the time (MicroTime) at which the newest request came; None: there is none that has one."""
        ...

    def lines(self, since: str, deadline: Deadline) -> Iterator[bytes]:
        """Give the events of stages from a time (MicroTime) on, as they were written."""
        ...

    def follow(self, wait: Callable[[float], object], stopped: Callable[[], bool]) -> Iterator[Sequence[Record]]:
        """Give what comes from now on, in batches, until `stopped`; an empty batch now and then. Calls `wait`."""
        ...

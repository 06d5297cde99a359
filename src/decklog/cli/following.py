"""Following: asking the log again, for questions whose answer needs what stood before it; and saying the chain.

A deletion that a controller made is followed up its owners (`ask.owners`). That reads the log anew for each step, so it
needs files: standard input passes but once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from decklog.ask.controllers import is_by_controller
from decklog.ask.requests import is_last, merge
from decklog.cli.searching import Search, tell
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.ask.owners import Find, Step
    from decklog.ask.requests import Request
    from decklog.audit.event import Event
    from decklog.audit.query import Query
    from decklog.sources.record import Record

FOLLOWED: Final = 5
"""An answer with more deletions by controllers is left as it is: each costs a few readings of the log."""
STANDARD_INPUT: Final = "-"


def requests(search: Search, coverage: Coverage, *queries: Query) -> Iterator[Request]:
    """Read the requests that one of `queries` matches."""
    yield from merge(search.records(coverage, *queries), *queries)


def can_ask_again(search: Search) -> bool:
    """Tell whether the log can be read a second time."""
    return STANDARD_INPUT not in search.files


def asking_again(search: Search) -> Find:
    """Give a way to ask the same log for other requests; what it reads is not counted in the answer's coverage."""

    def find(queries: tuple[Query, ...]) -> Iterable[Request]:
        return requests(search, Coverage(), *queries)

    return find


@dataclass(frozen=True, slots=True)
class Overhearing(Search):
    """A search that remembers the last few deletions by controllers that an answer has."""

    queries: tuple[Query, ...] = ()
    heard: deque[Record] = field(default_factory=lambda: deque(maxlen=FOLLOWED + 1))

    @classmethod
    def of(cls, search: Search, queries: tuple[Query, ...]) -> Overhearing:
        """Do the same search, and listen."""
        return cls(**{name: getattr(search, name) for name in Search.__dataclass_fields__}, queries=queries)

    def records(self, coverage: Coverage, *args: Any, **options: Any) -> Iterator[Record]:
        """Pass the records on."""
        for record in Search.records(self, coverage, *args, **options):
            if record.event is not None and self._concerns(record.event, record.line):
                self.heard.append(record)
            yield record

    def _concerns(self, event: Event, line: bytes) -> bool:
        return is_by_controller(event) and is_last(event) and any(query.matches(event, line) for query in self.queries)


class Followed(NamedTuple):
    """What led to the deletions by controllers that stand in an answer."""

    chains: list[list[Step]] = []  # noqa: RUF012  # because: a tuple's default, which nobody changes
    remark: str = ""
    """Why they were not followed."""

    def tell(self) -> None:
        """Tell it beside the answer."""
        if self.remark:
            tell(self.remark)
        if self.chains:
            from decklog.ask.owners import said  # noqa: PLC0415  # because: see `_chain`

            for steps in self.chains:
                tell(said(steps))


def follow(search: Overhearing) -> Followed:
    """Find out what led to the deletions by controllers that stand in the answer."""
    if not search.heard:
        return Followed()
    if not can_ask_again(search):
        remark = "a controller deleted it; why is not followed up: standard input cannot be read twice, so name a file"
        return Followed(remark=remark)
    found = list(merge(search.heard, *search.queries))
    if len(found) > FOLLOWED:
        remark = "deletions by controllers are followed up where they are few: ask for one object, or narrow the time"
        return Followed(remark=remark)
    return Followed([_chain(request, search) for request in found])


def chains(search: Search, found: Iterable[Request]) -> list[list[Step]]:
    """Follow deletions up; nothing where the log cannot be asked again."""
    if not can_ask_again(search):
        return []
    return [_chain(request, search) for request in islice(found, FOLLOWED)]


def _chain(request: Request, search: Search) -> list[Step]:
    from decklog.ask.owners import chain  # noqa: PLC0415  # because: 4 to 10 ms that few answers need

    return chain(request, asking_again(search))

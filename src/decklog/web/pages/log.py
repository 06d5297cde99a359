"""Log: the requests that pass a filter, newest first, under a histogram, beside the counts of each field's values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.web import limits, links, search
from decklog.web.asking import Asked, FieldError, Fields, Page
from decklog.web.cells import Cell, cells
from decklog.web.data import Covered
from decklog.web.histogram import Histogram, histogram

if TYPE_CHECKING:
    from decklog.ask.rows import Row
    from decklog.web.data import Facet, Look
    from decklog.web.search import Chip

PATH: Final = "/log"
PRESETS: Final = (("15m", "15 min"), ("1h", "1 hour"), ("24h", "1 day"), ("7d", "7 days"), ("", "all"))
_TITLES: Final = {
    "verb": "Verb",
    "resource": "Resource",
    "namespace": "Namespace",
    "user": "People",
    "machine": "Machines",
    "code": "Answer",
    "source-ip": "From",
    "user-agent": "Client",
    "cluster": "Cluster",
}
_EMPTY: Final = {"resource": "paths", "user": "nobody known", "machine": "nobody known"}


class Choice(Struct, frozen=True):
    """One value of a field, and how often it is there."""

    value: str
    count: int
    share: int
    """Of the most frequent, percent."""
    only: str
    """The address that asks for it; empty if it cannot be asked for."""
    without: str
    chosen: bool


class Choices(Struct, frozen=True):
    """The values of a field."""

    name: str
    title: str
    values: tuple[Choice, ...]
    more: int


class LogPage(Struct, frozen=True, rename="camel"):
    """The page."""

    chips: tuple[Chip, ...]
    command: str
    total: int
    histogram: Histogram | None
    choices: tuple[Choices, ...]
    requests: tuple[Row, ...]
    older: str
    """The address of the next page."""
    newest: str
    """The address of the first page; empty on it."""
    live: str
    """Where what comes is told."""
    covered: Covered
    problems: dict[str, str]
    """By field, what could not be read."""
    status: int = 200

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        """The table."""
        return [cells(one) for one in self.requests]


def make(asked: Asked) -> LogPage:
    """Answer the question of an address."""
    fields = asked.fields.only((*search.FIELDS, "before"))
    try:
        wanted = search.wanted(fields, asked.now)
    except FieldError as error:
        return _unread(fields, error)
    look = asked.data.look(wanted, asked.deadline, before=fields.one("before"), limit=limits.ROWS)
    bare = fields.without("before")
    return LogPage(
        chips=search.chips(bare, PATH),
        command=search.command(bare, asked.data),
        total=look.total,
        histogram=histogram(look.timeline, bare, PATH) if look.timeline is not None else None,
        choices=_choices(look, bare),
        requests=look.rows,
        older=links.to(PATH, [*bare, ("before", look.older)]) if look.older else "",
        newest=links.to(PATH, bare) if "before" in fields else "",
        live=links.to("/log/live", bare.without("until")),
        covered=look.covered,
        problems={},
    )


def _unread(fields: Fields, error: FieldError) -> LogPage:
    """Show the form again, with what was wrong beside its field."""
    return LogPage(
        chips=search.chips(fields.without("before"), PATH),
        command="",
        total=0,
        histogram=None,
        choices=(),
        requests=(),
        older="",
        newest="",
        live="",
        covered=Covered(),
        problems={error.name: str(error)},
        status=400,
    )


def _choices(look: Look, fields: Fields) -> tuple[Choices, ...]:
    return tuple(
        Choices(name, title, tuple(_values(name, look.facets[name], fields)), look.facets[name].more)
        for name, title in _TITLES.items()
        if name in look.facets and look.facets[name].values
    )


def _values(name: str, facet: Facet, fields: Fields) -> list[Choice]:
    most = max((count for _, count in facet.values), default=1)
    field = "user" if name == "machine" else name
    found = []
    for value, count in facet.values:
        term = links.as_term(field, value)
        found.append(
            Choice(
                value or _EMPTY.get(name, "none"),
                count,
                max(1, round(100 * count / most)),
                links.to(PATH, fields.with_(field, term)) if term else "",
                links.to(PATH, fields.with_(field, _not(term))) if term and field != "cluster" else "",
                bool(term) and term in fields.all(field),
            )
        )
    return found


def _not(term: str) -> str:
    return "*" if term == "-*" else f"-{term}"


PAGE: Final = Page(PATH, "log.html", make, "Log")

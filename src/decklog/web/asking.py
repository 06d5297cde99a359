"""What a page is asked, and how it refuses: the values that pages, routes and templates share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from decklog.web.data import Data
    from decklog.web.limits import Deadline

MOST_FIELDS: Final = 200
"""Of a query string or a form; more is refused."""


class RefusedError(DecklogError):
    """A page that cannot be given: its HTTP status, what is wrong, and what to do."""

    def __init__(self, status: int, title: str, advice: str = "", links: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.advice = advice
        self.links = tuple(links)
        """Words and where they lead: what the reader may do next."""


class FieldError(DecklogError):
    """A field of a form that cannot be read; said beside it."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(problem)
        self.name = name

    @property
    def named(self) -> str:
        """The problem with its field, for where there is no form to say it beside."""
        return f"{self.name}: {self}"


class Fields:
    """The fields of a query string or a form, in their order; a field may be there several times."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self.pairs = tuple((name, value) for name, value in pairs if value)

    @classmethod
    def parse(cls, text: str) -> Fields:
        """Read what a browser wrote. Raises RefusedError for more than anybody asks."""
        try:
            pairs = parse_qsl(text, errors="surrogateescape", max_num_fields=MOST_FIELDS, keep_blank_values=True)
        except ValueError:
            raise RefusedError(400, "That is too much to ask at once.", "Leave some of the filters out.") from None
        return cls(pairs)

    def all(self, name: str) -> tuple[str, ...]:
        """Give every value of a field."""
        return tuple(value for known, value in self.pairs if known == name)

    def one(self, name: str, default: str = "") -> str:
        """Give the last value of a field."""
        return next((value for known, value in reversed(self.pairs) if known == name), default)

    def __contains__(self, name: str) -> bool:
        return any(known == name for known, _ in self.pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def with_(self, name: str, value: str) -> Fields:
        """Add a value, unless it is there."""
        return self if (name, value) in self.pairs else Fields([*self.pairs, (name, value)])

    def without(self, *names: str) -> Fields:
        """Leave fields out."""
        return Fields([pair for pair in self.pairs if pair[0] not in names])

    def less(self, name: str, value: str) -> Fields:
        """Leave one value out."""
        return Fields([pair for pair in self.pairs if pair != (name, value)])

    def only(self, names: Sequence[str]) -> Fields:
        """Keep some fields."""
        return Fields([pair for pair in self.pairs if pair[0] in names])


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a page."""

    data: Data
    fields: Fields
    now: datetime
    deadline: Deadline
    segments: tuple[str, ...] = ()
    """Of the path behind the page's own, each decoded: ``/objects/apps/…``."""
    form: Fields = field(default_factory=Fields)
    """What was posted; empty for a look."""
    reader: str = ""
    """Who asks."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the command line gave besides: ``policy`` is the path of a policy file."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: where it is, what makes its value, what shows it."""

    path: str
    """``/log``; with ``deep``, what follows it in the address becomes `Asked.segments`."""
    template: str
    make: Callable[[Asked], Any]
    """Gives the value; its `status` (HTTP), if it has one, is the twin's. May raise any DecklogError."""
    title: str
    """Its word in the navigation; empty: it is not there."""
    deep: bool = False
    posts: bool = False
    """It takes forms, too."""

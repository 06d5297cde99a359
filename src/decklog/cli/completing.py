"""Completing: values that a shell may offer for an option; the shells' scripts are click's (`completion`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.ask.names import known_names
from decklog.ask.words import spoken
from decklog.audit.event import Level, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

VERBS: Final = (
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "post",
    "put",
    "head",
)
STAGES: Final = tuple(map(str, Stage))
LEVELS: Final = tuple(str(level) for level in Level if level is not Level.NONE)


def values(words: Iterable[str]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Offer fixed words; also the last of several between commas, and behind the minus of a negation."""
    fixed = tuple(words)

    def offered(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        return among(fixed, incomplete)

    return offered


def resource_names(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the types of the built-in table."""
    return among(known_names(), incomplete)


def objects(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the types that an object may be of, each ready for its name."""
    return [f"{name}/" for name in known_names() if name.startswith(incomplete)] if "/" not in incomplete else []


def questions(context: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the verbs of ``who``, and behind a verb what objects may be."""
    if context.params.get(param.name or ""):
        return objects(context, param, incomplete)
    return [word for word in spoken() if word.startswith(incomplete)]


def among(words: Iterable[str], incomplete: str) -> list[str]:
    """Give those of `words` that begin as what is typed, with what stands before it."""
    before, comma, last = incomplete.rpartition(",")
    sign = "-" if last.startswith("-") else ""
    return [f"{before}{comma}{sign}{word}" for word in words if word.startswith(last.removeprefix("-"))]

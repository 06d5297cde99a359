"""Filters: the texts of repeatable options → patterns of a Query. Commas separate values, as with kubectl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.ask.names import resource_patterns
from decklog.audit.networks import NetworkPattern
from decklog.audit.query import AnnotationPattern, CodePattern, Pattern, ResourcePattern
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterable

_FAILURES: Final = (CodePattern(400, 499), CodePattern(500, 599))
_NO_FAILURE: Final = CodePattern(0, 399, negated=True)


def patterns(texts: Iterable[str]) -> tuple[Pattern, ...]:
    """Read values that may hold anything, so that a comma is part of them."""
    return tuple(map(Pattern.parse, texts))


def listed(texts: Iterable[str]) -> tuple[Pattern, ...]:
    """Read values that hold no commas: ``create,update``."""
    return tuple(Pattern.parse(part) for part in _parts(texts))


def resources(texts: Iterable[str]) -> tuple[ResourcePattern, ...]:
    """Read resources by any of their names: ``deploy,secrets``."""
    return tuple(pattern for part in _parts(texts) for pattern in resource_patterns(part))


def codes(texts: Iterable[str]) -> tuple[CodePattern, ...]:
    """Read HTTP codes and classes of them; DecklogError for what is none."""
    try:
        return tuple(map(CodePattern.parse, _parts(texts)))
    except ValueError as error:
        raise DecklogError(f"--code: {error}") from error


def failed(among: tuple[CodePattern, ...]) -> tuple[CodePattern, ...]:
    """Narrow codes to those of failures: of the wanted ones if there are any, else of all."""
    if any(not pattern.negated for pattern in among):
        return (*among, _NO_FAILURE)
    return (*among, *_FAILURES)


def networks(texts: Iterable[str]) -> tuple[NetworkPattern, ...]:
    """Read addresses and networks; DecklogError for what is neither."""
    try:
        return tuple(map(NetworkPattern.parse, _parts(texts)))
    except ValueError as error:
        raise DecklogError(f"--source-ip: {error}") from error


def annotated(texts: Iterable[str]) -> tuple[AnnotationPattern, ...]:
    """Read ``KEY`` and ``KEY=VALUE``; a comma is part of the value."""
    return tuple(map(AnnotationPattern.parse, texts))


def _parts(texts: Iterable[str]) -> Iterable[str]:
    return (part.strip() for text in texts for part in text.split(",") if part.strip())

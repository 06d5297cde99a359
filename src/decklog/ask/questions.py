"""Questions: what people ask → the queries that answer it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from decklog.ask.names import resource_patterns, split_object
from decklog.ask.words import DELETION, EVICTION, deed, without_fillers
from decklog.audit.query import Pattern, Query
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from decklog.ask.words import Deed

_ANYBODY: Final = frozenset(("did", "has", "have", "was"))
"""Small words before a verb: ``who has deleted pod/web``."""


def who_did(words: tuple[str, ...], **filters: Any) -> tuple[Query, ...]:
    """Read ``VERB OBJECT``, in everyday words, into the queries of which one has to match.

    `filters` are further fields of Query. A pod that is evicted is deleted too, so that question has two queries.
    Raises DecklogError for what is no question.
    """
    verb, *rest = words[1:] if len(words) > 2 and words[0].lower() in _ANYBODY else words
    if not rest:
        raise DecklogError(f"who {verb} what? Name an object: decklog who {verb} deploy/web")
    target = without_fillers(tuple(rest))
    meant = deed(verb)
    query = _about(target, replace(Query(**filters), verbs=tuple(map(Pattern.parse, meant.verbs))))
    if not query.subresources and not any(resource.subresource for resource in query.resources):
        query = _done(query, meant)
    if meant == DELETION and query.names and any(term.resource.text == "pods" for term in query.resources):
        evictions = _done(replace(query, verbs=tuple(map(Pattern.parse, EVICTION.verbs)), reach=False), EVICTION)
        return query, evictions
    return (query,)


def _about(target: tuple[str, ...], query: Query) -> Query:
    """Put the object into the query: a path, or a resource with names."""
    if target[0].startswith("/"):
        return replace(query, paths=tuple(map(Pattern.parse, target)), reach=False)
    kind, names = split_object(target)
    return replace(
        query,
        resources=resource_patterns(kind),
        names=tuple(map(Pattern.parse, names)),
        reach=query.reach and bool(names),
    )


def _done(query: Query, meant: Deed) -> Query:
    if query.paths:
        return query
    return replace(query, subresources=tuple(map(Pattern.parse, meant.subresources)))

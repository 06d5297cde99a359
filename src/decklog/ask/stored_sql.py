"""Stored SQL: a Query → a condition over the columns of a segment that holds for whatever the query matches.

It lets too much through, never too little: `Query.matches` decides on the events. So it says only what an index is good
for, in comparisons that let DuckDB pass over whole stretches of a file by their least and greatest values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from msgspec.structs import replace

from decklog.audit.query import COLLECTION_VERBS, Query, spellings
from decklog.audit.query_sql import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from decklog.audit.query import CodePattern, Pattern, ResourcePattern

T = TypeVar("T", "Pattern", "ResourcePattern", "CodePattern")

ANY: Final = Condition("TRUE")
_COLLECTIVE: Final = ", ".join(f"'{verb}'" for verb in sorted(COLLECTION_VERBS))


def narrowed(queries: Iterable[Query]) -> Condition:
    """Give the condition that holds for every event that one of `queries` matches; ANY: no column tells."""
    return _either([_all([*_lasting(query), *_passing(query)]) for query in queries])


def lasting(queries: Iterable[Query]) -> Condition:
    """Give the condition for all events of a request of which one matches: what is the same at every stage."""
    return _either([_all(list(_lasting(query))) for query in queries])


def whole_requests(queries: Iterable[Query]) -> Condition | None:
    """Give a condition for all events of the requests of which one may match, by what is alike at every stage.

    None: that says little of what is asked for; it would let by far too much through.
    """
    each = []
    for query in queries:
        few = bool(query.names or query.audit_ids) or not _passing_alone(query)
        parts = [*_lasting(query), *_object_at_any_stage(query), *_until_the_end(query)]
        if not few or not parts:
            return None
        each.append(_all(parts))
    return _either(each) if each else None


def _passing_alone(query: Query) -> bool:
    """Tell whether a query asks for what only the last stage tells, or what `_lasting` does not say."""
    lasting = ("verbs", "resources", "subresources", "namespaces", "names", "users", "audit_ids", "user_agents")
    times = ("since", "until", "after")
    rest = replace(query, **dict.fromkeys(lasting, ()), **dict.fromkeys(times, None), reach=False)
    return rest != Query()


def _object_at_any_stage(query: Query) -> Iterator[Condition]:
    """Say what `_object` says; a name that the server makes is known only at the end."""
    spaces, names = (
        list(_wanted(query.namespaces, _text("namespace"))),
        list(_wanted(query.names, _text("name"))),
    )
    if not spaces and not names:
        return
    if names:
        names = [_joined(" OR ", [*names, Condition("(\"verb\" = 'create' AND \"name\" = '')")])]
    if not query.reach:
        yield from (*spaces, *names)
        return
    yield _joined(" OR ", [_all([*spaces, *names]), Condition(f'("verb" IN ({_COLLECTIVE}) AND "name" = \'\')')])


def _until_the_end(query: Query) -> Iterator[Condition]:
    """Say that the end is in the window; what came before it may be before the window, too."""
    if query.since is not None:
        yield Condition(
            '("stageTime" >= ?::TIMESTAMP OR "stageTime" IS NULL OR "stage" NOT IN (\'ResponseComplete\', \'Panic\'))',
            (query.since,),
        )


def in_event(queries: Iterable[Query]) -> Condition:
    """Give a condition over ``event`` that holds wherever one of the texts of one of `queries` stands."""
    needles: set[str] = set()
    for query in queries:
        if not query.texts:
            return ANY
        for spelled in (each for text in query.texts for each in spellings(text)):
            try:
                needles.add(spelled.decode())
            except UnicodeDecodeError:
                return ANY
    each = [Condition("contains(decode(\"event\", 'replace'), ?)", (needle,)) for needle in sorted(needles)]
    return _joined(" OR ", each) if each else Condition("FALSE")


def _either(each: list[Condition]) -> Condition:
    return ANY if not each or ANY in each else _joined(" OR ", each)


def within(since: str | None, until: str | None) -> Condition:
    """Give the condition for the events of a window (MicroTimes)."""
    return _all(list(_window(since, until)))


def _lasting(query: Query) -> Iterator[Condition]:
    """Say what `Query.lasting` says."""
    yield from _wanted(query.verbs, _text("verb"))
    yield from _wanted(query.resources, _resource)
    yield from _wanted(query.subresources, _text("subresource"))
    yield from _wanted(query.users, _text("user"))
    yield from _wanted(query.audit_ids, _text("auditID"))
    yield from _wanted(query.user_agents, _text("userAgent"))
    yield from _window(None, query.until)
    if query.after is not None:
        yield Condition('"time" >= ?::TIMESTAMP', (query.after,))


def _passing(query: Query) -> Iterator[Condition]:
    yield from _object(query)
    yield from _wanted(query.impersonated, _text("impersonatedUser"))
    yield from _wanted(query.codes, _code)
    yield from _wanted(query.stages, _text("stage"))
    yield from _wanted(query.levels, _text("level"))
    yield from _wanted(query.decisions, _text("decision"))
    yield from _window(query.since, None)


def _window(since: str | None, until: str | None) -> Iterator[Condition]:
    if until is not None:
        yield Condition('"time" < ?::TIMESTAMP', (until,))
    if since is not None:
        yield Condition('("stageTime" >= ?::TIMESTAMP OR "stageTime" IS NULL)', (since,))


def _object(query: Query) -> Iterator[Condition]:
    named = [*_wanted(query.namespaces, _text("namespace")), *_wanted(query.names, _text("name"))]
    if not named:
        return
    if not query.reach:
        yield from named
        return
    yield _joined(" OR ", [_all(named), Condition(f'("verb" IN ({_COLLECTIVE}) AND "name" = \'\')')])


def _wanted(terms: Iterable[T], said: Callable[[T], Condition | None]) -> Iterator[Condition]:
    """Say that one of the wanted values is there; nothing, where a column cannot tell."""
    each = [said(term) for term in terms if not term.negated]
    if each and None not in each:
        yield _joined(" OR ", [one for one in each if one is not None])


def _text(column: str) -> Callable[[Pattern], Condition | None]:
    def said(pattern: Pattern) -> Condition | None:
        if not is_sound(pattern.text):
            return None
        if not pattern.prefix:
            return Condition(f'"{column}" = ?', (pattern.text,))
        return (
            Condition(f'starts_with("{column}", ?)', (pattern.text,))
            if pattern.text
            else Condition(f"\"{column}\" <> ''")
        )

    return said


def _resource(pattern: ResourcePattern) -> Condition | None:
    parts = [_text("resource")(pattern.resource)]
    if pattern.group is not None:
        parts.append(Condition('"apiGroup" = ?', (pattern.group,)) if is_sound(pattern.group) else None)
    if pattern.subresource is not None and not pattern.subresource.negated:
        parts.append(_text("subresource")(pattern.subresource))
    return None if None in parts else _all([part for part in parts if part is not None])


def _code(pattern: CodePattern) -> Condition:
    return Condition('"code" BETWEEN ? AND ?', (pattern.low, pattern.high))


def is_sound(text: str) -> bool:
    r"""Tell whether a column has such text as it is: not a lone surrogate, a NUL, or what stands for them."""
    return not any(char in "\0\ufffd" or "\ud800" <= char <= "\udfff" for char in text)


def _all(parts: list[Condition]) -> Condition:
    return _joined(" AND ", parts) if parts else ANY


def _joined(word: str, parts: list[Condition]) -> Condition:
    sql = word.join(part.sql for part in parts)
    return Condition(f"({sql})", tuple(value for part in parts for value in part.parameters))

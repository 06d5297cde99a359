"""Query in SQL: `where` says in DuckDB's dialect what `Query.matches` says of an event; pure: a text, its parameters.

The condition is over a table of events whose columns are the wire's fields, as `COLUMNS` types them: what DuckDB's
``read_json`` makes of an audit log when it is given these. Values are parameters, never part of the text.

| Differs from `matches` | How | Why |
|---|---|---|
| a body that only one of both can read, or with a key twice | its generated name | each reads JSON in its own way |
| a time with an offset, an event of v1beta1 | as it stands | the reader of lines brings both into today's form first |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct

from decklog.audit.query import COLLECTION_VERBS, DECISION, MACHINE_GROUPS, MACHINE_PREFIX, spellings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from decklog.audit.networks import NetworkPattern
    from decklog.audit.query import AnnotationPattern, CodePattern, Pattern, Query, ResourcePattern

Named = TypeVar("Named", "Pattern", "ResourcePattern", "CodePattern", "AnnotationPattern", "NetworkPattern")

_USER: Final = "STRUCT(username VARCHAR, uid VARCHAR, groups VARCHAR[], extra MAP(VARCHAR, VARCHAR[]))"
COLUMNS: Final = {
    "level": "VARCHAR",
    "auditID": "VARCHAR",
    "stage": "VARCHAR",
    "requestURI": "VARCHAR",
    "verb": "VARCHAR",
    "user": _USER,
    "impersonatedUser": _USER,
    "sourceIPs": "VARCHAR[]",
    "userAgent": "VARCHAR",
    "objectRef": "STRUCT(resource VARCHAR, namespace VARCHAR, name VARCHAR, uid VARCHAR, apiGroup VARCHAR,"
    " apiVersion VARCHAR, resourceVersion VARCHAR, subresource VARCHAR)",
    "responseStatus": "STRUCT(status VARCHAR, message VARCHAR, reason VARCHAR, code BIGINT)",
    "requestObject": "JSON",
    "responseObject": "JSON",
    "requestReceivedTimestamp": "VARCHAR",
    "stageTimestamp": "VARCHAR",
    "annotations": "MAP(VARCHAR, VARCHAR)",
}
"""Column → DuckDB type. Times stay the wire's text: its order is time order."""

LINE: Final = "line"
"""One more column, VARCHAR: the event as it was read; only `Query.texts` needs it."""


class Condition(Struct, frozen=True):
    """A condition with its parameters, in the order of the question marks; ``TRUE`` where nothing is asked."""

    sql: str
    parameters: tuple[str | int, ...] = ()


def where(query: Query) -> Condition:
    """Give the condition that holds for the events that `query` matches, and for no others."""
    parts = [part for part in _parts(query) if part.sql]
    return _joined(" AND ", parts) if parts else Condition("TRUE")


# Columns


def _text(column: str) -> str:
    return f"coalesce({column}, '')"


def _list(column: str) -> str:
    return f"coalesce({column}, [])"


_USER_NAME: Final = _text('"user".username')
_USER_GROUPS: Final = _list('"user".groups')
_OTHER_NAME: Final = _text('"impersonatedUser".username')
_OTHER_GROUPS: Final = _list('"impersonatedUser".groups')
_NAMESPACE: Final = _text("objectRef.namespace")
_REF_NAME: Final = _text("objectRef.name")
_RESOURCE: Final = _text("objectRef.resource")
_API_GROUP: Final = _text("objectRef.apiGroup")
_SUBRESOURCE: Final = _text("objectRef.subresource")
_MADE: Final = "json_type(responseObject, '$.metadata.name') = 'VARCHAR'"
_NAME: Final = (
    f"(CASE WHEN objectRef IS NOT NULL AND {_REF_NAME} = '' AND verb = 'create' AND stage = 'ResponseComplete'"
    f" AND {_MADE} THEN json_extract_string(responseObject, '$.metadata.name') ELSE {_REF_NAME} END)"
)
_MANAGER: Final = (
    "coalesce(try(url_decode(replace(regexp_extract(requestURI, '[?&]fieldManager=([^&]*)', 1), '+', ' '))), '')"
)
_TOOK: Final = (
    "date_diff('microsecond', try_cast(requestReceivedTimestamp AS TIMESTAMP), try_cast(stageTimestamp AS TIMESTAMP))"
)

_HEX: Final = "[0-9a-fA-F]{1,4}"
_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = f"({_OCTET}\\.){{3}}{_OCTET}"
_IPV6: Final = f"({_HEX}:){{7}}{_HEX}|(({_HEX}:){{0,6}}{_HEX})?::(({_HEX}:){{0,6}}{_HEX})?"
_GROUPS_OF_IPV6: Final = "len(list_filter(string_split(a, ':'), lambda g: g <> ''))"
_WHOLE_IPV6: Final = f"trim(replace(a, '::', ':' || repeat('0:', 8 - {_GROUPS_OF_IPV6})), ':')"
_KEYS: Final = (
    f"list_transform({_list('sourceIPs')}, lambda a: CASE WHEN regexp_full_match(a, '{_IPV4}')"
    " THEN '4' || array_to_string(list_transform(string_split(a, '.'), lambda o: lpad(o, 3, '0')), '')"
    f" WHEN regexp_full_match(a, '{_IPV6}') AND {_GROUPS_OF_IPV6} <= 8 - contains(a, '::')::INTEGER"
    f" THEN '6' || array_to_string(list_transform(string_split({_WHOLE_IPV6}, ':'),"
    " lambda g: lpad(lower(g), 4, '0')), '') ELSE '' END)"
)
"""The addresses of the event as keys: what `networks.address_key` makes of them."""


# Fields


def _parts(query: Query) -> Iterator[Condition]:
    yield _admitted(query.verbs, _one(_text("verb")))
    yield _admitted(query.resources, _resource)
    yield _admitted(query.subresources, _one(_SUBRESOURCE))
    yield _admitted(query.users, _one(_USER_NAME))
    yield _admitted(query.audit_ids, _one(_text("auditID")))
    yield _admitted(query.user_agents, _one(_text("userAgent")))
    yield _admitted(query.field_managers, _one(_MANAGER))
    yield _admitted(query.paths, _one("split_part(requestURI, '?', 1)"))
    yield _admitted(query.source_ips, _network)
    yield _object(query)
    yield _admitted(query.impersonated, _one(_OTHER_NAME))
    yield _admitted(query.groups, _group)
    yield _admitted(query.codes, _code)
    yield _admitted(query.stages, _one(_text("stage")))
    yield _admitted(query.levels, _one(_text("level")))
    yield _admitted(query.decisions, _decision)
    yield _admitted(query.annotations, _annotation)
    yield from _times(query)
    if query.human is not None:
        yield _human(wanted=query.human)
    if query.texts:
        needles = [each.decode("utf-8", "replace") for text in query.texts for each in spellings(text)]
        yield _joined(" OR ", [Condition(f"contains({LINE}, ?)", (each,)) for each in needles])


def _times(query: Query) -> Iterator[Condition]:
    if query.until is not None:
        yield Condition("coalesce(requestReceivedTimestamp < ?, FALSE)", (query.until,))
    if query.after is not None:
        yield Condition("coalesce(requestReceivedTimestamp >= ?, FALSE)", (query.after,))
    if query.since is not None:
        yield Condition("coalesce(coalesce(stageTimestamp, requestReceivedTimestamp) >= ?, FALSE)", (query.since,))
    for limit, sign in ((query.slower_than_us, ">"), (query.faster_than_us, "<")):
        if limit is not None:
            yield Condition(f"(stage <> 'RequestReceived' AND coalesce({_TOOK} {sign} ?, FALSE))", (limit,))


def _object(query: Query) -> Condition:
    named = [_admitted(query.namespaces, _one(_NAMESPACE)), _admitted(query.names, _one(_NAME))]
    exact = _joined(" AND ", [part for part in named if part.sql])
    if not query.reach or not exact.sql:
        return exact
    verbs = ", ".join(f"'{verb}'" for verb in sorted(COLLECTION_VERBS))
    space = named[0].sql or "TRUE"
    collective = f"{_text('verb')} IN ({verbs}) AND {_REF_NAME} = ''"
    sql = f"(CASE WHEN {collective} THEN ({_NAMESPACE} = '' OR {space}) ELSE {exact.sql} END)"
    return Condition(sql, (*named[0].parameters, *exact.parameters))


def _human(*, wanted: bool) -> Condition:
    human = f"({_person(_USER_NAME, _USER_GROUPS)} OR {_person(_OTHER_NAME, _OTHER_GROUPS)})"
    return Condition(f"({_USER_NAME} <> '' AND {'' if wanted else 'NOT '}{human})")


def _person(name: str, groups: str) -> str:
    machines = ", ".join(f"'{group}'" for group in MACHINE_GROUPS)
    machine = f"starts_with({name}, '{MACHINE_PREFIX}') OR list_has_any({groups}, [{machines}])"
    return f"({name} <> '' AND NOT ({machine}))"


# Patterns


def _admitted(terms: Iterable[Named], covers: Callable[[Named], Condition]) -> Condition:
    """Say what `query.admits` says: one of the wanted, if any is wanted, and none of the unwanted."""
    wanted: list[Condition] = [covers(term) for term in terms if not term.negated]
    unwanted: list[Condition] = [covers(term) for term in terms if term.negated]
    return _joined(
        " AND ",
        [
            *([_joined(" OR ", wanted)] if wanted else []),
            *(Condition(f"NOT {each.sql}", each.parameters) for each in unwanted),
        ],
    )


def _joined(word: str, parts: list[Condition]) -> Condition:
    sql = word.join(part.sql for part in parts)
    return Condition(f"({sql})" if sql else "", tuple(value for part in parts for value in part.parameters))


def _covered(value: str, pattern: Pattern) -> Condition:
    if not pattern.prefix:
        return Condition(f"{value} = ?", (pattern.text,))
    return Condition(f"starts_with({value}, ?)", (pattern.text,)) if pattern.text else Condition(f"{value} <> ''")


def _one(value: str) -> Callable[[Pattern], Condition]:
    def covers(pattern: Pattern) -> Condition:
        return _bracketed(_covered(value, pattern))

    return covers


def _bracketed(condition: Condition) -> Condition:
    return Condition(f"({condition.sql})", condition.parameters)


def _any_of(values: str, condition: Condition) -> Condition:
    """Say that one item `x` of a list is as the condition has it."""
    return Condition(f"(len(list_filter({values}, lambda x: {condition.sql})) > 0)", condition.parameters)


def _group(pattern: Pattern) -> Condition:
    return _any_of(f"list_concat({_USER_GROUPS}, {_OTHER_GROUPS})", _covered("x", pattern))


def _network(pattern: NetworkPattern) -> Condition:
    return _any_of(_KEYS, Condition("x BETWEEN ? AND ?", (pattern.low, pattern.high)))


def _annotation(pattern: AnnotationPattern) -> Condition:
    parts = [_covered("x.key", pattern.key)]
    if pattern.value is not None:
        parts.append(_covered("x.value", pattern.value))
    return _any_of("coalesce(map_entries(annotations), [])", _joined(" AND ", parts))


def _decision(pattern: Pattern) -> Condition:
    return _bracketed(_covered(f"coalesce(annotations['{DECISION}'], '')", pattern))


def _code(pattern: CodePattern) -> Condition:
    return Condition("(coalesce(responseStatus.code, 0) BETWEEN ? AND ?)", (pattern.low, pattern.high))


def _resource(pattern: ResourcePattern) -> Condition:
    parts = [_covered(_RESOURCE, pattern.resource)]
    if pattern.group is not None:
        parts.append(Condition(f"{_API_GROUP} = ?", (pattern.group,)))
    if pattern.subresource is not None:
        covered = _bracketed(_covered(_SUBRESOURCE, pattern.subresource))
        parts.append(Condition(f"NOT {covered.sql}", covered.parameters) if pattern.subresource.negated else covered)
    return _joined(" AND ", parts)

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
    parameters: tuple[str | int | bytes, ...] = ()


class Columns(Struct, frozen=True, kw_only=True):
    """How SQL gives what a Query asks about: expressions that are never NULL, but for the times."""

    verb: str
    user: str
    user_groups: str
    other: str
    """The impersonated user."""
    other_groups: str
    namespace: str
    named: str
    """The name in the object reference."""
    name: str
    """The name as `query.object_name` finds it."""
    resource: str
    api_group: str
    subresource: str
    audit_id: str
    user_agent: str
    uri: str
    source_ips: str
    code: str
    stage: str
    level: str
    decision: str
    annotations: str
    """A list of key and value."""
    received: str
    staged: str
    took: str
    """Microseconds."""
    moment: str = "?"
    """How a MicroTime becomes what the times are."""
    line: str = LINE
    is_human: str = ""
    """Where a column has it: the condition that a person made the request."""


def where(query: Query, columns: Columns | None = None) -> Condition:
    """Give the condition that holds for the events that `query` matches, and for no others; by default over `WIRE`."""
    parts = [part for part in _Conditions(columns or WIRE).parts(query) if part.sql]
    return _joined(" AND ", parts) if parts else Condition("TRUE")


def _text(column: str) -> str:
    return f"coalesce({column}, '')"


def _list(column: str) -> str:
    return f"coalesce({column}, [])"


_REF_NAME: Final = _text("objectRef.name")
_MADE: Final = "json_type(responseObject, '$.metadata.name') = 'VARCHAR'"
WIRE: Final = Columns(
    verb=_text("verb"),
    user=_text('"user".username'),
    user_groups=_list('"user".groups'),
    other=_text('"impersonatedUser".username'),
    other_groups=_list('"impersonatedUser".groups'),
    namespace=_text("objectRef.namespace"),
    named=_REF_NAME,
    name=f"(CASE WHEN objectRef IS NOT NULL AND {_REF_NAME} = '' AND verb = 'create' AND stage = 'ResponseComplete'"
    f" AND {_MADE} THEN json_extract_string(responseObject, '$.metadata.name') ELSE {_REF_NAME} END)",
    resource=_text("objectRef.resource"),
    api_group=_text("objectRef.apiGroup"),
    subresource=_text("objectRef.subresource"),
    audit_id=_text("auditID"),
    user_agent=_text("userAgent"),
    uri="requestURI",
    source_ips=_list("sourceIPs"),
    code="coalesce(responseStatus.code, 0)",
    stage=_text("stage"),
    level=_text("level"),
    decision=f"coalesce(annotations['{DECISION}'], '')",
    annotations="coalesce(map_entries(annotations), [])",
    received="requestReceivedTimestamp",
    staged="stageTimestamp",
    took="date_diff('microsecond', try_cast(requestReceivedTimestamp AS TIMESTAMP),"
    " try_cast(stageTimestamp AS TIMESTAMP))",
)
"""The columns of `COLUMNS`."""

_HEX: Final = "[0-9a-fA-F]{1,4}"
_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = f"({_OCTET}\\.){{3}}{_OCTET}"
_IPV6: Final = f"({_HEX}:){{7}}{_HEX}|(({_HEX}:){{0,6}}{_HEX})?::(({_HEX}:){{0,6}}{_HEX})?"
_GROUPS_OF_IPV6: Final = "len(list_filter(string_split(a, ':'), lambda g: g <> ''))"
_WHOLE_IPV6: Final = f"trim(replace(a, '::', ':' || repeat('0:', 8 - {_GROUPS_OF_IPV6})), ':')"
_KEY_OF_ADDRESS: Final = (
    f"CASE WHEN regexp_full_match(a, '{_IPV4}')"
    " THEN '4' || array_to_string(list_transform(string_split(a, '.'), lambda o: lpad(o, 3, '0')), '')"
    f" WHEN regexp_full_match(a, '{_IPV6}') AND {_GROUPS_OF_IPV6} <= 8 - contains(a, '::')::INTEGER"
    f" THEN '6' || array_to_string(list_transform(string_split({_WHOLE_IPV6}, ':'),"
    " lambda g: lpad(lower(g), 4, '0')), '') ELSE '' END"
)
"""Of the address `a`: what `networks.address_key` makes of it."""


class _Conditions:
    """Conditions over some columns."""

    def __init__(self, columns: Columns) -> None:
        self._of = columns

    def parts(self, query: Query) -> Iterator[Condition]:
        """Give the conditions that hold together."""
        of = self._of
        yield _admitted(query.verbs, _one(of.verb))
        yield _admitted(query.resources, self._resource)
        yield _admitted(query.subresources, _one(of.subresource))
        yield _admitted(query.users, _one(of.user))
        yield _admitted(query.audit_ids, _one(of.audit_id))
        yield _admitted(query.user_agents, _one(of.user_agent))
        yield _admitted(query.field_managers, _one(_manager(of.uri)))
        yield _admitted(query.paths, _one(f"split_part({of.uri}, '?', 1)"))
        yield _admitted(query.source_ips, self._network)
        yield self._object(query)
        yield _admitted(query.impersonated, _one(of.other))
        yield _admitted(query.groups, self._group)
        yield _admitted(query.codes, self._code)
        yield _admitted(query.stages, _one(of.stage))
        yield _admitted(query.levels, _one(of.level))
        yield _admitted(query.decisions, _one(of.decision))
        yield _admitted(query.annotations, self._annotation)
        yield from self._times(query)
        if query.human is not None:
            yield self._human(wanted=query.human)
        if query.texts:
            needles = [each.decode("utf-8", "replace") for text in query.texts for each in spellings(text)]
            yield _joined(" OR ", [Condition(f"contains({of.line}, ?)", (each,)) for each in needles])

    def _times(self, query: Query) -> Iterator[Condition]:
        of = self._of
        if query.until is not None:
            yield Condition(f"coalesce({of.received} < {of.moment}, FALSE)", (query.until,))
        if query.after is not None:
            yield Condition(f"coalesce({of.received} >= {of.moment}, FALSE)", (query.after,))
        if query.since is not None:
            yield Condition(f"coalesce(coalesce({of.staged}, {of.received}) >= {of.moment}, FALSE)", (query.since,))
        for limit, sign in ((query.slower_than_us, ">"), (query.faster_than_us, "<")):
            if limit is not None:
                yield Condition(f"({of.stage} <> 'RequestReceived' AND coalesce({of.took} {sign} ?, FALSE))", (limit,))

    def _object(self, query: Query) -> Condition:
        of = self._of
        named = [_admitted(query.namespaces, _one(of.namespace)), _admitted(query.names, _one(of.name))]
        exact = _joined(" AND ", [part for part in named if part.sql])
        if not query.reach or not exact.sql:
            return exact
        verbs = ", ".join(f"'{verb}'" for verb in sorted(COLLECTION_VERBS))
        space = named[0].sql or "TRUE"
        collective = f"{of.verb} IN ({verbs}) AND {of.named} = ''"
        sql = f"(CASE WHEN {collective} THEN ({of.namespace} = '' OR {space}) ELSE {exact.sql} END)"
        return Condition(sql, (*named[0].parameters, *exact.parameters))

    def _human(self, *, wanted: bool) -> Condition:
        return Condition(
            f"({self._of.user} <> '' AND {'' if wanted else 'NOT '}{self._of.is_human or human(self._of)})"
        )

    def _group(self, pattern: Pattern) -> Condition:
        return _any_of(f"list_concat({self._of.user_groups}, {self._of.other_groups})", _covered("x", pattern))

    def _network(self, pattern: NetworkPattern) -> Condition:
        keys = f"list_transform({self._of.source_ips}, lambda a: {_KEY_OF_ADDRESS})"
        return _any_of(keys, Condition("x BETWEEN ? AND ?", (pattern.low, pattern.high)))

    def _annotation(self, pattern: AnnotationPattern) -> Condition:
        parts = [_covered("x.key", pattern.key)]
        if pattern.value is not None:
            parts.append(_covered("x.value", pattern.value))
        return _any_of(self._of.annotations, _joined(" AND ", parts))

    def _code(self, pattern: CodePattern) -> Condition:
        return Condition(f"({self._of.code} BETWEEN ? AND ?)", (pattern.low, pattern.high))

    def _resource(self, pattern: ResourcePattern) -> Condition:
        of = self._of
        parts = [_covered(of.resource, pattern.resource)]
        if pattern.group is not None:
            parts.append(Condition(f"{of.api_group} = ?", (pattern.group,)))
        if pattern.subresource is not None:
            covered = _bracketed(_covered(of.subresource, pattern.subresource))
            is_not = pattern.subresource.negated
            parts.append(Condition(f"NOT {covered.sql}", covered.parameters) if is_not else covered)
        return _joined(" AND ", parts)


def human(of: Columns) -> str:
    """Give the condition that a person made the request: `query.is_human`, for who was authenticated."""
    return f"({_person(of.user, of.user_groups)} OR {_person(of.other, of.other_groups)})"


def _manager(uri: str) -> str:
    given = f"replace(regexp_extract({uri}, '[?&]fieldManager=([^&]*)', 1), '+', ' ')"
    return f"coalesce(try(url_decode({given})), '')"


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

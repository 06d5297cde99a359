from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from ask.logs import event, ref
from decklog.audit.event import Event, Stage, Status, User
from decklog.audit.networks import NetworkPattern
from decklog.audit.query import AnnotationPattern, CodePattern, Pattern, Query, ResourcePattern
from decklog.audit.query_sql import COLUMNS, LINE, where
from decklog.audit.wire import encode_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = ["", "a", "ab", "web", "web-1", "we*b", "-web", "Web", "system:node:n1", "é", "%", "a'b", '"; --', "a<b"]
VERBS = ["get", "list", "watch", "create", "delete", "deletecollection", "", "bind"]
RESOURCES = ["pods", "deployments", "deploymentconfigs", "secrets", ""]
GROUPS = ["", "apps", "extensions"]
TIMES = [None, *(f"2026-03-01T10:00:0{second}.{micro:06d}Z" for second in range(3) for micro in (0, 1, 250000))]
ADDRESSES = [
    *("10.0.0.7", "10.255.0.1", "203.0.113.9", "9.0.0.1", "11.0.0.0", "256.0.0.1", "01.0.0.1", "nonsense", "", "1.2.3"),
    *("::1", "::", "fd00::1", "fd00:0:0:0:0:0:0:1", "FD00::A", "fe80::1%eth0", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::"),
    *(
        "1::2::3",
        "1:2:3:4::5:6:7:8",
        "::ffff:10.0.0.7",
        "12345::",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        ":1",
        "1:",
        "2001:db8::1",
    ),
]
NETWORKS = ["10.0.0.0/8", "203.0.113.9", "0.0.0.0/0", "::/0", "fd00::/8", "::1", "1:2:3:4::/64", "10.0.0.7/31"]
URIS = [
    "/healthz",
    "/healthz?verbose",
    "/api/v1/pods?fieldManager=web&dryRun=All",
    "/api/v1/pods?x=1&fieldManager=kubectl-edit",
    "/api/v1/pods?fieldManager=a%20b+c",
    "/api/v1/pods?fieldManager=%ff",
    "/api/v1/pods?fieldManager=%zz%4",
    "/api/v1/pods?notfieldManager=web",
    "/api/v1/pods?fieldManager=",
]
BODIES = ["", '{"metadata":{"name":"web-1"}}', '{"metadata":{"name":1}}', '{"metadata":null}', "[]", '"x"', "{}"]

words = st.sampled_from(WORDS)
users = st.builds(
    User, username=words, groups=st.lists(st.sampled_from([*WORDS, "system:nodes"]), max_size=3).map(tuple)
)
events = st.builds(
    event,
    level=st.sampled_from(["Metadata", "Request", "RequestResponse"]),
    audit_id=words,
    stage=st.sampled_from(list(Stage)),
    request_uri=st.sampled_from(URIS),
    verb=st.sampled_from(VERBS),
    user=users,
    impersonated_user=st.none() | users,
    source_ips=st.lists(st.sampled_from(ADDRESSES), max_size=3).map(tuple),
    user_agent=words,
    object_ref=st.none()
    | st.builds(
        ref,
        st.sampled_from(RESOURCES),
        st.sampled_from(["", "shop", "web"]),
        words,
        st.sampled_from(GROUPS),
        st.sampled_from(["", "log", "scale"]),
    ),
    response_status=st.none() | st.builds(Status, code=st.sampled_from([0, 200, 201, 403, 404, 500])),
    response_object=st.sampled_from([Raw(body.encode()) for body in BODIES]),
    request_received_timestamp=st.sampled_from(TIMES),
    stage_timestamp=st.sampled_from(TIMES),
    annotations=st.dictionaries(
        st.sampled_from(["authorization.k8s.io/decision", "k8s.io/deprecated", "a"]),
        st.sampled_from(["allow", "forbid", "true", "", "é"]),
        max_size=3,
    ),
)


def some(texts: list[str], parse: Any = Pattern.parse) -> st.SearchStrategy[tuple[Any, ...]]:
    """Give up to three patterns: values, their beginnings, both negated, any and none."""
    each = st.builds(
        lambda sign, text, star: f"{sign}{text[: 2 if star else None]}{star}",
        st.sampled_from(["", "", "-"]),
        st.sampled_from(texts),
        st.sampled_from(["", "", "*"]),
    )
    return st.lists(each.map(parse), max_size=3).map(tuple)


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "verbs": some(VERBS),
    "resources": some(
        [*RESOURCES, "deployments.apps", "*.apps", "pods/log", "pods/-*", "pods.", "*"], ResourcePattern.parse
    ),
    "subresources": some(["", "log"]),
    "namespaces": some(["", "shop", "web"]),
    "names": some(WORDS),
    "users": some(WORDS),
    "impersonated": some(WORDS),
    "groups": some([*WORDS, "system:nodes"]),
    "user_agents": some(WORDS),
    "audit_ids": some(WORDS),
    "paths": some(["/healthz", "/api/v1/pods"]),
    "codes": st.lists(st.sampled_from(["200", "4xx", "-403", "-2xx"]).map(CodePattern.parse), max_size=2).map(tuple),
    "stages": some([str(stage) for stage in Stage]),
    "source_ips": st.lists(
        st.sampled_from([*NETWORKS, *(f"-{each}" for each in NETWORKS)]).map(NetworkPattern.parse), max_size=2
    ).map(tuple),
    "decisions": some(["allow", "forbid", ""]),
    "levels": some(["Metadata", "Request"]),
    "annotations": some(["k8s.io/deprecated", "a", "a=é", "k8s.io/deprecated=tr", "*=allow"], AnnotationPattern.parse),
    "field_managers": some(["web", "kubectl-edit", "a b c", "%zz%4", ""]),
    "human": st.sampled_from([None, True, False]),
    "slower_than_us": st.sampled_from([None, -1, 0, 1, 250000, 1000000]),
    "faster_than_us": st.sampled_from([None, 0, 1, 250001]),
    "texts": st.lists(st.sampled_from(["web", "a<b", '"; --', "é", "%", '"verb":"get"']), max_size=2).map(tuple),
    "after": st.sampled_from(TIMES),
    "since": st.sampled_from(TIMES),
    "until": st.sampled_from(TIMES),
    "reach": st.booleans(),
}


@st.composite
def queries(draw: st.DrawFn) -> list[Query]:
    """Give filters that ask for one field, each field in turn, and some that ask for several."""
    alone = [Query(**{field: draw(values)}) for field, values in FIELDS.items()]
    several = draw(st.lists(st.sets(st.sampled_from(sorted(FIELDS)), min_size=2, max_size=4), max_size=5))
    collective = Query(names=draw(FIELDS["names"]), namespaces=draw(FIELDS["namespaces"]), reach=True)
    return [*alone, collective, *(Query(**{field: draw(FIELDS[field]) for field in sorted(each)}) for each in several)]


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        yield connection


def fill(database: duckdb.DuckDBPyConnection, lines: list[bytes], path: Path) -> None:
    """Let DuckDB read the lines of a log, as an asking command does."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    database.execute(
        f"CREATE OR REPLACE TABLE events AS SELECT row_number() OVER () - 1 AS number, * FROM"
        f" read_json(?, columns = {COLUMNS!r}, format = 'newline_delimited')"
        f" POSITIONAL JOIN (SELECT unnest(?) AS {LINE})",
        [str(path), [line.decode() for line in lines]],
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(events, min_size=4, max_size=12), queries())
def test_sql_finds_what_matches_finds(
    database: duckdb.DuckDBPyConnection, tmp_path: Path, found: list[Event], asked: list[Query]
) -> None:
    """Over the same events, the condition holds for exactly those that the filter admits, whatever is asked."""
    lines = [encode_event(each) for each in found]
    fill(database, lines, tmp_path / "audit.log")
    for query in asked:
        condition = where(query)
        rows = database.execute(
            f"SELECT number FROM events WHERE {condition.sql}", list(condition.parameters)
        ).fetchall()
        expected = [n for n, each in enumerate(found) if query.matches(each, lines[n])]
        assert sorted(number for (number,) in rows) == expected, (query, condition)


def test_values_are_never_part_of_the_text() -> None:
    """What a user writes is a parameter, so that no quote in it can end anything."""
    evil = "x'; DROP TABLE events; --"
    query = Query(
        verbs=(Pattern(evil),),
        names=(Pattern(evil, prefix=True),),
        groups=(Pattern(evil),),
        annotations=(AnnotationPattern(Pattern(evil), Pattern(evil)),),
        texts=(evil,),
        until=evil,
    )
    condition = where(query)
    assert "DROP" not in condition.sql
    assert condition.parameters.count(evil) == 7
    assert condition.sql.count("?") == len(condition.parameters)


def test_nothing_asked_is_true() -> None:
    """An empty filter lets everything through."""
    assert where(Query()).sql == "TRUE"

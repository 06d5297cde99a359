from __future__ import annotations

import json
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from ask import hostile_lines as hostile
from ask.logs import event, life, lines, log
from decklog.ask import duck
from decklog.ask.parts import Sizes
from decklog.ask.requests import merge
from decklog.ask.rows import row
from decklog.audit.event import Stage
from decklog.audit.query import Query
from decklog.errors import DecklogError
from decklog.sources.places import find
from decklog.sources.reader import read
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.sources.places import Place

SAME = ("user", "verb", "resource", "namespace", "name", "code", "userAgent", "requestURI", "stages", "line", "auditID")


def places(paths: Sequence[Path]) -> list[Place]:
    return find(map(str, paths), BytesIO(), rotated=False)


def in_sql(paths: Sequence[Path], sql: str, **options: Any) -> tuple[list[tuple[Any, ...]], Coverage]:
    with duck.tables(threads=1) as filled:
        filled.load(places(paths), **{"sizes": Sizes(smallest=0), **options})
        return duck.ask(filled, sql, max_rows=1000, timeout_s=20).rows, filled.coverage


def sound(text: str) -> str:
    """Give a text as a table holds it: no lone surrogate."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(hostile.lines, max_size=15), part=st.sampled_from((300, 1 << 20)))
def test_requests_are_those_of_the_reader(texts: list[bytes], part: int) -> None:
    """Over hostile logs the table of requests has what the reader makes of them, and the same lines are bad."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "audit.log")
        path.write_bytes(b"\n".join((*texts, b"")))
        sql = f"SELECT {', '.join(SAME)} FROM requests"
        found, coverage = in_sql([path], sql, sizes=Sizes(smallest=0, part=part, piece=100))
        slowly = Coverage()
        rows = [json.loads(_encode(row(request))) for request in merge(read(places([path]), slowly), Query())]
    expected = [tuple(_value(one, name) for name in SAME) for one in rows]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    assert (coverage.lines, coverage.bad_lines) == (slowly.lines, slowly.bad_lines)


def _encode(value: Any) -> bytes:
    return json.dumps(dict(msgspec.to_builtins(value).items())).encode()


def _value(one: dict[str, Any], name: str) -> Any:
    if name == "stages":
        return list(one["stages"])
    if name == "code":
        return one.get("code", 0)
    return sound(one.get(name, "")) if name != "line" else one["line"]


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    """A request of two stages, one that is open, and a line that is no event."""
    events = [
        *life(Stage.RESPONSE_STARTED, Stage.RESPONSE_COMPLETE, audit_id="ended"),
        *life(Stage.REQUEST_RECEIVED, audit_id="open", request_received_timestamp="2026-03-01T11:00:00.000000Z"),
        event(audit_id="late", request_received_timestamp=None),
    ]
    path = tmp_path / "audit.log"
    path.write_bytes(lines(events) + b"{nonsense\n")
    return path


def test_stages_and_durations_of_requests(audit_log: Path) -> None:
    """A request has its stages and its duration; what is not known is NULL."""
    rows, coverage = in_sql([audit_log], "SELECT auditID, stages, durationSeconds FROM requests ORDER BY 1")
    assert rows == [
        ("ended", ["ResponseStarted", "ResponseComplete"], 0.25),
        ("late", ["ResponseComplete"], None),
        ("open", ["RequestReceived"], None),
    ]
    assert (coverage.lines, coverage.bad_lines) == (5, 1)


def test_windows_leave_out_requests(audit_log: Path) -> None:
    """Since and until mean in SQL what they mean elsewhere."""
    count = "SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM events)"
    assert in_sql([audit_log], count, until="2026-03-01T11:00:00.000000Z")[0] == [(1, 2)]
    assert in_sql([audit_log], count, since="2026-03-01T10:30:00.000000Z")[0] == [(1, 1)]


def test_bodies_come_where_they_are_asked_for(tmp_path: Path) -> None:
    """With bodies the objects can be taken apart; without, there is no such column."""
    path = tmp_path / "audit.log"
    path.write_bytes(lines([event()]).replace(b',"requestReceived', b',"requestObject":{"a":[1,2]},"requestReceived'))
    assert in_sql([path], "SELECT requestObject->>'$.a[1]' FROM events", bodies=True)[0] == [("2",)]
    with pytest.raises(DecklogError, match="requestObject"):
        in_sql([path], "SELECT requestObject FROM events")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY requests TO '/tmp/out.csv'",
        "DELETE FROM stored",
        "SELECT 1; SELECT 2",
        "SET memory_limit = '90GB'",
        "ATTACH '/tmp/other.db'",
        "INSTALL httpfs",
        "SELECT nonsense FROM requests",
        "SELECT",
        "",
        "SELECT * FROM audit_log",
    ],
)
def test_sql_reaches_nothing_but_the_tables(audit_log: Path, sql: str) -> None:
    """Whatever is not one SELECT over the tables is refused in one line."""
    with pytest.raises(DecklogError, match=r"^SQL: ") as refused:
        in_sql([audit_log], sql)
    assert "\n" not in str(refused.value)


def test_endless_sql_is_stopped(audit_log: Path) -> None:
    """A query that takes longer than it may is ended, and said to be."""
    with duck.tables(threads=1) as filled:
        filled.load(places([audit_log]))
        with pytest.raises(DecklogError, match=r"stopped after 0\.2 s"):
            duck.ask(
                filled,
                "SELECT sum(a.i * b.i) FROM range(100000000) a(i), range(100000) b(i)",
                max_rows=1,
                timeout_s=0.2,
            )


def test_rows_are_limited(audit_log: Path) -> None:
    """No more rows than allowed come, and it is told that there are more."""
    with duck.tables(threads=1) as filled:
        filled.load(places([audit_log]))
        done = duck.ask(filled, "SELECT i FROM range(100000) t(i)", max_rows=3, timeout_s=20)
    assert (len(done.rows), done.cut, done.columns) == (3, True, ["i"])


def test_a_poison_body_does_not_hide_the_others(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, lone surrogates, huge numbers, deep nesting: all rows are there, bodies asked for."""
    poison = [b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":1e400}', b'{"a":' + b"9" * 5000 + b"}", b"[" * 10_000]
    poison[-1] += b"]" * 10_000
    path = log(tmp_path / "audit.log", *(event(request_object=Raw(b'{"a":0}'), audit_id=str(n)) for n in range(6)))
    written = path.read_bytes().splitlines(keepends=True)
    bodies = [*poison, b'{"a":1}']
    path.write_bytes(b"".join(line.replace(b'{"a":0}', body) for line, body in zip(written, bodies, strict=True)))
    found = in_sql([path], "SELECT count(requestObject) FROM events", bodies=True)[0]
    assert found == [(6,)]

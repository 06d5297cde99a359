from __future__ import annotations

import asyncio
import http.client
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ask.logs import event, lines, log, ref
from cli.running import run
from decklog.audit.event import User
from decklog.disk import Disk
from decklog.store.journal import Item, Journal, identity_of
from decklog.store.view import READING
from web.browsing import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from web.browsing import Served

pytestmark = pytest.mark.journey


class Reader:
    """A client with a session, over sockets."""

    def __init__(self, served: Served) -> None:
        address = served.address()
        self.host = address.removeprefix("http://").partition("/")[0]
        self._cookie = ""
        connection, answer = self._ask("/?" + address.partition("?")[2])
        answer.read()
        self._cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        connection.close()

    def _ask(self, target: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        connection.request("GET", target, headers={"Cookie": self._cookie})
        return connection, connection.getresponse()

    def get(self, target: str) -> Any:
        connection, answer = self._ask(target)
        body = answer.read()
        connection.close()
        assert answer.status == 200, (target, body)
        return json.loads(body)

    @contextmanager
    def stream(self, target: str) -> Iterator[http.client.HTTPResponse]:
        connection, answer = self._ask(target)
        try:
            yield answer
        finally:
            answer.close()
            connection.close()


def append(store: Path, *audit_ids: str, cluster: str = "") -> None:
    """Store events, as a receiver does: they are on the device when this returns."""

    async def fill() -> None:
        async with Journal(store / "journal" / f"test-{cluster}", Disk(), cluster=cluster) as journal:
            for audit_id in audit_ids:
                line = lines([event(audit_id=audit_id, user=User("zoe"))]).rstrip(b"\n")
                await journal.append([Item(line, identity_of(cluster, line))])

    asyncio.run(fill())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    events = [event(audit_id=f"old-{number}", object_ref=ref("pods", name=f"p{number % 3}")) for number in range(9)]
    done = run("import", "--store", tmp_path / "store", log(tmp_path / "audit.log", *events))
    assert done.code == 0, done.err
    return tmp_path / "store"


def test_what_was_acknowledged_is_on_the_next_page(store: Path) -> None:
    """Pages of a store answer from its segments and journals as they are; nothing remembered is ever too old."""
    with serving("--store", store) as served:
        reader = Reader(served)
        assert reader.get("/log.json")["total"] == 9
        append(store, "new-1", cluster="prod")
        page = reader.get("/log.json")
        assert (page["total"], reader.get("/log.json?cluster=prod")["total"]) == (10, 1)
        assert "new-1" in [one["auditID"] for one in page["requests"]]
        assert reader.get("/who.json?user=zoe")["total"] == 1
        assert reader.get("/request.json?uid=new-1")["number"] == 1
        assert len(reader.get("/objects/apps/deployments/shop/web.json")["deeds"]) == 1
        clusters = {one["name"]: one["values"] for one in page["choices"]}["cluster"]
        assert {(one["value"], one["count"]) for one in clusters} == {("none", 9), ("prod", 1)}


def test_pages_of_a_store_say_what_the_command_line_says(store: Path) -> None:
    """The same words have the same answer."""
    append(store, "new-1")
    queries = ("", "verb=delete", "name=p1", "user=zoe", "code=200&resource=pods", "text=old-3", "machines=1")
    with serving("--store", store) as served:
        reader = Reader(served)
        for query in queries:
            words = [f"--{field}".replace("--machines=1", "--machines") for field in query.split("&") if field]
            told = json.loads(run("query", "--store", store, "-o", "json", *words).out)["requests"]
            found = reader.get(f"/log.json?{query}")
            assert {one["auditID"] for one in found["requests"]} == {one["auditID"] for one in told}, query
            assert found["total"] == len(told)


def test_what_comes_into_a_store_is_told_as_it_comes(store: Path) -> None:
    """An event stands in the stream once it is acknowledged, if the reader asked for such."""
    with serving("--store", store) as served, Reader(served).stream("/log/live?user=zoe&cluster=prod") as stream:
        assert stream.getheader("content-type", "").startswith("text/event-stream")
        while b"following" not in stream.readline():
            """The stream begins."""
        append(store, "another-cluster's")
        append(store, "live-1", "live-2", cluster="prod")
        told: list[str] = []
        while len(told) < 2:
            line = stream.readline().decode()
            told += [line] if line.startswith("data:") else []
        assert "live-1" in told[0]
        assert "live-2" in told[1]


def test_who_has_read_a_store_stands_in_it(store: Path) -> None:
    """Readings are events of a stream of their own: found by its name, and not among the others."""
    with serving("--store", store) as served:
        reader = Reader(served)
        reader.get("/log.json?user=alice")
        reader.get("/who.json?user=bob")
        assert reader.get("/log.json")["total"] == 9
    told = json.loads(run("query", "--store", store, "--cluster", READING, "-o", "json").out)["requests"]
    assert [(one["user"], one["requestURI"]) for one in told] == [
        ("local", "/log.json?user=alice"),
        ("local", "/who.json?user=bob"),
        ("local", "/log.json"),
    ]
    assert len(json.loads(run("query", "--store", store, "-o", "json").out)["requests"]) == 9


def test_a_place_that_is_no_store_is_told_before_serving(tmp_path: Path) -> None:
    """What cannot be shown is told in one line, with what to give instead."""
    done = run("web", "--store", tmp_path / "none", "--listen", "127.0.0.1:0")
    assert (done.code, "is no store" in done.err) == (2, True)
    both = run("web", "--store", tmp_path, "-f", tmp_path / "x", "--listen", "127.0.0.1:0")
    assert (both.code, "not both" in both.err) == (2, True)
    nothing = run("web", "--listen", "127.0.0.1:0")
    assert (nothing.code, "nothing to show yet" in nothing.err) == (2, True)

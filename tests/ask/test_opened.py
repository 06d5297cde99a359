from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ask.logs import event, life
from ask.test_scan import queries
from ask.test_stored import DISK, LAYOUTS, append, sealed, story
from ask.test_stored_tally import ODD
from decklog.ask.opened import FACETS, OpenStore
from decklog.ask.opened_state import TooSlowError
from decklog.ask.requests import merge
from decklog.ask.rows import row
from decklog.ask.stored import stored
from decklog.ask.top import label_of
from decklog.audit.event import Stage, Status, User
from decklog.audit.query import Pattern, Query
from decklog.audit.wire import encode_event
from decklog.errors import DecklogError
from decklog.sources.record import Coverage
from decklog.store.view import view

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from decklog.ask.requests import Request
    from decklog.ask.rows import Row

RECEIVED, STARTED, COMPLETE, PANIC = Stage
EVERYTHING = [*story(), *map(encode_event, ODD)]
AMONG_OTHERS: dict[str, Query] = {
    "anything": Query(),
    "a verb": Query(verbs=(Pattern("get"),)),
    "a name": Query(names=(Pattern("db"),)),
    "who may have reached it": Query(names=(Pattern("web"),), namespaces=(Pattern("shop"),), reach=True),
    "a text": Query(texts=("refused",)),
    "no text": Query(texts=("nowhere in it",)),
    "since": Query(since="2026-03-01T10:00:02.500000Z"),
    "until": Query(until="2026-03-02T00:00:00.000000Z"),
    "what no column has": Query(users=(Pattern("\ufffd", negated=True),)),
}


def expected(store: Path, query: Query) -> list[Request]:
    return list(merge(stored(view(store, DISK), DISK, Coverage(), [query]), query))


def ids(requests: Sequence[Request]) -> list[str]:
    return sorted(request.latest.event.audit_id for request in requests)


def plain(row: Row) -> Row:
    """What does not depend on where an event stands, in which order equal times were read, or who knows the cluster."""
    return replace(row, file="", line=0, cluster="", stages=())


def check(store: OpenStore, folder: Path, query: Query) -> None:
    there = expected(folder, query)
    assert ids(store.requests(query)) == ids(there)
    rows = [row(request) for request in there]
    given = pages(store, query)
    assert sorted(map(repr, map(plain, given))) == sorted(map(repr, map(plain, rows)))
    assert [each.time or "" for each in given] == sorted((each.time or "" for each in given), reverse=True)
    names = ("user", "verb", "resource", "namespace", "code", "user-agent", "uri", "source-ip")
    label = label_of(names)[0]
    assert store.tally(query, names) == Counter(label(request.latest.event) for request in there)
    counted = store.facets(query, names[:5])
    assert counted.total == store.count(query) == sum(store.timeline(query).counts) + store.timeline(query).untimed
    for name in names[:5]:
        of = Counter(label_of((name,))[0](request.latest.event) for request in there)
        assert {each.label: each.count for each in counted.by[name]} == dict(of)


def pages(store: OpenStore, query: Query, limit: int = 2) -> list[Row]:
    rows: list[Row] = []
    after: str | None = None
    while True:
        page = store.page(query, limit=limit, after=after)
        assert len(page.rows) <= limit
        rows += page.rows
        after = page.next
        if after is None:
            return rows


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_what_is_held_open_answers_as_reading_does(
    tmp_path: Path, layout: Callable[[Path, Sequence[bytes]], None]
) -> None:
    """Requests, pages, counts: wherever events stand, and however they are asked for."""
    layout(tmp_path, EVERYTHING)
    with OpenStore(tmp_path, DISK) as store:
        for query in AMONG_OTHERS.values():
            check(store, tmp_path, query)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(query=queries(), layout=st.sampled_from(LAYOUTS))
def test_any_question_is_answered_alike(query: Query, layout: Callable[[Path, Sequence[bytes]], None]) -> None:
    """Columns say of every filter what the filter says of events."""
    with TemporaryDirectory() as folder:
        layout(Path(folder), EVERYTHING)
        with OpenStore(Path(folder), DISK) as store:
            check(store, Path(folder), query)


def test_what_is_remembered_of_segments_never_makes_an_answer_old(tmp_path: Path) -> None:
    """Questions that come again and again while events come, are sealed, doubled and compacted are answered anew."""
    steps = [EVERYTHING[start::4] for start in range(4)]
    with OpenStore(tmp_path, DISK) as store:
        for number, lines in enumerate([*steps, EVERYTHING[::3]]):
            append(tmp_path, lines, f"writer-{number}")
            for query in AMONG_OTHERS.values():
                check(store, tmp_path, query)
            if number % 2:
                sealed(tmp_path, compacted=number == 3)
                for query in AMONG_OTHERS.values():
                    check(store, tmp_path, query)


def test_what_is_acknowledged_is_in_the_next_answer(tmp_path: Path) -> None:
    """Through sealing and compaction, with stages on both sides, and nothing twice."""
    stages = [encode_event(stage) for stage in life(RECEIVED, COMPLETE, audit_id="one")]
    append(tmp_path, stages[:1])
    with OpenStore(tmp_path, DISK) as store:
        assert [each.stage for each in store.page(Query()).rows] == ["RequestReceived"]
        sealed(tmp_path)
        assert [each.stage for each in store.page(Query()).rows] == ["RequestReceived"]
        append(tmp_path, stages[1:], "another")
        assert [each.stages for each in store.page(Query()).rows] == [("RequestReceived", "ResponseComplete")]
        append(tmp_path, stages, "again")
        assert store.count(Query()) == 1
        sealed(tmp_path, compacted=True)
        assert [each.stages for each in store.page(Query()).rows] == [("RequestReceived", "ResponseComplete")]
        append(tmp_path, [encode_event(event(audit_id="two", user=User(username="bob")))])
        assert store.count(Query()) == 2
        assert store.clusters() == [""]
        assert store.coverage().lines >= 2


def test_several_threads_ask_at_once(tmp_path: Path) -> None:
    """Each gets its own answer while the store grows."""
    append(tmp_path, story())
    sealed(tmp_path)
    wrong: list[Any] = []
    with OpenStore(tmp_path, DISK) as store:

        def ask(name: str) -> None:
            for _ in range(20):
                found = store.requests(Query(audit_ids=(Pattern(name),)))
                if ids(found) != [name]:
                    wrong.append((name, ids(found)))

        threads = [threading.Thread(target=ask, args=(name,)) for name in ("read", "refused", "later")]
        for thread in threads:
            thread.start()
        for number in range(5):
            append(tmp_path, [encode_event(event(audit_id=f"more-{number}"))], f"writer-{number}")
            sealed(tmp_path)
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_deadline_ends_a_question(tmp_path: Path) -> None:
    """With an error of its own, and the store answers on."""
    append(tmp_path, story())
    sealed(tmp_path)
    with OpenStore(tmp_path, DISK) as store:
        with pytest.raises(TooSlowError):
            store.page(Query(), deadline_s=-1.0)
        assert store.count(Query()) == 4


def test_people_and_machines_are_told_apart(tmp_path: Path) -> None:
    """By the user, and nobody is neither."""
    users = {"human": "alice", "machine": "system:serviceaccount:shop:cart", "nobody": ""}
    events = [
        event(audit_id=name, user=User(username=user), response_status=Status(code=200)) for name, user in users.items()
    ]
    append(tmp_path, map(encode_event, events))
    sealed(tmp_path)
    with OpenStore(tmp_path, DISK) as store:
        found = store.facets(Query(), FACETS).by["by"]
        assert {each.label for each in found} == {"humans", "machines", "nobody"}
        assert [each.user for each in store.page(Query(human=True)).rows] == ["alice"]


@pytest.mark.parametrize("text", ["", "x", "12.zz", "99999999999999999999999.00", "-1.00"])
def test_no_place_between_pages(tmp_path: Path, text: str) -> None:
    """Is told, whatever somebody wrote into the address."""
    append(tmp_path, story())
    with OpenStore(tmp_path, DISK) as store, pytest.raises(DecklogError, match="first page"):
        store.page(Query(), after=text)


def test_no_store_is_told(tmp_path: Path) -> None:
    """At the first question."""
    with closing(OpenStore(tmp_path / "none", DISK)) as store, pytest.raises(DecklogError, match="is no store"):
        store.count(Query())

from __future__ import annotations

import asyncio
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ask import hostile_lines as hostile
from ask.logs import event, life, ref
from ask.test_scan import queries
from decklog.ask.parts import Sizes
from decklog.ask.requests import merge
from decklog.ask.stored import stored
from decklog.audit.event import Stage, Status, User
from decklog.audit.query import CodePattern, Pattern, Query
from decklog.audit.wire import encode_event, encode_item
from decklog.disk import Disk
from decklog.sources.places import find
from decklog.sources.reader import read
from decklog.sources.record import Coverage
from decklog.store.compaction import compact
from decklog.store.journal import Item, Journal, identity_of
from decklog.store.parquet import engine
from decklog.store.segment import Maintenance, seal
from decklog.store.view import view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from decklog.sources.record import Record

RECEIVED, STARTED, COMPLETE, PANIC = Stage
DISK = Disk()


def append(store: Path, lines: Iterable[bytes], writer: str = "receive-0", cluster: str = "") -> None:
    """Store lines as a writer does that ends then; what it leaves may be sealed."""

    async def run() -> None:
        async with Journal(store / "journal" / writer, DISK, cluster=cluster) as journal:
            await journal.append([Item(line, identity_of(cluster, line)) for line in lines])
            await journal.turn(now=True)

    asyncio.run(run())


def sealed(store: Path, *, compacted: bool = False) -> None:
    with Maintenance(store, DISK) as work, engine(work.aside) as duck:
        assert not seal(work, duck).left
        if compacted:
            compact(work, duck, all_days=True)


def found(store: Path, *asked: Query, **options: Any) -> list[Record]:
    coverage = Coverage()
    return list(stored(view(store, DISK), DISK, coverage, asked, sizes=Sizes(part=700, piece=64), **options))


def ids(store: Path, *asked: Query) -> list[str]:
    return [request.latest.event.audit_id for request in merge(found(store, *asked), *asked)]


def story() -> list[bytes]:
    lives = [
        life(RECEIVED, COMPLETE, audit_id="deleted", stage_timestamp="2026-03-01T10:00:01.000000Z"),
        life(
            RECEIVED,
            COMPLETE,
            audit_id="read",
            verb="get",
            object_ref=ref("secrets", name="db"),
            request_uri="/secrets/db",
            stage_timestamp="2026-03-01T10:00:02.000000Z",
        ),
        life(
            RECEIVED,
            COMPLETE,
            audit_id="refused",
            user=User(username="bob"),
            response_status=Status(code=403),
            stage_timestamp="2026-03-01T10:00:03.000000Z",
        ),
        life(
            RECEIVED,
            COMPLETE,
            audit_id="later",
            request_received_timestamp="2026-03-02T10:00:00.000000Z",
            stage_timestamp="2026-03-02T10:00:00.500000Z",
            verb="deletecollection",
            object_ref=ref("deployments", "shop", "", "apps"),
        ),
    ]
    return [encode_event(stage) for stages in lives for stage in stages]


def one_journal(store: Path, lines: Sequence[bytes]) -> None:
    append(store, lines)


def two_journals(store: Path, lines: Sequence[bytes]) -> None:
    append(store, lines[1::2], "receive-0")
    append(store, lines[::2], "receive-1")


def segments(store: Path, lines: Sequence[bytes]) -> None:
    append(store, lines)
    sealed(store)


def compacted(store: Path, lines: Sequence[bytes]) -> None:
    append(store, lines)
    sealed(store, compacted=True)


def both(store: Path, lines: Sequence[bytes]) -> None:
    """Stages of one request stand on both sides."""
    append(store, lines[::2])
    sealed(store)
    append(store, lines[1::2])


def three_times(store: Path, lines: Sequence[bytes]) -> None:
    """In a segment, in another one, and in a journal that knows neither."""
    for writer in ("a", "b"):
        append(store, lines, writer)
        sealed(store)
        for sums in store.glob("journal/*/*.sums"):
            sums.unlink()
    append(store, [line.replace(b'{"kind":"Event","apiVersion":"audit.k8s.io/v1",', b"{") for line in lines], "c")


LAYOUTS: tuple[Callable[[Path, Sequence[bytes]], None], ...] = (
    one_journal,
    two_journals,
    segments,
    compacted,
    both,
    three_times,
)
QUESTIONS: dict[str, tuple[Query, list[str]]] = {
    "everything": (Query(), ["deleted", "read", "refused", "later"]),
    "a verb": (Query(verbs=(Pattern("delete"),)), ["deleted", "refused"]),
    "another one": (Query(verbs=(Pattern("get"),), namespaces=(Pattern("shop"),)), ["read"]),
    "an object and its reach": (Query(names=(Pattern("web"),), reach=True), ["deleted", "refused", "later"]),
    "a code, which is a number": (Query(codes=(CodePattern.parse("403"),)), ["refused"]),
    "not a user": (Query(users=(Pattern("alice", negated=True),)), ["refused"]),
    "since": (Query(since="2026-03-01T12:00:00.000000Z"), ["later"]),
    "until": (Query(until="2026-03-01T12:00:00.000000Z"), ["deleted", "read", "refused"]),
    "a text": (Query(texts=("secrets/db",)), ["read"]),
    "an ID": (Query(audit_ids=(Pattern("read"),)), ["read"]),
    "nothing": (Query(users=(Pattern("carol"),)), []),
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_an_answer_is_the_same_wherever_events_stand(
    tmp_path: Path, layout: Callable[[Path, Sequence[bytes]], None]
) -> None:
    """In journals, in segments, in both, and three times; by the time of what happened, each once."""
    layout(tmp_path, story())
    for name, (query, expected) in QUESTIONS.items():
        assert ids(tmp_path, query) == expected, name
    every = [(record.event.audit_id, record.event.stage) for record in found(tmp_path) if record.event is not None]
    assert len(every) == len(set(every)) == 8


def test_all_stages_of_a_request_are_found(tmp_path: Path) -> None:
    """A question that only its last stage answers gives the others, too, from the other side."""
    both(tmp_path, story())
    (request,) = merge(found(tmp_path, query := Query(codes=(CodePattern.parse("403"),))), query)
    assert [seen.event.stage for seen in request.stages] == [RECEIVED, COMPLETE]


def test_an_event_is_found_the_moment_that_it_is_acknowledged(tmp_path: Path) -> None:
    """While its journal is open; a line that is being written is no damage."""

    async def run() -> tuple[list[str], int]:
        line = encode_item(event(audit_id="fresh"))
        async with Journal(tmp_path / "journal" / "receive-0", DISK, cluster="") as journal:
            await journal.append([Item(line, identity_of("", line))])
            (path,) = (tmp_path / "journal").glob("*/*.ndjson")
            with path.open("ab") as file:
                file.write(b'{"level":"Meta')
            coverage = Coverage()
            query = Query(verbs=(Pattern("delete"),))
            records = list(stored(view(tmp_path, DISK), DISK, coverage, [query]))
            return [record.event.audit_id for record in records if record.event is not None], coverage.bad_lines

    assert asyncio.run(run()) == (["fresh"], 0)


@pytest.mark.parametrize("seal_them", [False, True])
def test_clusters_are_told_apart(tmp_path: Path, seal_them: bool) -> None:
    """The same bytes of two clusters are two events; a view of one of them has its own alone."""
    for cluster in ("prod", "lab"):
        append(tmp_path, [encode_item(event(audit_id=cluster))], f"receive-{cluster}", cluster)
    if seal_them:
        sealed(tmp_path)
    query = Query(verbs=(Pattern("delete"),))
    for cluster in ("prod", "lab"):
        seen = view(tmp_path, DISK).within(None, None, cluster)
        records = list(stored(seen, DISK, Coverage(), [query]))
        assert [record.event.audit_id for record in records if record.event is not None] == [cluster]
    assert len(found(tmp_path, query)) == 2


def test_what_was_passed_over_is_counted(tmp_path: Path) -> None:
    """Lines of segments and of journals alike."""
    both(tmp_path, story())
    coverage = Coverage()
    records = list(stored(view(tmp_path, DISK), DISK, coverage, [Query(verbs=(Pattern("get"),))]))
    assert (len(records), coverage.lines, coverage.undecoded) == (2, 8, 6)
    assert coverage.first == "2026-03-01T10:00:00.000000Z"


def requests(records: Iterable[Record], asked: Sequence[Query]) -> set[tuple[Any, ...]]:
    return {
        (request.latest.event.audit_id, request.latest.event.stage, encode_event(request.latest.event))
        for request in merge(records, *asked)
    }


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(
    lines=st.lists(hostile.lines, min_size=1, max_size=12),
    asked=st.lists(queries(), min_size=1, max_size=2),
    cut=st.integers(0, 12),
)
def test_a_store_answers_as_the_log_does(lines: list[bytes], asked: list[Query], cut: int) -> None:
    """Over any events, half of them in segments, half in journals."""
    with tempfile.TemporaryDirectory() as folder:
        log, store = Path(folder) / "audit.log", Path(folder) / "store"
        log.write_bytes(b"".join(line + b"\n" for line in lines))
        places = find([str(log)], BytesIO(), rotated=False)
        known = [one for one in read(places, Coverage()) if one.event is not None and one.provenance is None]
        kept = [one.line.strip() for one in known]
        append(store, kept[:cut])
        sealed(store)
        append(store, kept[cut:])
        assert requests(found(store, *asked), asked) == requests(known, asked)

from __future__ import annotations

import gzip
import tempfile
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ask import hostile_lines as hostile
from ask.logs import event, life, lines
from decklog.ask.parts import Sizes
from decklog.ask.requests import merge
from decklog.ask.tally import tally
from decklog.ask.top import label_of
from decklog.audit.event import Stage
from decklog.audit.query import CodePattern, Pattern, Query, ResourcePattern
from decklog.sources.places import find
from decklog.sources.reader import read
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from decklog.sources.places import Place

TINY = Sizes(smallest=0, part=700, piece=64)
BY_ALL = ("user", "verb", "resource", "namespace", "code", "user-agent", "uri")


def places(paths: Sequence[Path]) -> list[Place]:
    return find(map(str, paths), BytesIO(), rotated=False)


def tallied(
    paths: Sequence[Path], query: Query, by: Sequence[str] = BY_ALL, **options: Any
) -> tuple[Counter[Hashable], Coverage]:
    coverage = Coverage()
    label, whole = label_of(by)
    counts = tally(places(paths), coverage, query, label, whole=whole, **{"sizes": TINY, **options})
    return +counts, coverage


def slowly(paths: Sequence[Path], query: Query, by: Sequence[str] = BY_ALL) -> tuple[Counter[Hashable], Coverage]:
    coverage = Coverage()
    label, _ = label_of(by)
    return Counter(label(request.latest.event) for request in merge(read(places(paths), coverage), query)), coverage


queries = st.builds(
    Query,
    verbs=st.sampled_from(((), (Pattern("get"),), (Pattern("get", negated=True),))),
    resources=st.sampled_from(((), (ResourcePattern.parse("pods"),), (ResourcePattern.parse("-web/status"),))),
    subresources=st.sampled_from(((), (Pattern("log"),))),
    namespaces=st.sampled_from(((), (Pattern("shop"),))),
    users=st.sampled_from(((), (Pattern("system:", prefix=True),), (Pattern("alice", negated=True),))),
    user_agents=st.sampled_from(((), (Pattern("web"),))),
    paths=st.sampled_from(((), (Pattern("/healthz"),))),
    levels=st.sampled_from(((), (Pattern("Metadata"),))),
    impersonated=st.sampled_from(((), (), (Pattern("alice"),))),
    codes=st.sampled_from(((), (CodePattern.parse("4xx"),))),
    stages=st.sampled_from(((), (Pattern("Panic"),))),
    since=st.sampled_from((None, "2026-03-01T10:00:01.000000Z")),
    until=st.sampled_from((None, "2026-03-01T10:00:01.000000Z")),
)


@pytest.mark.parametrize("by", [BY_ALL, ("source-ip", "user")])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.lists(hostile.lines, max_size=12), min_size=1, max_size=2),
    query=queries,
    part=st.sampled_from((200, 1000, 1 << 20)),
    piece=st.sampled_from((50, 500, 1 << 16)),
    feed=st.booleans(),
)
def test_counts_are_those_of_the_reader(
    by: tuple[str, ...], texts: list[list[bytes]], query: Query, part: int, piece: int, feed: bool
) -> None:
    """Over hostile logs, however they are cut, counts and coverage are those of reading line by line."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, some in enumerate(texts):
            path = Path(folder, f"{number}.log")
            path.write_bytes(b"\n".join((hostile.plain(FIRST), *some)) + (b"\n" if feed else b""))
            paths.append(path)
        sizes = Sizes(smallest=0, part=part, piece=piece)
        assert tallied(paths, query, by, sizes=sizes) == slowly(paths, query, by)


FIRST = {
    "level": "Metadata",
    "auditID": "first",
    "stage": "ResponseComplete",
    "requestURI": "/healthz",
    "verb": "get",
    "user": {"username": "alice"},
    "requestReceivedTimestamp": "2026-03-01T10:00:00.000000Z",
    "stageTimestamp": "2026-03-01T10:00:00.000000Z",
}


def test_stages_of_a_request_in_different_parts_are_one_request(tmp_path: Path) -> None:
    """A request that begins in one part of a log and ends in another, done by another process, counts once."""
    events = [
        one
        for number in range(50)
        for one in life(Stage.RESPONSE_STARTED, Stage.RESPONSE_COMPLETE, audit_id=f"id-{number}")
    ]
    path = tmp_path / "audit.log"
    path.write_bytes(lines(events[::2] + events[1::2]))
    counts, coverage = tallied([path], Query(), ("user",), processes=2)
    assert counts == {"alice": 50}
    assert coverage.lines == 100


def test_a_log_that_is_given_twice_counts_once(tmp_path: Path) -> None:
    """Requests that are in two copies of a log, one of them packed, count once; two ends that differ are two."""
    events = [event(audit_id=f"id-{number}") for number in range(50)]
    events.append(event(audit_id="id-7", user_agent="another"))
    (tmp_path / "a.log").write_bytes(lines(events))
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(lines(events)))
    paths = [tmp_path / "a.log", tmp_path / "b.log.gz"]
    assert tallied(paths[:1], Query(), ("user",))[0] == {"alice": 51}
    assert tallied(paths, Query(), ("user",), processes=2)[0] == slowly(paths, Query(), ("user",))[0]


def test_open_requests_and_failed_logins_count(tmp_path: Path) -> None:
    """What has not ended counts by its latest stage; a request without a user ends as its answer begins."""
    events = life(Stage.REQUEST_RECEIVED, Stage.RESPONSE_STARTED, audit_id="watch")
    path = tmp_path / "audit.log"
    path.write_bytes(lines(events))
    assert tallied([path], Query(), ("code",))[0] == {"200": 1}


def test_an_odd_line_is_counted_and_hurts_no_neighbour(tmp_path: Path) -> None:
    """A line that is no event is named with its number; those around it count."""
    good = [lines([event(audit_id=f"id-{number}")]) for number in range(20)]
    path = tmp_path / "audit.log"
    path.write_bytes(b"".join([*good[:10], b"{broken\n", *good[10:]]))
    counts, coverage = tallied([path], Query(), ("user",))
    assert counts == {"alice": 20}
    assert [(bad.number, coverage.bad_lines) for bad in coverage.bad_examples] == [(11, 1)]

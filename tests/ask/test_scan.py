from __future__ import annotations

import dataclasses
import gzip
import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ask import hostile_lines as hostile
from ask.logs import event, life, ref
from decklog.ask.bytesearch import TooMuchError
from decklog.ask.forking import fork_map
from decklog.ask.parts import Sizes
from decklog.ask.prefilter import Sieve
from decklog.ask.requests import merge
from decklog.ask.scan import scan
from decklog.ask.sifting import HEAD
from decklog.audit.event import Stage, Status, User
from decklog.audit.networks import NetworkPattern
from decklog.audit.query import CodePattern, Pattern, Query, ResourcePattern
from decklog.audit.wire import encode_line
from decklog.sources.places import find
from decklog.sources.reader import read
from decklog.sources.record import Coverage, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from decklog.audit.event import Event
    from decklog.sources.places import Place

TINY = Sizes(smallest=0, part=300, piece=64)
DELETION = Query(verbs=(Pattern("delete"),), names=(Pattern("web"),))


def places(paths: Iterable[Path]) -> list[Place]:
    return find(map(str, paths), BytesIO(), rotated=False)


def scanned(
    paths: Sequence[Path], *queries: Query, sizes: Sizes = TINY, processes: int = 1
) -> tuple[list[Record], Coverage]:
    coverage = Coverage()
    return list(scan(places(paths), coverage, queries, sizes=sizes, processes=processes)), coverage


def slowly(paths: Sequence[Path]) -> tuple[list[Record], Coverage]:
    coverage = Coverage()
    return list(read(places(paths), coverage)), coverage


def written(folder: Path, events: Iterable[Event], name: str = "audit.log") -> Path:
    path = folder / name
    path.write_bytes(b"".join(map(encode_line, events)))
    return path


def patterns(*values: str) -> st.SearchStrategy[tuple[Pattern, ...]]:
    wanted = st.sampled_from([*values, *(f"{value}*" for value in values)])
    unwanted = st.sampled_from([f"-{value}" for value in values])
    texts = st.one_of(st.lists(wanted, min_size=1, max_size=2), st.tuples(wanted, unwanted), st.tuples(unwanted))
    return texts.map(lambda some: tuple(map(Pattern.parse, some)))


FIELDS = {
    "verbs": patterns(*hostile.VERBS),
    "resources": st.lists(
        st.sampled_from(("pods", "deployments", "pods/log", "pods/-log", "-pods", "web*", "*.apps")),
        min_size=1,
        max_size=2,
    ).map(lambda some: tuple(map(ResourcePattern.parse, some))),
    "subresources": patterns(*hostile.SUBRESOURCES),
    "namespaces": patterns(*hostile.NAMESPACES),
    "names": patterns(*hostile.NAMES),
    "users": patterns(*hostile.USERS),
    "impersonated": patterns(*hostile.USERS),
    "groups": patterns(*hostile.USERS),
    "user_agents": patterns(*hostile.AGENTS),
    "audit_ids": patterns(*hostile.IDS),
    "codes": st.lists(st.sampled_from(("200", "403", "-403", "000", "4xx")), min_size=1, max_size=2).map(
        lambda some: tuple(map(CodePattern.parse, some))
    ),
    "paths": patterns("/healthz", "/web"),
    "stages": patterns(*hostile.STAGES),
    "levels": patterns("Metadata", "Request"),
    "human": st.booleans(),
    "slower_than_us": st.sampled_from((0, 1_000_000)),
    "source_ips": st.sampled_from(("192.0.2.0/24", "-10.0.0.0/8")).map(lambda text: (NetworkPattern.parse(text),)),
    "since": st.sampled_from(hostile.TIMES[:2]),
    "until": st.sampled_from(hostile.TIMES[:2]),
    "after": st.sampled_from(hostile.TIMES[:2]),
    "texts": st.lists(st.sampled_from(("web", "<3>", "wéb<", 'quo"te', "\n")), min_size=1, max_size=2).map(tuple),
}


@st.composite
def queries(draw: st.DrawFn) -> Query:
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=3, unique=True))
    return Query(**{name: draw(FIELDS[name]) for name in names}, reach=draw(st.booleans()))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    files=st.lists(st.lists(hostile.lines, min_size=1, max_size=14), min_size=1, max_size=2),
    asked=st.lists(queries(), min_size=1, max_size=2),
    packed=st.booleans(),
    part=st.integers(64, 4000),
    piece=st.integers(16, 2000),
    answer=st.sampled_from((700, 1 << 20, 1 << 20)),
)
def test_scanning_never_changes_an_answer(
    files: list[list[bytes]], asked: list[Query], packed: bool, part: int, piece: int, answer: int
) -> None:
    """Over any lines, the scan makes the same requests and the same matching events as reading every line does."""
    sizes = Sizes(smallest=0, part=part, piece=piece, answer=answer)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.log" for number, _ in enumerate(files)]
        for path, lines in zip(paths, files, strict=True):
            text = b"\n".join([HEAD + b'"}', *lines])  # without such a beginning nothing is scanned
            path.write_bytes(gzip.compress(text) if packed else text)
        fast, fast_coverage = scanned(paths, *asked, sizes=sizes)
        slow, slow_coverage = slowly(paths)
    assert list(merge(fast, *asked)) == list(merge(slow, *asked))
    assert _matching(fast, asked) == _matching(slow, asked)
    assert fast_coverage.files == slow_coverage.files
    assert fast_coverage.size_bytes == slow_coverage.size_bytes
    assert fast_coverage.bad_lines <= slow_coverage.bad_lines
    assert fast_coverage.lines == slow_coverage.lines
    assert fast_coverage.others == slow_coverage.others
    assert fast_coverage.undecoded <= fast_coverage.lines
    if Sieve.of(asked) is None:
        assert fast_coverage == slow_coverage


NEEDLELESS = {
    "human": FIELDS["human"],
    "slower_than_us": FIELDS["slower_than_us"],
    "since": FIELDS["since"],
    "verbs": st.just((Pattern("list", negated=True),)),
    "codes": st.sampled_from(("4xx", "-403")).map(lambda text: (CodePattern.parse(text),)),
    "users": st.just((Pattern("alice", negated=True), Pattern("bob", prefix=True, negated=True))),
    "namespaces": st.just((Pattern("shop", negated=True),)),
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    lines=st.lists(hostile.findable, min_size=1, max_size=20),
    asked=st.lists(st.fixed_dictionaries({}, optional=NEEDLELESS), min_size=1, max_size=2),
    feed=st.booleans(),
    part=st.integers(300, 6000),
    piece=st.integers(16, 3000),
)
def test_decoding_in_parts_never_changes_an_answer(
    lines: list[bytes], asked: list[dict[str, Any]], feed: bool, part: int, piece: int
) -> None:
    """Over any lines, a question without a needle is answered as by the reader, and covers what the reader covers."""
    queries = [Query(**fields) for fields in asked]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "audit.log")
        path.write_bytes(b"\n".join([HEAD + b'"}', *lines]) + (b"\n" if feed else b""))
        fast, fast_coverage = scanned([path], *queries, sizes=Sizes(smallest=0, part=part, piece=piece))
        slow, slow_coverage = slowly([path])
    assert list(merge(fast, *queries)) == list(merge(slow, *queries))
    assert _matching(fast, queries) == _matching(slow, queries)
    assert fast_coverage == slow_coverage


def _matching(records: list[Record], asked: list[Query]) -> list[Record]:
    return [
        record
        for record in records
        if record.event is not None and any(query.matches(record.event, record.line) for query in asked)
    ]


CLUSTER_WIDE = [
    *life(Stage.REQUEST_RECEIVED, Stage.RESPONSE_COMPLETE),
    event(audit_id="2", verb="deletecollection", object_ref=ref("deployments")),
    event(audit_id="3", verb="deletecollection", object_ref=ref("deployments", namespace="")),
    event(audit_id="4", verb="deletecollection", object_ref=ref("deployments", namespace="other")),
    event(audit_id="5", verb="list", object_ref=ref("deployments")),
    event(audit_id="6", object_ref=ref("deployments", name="web-2"), response_status=Status(code=409)),
]
PADDING = [event(audit_id=f"padding-{number}", object_ref=ref("pods", "other", "api")) for number in range(50)]


@pytest.mark.parametrize(
    ("name", "query", "told"),
    [
        ("a name", Query(names=(Pattern("web"),)), ["11111111-aaaa-4bbb-8ccc-000000000001"]),
        ("the beginning of a name", Query(names=(Pattern("web-", prefix=True),)), ["6"]),
        (
            "what may reach the object",
            Query(
                verbs=(Pattern("delete"), Pattern("deletecollection")),
                names=(Pattern("web"),),
                namespaces=(Pattern("shop"),),
                reach=True,
            ),
            ["11111111-aaaa-4bbb-8ccc-000000000001", "2", "3"],
        ),
        ("an audit ID", Query(audit_ids=(Pattern("4"),)), ["4"]),
        ("a code", Query(codes=(CodePattern(409, 409),)), ["6"]),
        ("a verb and a user", Query(verbs=(Pattern("list"),), users=(Pattern("alice"),)), ["5"]),
    ],
)
@pytest.mark.parametrize("processes", [1, 3])
def test_hardly_a_line_is_decoded(tmp_path: Path, name: str, query: Query, told: list[str], processes: int) -> None:
    """A question with a needle is answered from the few lines that hold it, on any number of processes."""
    path = written(tmp_path, [*PADDING, *CLUSTER_WIDE, *PADDING])
    records, coverage = scanned([path], query, processes=processes)
    assert [request.latest.event.audit_id for request in merge(records, query)] == told, name
    assert [record.number for record in records] == [50 + number for number in _numbers(told)]
    assert coverage.lines == len(CLUSTER_WIDE) + 2 * len(PADDING)
    assert coverage.undecoded > coverage.lines - 15


def _numbers(told: list[str]) -> list[int]:
    return [number for number, seen in enumerate(CLUSTER_WIDE, start=1) if seen.audit_id in told]


def test_stages_without_the_needle_are_found(tmp_path: Path) -> None:
    """A creation is told with its early stage, which does not have the object's name; also from an older file."""
    early, late = life(Stage.REQUEST_RECEIVED, Stage.RESPONSE_COMPLETE, verb="create")
    early = replace(early, object_ref=ref("deployments"))
    older = written(tmp_path, [*PADDING, early, *PADDING], "older.log")
    newer = written(tmp_path, [*PADDING, late, *PADDING], "newer.log")
    query = Query(names=(Pattern("web"),))
    records, _ = scanned([older, newer], query)
    (request,) = merge(records, query)
    assert [(seen.file, seen.number) for seen in request.stages] == [(str(older), 51), (str(newer), 51)]


def _without_name(early: bytes) -> bytes:
    return early.replace(b'"name":"web",', b"")


@pytest.mark.parametrize(
    ("name", "query", "changed"),
    [
        ("its URI has the name", DELETION, _without_name),
        ("it spells its URI", DELETION, lambda early: _without_name(early).replace(b"/web", b"/\\u0077eb")),
        ("only its end has the name", DELETION, lambda early: _without_name(early).replace(b"/web", b"/w-e-b")),
        (
            "it has another user agent",
            Query(texts=("kubectl/v1.36.2",)),
            lambda early: early.replace(b"kubectl", b"curl"),
        ),
    ],
)
@pytest.mark.parametrize("sizes", [TINY, Sizes(smallest=0), Sizes(smallest=0, part=5_000)])
def test_early_stages_are_found_by_whatever_they_have(
    tmp_path: Path, name: str, query: Query, changed: Callable[[bytes], bytes], sizes: Sizes
) -> None:
    """Whether or not the first look at the log has come by a request's other events, none of them is lost."""
    early, late = map(encode_line, life(Stage.REQUEST_RECEIVED, Stage.RESPONSE_COMPLETE))
    padding = b"".join(map(encode_line, PADDING)).replace(b"kubectl", b"kubelet")
    path = tmp_path / "audit.log"
    path.write_bytes(padding + changed(early) + padding + late)
    records, _ = scanned([path], query, sizes=sizes)
    slow, _ = slowly([path])
    assert list(merge(records, query)) == list(merge(slow, query)), name
    assert {record.number for record in records} >= {len(PADDING) + 1, 2 * len(PADDING) + 2} - (
        {len(PADDING) + 1} if "only" in name else set()
    )


@pytest.mark.parametrize("sizes", [TINY, Sizes(smallest=0)])
def test_requests_of_one_uri_are_found_with_all_their_stages(tmp_path: Path, sizes: Sizes) -> None:
    """Where few URIs stand for several audit IDs, they are looked for; one of the lines spells its URI."""
    query = Query(texts=("curl",))
    lives = [
        life(Stage.REQUEST_RECEIVED, Stage.RESPONSE_COMPLETE, audit_id=f"id-{n}", user_agent="curl") for n in range(3)
    ]
    early = [encode_line(one[0]).replace(b"curl", b"wget") for one in lives]
    early[1] = early[1].replace(b"deployments/web", b"deplo\\u0079ments\\/we\\u0062")
    padding = b"".join(map(encode_line, PADDING)).replace(b"deployments/web", b"pods/api")
    path = tmp_path / "audit.log"
    path.write_bytes(padding + b"".join(early) + padding + b"".join(encode_line(one[1]) for one in lives))
    records, _ = scanned([path], query, sizes=sizes)
    assert list(merge(records, query)) == list(merge(slowly([path])[0], query))
    assert [len(request.stages) for request in merge(records, query)] == [2] * 3


def test_many_requests_are_found_with_all_their_stages(tmp_path: Path) -> None:
    """Past a few, audit IDs are looked up line by line; nothing else changes."""
    lives = [life(Stage.REQUEST_RECEIVED, Stage.RESPONSE_COMPLETE, audit_id=f"id-{n}") for n in range(40)]
    path = written(tmp_path, [*PADDING, *(one[0] for one in lives), *PADDING, *(one[1] for one in lives)])
    query = Query(names=(Pattern("web"),), stages=(Pattern("ResponseComplete"),))
    records, coverage = scanned([path], query)
    assert [len(request.stages) for request in merge(records, query)] == [2] * 40
    assert coverage.undecoded == len(PADDING) * 2 + 40


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("white space before it", b'"auditID" : "id-7"'),
        ("a key by its number", b'"audit\\u0049D":"id-7"'),
        ("a value by its number", b'"auditID":"i\\u0064-7"'),
        ("a key that comes twice", b'"auditID":"x","auditID":"id-7"'),
        ("another key of the name", b'"auditID":"id-7","requestObject":{"auditID":"x"}'),
    ],
)
def test_of_many_requests_one_may_spell_its_audit_id(tmp_path: Path, name: str, spelled: bytes) -> None:
    """Past a few audit IDs, too, a stage is found however its ID is written."""
    lives = [life(Stage.REQUEST_RECEIVED, Stage.RESPONSE_COMPLETE, audit_id=f"id-{n}") for n in range(20)]
    early = [encode_line(one[0]).replace(b'"auditID":"id-7"', spelled) for one in lives]
    path = written(tmp_path, PADDING)
    path.write_bytes(b"".join([path.read_bytes(), *early, path.read_bytes(), *(encode_line(one[1]) for one in lives)]))
    query = Query(names=(Pattern("web"),), stages=(Pattern("ResponseComplete"),))
    records, _ = scanned([path], query)
    assert [record.number for record in records] == [*range(51, 71), *range(121, 141)], name


@pytest.mark.parametrize(
    ("name", "query", "text"),
    [
        ("a query without a needle", Query(codes=()), None),
        ("a log of another shape", DELETION, b'{"apiVersion":"audit.k8s.io/v1","kind":"Event"}\n'),
        ("a pretty-printed list", DELETION, b'{\n  "kind": "EventList",\n'),
        ("an audit ID that cannot be looked for", DELETION, encode_line(event(audit_id="<&>"))),
    ],
)
def test_what_cannot_be_scanned_is_read(tmp_path: Path, name: str, query: Query, text: bytes | None) -> None:
    """Where no needle helps, every line is read and decoded."""
    path = written(tmp_path, PADDING)
    if text is not None:
        path.write_bytes(text + path.read_bytes())
    records, coverage = scanned([path], query)
    assert (records, coverage) == slowly([path]), name
    assert coverage.undecoded == 0


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("people", Query(human=True)),
        ("a class of codes", Query(codes=(CodePattern.parse("4xx"),))),
        ("only negations", Query(users=(Pattern("alice", negated=True),))),
        ("a time", Query(since="2026-03-02T00:00:00.000000Z")),
    ],
)
@pytest.mark.parametrize("processes", [1, 3])
def test_without_a_needle_each_line_is_decoded_and_few_are_kept(
    tmp_path: Path, name: str, query: Query, processes: int
) -> None:
    """Where no needle helps, only the lines of requests that match are kept; all were read, and bad ones are told."""
    day = "2026-03-02T00:00:01.000000Z"
    machines = [replace(one, user=User("system:node:n1")) for one in PADDING]
    alices = [replace(one, user=User("alice")) for one in PADDING]
    kept = life(
        Stage.REQUEST_RECEIVED,
        Stage.RESPONSE_COMPLETE,
        user=User("bob"),
        audit_id="kept",
        response_status=Status(code=404),
        stage_timestamp=day,
    )
    others = alices if query.users else machines
    path = written(tmp_path, [*others, kept[0], *others, kept[1]])
    torn = encode_line(kept[1])[:-20]
    path.write_bytes(path.read_bytes() + torn + b"\n" + encode_line(others[0]))
    records, coverage = scanned([path], query, processes=processes)
    slow, slow_coverage = slowly([path])
    assert [record.number for record in records] == [51, 102], name
    assert list(merge(records, query)) == list(merge(slow, query))
    assert coverage == slow_coverage
    assert coverage.bad_lines == 1


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("query", [Query(verbs=(Pattern("delete"),)), Query(human=True)])
def test_an_answer_without_room_is_read(tmp_path: Path, query: Query, processes: int) -> None:
    """However many parts and processes there are, lines of an answer are kept up to one bound; past it all are read."""
    path = written(tmp_path, PADDING)
    size = path.stat().st_size
    _, coverage = found = scanned([path], query, sizes=dataclasses.replace(TINY, answer=size // 2), processes=processes)
    assert found == slowly([path])
    assert coverage.undecoded == 0
    records, _ = scanned([path], query, sizes=dataclasses.replace(TINY, answer=2 * size), processes=processes)
    assert len(records) == len(PADDING)


@pytest.mark.parametrize("query", [DELETION, Query(human=True), Query()], ids=["needle", "no needle", "everything"])
def test_who_waits_no_longer_ends_the_search(tmp_path: Path, query: Query) -> None:
    """What the caller's tick raises ends the search while it goes on, however the log is searched."""
    path = written(tmp_path, PADDING)
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        list(scan(places([path]), Coverage(), [query], sizes=TINY, tick=tick))
    assert ticks == 3


def test_a_small_log_is_read(tmp_path: Path) -> None:
    """A few lines are all decoded, so that nothing has to be passed over."""
    records, coverage = scanned([written(tmp_path, PADDING)], DELETION, sizes=Sizes())
    assert len(records) == len(PADDING)
    assert coverage.undecoded == 0


def test_what_befalls_files_is_told(tmp_path: Path) -> None:
    """A file that is cut off is named, and what it has before is searched."""
    whole = gzip.compress(b"".join(map(encode_line, [*PADDING, event()])))
    text = b"".join(map(encode_line, PADDING)) + whole[:0]
    cut = tmp_path / "cut.log.gz"
    cut.write_bytes(gzip.compress(text) + whole[:-8])
    records, coverage = scanned([cut], DELETION)
    assert [record.number for record in records] == [len(PADDING) * 2 + 1]
    assert len(coverage.problems) == 1
    assert "cut off" in coverage.problems[0]


def test_a_line_that_passed_and_cannot_be_decoded_is_counted(tmp_path: Path) -> None:
    """A bad line with the needle is counted and named; one without it is passed over."""
    path = written(tmp_path, PADDING)
    torn = encode_line(event())[:-20]
    path.write_bytes(path.read_bytes() + torn + b"\n" + torn.replace(b'"web"', b'"api"') + b"\n")
    _, coverage = scanned([path], DELETION)
    assert coverage.bad_lines == 1
    assert [bad.number for bad in coverage.bad_examples] == [len(PADDING) + 1]
    assert coverage.undecoded == len(PADDING) + 1


def test_the_times_of_the_ends_are_told(tmp_path: Path) -> None:
    """The first and the last line are looked at, so that an answer can say from when to when the log goes."""
    ends = [event(stage_timestamp=f"2026-03-0{day}T00:00:00.000000Z") for day in (1, 9)]
    path = written(tmp_path, [ends[0], *PADDING, ends[1]])
    _, coverage = scanned([path], Query(names=(Pattern("other"),)))
    assert (coverage.first, coverage.last) == (ends[0].stage_timestamp, ends[1].stage_timestamp)


def test_a_broken_process_is_made_good(tmp_path: Path) -> None:
    """What a child process could not do is done by the parent."""
    parent = os.getpid()
    done = fork_map(lambda value: value if os.getpid() == parent else os._exit(1), range(7), 3)
    assert done == list(range(7))


def test_an_error_of_a_process_is_raised() -> None:
    """An error in a child ends the whole, and no child is left behind."""
    parent = os.getpid()
    reading, writing = os.pipe()
    waits = [True]

    def fail(value: int) -> int:
        if os.getpid() != parent:
            os.write(writing, b".")
            raise TooMuchError("too much")
        while waits:  # until the child has its share
            os.read(reading, 1)
            waits.clear()
        return value

    with pytest.raises(TooMuchError):
        fork_map(fail, range(4), 2)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    os.close(reading)
    os.close(writing)


def test_each_value_is_done_once_by_whoever_is_free() -> None:
    """However many values there are, the results stand in their order."""
    for number in (0, 1, 2, 5, 4_001, 6_000):
        assert fork_map(lambda value: value * 2, range(number), 3) == [value * 2 for value in range(number)]

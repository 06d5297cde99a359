from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any

import pytest

from ask.logs import event, lines
from decklog.audit.wire import decode_event, encode_event
from decklog.sources.places import Place, find
from decklog.sources.reader import read
from decklog.sources.record import Coverage, Record

if TYPE_CHECKING:
    from pathlib import Path

GOOD = encode_event(event())


def with_body(body: bytes) -> bytes:
    """An event whose requestObject is `body`, whatever that is."""
    return GOOD.replace(b',"requestReceivedTimestamp"', b',"requestObject":' + body + b',"requestReceivedTimestamp"')


def read_bytes(data: bytes, **limits: Any) -> tuple[list[Record], Coverage]:
    coverage = Coverage()
    return list(read([Place("-", io.BytesIO(data))], coverage, **limits)), coverage


def test_a_record_is_the_line_its_place_and_the_event() -> None:
    """Lines are kept byte for byte, counted from 1, and decoded; blank ones are passed over."""
    odd = GOOD.replace(b"alice", b"al\\u0069ce") + b" \r"
    records, coverage = read_bytes(GOOD + b"\n\n  \n" + odd)
    assert [(record.line, record.file, record.number) for record in records] == [(GOOD, "-", 1), (odd, "-", 4)]
    assert [record.event for record in records] == [event(), event()]
    assert (coverage.lines, coverage.bad_lines, coverage.files) == (2, 0, ["-"])
    assert coverage.size_bytes == len(GOOD + b"\n\n  \n" + odd)
    assert (coverage.first, coverage.last) == ("2026-03-01T10:00:00.250000Z",) * 2


CORE_EVENT = (
    b'{"kind":"Event","apiVersion":"v1","metadata":{"name":"web.17"},"involvedObject":{"kind":"Pod","name":"web"},'
    b'"reason":"Started","type":"Normal","eventTime":null,"count":1}'
)
POISON: dict[str, bytes] = {
    "an event of core/v1": CORE_EVENT,
    "empty object": b"{}",
    "not JSON": b"hello",
    "binary": bytes(range(256)).replace(b"\n", b""),
    "NUL": b"\0" * 100,
    "cut off": GOOD[:200],
    "two glued together": GOOD[:150] + GOOD,
    "a list": b"[1]",
    "a number": b"1",
    "a wrong type": GOOD.replace(b'"alice"', b"7"),
    "another kind": GOOD.replace(b'"Event"', b'"Pod"'),
    "another version": GOOD.replace(b"audit.k8s.io/v1", b"audit.k8s.io/v9"),
    "invalid UTF-8 outside": b"\xff" + GOOD,
    "5,000 digits for a code": GOOD.replace(b'"code":200', b'"code":' + b"9" * 5000),
    "deep nesting outside": b"[" * 100_000,
    "deeper than Go reads": with_body(b"[" * 20_000 + b"]" * 20_000),
    "legacy": b'2026-03-01T10:00:00Z AUDIT: id="1" stage="ResponseComplete" ip="10.0.0.7" method="get"',
}
HARMLESS: dict[str, bytes] = {
    "lone surrogate in a body": with_body(b'"\\ud800"'),
    "too large a number in a body": with_body(b"1e400"),
    "5,000 digits in a body": with_body(b"9" * 5000),
    "deep nesting in a body": with_body(b"[" * 9_000 + b"]" * 9_000),
    "a raw byte in a body": with_body(b'"\xff"'),
    "duplicate keys in a body": with_body(b'{"a":1,"a":2}'),
    "NUL in a name": GOOD.replace(b'"web"', b'"w\\u0000eb"'),
    "a raw byte in a name": GOOD.replace(b'"web"', b'"w\xffeb"'),
    "unknown field": GOOD.replace(b'"kind"', b'"new":{},"kind"'),
}


FOREIGN: dict[str, bytes] = {
    "an auditID alone": b'{"auditID":"1"}',
    "a bare kind": b'{"kind":"Event"}',
    "a bare kind and version": b'{"kind":"Event","apiVersion":"audit.k8s.io/v1"}',
    "an event of core/v1 without its version": CORE_EVENT.replace(b'"apiVersion":"v1",', b""),
    "no stage": b'{"level":"Metadata","auditID":"1","requestURI":"/","verb":"get"}',
    "an empty level": GOOD.replace(b'"level":"Metadata"', b'"level":""'),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_line_without_level_and_stage_is_no_audit_event(name: str) -> None:
    """It is counted among the bad lines, and named for what it is not."""
    records, coverage = read_bytes(GOOD + b"\n" + FOREIGN[name] + b"\n")
    assert [record.event is not None for record in records] == [True, False]
    assert coverage.bad_lines == 1
    assert coverage.bad_examples[0].problem == "not an audit event: it has no level or no stage"


@pytest.mark.parametrize("name", POISON)
def test_a_bad_line_is_named_and_its_neighbours_are_read(name: str) -> None:
    """Whatever stands in a line: it is counted, named with its reason, kept verbatim, and nothing else is lost."""
    records, coverage = read_bytes(GOOD + b"\n" + POISON[name] + b"\n" + GOOD + b"\n")
    assert [record.event is not None for record in records] == [True, False, True]
    bad = records[1]
    assert bad.line == POISON[name]
    assert (bad.file, bad.number) == ("-", 2)
    assert 0 < len(bad.problem) < 200
    assert coverage.bad_lines == 1
    assert coverage.bad_examples[0].problem == bad.problem


@pytest.mark.parametrize("name", HARMLESS)
def test_a_hostile_body_takes_no_event_down(name: str) -> None:
    """What an API server records of a hostile request is read as an event."""
    records, coverage = read_bytes(HARMLESS[name] + b"\n" + GOOD)
    assert [record.event is not None for record in records] == [True, True], records[0].problem
    assert coverage.bad_lines == 0


def test_the_legacy_format_is_recognised() -> None:
    """A log of the other format is not called broken JSON."""
    records, _ = read_bytes(POISON["legacy"])
    assert records[0].problem == "a line of the legacy text format"


def test_a_line_that_is_too_long_is_named() -> None:
    """A line past the limit is a bad line without its text."""
    records, coverage = read_bytes(GOOD + b"\n" + b"x" * (2 << 20) + b"\n" + GOOD, max_line_bytes=1 << 20)
    assert [record.event is not None for record in records] == [True, False, True]
    assert (records[1].line, records[1].problem) == (b"", "longer than 1 MiB")
    assert coverage.bad_examples[0].number == 2


def test_only_the_first_bad_lines_are_kept() -> None:
    """A file of nothing but bad lines needs no more memory than a good one; all are counted."""
    _, coverage = read_bytes(b"bad\n" * 1000)
    assert (coverage.bad_lines, coverage.lines, len(coverage.bad_examples)) == (1000, 1000, 5)


def test_a_byte_order_mark_is_no_part_of_the_first_event() -> None:
    """A log that went through an editor still begins with an event."""
    records, _ = read_bytes(b"\xef\xbb\xbf" + GOOD)
    assert records[0].event == event()


def test_a_family_is_read_in_time_order(tmp_path: Path) -> None:
    """Packed, plain and current part give their lines oldest first, each with its own file and number."""
    parts = [event(audit_id=str(number)) for number in range(3)]
    (tmp_path / "audit-2026-01-01T00-00-00.000.log.gz").write_bytes(gzip.compress(lines(parts[:1])))
    (tmp_path / "audit-2026-01-02T00-00-00.000.log").write_bytes(lines(parts[1:2]))
    (tmp_path / "audit.log").write_bytes(lines(parts[2:]))
    coverage = Coverage()
    records = list(read(find([str(tmp_path / "audit.log")], io.BytesIO()), coverage))
    assert [record.event.audit_id for record in records if record.event] == ["0", "1", "2"]
    assert [record.file for record in records] == coverage.files
    assert [decode_event(record.line) for record in records] == parts
    assert coverage.size_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_trouble_with_a_file_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    """A part that is cut off, vanished or no file at all ends nothing."""
    (tmp_path / "audit.log").write_bytes(GOOD)
    (tmp_path / "audit.log.1.gz").write_bytes(gzip.compress(GOOD + b"\n" + GOOD, 0)[:-20])
    (tmp_path / "audit.log.2").mkdir()
    (tmp_path / "audit.log.3").write_bytes(GOOD)
    places = find([str(tmp_path / "audit.log")], io.BytesIO())
    (tmp_path / "audit.log.3").unlink()
    coverage = Coverage()
    good = [record.file for record in read(places, coverage) if record.event]
    assert good == [str(tmp_path / name) for name in ("audit.log.1.gz", "audit.log")]
    assert [problem.removeprefix(str(tmp_path)) for problem in coverage.problems] == [
        "/audit.log.3: cannot be read (No such file or directory)",
        "/audit.log.2: cannot be read (Is a directory)",
        "/audit.log.1.gz: gzip data is cut off; it ends in the middle (still being written?)",
    ]


def test_a_reader_that_is_left_closes_what_it_opened(tmp_path: Path) -> None:
    """Who stops asking leaves no file open; standard input stays its owner's."""
    (tmp_path / "audit.log").write_bytes(GOOD)
    stdin = io.BytesIO(GOOD)
    places = find(["-", str(tmp_path / "audit.log")], stdin)
    reading = read(places, Coverage())
    assert next(reading).event is not None
    reading.close()  # type: ignore[attr-defined]  # because: it is a generator
    assert places[1].file is not None
    assert places[1].file.closed
    assert not stdin.closed

"""The end of a log: what was written since a time, and the newest request, without reading the rest."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from ask.logs import event, log
from decklog.audit.times import microtime, nanoseconds
from decklog.audit.wire import encode_line
from decklog.web import lately
from decklog.web.limits import Deadline
from decklog.web.scanned import Files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = nanoseconds("2026-03-01T10:00:00.000000Z")
AGENT = "x" * 900


def at(second: float) -> str:
    return microtime(START + int(second * 1_000_000_000))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four thousand events of five seconds each, 6 MB; every third line is a little late, one is no event."""
    path = tmp_path_factory.mktemp("large") / "audit.log"
    with path.open("wb") as file:
        for number in range(4000):
            stage = at(5 * number - (20 if number % 3 == 0 else 0))
            one = event(
                audit_id=f"id-{number}", user_agent=AGENT, request_received_timestamp=stage, stage_timestamp=stage
            )
            file.write(encode_line(one))
            if number == 3900:
                file.write(b'{"kind":"Event","apiVersion":"audit.k8s.io/v1", broken\n')
    return path


@pytest.mark.parametrize("second", [-100, 0, 30, 10_000, 19_000, 19_900, 19_994, 19_995, 30_000])
def test_what_was_written_since_a_time_is_what_a_whole_reading_gives(large: Path, second: int) -> None:
    """Wherever the time lies, and although lines are out of order by some seconds."""
    wanted = [
        line for line in large.read_bytes().split(b"\n") if b'"stageTimestamp"' in line and _stage(line) >= at(second)
    ]
    assert list(Files([str(large)]).lines(at(second), Deadline())) == wanted


def _stage(line: bytes) -> str:
    return line.partition(b'"stageTimestamp":"')[2][:27].decode()


def test_little_of_a_large_log_is_read(large: Path) -> None:
    """The last minutes begin in its last piece."""
    with large.open("rb") as file:
        offset = lately.offset_since(file, at(19_900))
    assert offset is not None
    assert offset > large.stat().st_size / 2


def test_the_newest_request_is_told_from_the_end(large: Path) -> None:
    """As it is from the whole."""
    assert Files([str(large)]).newest(Deadline()) == at(19_995 - 20 * (3999 % 3 == 0))


NO_LOGS: dict[str, Callable[[bytes], bytes]] = {
    "packed": gzip.compress,
    "an envelope": lambda line: b'{"hostname":"a","message":' + line.rstrip(b"\n") + b"}\n",
    "empty": lambda _: b"",
    "an event without its line feed": lambda line: line.rstrip(b"\n"),
}


@pytest.mark.parametrize("name", NO_LOGS)
def test_what_is_no_plain_log_is_read_as_ever(tmp_path: Path, name: str) -> None:
    """Its newest request and its lines are those of the reader."""
    path = tmp_path / ("audit.log.gz" if name == "packed" else "audit.log")
    path.write_bytes(NO_LOGS[name](encode_line(event())))
    files = Files([str(path)])
    expected = event().request_received_timestamp if name in {"packed", "an event without its line feed"} else None
    assert files.newest(Deadline()) == expected
    assert len(list(files.lines(at(-3600), Deadline()))) == (expected is not None)


def test_a_rotated_family_is_read_where_the_time_is_before_the_last_file(tmp_path: Path) -> None:
    """The older file has the rest."""
    old = event(audit_id="old", request_received_timestamp=at(0), stage_timestamp=at(0))
    new = event(audit_id="new", request_received_timestamp=at(50), stage_timestamp=at(50))
    log(tmp_path / "audit-2026-03-01T10-00-40.000.log", old)
    path = log(tmp_path / "audit.log", new)
    found = list(Files([str(path)]).lines(at(-10), Deadline()))
    assert [b'"old"' in line for line in found] == [True, False]

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import DISK_FULL, FaultyDisk
from decklog.audit.event import User
from decklog.audit.intent import Intent
from decklog.audit.sink import DeliveryError
from decklog.backends.intents import IntentLog
from decklog.disk import Disk
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from pathlib import Path


def intent(number: int, **overrides: str) -> Intent:
    values = {"audit_id": str(number), "verb": "delete", "request_uri": f"/api/v1/nodes/n{number}?dryRun=All"}
    values |= overrides
    return Intent(user=User("alice", groups=("dev",)), time=f"2026-01-02T03:04:05.{number:06d}Z", **values)


def left(path: Path) -> list[str]:
    """The audit IDs that a next start finds open."""

    async def look() -> list[str]:
        async with IntentLog(path, Disk()) as log:
            return [found.audit_id for found in log.unfinished]

    return asyncio.run(look())


def test_an_intent_that_is_closed_is_never_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A request whose last event was stored leaves nothing to tell."""
    path = tmp_path / "audit.log.intents"

    async def scenario() -> None:
        async with IntentLog(path, Disk()) as log:
            for number in range(5):
                log.open(intent(number))
            for number in range(5):
                log.close(intent(number))

    asyncio.run(scenario())
    assert left(path) == []
    assert caplog.text == ""


def test_an_open_intent_is_told_at_the_next_start_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was never closed is told with who, what and when, without query or groups; after that never again."""
    path = tmp_path / "new" / "audit.log.intents"

    async def scenario() -> None:
        async with IntentLog(path, Disk()) as log:
            for number in range(4):
                log.open(intent(number))
            log.close(intent(2))
            log.close(intent(0))

    asyncio.run(scenario())
    lines = [json.loads(line) for line in path.read_text().splitlines() if line]
    assert lines[1] == {
        "auditID": "1",
        "verb": "delete",
        "requestURI": "/api/v1/nodes/n1?dryRun=All",
        "user": {"username": "alice", "groups": ["dev"]},
        "time": "2026-01-02T03:04:05.000001Z",
    }
    assert lines[4] == {"closed": "2", "time": "2026-01-02T03:04:05.000002Z"}
    assert left(path) == ["1", "3"]
    assert [record.getMessage() for record in caplog.records] == [
        f'a request was let through whose outcome was never recorded: {{"auditID": "{number}", "verb": "delete", '
        f'"path": "/api/v1/nodes/n{number}", "user": "alice", "time": "2026-01-02T03:04:05.00000{number}Z"}}'
        for number in (1, 3)
    ]
    assert left(path) == []
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_clients_may_reuse_an_audit_id(tmp_path: Path) -> None:
    """Closing one request leaves another one open that has the same audit ID."""
    path = tmp_path / "intents"

    async def scenario() -> None:
        async with IntentLog(path, Disk()) as log:
            log.open(intent(1, audit_id="same"))
            log.open(intent(2, audit_id="same"))
            log.close(intent(1, audit_id="same"))
            log.close(intent(1, audit_id="same"))

    asyncio.run(scenario())
    assert left(path) == ["same"]


def test_bytes_that_are_no_text_are_kept_and_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An audit ID or URI that is no UTF-8, or holds line ends, can be kept, told in one line, and closed."""
    path = tmp_path / "intents"
    hostile = intent(1, audit_id="\udcff\n\x1b", request_uri="/\udcfe\r\n")

    async def scenario() -> None:
        async with IntentLog(path, Disk()) as log:
            log.open(hostile)
            log.open(intent(2, audit_id="\udcff"))
            log.close(intent(2, audit_id="\udcff"))

    asyncio.run(scenario())
    assert left(path) == ["\ufffd\n\x1b"]
    assert len(caplog.records[0].getMessage().splitlines()) == 1


def test_the_file_stays_small(tmp_path: Path) -> None:
    """However many requests pass, the file holds little more than what is open, and loses none of these."""
    path = tmp_path / "intents"

    async def scenario() -> None:
        async with IntentLog(path, Disk(), rewrite_bytes=2000) as log:
            log.open(intent(0))
            for number in range(1, 300):
                log.open(intent(number))
                log.close(intent(number))
                assert path.stat().st_size < 3000
            log.open(intent(300))

    asyncio.run(scenario())
    assert left(path) == ["0", "300"]


@pytest.mark.parametrize("operation", ["append", "datasync", "fstat"])
def test_an_intent_that_cannot_be_kept_refuses_the_request(operation: str, tmp_path: Path) -> None:
    """Without room, or when syncing fails, `open` raises; its request is not told, and the next one is kept whole."""
    path, disk = tmp_path / "intents", FaultyDisk()

    async def scenario() -> None:
        async with IntentLog(path, disk) as log:
            log.open(intent(1))
            disk.arm("full" if operation == "append" else "fail", 1, only=operation, code=DISK_FULL)
            with pytest.raises(DeliveryError, match="No space left on device"):
                log.open(intent(2))
            log.close(intent(2))
            disk.freed()
            log.open(intent(3))

    asyncio.run(scenario())
    assert left(path) == ["1", "3"]


def test_a_failure_to_close_tells_too_often_not_too_rarely(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A close that cannot be written is a warning, and the intent is told at the next start."""
    path, disk = tmp_path / "intents", FaultyDisk()

    async def scenario() -> None:
        async with IntentLog(path, disk) as log:
            log.open(intent(1))
            disk.arm("full", 1, only="append")
            log.close(intent(1))
            disk.freed()

    asyncio.run(scenario())
    assert "an intent could not be closed" in caplog.text
    assert left(path) == ["1"]


def test_the_file_may_be_removed_while_it_is_open(tmp_path: Path) -> None:
    """When somebody removes the file, the next intent makes it anew with all that is open."""
    path = tmp_path / "intents"

    async def scenario() -> None:
        async with IntentLog(path, Disk()) as log:
            log.open(intent(1))
            path.unlink()
            log.open(intent(2))

    asyncio.run(scenario())
    assert left(path) == ["1", "2"]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"{",
        b"\0" * 4096,
        b'\0\0{"auditID":"5","verb":"get"',
        b'{"closed":\xff',
        b'{"closed":' + b"[" * 9000,
        b'{"closed":1}',
        b'{"closed":[],"time":{}}',
        b'{"auditID":"5"',
    ],
    ids=range(9),
)
def test_lines_that_are_no_intents_are_passed_over(junk: bytes, tmp_path: Path) -> None:
    """What a kill or a power cut left of a line spoils no other."""
    path = tmp_path / "intents"

    async def scenario() -> None:
        async with IntentLog(path, Disk()) as log:
            log.open(intent(1))
            log.open(intent(2))

    asyncio.run(scenario())
    first, second = (line for line in path.read_bytes().split(b"\n") if line)
    path.write_bytes(b"\n".join((first, junk, second, b"")) + junk)
    assert left(path) == ["1", "2"]


def test_intents_belong_to_one_process(tmp_path: Path) -> None:
    """Whoever opens a file that is in use is refused, also after it was written anew; the first one goes on."""
    path = tmp_path / "intents"

    async def refused() -> None:
        with pytest.raises(DecklogError, match=r"in use by another process.*--audit-intent-path"):
            await IntentLog(path, Disk()).__aenter__()

    async def scenario() -> None:
        async with IntentLog(path, Disk(), rewrite_bytes=100) as log:
            await refused()
            for number in range(10):
                log.open(intent(number))
                log.close(intent(number))
                await refused()
            log.open(intent(10))

    asyncio.run(scenario())
    assert left(path) == ["10"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"1"}\n',
        b"apiVersion: audit.k8s.io/v1\nkind: Policy\n",
        b"no newline at the end",
        b'{"closed":"1","time":""}\n\n{}\n',
    ],
    ids=["an audit log", "a policy", "a text", "a foreign line behind"],
)
def test_a_file_of_something_else_is_refused_and_left_alone(content: bytes, tmp_path: Path) -> None:
    """A slip of the flag must not cost a log: a file that holds no intents is never written anew."""
    path = tmp_path / "audit.log"
    path.write_bytes(content)
    log = IntentLog(path, Disk())
    with pytest.raises(DecklogError, match=r"holds something else than intents.*--audit-intent-path"):
        asyncio.run(log.__aenter__())
    assert path.read_bytes() == content
    assert [found.name for found in tmp_path.iterdir()] == ["audit.log"]


def test_a_device_is_no_place_for_intents() -> None:
    """/dev/full and /dev/zero can be read for ever: they are refused, not read."""
    with pytest.raises(DecklogError, match=r"cannot keep intents in /dev/full: it is a device"):
        asyncio.run(IntentLog("/dev/full", Disk()).__aenter__())


def test_a_path_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    """A directory in the file's place is told with the flag to change, and a log that is not open keeps nothing."""
    (tmp_path / "intents").mkdir()
    log = IntentLog(tmp_path / "intents", Disk())
    with pytest.raises(DecklogError, match=r"cannot keep intents in .*Is a directory.*--audit-intent-path"):
        asyncio.run(log.__aenter__())
    with pytest.raises(DeliveryError, match="not open"):
        log.open(intent(1))


def lives(path: Path, noted: Path, disk: FaultyDisk) -> bool:
    """Fork a child that opens and closes intents and notes what it was told; False: it was killed or gave up."""
    child = os.fork()
    if not child:
        try:
            asyncio.run(_open_and_close(path, os.open(noted, os.O_WRONLY | os.O_CREAT | os.O_APPEND), disk))
        except (DecklogError, DeliveryError):
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0 and not disk.met


async def _open_and_close(path: Path, notes: int, disk: FaultyDisk) -> None:
    logger = logging.getLogger("decklog.backends.intents")
    logger.handlers = [_Note(notes)]
    async with IntentLog(path, disk, rewrite_bytes=300) as log:
        for number in range(10, 20):
            log.open(intent(number))
            os.write(notes, b"open %d\n" % number)
            if number % 3:
                os.write(notes, b"close %d\n" % number)
                log.close(intent(number))
    if disk.met:
        os._exit(1)


class _Note(logging.Handler):
    """Writes the audit ID of each intent that is told."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def emit(self, record: logging.LogRecord) -> None:
        if "auditID" in record.getMessage():
            os.write(self._fd, f"told {record.getMessage().split(': ')[2].split(',')[0].strip(chr(34))}\n".encode())


@pytest.mark.parametrize("kind", ["kill", "kill torn", "fail"])
def test_a_fault_at_any_point_hides_no_open_intent(kind: str, tmp_path: Path) -> None:
    """What was kept and not closed before a kill is told at the next start; so is what an earlier run left."""
    faults = 0
    for faults in range(200):
        path, noted = tmp_path / f"{faults}.intents", tmp_path / f"{faults}.notes"
        asyncio.run(_leave_open(path))
        lived = lives(path, noted, FaultyDisk(kind, faults + 1))
        notes = [line.split() for line in noted.read_text().splitlines()]
        said = {what: {number for other, number in notes if other == what} for what in ("told", "open", "close")}
        told = set(left(path)) | said["told"]
        assert told >= (said["open"] - said["close"]) | {"1"}, faults
        assert told <= {"1", *map(str, range(10, 20))}, faults
        if lived:
            break
    assert 50 < faults < 199


async def _leave_open(path: Path) -> None:
    async with IntentLog(path, Disk()) as log:
        log.open(intent(1))

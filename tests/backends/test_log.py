from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import FaultyDisk
from backends.log_family import Clock, all_numbers, line, numbers
from decklog.audit.event import Event, User
from decklog.audit.sink import Backend, DeliveryError
from decklog.backends.books import Entered
from decklog.backends.log import LogBackend, LogOptions, log_backend
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.metrics import Account, AuditCounters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


DEADLINE_S = 20.0


def event(number: int) -> Event:
    return Event(
        level="Metadata",
        audit_id=str(number),
        stage="ResponseComplete",
        request_uri="/",
        verb="get",
        user=User(),
        request_received_timestamp=None,
        stage_timestamp=None,
    )


def encode(event: Event) -> bytes:
    """An encoder that cannot encode number 13."""
    if event.audit_id == "13":
        raise ValueError("the password is hunter2")
    return line(int(event.audit_id), 30_000)


def backend(
    path: Path | str,
    disk: Disk | None = None,
    counters: AuditCounters | None = None,
    account: Account | None = None,
    **options: object,
) -> LogBackend:
    made = replace(LogOptions(path=str(path), max_size_mib=1), **options)  # type: ignore[arg-type]  # because: mypy cannot check names that come as a mapping
    counters = counters if counters is not None else AuditCounters()
    return log_backend(made, encode, counters, account=account, disk=disk, clock_ns=Clock())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_it_is_a_backend_and_prints_its_name(tmp_path: Path) -> None:
    """The log backend fulfils the contract and is called ``log``."""
    made = backend(tmp_path / "audit.log")
    assert isinstance(made, Backend)
    assert str(made) == "log"


def test_events_become_lines_in_order(tmp_path: Path) -> None:
    """When `process` returns the lines are in the file, one an event; the new file is private."""
    path = tmp_path / "new" / "audit.log"

    async def scenario() -> None:
        async with backend(path) as log:
            log.process([event(0)])
            log.process([event(1), event(2)])
            log.process([])
            assert numbers(path.read_bytes()) == [0, 1, 2]

    asyncio.run(scenario())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_event_that_cannot_be_encoded_hurts_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its neighbours are written, it is counted, and nothing that it holds is told."""
    path = tmp_path / "audit.log"
    counters = AuditCounters()

    async def scenario() -> None:
        async with backend(path, counters=counters) as log:
            with pytest.raises(DeliveryError, match="1 event not stored: ValueError") as caught:
                log.process([event(12), event(13), event(14)])
            assert (caught.value.backend, caught.value.lost) == ("log", 1)
            with pytest.raises(DeliveryError):
                log.process([event(13)])

    asyncio.run(scenario())
    assert numbers(path.read_bytes()) == [12, 14]
    assert counters.error_total == {"log": 2}
    assert "hunter2" not in caplog.text
    assert "ValueError at test_log.py" in caplog.text


def test_a_full_disk_is_counted_once_an_event_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    """Every event of a call is tried; each that is not stored is counted once under ``log``."""
    path = tmp_path / "audit.log"
    counters = AuditCounters()
    disk = FaultyDisk("full", 1, only="append")

    async def scenario() -> None:
        async with backend(path, disk, counters) as log:
            with pytest.raises(DeliveryError, match="No space left") as caught:
                log.process([event(0), event(13), event(1)])
            assert caught.value.lost == 3
            disk.freed()
            log.process([event(2)])

    asyncio.run(scenario())
    assert [number for number in numbers(path.read_bytes()) if number >= 0] == [2]
    assert counters.error_total == {"log": 3}


def test_a_long_call_is_written_piece_by_piece(tmp_path: Path) -> None:
    """In order, whole, and each line that finds no room is counted, wherever the room ends."""
    path = tmp_path / "audit.log"
    account = Account()
    disk = FaultyDisk("full", 2, only="append")
    many = [event(number) for number in range(100, 200)]

    async def scenario() -> None:
        async with Entered(backend(path, disk, account=account), account) as log:
            with pytest.raises(DeliveryError, match="No space left") as caught:
                log.process(many)
            assert caught.value.lost == account.dropped["failed"] > 0
            assert account.balanced
            disk.freed()
            log.process(many)

    asyncio.run(scenario())
    whole = [number for number in all_numbers(path) if number >= 0]
    assert whole[-100:] == list(range(100, 200))
    assert whole[:-100] == list(range(100, 200 - account.dropped["failed"]))


@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_is_swallowed_outside_of_its_life(when: str, tmp_path: Path) -> None:
    """Before it was entered and after it was left every event is refused and counted."""
    counters = AuditCounters()
    log = backend(tmp_path / "audit.log", counters=counters)

    async def scenario() -> None:
        async with log:
            pass

    if when == "after":
        asyncio.run(scenario())
    with pytest.raises(DeliveryError, match="not open"):
        log.process([event(0)])
    assert counters.error_total == {"log": 1}


def test_a_path_that_cannot_be_written_is_found_at_the_start(tmp_path: Path) -> None:
    """Entering raises what the helm prints with exit code 2."""
    (tmp_path / "link").symlink_to(tmp_path / "target")

    async def scenario() -> None:
        with pytest.raises(DecklogError, match="symbolic link"):
            async with backend(tmp_path / "link"):
                pass

    asyncio.run(scenario())
    assert not (tmp_path / "target").exists()


def test_backups_are_packed_and_limited_by_the_end(tmp_path: Path) -> None:
    """What was rotated is packed and cleaned up when the backend has drained."""
    path = tmp_path / "audit.log"

    async def scenario() -> None:
        async with backend(path, compress=True, max_backups=2) as log:
            for number in range(200):
                log.process([event(number if number != 13 else 1300)])

    asyncio.run(scenario())
    packed = sorted(tmp_path.glob("*.gz"))
    assert len(packed) == 2
    assert len(list(tmp_path.iterdir())) == 3
    kept = all_numbers(path)
    assert kept == list(range(200 - len(kept), 200))
    assert len(numbers(gzip.decompress(packed[0].read_bytes()))) == 1024 * 1024 // 30_000


def test_a_packing_that_fails_is_counted_as_trouble_and_costs_no_event(tmp_path: Path) -> None:
    """Without room for packed files the plain ones stay, and it is told."""
    path = tmp_path / "audit.log"
    counters = AuditCounters()

    class NoRoomForPacked(Disk):
        def datasync(self, fd: int) -> None:
            del fd
            raise OSError(28, "No space left on device")

    log = backend(path, NoRoomForPacked(), counters, compress=True)

    async def scenario() -> None:
        async with log:
            for number in range(100, 140):
                log.process([event(number)])

    asyncio.run(scenario())
    assert log.troubles["compress"] >= 1
    assert not counters.error_total
    assert all_numbers(path) == list(range(100, 140))
    assert not list(tmp_path.glob("*.gz"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("how", ["removed", "renamed", "renamed, SIGHUP"])
def test_a_log_that_is_moved_is_followed_without_any_event(how: str, tmp_path: Path) -> None:
    """The caretaker makes it anew at its path by itself, and everything written before and after is there once."""
    path = tmp_path / "audit.log"
    moved = tmp_path / "audit.log.1"

    async def scenario() -> None:
        async with backend(path) as log:
            log.process([event(0)])
            if how == "removed":
                path.unlink()
            else:
                path.rename(moved)
            log.process([event(1)])
            if "SIGHUP" in how:
                log.reopen()
                assert path.exists()
            await until(path.exists)
            log.process([event(2)])

    asyncio.run(scenario())
    if how == "removed":
        assert numbers(path.read_bytes())[-2:] == [1, 2]
    else:
        both = numbers(moved.read_bytes()) + numbers(path.read_bytes())
        assert both == [0, 1, 2]
        assert numbers(path.read_bytes())[-1:] == [2]


@pytest.mark.parametrize(
    ("name", "calls", "full", "delivered", "dropped"),
    [
        ("one by one", [[0], [1]], False, 2, {}),
        ("several in a call", [[0, 1, 2], []], False, 3, {}),
        ("alone and not to be encoded", [[13]], False, 0, {"unencodable": 1}),
        ("among others", [[12, 13, 14]], False, 2, {"unencodable": 1}),
        ("all of a call", [[13, 13]], False, 0, {"unencodable": 2}),
        ("alone on a full disk", [[0]], True, 0, {"failed": 1}),
        ("several on a full disk", [[0, 13, 1]], True, 0, {"failed": 2, "unencodable": 1}),
    ],
)
def test_every_event_is_booked(
    name: str, calls: list[list[int]], full: bool, delivered: int, dropped: dict[str, int], tmp_path: Path
) -> None:
    """Written, ``failed`` or ``unencodable``: each event that came in is in one column after each call."""
    account = Account()
    disk = FaultyDisk("full", 1, only="append") if full else None
    log = Entered(backend(tmp_path / "audit.log", disk, account=account), account)

    async def scenario() -> None:
        async with log:
            for call in calls:
                with contextlib.suppress(DeliveryError):
                    log.process([event(number) for number in call])
                assert account.balanced, name
                assert account.in_flight == 0, name

    asyncio.run(scenario())
    assert account.delivered == delivered, name
    assert account.dropped == dropped, name


def test_events_that_nobody_could_keep_are_counted_at_the_end(tmp_path: Path) -> None:
    """A log that vanishes with its directory, and cannot come back, ends with a count."""
    path = tmp_path / "d" / "audit.log"
    counters = AuditCounters()
    account = Account(processed=1, delivered=1)

    async def scenario() -> None:
        async with backend(path, counters=counters, account=account) as log:
            path.unlink()
            path.parent.rmdir()
            path.parent.write_text("in the way")
            log._writer.write(line(0))

    async def guarded() -> None:
        try:
            await scenario()
        except OSError:
            counters.error_total["log"] += 1  # the caretaker was faster: the line was refused at once
            account.delivered, account.dropped["failed"] = 0, 1

    asyncio.run(guarded())
    assert counters.error_total == {"log": 1}
    assert (account.dropped, account.balanced) == ({"failed": 1}, True)


def test_standard_output_is_spelled_with_a_dash() -> None:
    """``-`` writes lines to standard output, and makes no file."""
    script = (
        "import asyncio; from backends.test_log import backend, event\n"
        "async def main():\n"
        "    async with backend('-') as log: log.process([event(0)]); log.process([event(1), event(2)])\n"
        "asyncio.run(main())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert numbers(done.stdout) == [0, 1, 2]

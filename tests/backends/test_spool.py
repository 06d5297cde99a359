from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest

from backends.delegates import turns
from backends.faulty_disk import DISK_FULL, FaultyDisk
from backends.spool_peers import BUSY, DOWN, Nest, numbered
from decklog.audit.sink import DeliveryError
from decklog.audit.wire import encode_item
from decklog.backends.delivery import PostError
from decklog.errors import DecklogError
from decklog.testing import event

if TYPE_CHECKING:
    from pathlib import Path


def test_while_the_receiver_is_there_nothing_touches_the_disk(tmp_path: Path) -> None:
    """What the receiver takes is delivered, and the spool writes no file but its lock."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")
        async with nest.entered:
            await nest.send(numbered(1, 2))
            await nest.send(numbered(3))
        assert nest.receiver.bodies == [[1, 2], [3]]
        assert nest.book == {"delivered": 3}
        assert [path.name for path in (tmp_path / "spool").iterdir()] == ["lock"]
        assert str(nest.entered) == "spool<webhook>"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "failure",
    [DOWN, BUSY, PostError(302, None, "302"), PostError(401, None, "401"), RuntimeError("a bug")],
    ids=["no answer", "503", "302", "401", "crash"],
)
def test_what_fails_waits_and_arrives_in_order(failure: Exception, tmp_path: Path) -> None:
    """While the receiver is away events join the end of the spool; when it is back they arrive once and in order."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")
        async with nest.entered:
            await nest.send(numbered(1))
            nest.receiver.down = failure
            for number in range(2, 40):
                await nest.send(numbered(number))
            assert nest.book == {"delivered": 1, "spooled": 38}
            nest.receiver.down = None
            await nest.send(numbered(40))
            assert nest.receiver.arrived == [1], "nothing overtakes"
            await nest.drained()
            await nest.send(numbered(41))
        assert nest.receiver.arrived == list(range(1, 42))
        assert nest.book == {"delivered": 41}
        assert nest.waiting == []

    asyncio.run(scenario())


def test_pauses_grow_and_end(tmp_path: Path) -> None:
    """Pauses between attempts are 1 s, then half as long again each time up to 30 s, and begin anew after a success."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")
        nest.receiver.down = DOWN
        async with nest.entered:
            await nest.send(numbered(1))
            await nest.send(numbered(2))
            pauses = []
            for _ in range(12):
                await turns()
                pauses += nest.time.waits
                await nest.time.pass_by(nest.time.waits[0])
            assert pauses[:4] == [1, 1.5, 2.25, 3.375]
            assert pauses[-2:] == [30, 30]
            nest.receiver.down = None
            await nest.drained()
            nest.receiver.down = DOWN
            await nest.send(numbered(3))
            await turns()
            assert nest.time.waits == [1]

    asyncio.run(scenario())


@pytest.mark.parametrize(("asked_s", "waited_s"), [(7, 7), (0.1, 1), (3600, 60)], ids=["longer", "shorter", "too long"])
def test_a_receiver_may_ask_for_a_longer_pause(asked_s: float, waited_s: float, tmp_path: Path) -> None:
    """Retry-After lengthens the pause, to 60 s at most."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")
        nest.receiver.down = PostError(429, asked_s, "the receiver answered 429")
        async with nest.entered:
            await nest.send(numbered(1))
            await turns()
            assert nest.time.waits == [waited_s]

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [400, 413])
@pytest.mark.parametrize("spooled", [False, True], ids=["at once", "from disk"])
@pytest.mark.parametrize("bad", [{1}, {8}, {3, 4}, {1, 5, 8}, set(range(1, 9))], ids=str)
def test_a_refused_event_is_parked_and_the_others_arrive(
    bad: set[int], spooled: bool, status: int, tmp_path: Path
) -> None:
    """A body that is refused is halved until the bad events are alone; these are parked, the others arrive in order."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool", bad=bad)
        async with nest.entered:
            if spooled:
                nest.receiver.fate = [DOWN]
            elif status == 413:
                nest.receiver.fate = [PostError(413, None, "too large")]
            await nest.send(numbered(*range(1, 9)))
            await nest.drained()
        assert nest.receiver.arrived == [number for number in range(1, 9) if number not in bad]
        assert nest.parked == sorted(bad)
        assert nest.book == {"delivered": 8 - len(bad), "parked": len(bad)} or len(bad) == 8
        assert nest.counters.error_total == {}
        again = Nest(tmp_path / "spool")
        async with again.entered:
            await again.drained()
        assert again.receiver.arrived == []

    asyncio.run(scenario())


def test_a_failure_amid_halving_keeps_the_rest(tmp_path: Path) -> None:
    """When the receiver goes away after half a body, only what it did not take is spooled, and is sent once."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool", bad={6})
        async with nest.entered:
            nest.receiver.fate = [PostError(413, None, "too large"), None, DOWN]
            await nest.send(numbered(*range(1, 9)))
            assert nest.book == {"delivered": 4, "spooled": 4}
            nest.receiver.fate = [PostError(413, None, "too large"), None, DOWN]
            await nest.drained()
        assert nest.receiver.arrived == [1, 2, 3, 4, 5, 7, 8]
        assert nest.parked == [6]
        assert nest.book == {"delivered": 7, "parked": 1}

    asyncio.run(scenario())


def test_a_full_spool_drops_the_newest_and_says_so(tmp_path: Path) -> None:
    """What does not fit is dropped with the reason `spool-full`, the call fails, and what waited arrives."""

    async def scenario() -> None:
        length = len(encode_item(numbered(1)[0])) + 1
        nest = Nest(tmp_path / "spool", max_bytes=length * 5)
        nest.receiver.down = DOWN
        async with nest.entered:
            await nest.send(numbered(1, 2, 3))
            with pytest.raises(DeliveryError, match="2 events not stored: the spool is full"):
                await nest.send(numbered(4, 5, 6, 7))
            with pytest.raises(DeliveryError):
                await nest.send(numbered(8))
            assert nest.book == {"spooled": 5, "spool-full": 3}
            assert nest.counters.error_total == {"webhook": 3}
            nest.receiver.down = None
            await nest.drained()
            assert nest.receiver.arrived == [1, 2, 3, 4, 5]
            nest.receiver.down = DOWN
            await nest.send(numbered(8, 9))
            assert nest.book == {"delivered": 5, "spooled": 2, "spool-full": 3}

    asyncio.run(scenario())


def test_parked_events_take_room_until_they_are_taken_away(tmp_path: Path) -> None:
    """A receiver that refuses everything cannot fill the disk, and removing parked.ndjson makes room at once."""

    async def scenario() -> None:
        length = len(encode_item(numbered(1)[0])) + 1
        nest = Nest(tmp_path / "spool", bad=range(100), max_bytes=length * 3)
        async with nest.entered:
            with pytest.raises(DeliveryError, match="2 events"):
                await nest.send(numbered(1, 2, 3, 4, 5))
            assert nest.book == {"parked": 3, "spool-full": 2}
            (tmp_path / "spool" / "parked.ndjson").unlink()
            await nest.send(numbered(6))
            assert nest.parked == [6]
            assert nest.book == {"parked": 4, "spool-full": 2}

    asyncio.run(scenario())


def test_what_is_left_waits_for_the_next_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A spool that is left takes up again where it was, and the new book shows what it found."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")
        nest.receiver.down = DOWN
        async with nest.entered:
            await nest.send(numbered(*range(50), size=100))
        assert nest.book == {"spooled": 50}
        again = Nest(tmp_path / "spool")
        async with again.entered:
            assert (again.account.processed, again.book) == (50, {"spooled": 50})
            assert "50 events of an earlier run" in caplog.text
            await again.send(numbered(50))
            await again.drained()
        assert again.receiver.arrived == list(range(51))
        assert again.book == {"delivered": 51}

    asyncio.run(scenario())


def test_the_same_spool_may_live_twice(tmp_path: Path) -> None:
    """Entering a spool again counts what waits once."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")
        nest.receiver.down = DOWN
        async with nest.entered:
            await nest.send(numbered(1, 2))
        async with nest.entered:
            assert (nest.account.processed, nest.book) == (2, {"spooled": 2})

    asyncio.run(scenario())


def test_a_spool_belongs_to_one_process(tmp_path: Path) -> None:
    """Whoever opens a spool that is in use is refused and told what to do; the first one goes on."""

    async def scenario() -> None:
        first, second = Nest(tmp_path / "spool"), Nest(tmp_path / "spool")
        async with first.entered:
            first.receiver.down = DOWN
            await first.send(numbered(1))
            with pytest.raises(DecklogError, match=r"in use by another process.*--audit-webhook-spool-dir"):
                await second.entered.__aenter__()
            first.receiver.down = None
            await first.drained()
        async with second.entered:
            assert second.book == {}

    asyncio.run(scenario())


def test_a_directory_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    """A file in the directory's place is told with the flag to change."""
    (tmp_path / "spool").write_text("")

    async def scenario() -> None:
        with pytest.raises(DecklogError, match=r"cannot use the spool .*Not a directory.*--audit-webhook-spool-dir"):
            await Nest(tmp_path / "spool").entered.__aenter__()

    asyncio.run(scenario())


def test_a_poster_that_cannot_start_leaves_the_spool_free(tmp_path: Path) -> None:
    """When the receiver's certificate is unusable the start fails and the spool can be opened again."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")

        class Unusable(type(nest.receiver)):  # type: ignore[misc]  # because: the class of a value
            async def __aenter__(self) -> None:
                raise DecklogError("no certificate")

            async def __aexit__(self, *_: object) -> None: ...

        nest.spool._poster = Unusable()
        with pytest.raises(DecklogError, match="no certificate"):
            await nest.entered.__aenter__()
        async with Nest(tmp_path / "spool").entered:
            pass

    asyncio.run(scenario())


def test_a_full_disk_is_told_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What neither receiver nor disk takes is dropped as `failed`, the call fails, and no half event is left."""

    async def scenario() -> None:
        disk = FaultyDisk()
        nest = Nest(tmp_path / "spool", disk=disk)
        nest.receiver.down = DOWN
        async with nest.entered:
            await nest.send(numbered(1, 2))
            disk.arm("full", 1, only="append", code=DISK_FULL)
            with pytest.raises(DeliveryError, match="3 events not stored: No space left on device"):
                await nest.send(numbered(3, 4, 5))
            disk.freed()
            await nest.send(numbered(6))
            assert nest.book == {"spooled": 3, "failed": 3}
            assert nest.waiting == [1, 2, 6]
            nest.receiver.down = None
            await nest.drained()
        assert nest.receiver.arrived == [1, 2, 6]

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert "the receiver does not take events, they wait on disk: Connection refused" in caplog.text
    assert "the receiver takes events again" in caplog.text
    assert "auditID" not in caplog.text


def test_an_event_that_cannot_be_encoded_hurts_only_itself(tmp_path: Path) -> None:
    """The others of its call are delivered; it is dropped as `unencodable`."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")
        poison = event(audit_id="2", annotations={"a": object()})
        async with nest.entered:
            with pytest.raises(DeliveryError, match="1 event not stored: an event cannot be encoded"):
                await nest.send([*numbered(1), poison, *numbered(3)])
        assert nest.receiver.arrived == [1, 3]
        assert nest.book == {"delivered": 2, "unencodable": 1}

    asyncio.run(scenario())


def test_a_send_that_is_cancelled_goes_to_disk(tmp_path: Path) -> None:
    """When the time to drain is up a send that still waits for an answer puts its events on disk."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")
        async with nest.entered:
            nest.account.processed = nest.account.in_flight = 3
            nest.receiver.silent = True
            send = asyncio.ensure_future(nest.spool.process(numbered(1, 2)))
            while not nest.receiver.attempts:
                await turns(1)
            send.cancel()
            with pytest.raises(asyncio.CancelledError):
                await send
            nest.receiver.silent = False
            nest.spool.keep(numbered(3))
            assert nest.book == {"spooled": 3}
            await nest.drained()
        assert nest.receiver.arrived == [1, 2, 3]

    asyncio.run(scenario())


def test_nothing_is_taken_after_the_end(tmp_path: Path) -> None:
    """A call after the end fails and is booked as `shut-down`."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")
        async with nest.entered:
            pass
        with pytest.raises(DeliveryError, match="shut down"):
            await nest.send(numbered(1))
        assert nest.book == {"shut-down": 1}

    asyncio.run(scenario())


def test_files_that_somebody_removed_are_accounted_for(tmp_path: Path) -> None:
    """Events whose segment was removed are dropped as `failed`; those that came later arrive."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool")
        nest.receiver.down = DOWN
        async with nest.entered:
            await nest.send(numbered(1, 2))
            for path in (tmp_path / "spool").glob("0*"):
                path.unlink()
            await nest.send(numbered(3))
            nest.receiver.down = None
            await nest.drained()
            assert nest.receiver.arrived == [3]
            assert nest.book == {"delivered": 1, "failed": 2}
            nest.receiver.fate = [DOWN]
            await nest.send(numbered(4))
            await nest.drained()
        assert nest.receiver.arrived == [3, 4]

    asyncio.run(scenario())


def test_a_position_that_cannot_be_written_does_not_stop_delivery(tmp_path: Path) -> None:
    """With a disk that takes no position everything arrives once in this run, and may arrive again in the next."""

    async def scenario() -> None:
        disk = FaultyDisk()
        nest = Nest(tmp_path / "spool", disk=disk)
        nest.receiver.down = DOWN
        async with nest.entered:
            await nest.send(numbered(*range(900)))
            setattr(disk, "rename", _no_rename)  # noqa: B010  # because: this disk refuses it every time
            nest.receiver.down = None
            await nest.drained()
            assert nest.receiver.arrived == list(range(900))
            assert nest.book == {"delivered": 900}

    asyncio.run(scenario())


def _no_rename(*_: object) -> None:
    raise OSError(DISK_FULL, "No space left on device")


def test_memory_is_bounded_by_batches(tmp_path: Path) -> None:
    """Bodies hold at most 400 events and about 4 MiB, however much waits."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool", max_bytes=64 << 20, segment_bytes=32 << 20)
        nest.receiver.down = DOWN
        async with nest.entered:
            await nest.send(numbered(*range(1000)))
            await nest.send(numbered(*range(1000, 1012), size=1 << 20))
            nest.receiver.down = None
            await nest.drained()
        assert nest.receiver.arrived == list(range(1012))
        assert max(map(len, nest.receiver.bodies)) == 400
        assert max(len(body) for body in nest.receiver.bodies if body[0] >= 1000) <= 5

    asyncio.run(scenario())


def test_the_position_says_up_to_where(tmp_path: Path) -> None:
    """position.json names the segment and the byte behind the last event that was taken."""

    async def scenario() -> None:
        nest = Nest(tmp_path / "spool", segment_bytes=1 << 20)
        nest.receiver.down = DOWN
        async with nest.entered:
            await nest.send(numbered(*range(500)))
            nest.receiver.fate = [None]
            while not nest.receiver.bodies:
                await nest.time.pass_by(1)
            await turns()
        position = json.loads((tmp_path / "spool" / "position.json").read_text())
        assert position == {"segment": 1, "offset": sum(len(encode_item(e)) + 1 for e in numbered(*range(400)))}
        again = Nest(tmp_path / "spool")
        async with again.entered:
            assert again.book == {"spooled": 100}
            await again.drained()
        assert again.receiver.arrived == list(range(400, 500))

    asyncio.run(scenario())

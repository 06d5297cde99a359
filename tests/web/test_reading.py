from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ask.logs import event, log
from decklog.audit.wire import decode_event
from decklog.disk import Disk
from decklog.store.journal import Item, Journal, identity_of
from decklog.store.view import READING, view
from decklog.web import reading
from decklog.web.reading import ANNOTATION, LOST, Readings
from decklog.web.scanned import Files
from web.web_client import Door, running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from decklog.audit.event import Event


class Kept:
    """A sink that fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.lines: list[bytes] = []
        self._failures = failures

    async def __call__(self, lines: Sequence[bytes]) -> None:
        if self._failures:
            self._failures -= 1
            raise OSError(28, "No space left on device")
        self.lines += lines

    @property
    def events(self) -> list[Event]:
        return list(map(decode_event, self.lines))


def readings(kept: Kept) -> Readings:
    ids = iter(range(100_000))
    return Readings(kept, clock=lambda: datetime(2026, 3, 1, tzinfo=UTC), new_id=lambda: str(next(ids)))


def test_each_page_that_is_given_becomes_an_event(tmp_path: Path) -> None:
    """Who asked what, from where and with what, and how it was answered: also what was refused, and twins."""
    kept = Kept()
    path = log(tmp_path / "audit.log", event())

    async def visits() -> None:
        door = Door(Files([str(path)]), readings=readings(kept))
        async with running(door):
            for target in ("/log?user=alice", "/who.json?user=bob", "/request?uid=none", "/log.csv?verb=delete"):
                await door.get(target, headers={"user-agent": "Firefox"})

    asyncio.run(visits())
    found = [(one.user.username, one.verb, one.request_uri, one.response_status) for one in kept.events]
    assert [(user, verb, uri, status.code if status else 0) for user, verb, uri, status in found] == [
        ("local", "get", "/log?user=alice", 200),
        ("local", "get", "/who.json?user=bob", 200),
        ("local", "get", "/request?uid=none", 404),
        ("local", "get", "/log.csv?verb=delete", 200),
    ]
    assert [one.annotations[ANNOTATION] for one in kept.events] == ["page", "json", "page", "csv"]
    assert {(one.source_ips, one.user_agent, one.stage) for one in kept.events} == {
        (("127.0.0.1",), "Firefox", "ResponseComplete")
    }


def test_a_disk_that_fails_delays_the_record_and_never_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be stored waits, in order, and is stored as soon as that can be."""
    monkeypatch.setattr(reading, "RETRY_S", 0.001)
    kept = Kept(failures=3)
    path = log(tmp_path / "audit.log", event())

    async def visits() -> None:
        door = Door(Files([str(path)]), readings=readings(kept))
        async with running(door):
            answers = [await door.get(f"/log?user={name}") for name in "abc"]
            assert [answer.status for answer in answers] == [200, 200, 200]

    asyncio.run(visits())
    assert [one.request_uri for one in kept.events] == ["/log?user=a", "/log?user=b", "/log?user=c"]


def test_what_finds_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; the next event that has room says how many had none."""
    monkeypatch.setattr(reading, "MOST_WAITING", 2)
    kept = Kept()

    async def notes() -> None:
        notes = readings(kept)
        for number in range(5):
            notes.note("alice", f"/{number}", 200, kind="page", source="", agent="")
        task = asyncio.create_task(notes.run())
        await notes.drained()
        notes.note("alice", "/later", 200, kind="page", source="", agent="")
        await notes.drained()
        task.cancel()

    asyncio.run(notes())
    assert [one.request_uri for one in kept.events] == ["/0", "/1", "/later"]
    assert kept.events[-1].annotations[LOST] == "3"


def test_what_is_left_at_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Where the disk failed to the end, the log says how many readings are not recorded."""

    async def end(failures: int) -> None:
        kept = Kept(failures)
        noting = readings(kept)
        for _ in range(3):
            noting.note("alice", "/log", 200, kind="page", source="", agent="")
        recording = asyncio.create_task(noting.run())
        while not kept.lines and not caplog.records:
            await asyncio.sleep(0)
        recording.cancel()
        await asyncio.wait([recording])

    asyncio.run(end(failures=0))
    assert not caplog.records
    asyncio.run(end(failures=1))
    assert caplog.messages[-1] == "3 readings are not recorded: the end came first"


def test_the_stream_of_readings_stands_apart_in_a_store(tmp_path: Path) -> None:
    """Answers leave out who has read the store, unless they are asked for that stream."""

    async def fill() -> None:
        disk: Any = Disk()
        for name, cluster in (("import", ""), ("reading-1", READING)):
            async with Journal(tmp_path / "journal" / name, disk, cluster=cluster) as journal:
                line = b'{"kind":"Event"}'
                await journal.append([Item(line, identity_of(cluster, line))])

    asyncio.run(fill())
    seen = view(tmp_path, Disk())
    assert {one.cluster for one in seen.within(None, None).journals} == {""}
    assert {one.cluster for one in seen.within(None, None, READING).journals} == {READING}
    assert {one.cluster for one in seen.journals} == {"", READING}

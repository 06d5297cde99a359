from __future__ import annotations

import asyncio
import gzip
import os
import random
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from backends.faulty_disk import DISK_FULL, FaultyDisk
from decklog.receiving.options import ReceiverOptions
from decklog.receiving.senders import Senders, Tokens
from gateway.running_gateway import run, until
from receiving.poison import POISON, UNHARMED, event, event_list, item
from receiving.running_receiver import Setting, posted, receiving

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = [item(n) for n in range(400)]
SMALL = ReceiverOptions(body_limit_bytes=4 << 20, spill_bytes=1 << 16)


def test_an_event_list_is_stored_as_it_came(tmp_path: Path) -> None:
    """Two hundred, nothing in the answer, and every item a line, on one connection after the other body."""

    async def scene() -> None:
        async with receiving(tmp_path) as running:
            client = await running.client()
            for at in range(0, 400, 100):
                await client.send(posted(event_list(EVENTS[at : at + 100])))
                answer = await client.answer("POST")
                assert (answer.code, answer.body) == (200, b"")
                assert running.lines() == EVENTS[: at + 100]  # by the time of the answer
            client.writer.close()
            assert (running.counters.bodies, running.counters.events) == (4, 400)
            assert running.receiver.problems() == []

    run(scene())


def chunked(body: bytes, size: int) -> bytes:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LIST = event_list(EVENTS)

WAYS: list[tuple[str, bytes]] = [
    ("with a length", posted(event_list(EVENTS))),
    ("in chunks", CHUNKED + chunked(LIST, 999)),
    ("as gzip", posted(gzip.compress(event_list(EVENTS)), b"Content-Encoding: gzip")),
    ("as gzip of two members",
     posted(gzip.compress(LIST[:5000]) + gzip.compress(LIST[5000:]), b"Content-Encoding: gzip")),
    ("expecting to be asked", posted(event_list(EVENTS), b"Expect: 100-continue")),
    ("as an array", posted(b"[" + b",".join(EVENTS) + b"]")),
    ("with a charset", posted(event_list(EVENTS)).replace(b"/json", b"/json; charset=utf-8")),
    ("in HTTP/1.0", posted(event_list(EVENTS)).replace(b"HTTP/1.1", b"HTTP/1.0")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "request_bytes"), WAYS, ids=[name for name, _ in WAYS])
@pytest.mark.parametrize("size", [1 << 20, 700])
@pytest.mark.parametrize("spill", [1 << 20, 1000])
def test_all_ways_to_send_a_body(tmp_path: Path, name: str, request_bytes: bytes, size: int, spill: int) -> None:
    """Framed and packed as it may be, in pieces of any size, in memory or in a file: the same events are stored."""

    async def scene() -> None:
        setting = Setting(options=ReceiverOptions(spill_bytes=spill))
        async with receiving(tmp_path, setting) as running:
            client = await running.client()
            await client.send(*(request_bytes[at : at + size] for at in range(0, len(request_bytes), size)))
            assert (await client.answer("POST")).code == 200, name
            client.writer.close()
            assert running.lines() == EVENTS
            assert running.counters.body_bytes == len(event_list(EVENTS)) or name == "as an array"

    run(scene())


def test_a_single_event(tmp_path: Path) -> None:
    """Falco's senders post events one by one."""

    async def scene() -> None:
        async with receiving(tmp_path) as running:
            assert (await running.post(EVENTS[0])).code == 200
            assert running.lines() == EVENTS[:1]

    run(scene())


@pytest.mark.parametrize(("name", "bad"), POISON, ids=[name for name, _ in POISON])
def test_one_poisoned_event_of_400_hurts_itself_alone(tmp_path: Path, name: str, bad: bytes) -> None:
    """399 of 399 are stored, at every tenth place, and the poisoned one is kept verbatim."""

    async def scene() -> None:
        async with receiving(tmp_path) as running:
            for place in range(0, 400, 40):
                items = [event(n, annotations={"at": str(place)}) for n in range(399)]
                poisoned = bad.replace(b"{", b'{"place":%d,' % place, 1)
                items.insert(place, poisoned)
                assert (await running.post(event_list(items))).code == 200, name
                await running.apart()
                assert sorted(running.lines()[-399:]) == sorted(items[:place] + items[place + 1 :])
                assert running.held()[-1] == poisoned
            assert len(running.lines()) == 399 * 10
            assert running.counters.quarantined == 10
            await until(lambda: running.counters.held == 10)

    run(scene(), 60)


def test_what_is_odd_but_can_be_read_is_stored(tmp_path: Path) -> None:
    """Large numbers, keys that stand twice, bytes that are no UTF-8: the sender wrote them, so they are kept."""

    async def scene() -> None:
        async with receiving(tmp_path) as running:
            items = [odd for _, odd in UNHARMED]
            assert (await running.post(event_list(items))).code == 200
            assert running.lines() == items
            assert running.counters.quarantined == 0

    run(scene())


def test_batches_that_come_three_times_are_stored_once(tmp_path: Path) -> None:
    """In any order, some of them poisoned: the count is exact."""
    dice = random.Random(7)
    bad = POISON[0][1]
    batches = [[event(n, batch=b) for n in range(50)] for b in range(12)]
    bodies = [event_list([*batch, bad] if b % 4 == 0 else batch) for b, batch in enumerate(batches)] * 3
    dice.shuffle(bodies)

    async def scene() -> None:
        async with receiving(tmp_path) as running:
            answers = await asyncio.gather(*map(running.post, bodies))
            assert {answer.code for answer in answers} == {200}
            await running.apart()
            assert sorted(running.lines()) == sorted(line for batch in batches for line in batch)
            assert running.counters.events == 600

    run(scene())


REFUSED: list[tuple[str, bytes, int, str]] = [
    ("another method", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method"),
    ("a form", posted(b"a=b").replace(b"application/json", b"application/x-www-form-urlencoded"), 415, "content-type"),
    ("zstd", posted(b"x", b"Content-Encoding: zstd"), 415, "content-encoding"),
    ("said to be too large", posted(b"").replace(b": 0", b": 4194305"), 413, "too-large"),
    ("no gzip", posted(b"hello", b"Content-Encoding: gzip"), 400, "bad-gzip"),
    ("gzip that breaks off", posted(gzip.compress(b"x" * 999)[:-9], b"Content-Encoding: gzip"), 400, "bad-gzip"),
    ("a bomb", posted(gzip.compress(b"[" + b" " * (3 << 20), 9), b"Content-Encoding: gzip"), 413, "gzip-bomb"),
    ("a larger one", posted(gzip.compress(os.urandom(5000) * 900), b"Content-Encoding: gzip"), 413, "too-large"),
    ("no body", posted(b""), 400, "empty"),
    ("no request", b"hello\r\n\r\n", 400, "malformed"),
    ("two lengths", posted(b"x", b"Content-Length: 2"), 400, "malformed"),
    ("a bad chunk", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400, "malformed"),
    ("a large head", posted(b"", b"X: " + b"y" * 70_000), 431, "malformed"),
]


@pytest.mark.parametrize(("name", "sent", "code", "reason"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_what_is_not_taken_is_told_and_counted(tmp_path: Path, name: str, sent: bytes, code: int, reason: str) -> None:
    """One clear line, a count by its reason, and nothing stored; the next body is taken."""

    async def scene() -> None:
        async with receiving(tmp_path, Setting(options=SMALL)) as running:
            client = await running.client()
            await client.send(sent)
            answer = await client.answer("POST")
            assert (answer.code, answer.value(b"connection")) == (code, b"close"), name
            assert answer.body.startswith(b"decklog: ")
            assert answer.body.count(b"\n") == 1
            client.writer.close()
            assert running.counters.refused == {reason: 1}
            is_told = any("127.0.0.1" in problem and reason in problem for problem in running.receiver.problems())
            assert is_told == (reason != "malformed" or name == "a bad chunk")
            assert running.lines() == []
            assert (await running.post(event_list(EVENTS))).code == 200

    run(scene())


def test_a_body_that_grows_too_large_while_it_comes(tmp_path: Path) -> None:
    """Chunks tell no length beforehand: the body is given up at the limit."""

    async def scene() -> None:
        async with receiving(tmp_path, Setting(options=SMALL)) as running:
            client = await running.client()
            await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            sending = asyncio.ensure_future(client.send(*[b"10000\r\n" + b" " * 65536 + b"\r\n"] * 70))
            assert (await client.answer("POST")).code == 413
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            client.writer.close()

    run(scene())


def test_what_cannot_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    """The n-th call of the disk fails: 503 with Retry-After, never 200; and the same body is taken when it works."""

    async def scene(folder: Path, only: str) -> None:
        disk = FaultyDisk()
        async with receiving(folder, Setting(disk=disk)) as running:
            assert (await running.post(event_list(EVENTS[:10]))).code == 200
            # A sync that fails once is made good in a new segment; two in a row are told.
            real, failing = getattr(disk, only), True

            def fail(*arguments: Any) -> Any:
                if failing:
                    raise OSError(DISK_FULL, "No space left on device")
                return real(*arguments)

            setattr(disk, only, fail)
            answer = await running.post(event_list(EVENTS[10:]))
            assert (answer.code, answer.value(b"retry-after")) == (503, b"5")
            poisoned = await running.post(event_list([*EVENTS, POISON[0][1]]))
            assert poisoned.code == 503
            assert running.counters.refused == {"store-failed": 2}
            assert any("cannot be stored" in problem for problem in running.receiver.problems())
            failing = False
            assert (await running.post(event_list(EVENTS[10:]))).code == 200
            assert running.lines() == EVENTS
            assert not any("cannot be stored" in problem for problem in running.receiver.problems())

    for only in ("append", "datasync"):
        run(scene(tmp_path / only, only))


def test_a_disk_that_is_almost_full_takes_nothing(tmp_path: Path) -> None:
    """Senders are told to wait before they send; and are taken again when there is room."""
    is_low = True

    async def scene() -> None:
        nonlocal is_low
        async with receiving(tmp_path, Setting(is_low=lambda: is_low)) as running:
            answer = await running.post(event_list(EVENTS))
            assert (answer.code, answer.value(b"retry-after")) == (503, b"5")
            assert any("make room" in problem for problem in running.receiver.problems())
            is_low = False
            async with asyncio.timeout(5):
                while (await running.post(event_list(EVENTS))).code != 200:
                    await asyncio.sleep(0.01)
            assert running.lines() == EVENTS

    run(scene())


def test_bearers_of_a_token(tmp_path: Path) -> None:
    """The right token is taken, a new one as soon as its file has changed, the old one no more."""
    file = tmp_path / "tokens"
    file.write_text("first\n")

    async def scene() -> None:
        async with receiving(tmp_path / "store", Setting(senders=Senders(None, Tokens(str(file))))) as running:
            body = event_list(EVENTS[:1])
            assert (await running.post(body)).code == 401
            assert (await running.post(body, b"Authorization: Bearer second")).code == 401
            assert (await running.post(body, b"Authorization: Basic Zmlyc3Q=")).code == 401
            assert running.lines() == []
            assert (await running.post(body, b"Authorization: Bearer first")).code == 200
            file.write_text("second\nthird\n")
            async with asyncio.timeout(5):
                while (await running.post(body, b"Authorization: Bearer third")).code != 200:
                    await asyncio.sleep(0.01)
            assert (await running.post(body, b"Authorization: Bearer first")).code == 401
            file.write_text("")
            assert (await running.post(body, b"Authorization: Bearer second")).code == 200
            assert running.receiver.problems() == []  # whoever may not send has lost nothing

    run(scene())


def test_slow_and_idle_ones_are_let_go(tmp_path: Path) -> None:
    """Deadlines for heads, bodies and idle connections; a good sender is answered meanwhile."""
    options = ReceiverOptions(head_timeout_s=0.5, idle_timeout_s=0.5, body_grace_s=0.5, body_timeout_s=2)

    async def scene() -> None:
        async with receiving(tmp_path, Setting(options=options)) as running:
            idle, head, body = [await running.client() for _ in range(3)]
            await head.send(b"POST / HTTP/1.1\r\n")
            await body.send(posted(event_list(EVENTS))[:500])
            assert (await running.post(event_list(EVENTS))).code == 200
            assert (await body.answer("POST")).code == 408
            assert await idle.reader.read() == b""
            assert await head.reader.read() == b""
            for client in (idle, head, body):
                client.writer.close()
            await until(lambda: running.receiver.connections == 0)
            assert running.counters.refused == {"timeout": 2}

    run(scene())


def test_connections_are_bounded(tmp_path: Path) -> None:
    """In all: the one that has been idle for the longest makes room. Of one address: one too many is closed."""

    async def scene() -> None:
        setting = Setting(options=ReceiverOptions(max_connections=3))
        async with receiving(tmp_path, setting) as running:
            clients = [await running.client() for _ in range(3)]
            await until(lambda: running.receiver.connections == 3)
            await clients[0].send(posted(event_list(EVENTS))[:-1])
            assert (await running.post(event_list(EVENTS[:7]))).code == 200
            assert running.counters.refused == {"idle": 1}
            await clients[0].send(b"}")
            assert (await clients[0].answer("POST")).code == 200
            for client in clients:
                client.writer.close()
            await until(lambda: running.receiver.connections == 0)
        setting = Setting(options=ReceiverOptions(max_connections_per_address=1))
        async with receiving(tmp_path, setting) as running:
            first, second = await running.client(), await running.client()
            await until(lambda: running.counters.refused["too-many-of-one-address"] == 1)
            for client in (first, second):
                client.writer.close()

    run(scene())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_sender_that_goes_leaves_nothing_behind(tmp_path: Path) -> None:
    """A body that breaks off is forgotten, in memory and on disk."""

    async def scene() -> None:
        async with receiving(tmp_path, Setting(options=SMALL)) as running:
            for size in (500, 100_000):
                client = await running.client()
                await client.send(posted(event_list(EVENTS))[:size])
                await until(lambda: running.receiver.connections == 1)
                client.writer.close()
                await until(lambda: running.receiver.connections == 0)
            assert running.lines() == []
            assert running.receiver.space.used_bytes == 0

    run(scene())


def test_a_stop_lets_what_is_coming_come(tmp_path: Path) -> None:
    """A body that is under way is stored and answered, with the connection's end."""

    async def scene() -> None:
        async with receiving(tmp_path) as running:
            client = await running.client()
            await client.send(posted(event_list(EVENTS))[:-1])
            await until(lambda: running.receiver.connections == 1)
            draining = asyncio.ensure_future(running.receiver.drain(5))
            await until(lambda: running.receiver.stopping)
            await client.send(b"}")
            answer = await client.answer("POST")
            assert (answer.code, answer.value(b"connection")) == (200, b"close")
            await draining
            client.writer.close()
            assert running.lines() == EVENTS

    run(scene())


def test_what_waits_in_quarantine_is_taken_apart_after_a_restart(tmp_path: Path) -> None:
    """Also what an earlier life had begun; a body that was never acknowledged is not."""

    async def first() -> None:
        async with receiving(tmp_path) as running:
            running.receiver._behind._take_all_apart = lambda **_: asyncio.sleep(0)  # type: ignore[method-assign]  # because: killed before it came to that
            assert (await running.post(event_list([*EVENTS, POISON[0][1]]))).code == 200
            assert running.lines() == []

    async def second() -> None:
        (tmp_path / "quarantine" / "5.body.part").write_bytes(b"{")
        (tmp_path / "quarantine" / ".body-7").write_bytes(b"{")
        async with receiving(tmp_path) as running:
            await running.apart()
            assert running.lines() == EVENTS
            assert running.held() == [POISON[0][1]]
            assert {path.suffix for path in (tmp_path / "quarantine").iterdir()} == {".held"}

    run(first())
    run(second())


def test_a_body_that_is_nothing_but_poison_stays_whole(tmp_path: Path) -> None:
    """Past a thousand items that cannot be read no list of them is of use."""
    body = event_list([b"{}"] * 1500 + EVENTS)

    async def scene() -> None:
        async with receiving(tmp_path) as running:
            assert (await running.post(body)).code == 200
            await running.apart()
            assert running.lines() == EVENTS
            await until(lambda: running.counters.held == 1500)
            (kept,) = (tmp_path / "quarantine").iterdir()
            assert kept.suffix == ".kept"
            assert kept.read_bytes().partition(b"\n")[2] == body

    run(scene())


def test_gzip_in_a_stream_that_ends_in_the_middle_of_a_window(tmp_path: Path) -> None:
    """All that zlib still holds comes out, whatever the size."""

    async def scene() -> None:
        async with receiving(tmp_path) as running:
            for size in (262144, 262145, 524288):
                packer = zlib.compressobj(9, wbits=31)
                filler = event(size, requestObject={"a": "x" * (size - 700)})
                body = packer.compress(event_list([filler])) + packer.flush()
                assert (await running.post(body, b"Content-Encoding: gzip")).code == 200
            assert len(running.lines()) == 3

    run(scene())

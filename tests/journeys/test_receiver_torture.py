"""The receiver among those who mean it ill: hostile bodies, slow senders, idle connections; and good ones beside."""

from __future__ import annotations

import asyncio
import gzip
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from decklog import certificates
from gateway.running_gateway import run
from journeys.receiver_process import certify, lines, receiver
from receiving.poison import event_list, item
from receiving.running_receiver import posted

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from journeys.receiver_process import RunningReceiver

pytestmark = pytest.mark.journey

MIB = 1 << 20
PEAK_KIB = 256 * 1024
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n"


def peak_kib(running: RunningReceiver) -> int:
    """How much memory the process has had at most."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def context(folder: Path) -> ssl.SSLContext:
    """Be kube-apiserver."""
    pki = folder / "pki"
    pair = certificates.read(pki / "kube-apiserver.crt", pki / "kube-apiserver.key")
    return certificates.client_context((pki / "ca.crt").read_bytes(), pair)


async def open_to(running: RunningReceiver, tls: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", running.port, ssl=tls)


async def post(running: RunningReceiver, tls: ssl.SSLContext, pieces: Iterator[bytes], size: int, more: bytes) -> int:
    """Post a body of any size; gives the code, 0: the connection ended."""
    reader, writer = await open_to(running, tls)
    try:
        writer.write(HEAD % (size, more))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        line = await reader.readline()
        return int(line.split(b" ")[1]) if line else 0
    except ConnectionError:
        return 0
    finally:
        writer.transport.abort()


def repeated(head: bytes, unit: bytes, tail: bytes) -> Callable[[int], tuple[Iterator[bytes], int]]:
    """Make a body of about so many bytes, a window at a time."""

    def make(size: int) -> tuple[Iterator[bytes], int]:
        block = unit * (65536 // len(unit))
        count = size // len(block) // (10 if b"stage" in unit else 1)  # events are stored, which takes its time

        def pieces() -> Iterator[bytes]:
            yield head
            for _ in range(count):
                yield block
            yield tail

        return pieces(), len(head) + count * len(block) + len(tail)

    return make


LIST = b'{"kind":"EventList","items":['
ONE = b'{"stage":"Panic","auditID":"a","requestObject":'
HOSTILE: list[tuple[str, Callable[[int], tuple[Iterator[bytes], int]]]] = [
    ("empty arrays", repeated(b"[", b"[],", b"[]]")),
    ("empty objects as items", repeated(LIST, b"{},", b"{}]}")),
    ("small objects in one item", repeated(LIST + ONE + b"[", b'{"a":{}},', b"1]}]}")),
    ("open brackets", repeated(LIST + ONE, b"[", b"")),
    ("one string", repeated(LIST + ONE + b'"', b"x", b'"}]}')),
    ("a string of escapes", repeated(LIST + ONE + b'"', b"\\n", b'"}]}')),
    ("blanks", repeated(b"", b" ", b"")),
    ("small events", repeated(LIST, b'{"stage":"Panic"},', b'{"stage":"Panic"}]}')),
    ("items in the head", repeated(b'{"x":"', b'\\"items\\":[', b'"}')),
    ("no JSON", repeated(b"", b"hello", b"")),
]


def hostile(folder: Path, size: int, *flags: str) -> None:
    """Send every hostile body, two at a time; good ones are answered meanwhile, and memory stays bounded."""
    certify(folder)
    with receiver(folder, "--workers", "1", *flags) as running:

        async def scene() -> None:
            tls = context(folder)
            sent = 0
            for name, make in HOSTILE:
                bad = [asyncio.ensure_future(post(running, tls, *make(size), b"")) for _ in range(2)]
                while not all(one.done() for one in bad):
                    body = event_list([item(sent)])
                    assert await asyncio.wait_for(post(running, tls, iter([body]), len(body), b""), 30) == 200, name
                    sent += 1
                assert {await one for one in bad} <= {200, 400, 413}, name
            packed = gzip.compress(b"[" + b" " * (8 * MIB), 9)
            assert await post(running, tls, iter([packed]), len(packed), b"Content-Encoding: gzip\r\n") == 413
            stored = set(lines(folder))
            assert {item(number) for number in range(sent)} <= stored

        run(scene(), 900)
        print(f"bodies of {size / MIB:.0f} MiB: {peak_kib(running) / 1024:.0f} MiB at most")
        assert peak_kib(running) <= PEAK_KIB


def test_hostile_bodies_cost_little_memory(tmp_path: Path) -> None:
    """Bodies of 4 MiB that decode to thirty times their size, and worse."""
    hostile(tmp_path, 4 * MIB)


@pytest.mark.torture
def test_hostile_bodies_of_the_largest_size(tmp_path: Path) -> None:
    """The long form: bodies of 250 MiB."""
    hostile(tmp_path, 250 * MIB)


def crowd(folder: Path, idle: int, slow: int) -> tuple[float, float]:
    """Answer a good sender amid idle connections and slow senders; gives the median of its seconds, before and then."""
    certify(folder)
    with receiver(folder, "--workers", "1") as running:

        async def good(first: int, tls: ssl.SSLContext) -> float:
            taken = []
            reader, writer = await open_to(running, tls)
            for number in range(first, first + 40):
                begun = time.perf_counter()
                writer.write(posted(event_list([item(number)])))
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                taken.append(time.perf_counter() - begun)
            writer.transport.abort()
            return sorted(taken)[20]

        async def dribble(writer: asyncio.StreamWriter, body: bytes) -> None:
            for at in range(len(body) - 1):
                writer.write(body[at : at + 1])
                await asyncio.sleep(0.5)

        async def scene() -> tuple[float, float]:
            tls = context(folder)
            alone = await good(0, tls)
            writers = []
            for at in range(0, idle + slow, 20):
                opened = await asyncio.gather(*(open_to(running, tls) for _ in range(min(20, idle + slow - at))))
                writers += [writer for _, writer in opened]
            body = posted(event_list([item(n) for n in range(100)]))
            slowly = [asyncio.ensure_future(dribble(writer, body)) for writer in writers[idle:]]
            amid = await good(40, tls)
            for task in slowly:
                task.cancel()
            await asyncio.gather(*slowly, return_exceptions=True)
            for writer in writers:
                writer.transport.abort()
            return alone, amid

        found = run(scene(), 300)
        assert len(lines(folder)) == 80
        print(f"{idle} idle, {slow} slow: {peak_kib(running) / 1024:.0f} MiB at most, median {found} s")
        assert peak_kib(running) <= PEAK_KIB + (idle + slow) * 60
        return found


def test_idle_connections_and_slow_senders(tmp_path: Path) -> None:
    """Fifty of each over TLS: a good sender is answered."""
    crowd(tmp_path, 50, 50)


@pytest.mark.torture
def test_two_thousand_idle_connections_and_five_hundred_slow_senders(tmp_path: Path) -> None:
    """The long form."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    crowd(tmp_path, 2000, 500)

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from decklog.access import Access
from decklog.enable.asking_server import ask, readyz
from decklog.enable.readiness import State
from decklog.kubeconfig import ClusterAccess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.enable.asking_server import Reply

ANSWERS: dict[str, tuple[bytes, int, bytes]] = {
    "with a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "to the end": (b"HTTP/1.1 500 no\r\n\r\nfailed", 500, b"failed"),
    "in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
    "in broken chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", 200, b"ok"),
    "without HTTP": (b"\x15\x03\x01\x00\x02\x02\x46", 0, b""),
    "without anything": (b"", 0, b""),
    "with a strange status": (b"HTTP/1.1 two OK\r\n\r\n", 0, b""),
    "with a status without end": (b"HTTP/1.1 " + b"2" * 9000 + b" OK\r\n\r\n", 0, b""),
    "with a length without end": (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 9000 + b"\r\n\r\nok", 200, b"ok"),
}


@contextmanager
def answering(answer: bytes, *, hangs: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    asked: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        with closing(listening.accept()[0]) as connection:
            asked.append(connection.recv(65536))
            connection.sendall(answer)
            if hangs:
                done.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], asked
        done.set()
        thread.join(20)


async def asking(port: int, deadline_s: float = 10, limit: int = 1 << 16) -> Reply:
    async with Access(lambda: ClusterAccess(f"http://127.0.0.1:{port}/base"), environ={}) as access:
        return await ask(access, "GET", "/readyz", {"User-Agent": "me"}, deadline_s=deadline_s, limit=limit)


@pytest.mark.parametrize("case", ANSWERS)
def test_every_answer_is_read(case: str) -> None:
    """Whatever a server answers becomes a status and a body; what is no HTTP has status 0."""
    answer, status, body = ANSWERS[case]
    with answering(answer) as (port, asked):
        reply = asyncio.run(asking(port))
    assert (reply.status, reply.body) == (status, body)
    head = asked[0].split(b"\r\n")
    assert head[0] == b"GET /base/readyz HTTP/1.1"
    assert [line for line in head if line.startswith(b"User-Agent")] == [b"User-Agent: me"]


def test_a_server_that_hangs_is_left() -> None:
    """One deadline counts for everything."""
    with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", hangs=True) as (port, _),
        pytest.raises(TimeoutError),
    ):
        asyncio.run(asking(port, deadline_s=0.2))


def test_an_endless_answer_is_cut() -> None:
    """No more than the limit is read."""
    with answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1 << 20)) as (port, _):
        assert len(asyncio.run(asking(port, limit=1 << 18)).body) < 1 << 20


def test_nobody_there_is_down() -> None:
    """A refused connection is an answer, too."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    async def once() -> None:
        async with Access(lambda: ClusterAccess(f"http://127.0.0.1:{port}"), environ={}) as access:
            answer = await readyz(access)
            assert (answer.state, answer.says) == (State.DOWN, "refuses connections")

    asyncio.run(once())

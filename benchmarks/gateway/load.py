"""The clients: many short requests, a steady few, streams, and watches that stay idle. Plain sockets, no library."""

from __future__ import annotations

import itertools
import select
import socket
import ssl
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from benchmarks.gateway.ground import HOST
from benchmarks.gateway.upstream import BIG_BYTES, END, LAST_CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.gateway.carriers import Carrier

PATIENCE_S = 30.0
_READ = 1 << 18
_HEADERS = (
    b" HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: kubectl/v1.36.2 (linux/amd64) kubernetes/24a394e\r\n"
    b"Accept: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
)
_numbers = itertools.count(100_000)


def _connect(carrier: Carrier) -> socket.socket:
    connection = socket.create_connection((HOST, carrier.port), PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return carrier.tls.wrap_socket(connection, server_hostname=HOST) if carrier.tls else connection


def _get() -> bytes:
    """Give a request with a URL that was never asked for before."""
    number = next(_numbers)
    return b"GET /api/v1/namespaces/team-%d/configmaps/settings-%d%b" % (number % 97, number, _HEADERS)


def saturate(carrier: Carrier, count: int, connections: int = 32) -> None:
    """Send `count` GETs, one after the other on each connection. Raises RuntimeError when one is not answered 200."""
    with ExitStack() as stack:
        open_ones = [stack.enter_context(_connect(carrier)) for _ in range(connections)]
        poll = stack.enter_context(select.epoll())
        by_number = {connection.fileno(): connection for connection in open_ones}
        for number, connection in by_number.items():
            connection.settimeout(0)
            poll.register(number, select.EPOLLIN)
            connection.send(_get())
        parts: dict[int, bytes] = {}
        done = 0
        while done < count:
            ready = poll.poll(PATIENCE_S)
            if not ready:
                raise RuntimeError(f"{carrier.name} gave no answer within {PATIENCE_S} s")
            for number, _ in ready:
                connection = by_number[number]
                answer = _received(connection, parts.pop(number, b""))
                if answer.endswith(END):
                    if not answer.startswith(b"HTTP/1.1 200"):
                        raise RuntimeError(f"{carrier.name} answered {answer[:300]!r}")
                    done += 1
                    connection.send(_get())
                else:
                    parts[number] = answer


def _received(connection: socket.socket, answer: bytes) -> bytes:
    while True:
        try:
            data = connection.recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError):
            return answer
        if not data:
            raise RuntimeError(f"the connection was closed in an answer: {answer[:300]!r}")
        answer = answer + data if answer else data
        if answer.endswith(END):
            return answer


def steady(carrier: Carrier, count: int, rate: float, connections: int = 32) -> list[float]:
    """Send `rate` GETs a second, one after the other, on connections in turn. Gives how long each took, in µs."""
    took = []
    with ExitStack() as stack:
        ring = itertools.cycle([stack.enter_context(_connect(carrier)) for _ in range(connections)])
        start = time.perf_counter()
        for number, connection in enumerate(itertools.islice(ring, count)):
            time.sleep(max(0.0, start + number / rate - time.perf_counter()))
            begun = time.perf_counter()
            connection.sendall(_get())
            answer = b""
            while not answer.endswith(END):
                answer += _some(connection)
            took.append((time.perf_counter() - begun) * 1e6)
    return took


def big(carrier: Carrier, count: int) -> float:
    """Fetch the 5 MB answer `count` times on one connection. Gives the seconds from the first to the last."""
    room = bytearray(1 << 20)
    with _connect(carrier) as connection:
        begun = time.perf_counter()
        for _ in range(count):
            connection.sendall(b"GET /api/v1/namespaces/big/configmaps" + _HEADERS)
            head = _some(connection)
            while b"\r\n\r\n" not in head:
                head += _some(connection)
            left = BIG_BYTES - (len(head) - head.index(b"\r\n\r\n") - 4)
            while left > 0:
                left -= connection.recv_into(room) or _ended()
        return time.perf_counter() - begun


def chunks(carrier: Carrier, count: int) -> None:
    """Follow `count` watches of 10,000 events, one after the other on one connection."""
    with _connect(carrier) as connection:
        for _ in range(count):
            connection.sendall(b"GET /api/v1/namespaces/chunks/configmaps?watch=true" + _HEADERS)
            tail = b""
            while not tail.endswith(LAST_CHUNK):
                tail = (tail + _some(connection))[-len(LAST_CHUNK) :]


@contextmanager
def watches(carrier: Carrier, count: int) -> Iterator[None]:
    """Hold `count` watches that have seen their first event."""
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(_connect(carrier))
            connection.sendall(b"GET /api/v1/configmaps?watch=true" + _HEADERS)
            answer = b""
            while not answer.endswith(END + b"\r\n"):
                answer += _some(connection)
        yield


def _some(connection: socket.socket) -> bytes:
    return connection.recv(_READ) or bytes(_ended())


def _ended() -> int:
    raise RuntimeError("the connection was closed in an answer")

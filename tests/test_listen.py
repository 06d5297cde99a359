from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from decklog import certificates, listen
from decklog.errors import DecklogError, DoorError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine
    from pathlib import Path

DEADLINE_S = 10.0


class Echo:
    """An application that keeps the scopes it saw and answers 200; `/stream` goes on until it is told to end."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.over = asyncio.Event()
        self.ended_by: str | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan here")
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
            await self._stream(receive)
        await send({"type": "http.response.body", "body": b"done\n"})

    async def _stream(self, receive: Any) -> None:
        async def disconnected() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        gone, over = asyncio.ensure_future(disconnected()), asyncio.ensure_future(self.over.wait())
        await asyncio.wait({gone, over}, return_when=asyncio.FIRST_COMPLETED)
        self.ended_by = "disconnect" if gone.done() else "application"
        for task in (gone, over):
            task.cancel()


async def exchange(served: listen.Served, request: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send bytes, read until the server closes."""
    reader, writer = await asyncio.open_connection(served.host, served.port, ssl=tls)
    writer.write(request)
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def get(target: bytes, headers: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"


def with_server(
    body: Callable[[listen.Served, Echo], Coroutine[Any, Any, None]],
    tls: ssl.SSLContext | None = None,
) -> Echo:
    """Run `body` against an Echo on a free port; the block's end stops the server."""

    async def main() -> Echo:
        app = Echo()
        async with listen.serve(app, "127.0.0.1:0", tls=tls, on_stop=app.over.set, grace_s=5) as served:
            await body(served, app)
        return app

    return listen.run(main())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:6443", ("127.0.0.1", 6443)),
        ("[::1]:0", ("::1", 0)),
        (":8080", ("0.0.0.0", 8080)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_address_forms(text: str, expected: tuple[str, int]) -> None:
    """HOST:PORT, a bracketed IPv6 address, and a bare port are understood."""
    assert listen.parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "6443", "host:", "host:abc", "host:65536", "::1:80", "host:-1", "host:\uff18"])
def test_other_addresses_are_the_users_mistake(text: str) -> None:
    """Anything else raises DecklogError (exit 2), with the forms that would do."""
    with pytest.raises(DecklogError, match="HOST:PORT") as caught:
        listen.parse_address(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a%2Fb?x=%20", "/a/b"),
        (b"http://elsewhere/p?q", "/p"),
        (b'/x?a="<>#frag', "/x"),
        (b"//version", "//version"),
    ],
)
def test_target_is_kept_as_sent(target: bytes, path: str) -> None:
    """The application finds the request target byte for byte, beside ASGI's decoded path."""

    async def body(served: listen.Served, app: Echo) -> None:
        assert b" 200 " in await exchange(served, get(target))
        assert (app.scopes[0]["decklog.target"], app.scopes[0]["path"]) == (target, path)

    with_server(body)


def test_forwarded_header_does_not_change_the_peer() -> None:
    """Who the peer is comes from the socket, whatever a client claims."""

    async def body(served: listen.Served, app: Echo) -> None:
        await exchange(served, get(b"/", b"X-Forwarded-For: 9.9.9.9\r\n"))
        assert app.scopes[0]["client"][0] == "127.0.0.1"

    with_server(body)


def test_client_certificate_reaches_the_application() -> None:
    """A verified client certificate stands in the ASGI TLS extension, and nothing stands there without one."""

    def now() -> datetime:
        return datetime.now(UTC)

    hour = timedelta(hours=1)
    ca = certificates.authority("trial", clock=now, lifetime=hour)
    server = certificates.server_certificate(ca, ["127.0.0.1"], clock=now, lifetime=hour)
    alice = certificates.client_certificate(ca, "alice", ["dev"], clock=now, lifetime=hour)

    async def body(served: listen.Served, app: Echo) -> None:
        assert served.url.startswith("https://127.0.0.1:")
        for pair in (alice, None):
            await exchange(served, get(b"/"), certificates.client_context(ca.certificate_pem, pair))
        shown, none = (scope["extensions"]["tls"] for scope in app.scopes)
        assert certificates.identity(shown["client_cert_chain"][0]).common_name == "alice"
        assert (none["client_cert_chain"], none["tls_version"]) == ([], 0x0304)
        assert none["cipher_suite"] in {0x1301, 0x1302, 0x1303}

    with_server(body, certificates.server_context(server, ca.certificate_pem))


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b" 400 "),
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * (listen.HEAD_LIMIT_BYTES + 10), b" 431 "),
    ],
    ids=["no HTTP", "odd bytes", "endless header"],
)
def test_hostile_heads_are_refused(request_bytes: bytes, status: bytes) -> None:
    """A head that cannot be read, or has no end, is refused without troubling the application."""

    async def body(served: listen.Served, app: Echo) -> None:
        assert status in (await exchange(served, request_bytes)).split(b"\r\n")[0]
        assert app.scopes == []

    with_server(body)


def test_refused_upgrade_closes_the_connection() -> None:
    """An upgrade that the application answers as plain HTTP ends the connection, so that nobody waits on it."""

    async def body(served: listen.Served, app: Echo) -> None:
        request = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
        answer = await exchange(served, request)
        assert b"connection: close" in answer
        assert len(app.scopes) == 1

    with_server(body)


def test_stop_lets_the_application_end_its_streams() -> None:
    """`on_stop` ends a stream in good order: its last chunk still arrives."""
    answers: list[bytes] = []

    async def main() -> Echo:
        app = Echo()
        async with listen.serve(app, "127.0.0.1:0", on_stop=app.over.set, grace_s=5) as served:
            reader, writer = await asyncio.open_connection(served.host, served.port)
            writer.write(get(b"/stream"))
            await reader.readuntil(b"begun\n")
        answers.append(await reader.read())
        writer.close()
        await writer.wait_closed()
        return app

    assert listen.run(main()).ended_by == "application"
    assert b"done\n" in answers[0]


def test_stop_cuts_streams_that_do_not_end() -> None:
    """An application that streams on is told `http.disconnect` when the grace is over."""

    async def main() -> Echo:
        app = Echo()
        async with listen.serve(app, "127.0.0.1:0", grace_s=0) as served:
            reader, writer = await asyncio.open_connection(served.host, served.port)
            writer.write(get(b"/stream"))
            await reader.readuntil(b"begun\n")
        writer.close()
        return app

    assert listen.run(main()).ended_by == "disconnect"


def test_taken_port_is_a_door_error() -> None:
    """An address in use raises DoorError (exit 3) that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        async def main() -> None:
            async with listen.serve(Echo(), address):
                pass

        with pytest.raises(DoorError, match="in use: stop what listens there") as caught:
            listen.run(main())
        assert caught.value.exit_code == 3


def test_foreign_address_is_a_door_error() -> None:
    """An address that this machine does not have raises DoorError."""

    async def main() -> None:
        async with listen.serve(Echo(), "192.0.2.1:0"):
            pass

    with pytest.raises(DoorError, match=r"192\.0\.2\.1"):
        listen.run(main())


def test_application_that_does_not_start_is_a_door_error() -> None:
    """A failed lifespan start-up raises DoorError, and the address is free again."""

    async def failing(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    async def main() -> None:
        async with listen.serve(failing, "127.0.0.1:0"):
            pass

    with pytest.raises(DoorError, match="did not start"):
        listen.run(main())


def test_silent_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that connects and never sends a request does not hold its connection for ever."""
    monkeypatch.setattr(listen, "HEAD_DEADLINE_S", 0.01)

    async def body(served: listen.Served, app: Echo) -> None:
        assert await exchange(served, b"") == b""
        assert await exchange(served, b"GET / HTTP/1.1\r\nHost") == b""
        assert app.scopes == []

    with_server(body)


def test_so_many_connections_are_served() -> None:
    """Who comes while there are as many as may be is told so, and whoever is there is served on."""

    async def main() -> tuple[bytes, bytes]:
        app = Echo()
        async with listen.serve(app, "127.0.0.1:0", on_stop=app.over.set, most_connections=2) as served:
            reader, writer = await asyncio.open_connection(served.host, served.port)
            writer.write(get(b"/stream"))
            await reader.readuntil(b"begun\n")
            refused = await exchange(served, get(b"/"))
            app.over.set()
            rest = await reader.read()
            writer.close()
            await writer.wait_closed()
        return refused, rest

    refused, rest = listen.run(main())
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"done" in rest


SCRIPT = """
from decklog import listen
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
def hangup():
    print("reopened", flush=True)
print(int(listen.run(listen.until_stopped(app, "127.0.0.1:0", on_hangup=hangup))))
"""


@pytest.mark.journey
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_process_with_a_stream_open(number: signal.Signals, tmp_path: Path) -> None:
    """`listening on …` comes on stderr once ready; SIGHUP is handed on, a stop ends the process with a stream open."""
    environment = {**os.environ, "HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    with process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        port = int(line.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as client:
            client.sendall(get(b"/"))
            received = b""
            while b"begun" not in received:
                received += client.recv(4096)
            process.send_signal(signal.SIGHUP)
            assert process.stdout is not None
            assert process.stdout.readline() == "reopened\n"
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
    assert (process.returncode, out.strip(), err) == (0, str(int(number)), "")

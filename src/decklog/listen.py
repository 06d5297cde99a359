"""Listening: serves an ASGI application over HTTP/1.1, with or without TLS.

Lives in the cellar, knows nothing of audit. uvicorn does the work (on httptools and uvloop); this module adds what an
auditing door needs and no ASGI server hands over:

* the client's certificate, in ``scope["extensions"]["tls"]`` as the ASGI TLS extension says (`TlsExtension`);
* the request target as it was sent, in ``scope["decklog.target"]`` (bytes): ASGI's own ``path`` is decoded, and an
  absolute-form target (``GET https://host/path``) has lost its front;
* limits on the head of a request: 1 MiB, and 32 seconds to send it, as Go's server has them;
* an end: a stop lets short requests finish, then cuts streams, and is over within ten seconds.

What differs from the Go server in front of kube-apiserver:

===========================================  =====================================================================
Difference                                   Why
===========================================  =====================================================================
Non-ASCII bytes and tabs in a target, and    llhttp refuses them: 400 in plain text, and the application (so the
methods it does not know (``get``,           audit log too) never hears of the request. kube-apiserver would answer
``LIST``)                                    404 or 405 and audit it.
A client certificate of a foreign authority  Python's ssl verifies in the handshake or not at all. kube-apiserver
ends the handshake                           takes any, and answers 401.
HTTP/1.1 only                                No HTTP/2 in uvicorn's httptools protocol; client-go falls back.
Only the client's own certificate is shown,  Python before 3.13 does not offer the chain.
without its chain
===========================================  =====================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, cast

import uvicorn
import uvloop
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from decklog.errors import DecklogError, DoorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

HEAD_LIMIT_BYTES: Final = 1 << 20
"""The largest request line with headers that is read; more is answered 431."""
HEAD_DEADLINE_S: Final = 32.0
"""How long a client may take to send the head of a request, or to stay connected without sending one."""
KEEP_ALIVE_S: Final = 90
"""How long an idle connection stays open after a response."""
GRACE_S: Final = 2.0
"""How long requests may go on after a stop, before their connections are cut."""
STOP_LIMIT_S: Final = 3
"""When tasks that outlive their connection are cancelled: what is drained after the door needs the other seconds."""

T = TypeVar("T")
App = Any
"""An ASGI 3 application; uvicorn's own type is narrower than what frameworks offer."""


class TlsExtension(TypedDict):
    """``scope["extensions"]["tls"]``: the ASGI TLS extension, version 0.2."""

    server_cert: str | None
    """Always None: Python's ssl does not give it back."""
    client_cert_chain: list[str]
    """PEM; the client's certificate, or nothing. It was verified if the context verifies."""
    client_cert_name: str | None
    """Always None: whoever needs the name reads it from the certificate."""
    client_cert_error: str | None
    """Always None: an error ends the handshake."""
    tls_version: int | None
    """As on the wire: 0x0303 is TLS 1.2, 0x0304 is TLS 1.3."""
    cipher_suite: int | None
    """As on the wire: 0x1301 is TLS_AES_128_GCM_SHA256."""


class Served:
    """A server that is up: where it listens."""

    def __init__(self, host: str, port: int, *, tls: bool) -> None:
        self.host = host
        self.port = port
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{port}"


def parse_address(text: str) -> tuple[str, int]:
    """Read HOST:PORT, ``[::1]:PORT`` or ``:PORT`` (every address). Raises DecklogError for anything else."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535 or (":" in host and not bracketed):
        raise DecklogError(f"{text!r} is no address to listen on: give HOST:PORT, such as 127.0.0.1:6443 or [::1]:6443")
    return (host[1:-1] if bracketed else host) or "0.0.0.0", int(port)  # noqa: S104  # because: ":PORT" asks for it


@contextlib.asynccontextmanager
async def serve(
    app: App,
    address: str,
    *,
    tls: ssl.SSLContext | None = None,
    on_stop: Callable[[], None] | None = None,
    grace_s: float = GRACE_S,
    listener: socket.socket | None = None,
    most_connections: int | None = None,
) -> AsyncIterator[Served]:
    """Serve `app` on `address` (port 0: any free one) for as long as the block runs; or on a `listener` that is bound.

    Leaving stops: no new connections, `on_stop` (where an application ends its streams in good order), `grace_s` for
    what is under way, then connections are cut, whose applications receive ``http.disconnect``. A request that comes
    while there are `most_connections` is answered 503.
    Raises DoorError when the address cannot be had or the application does not start.
    """
    if listener is None:
        listener = bind(*parse_address(address))
    server = await _started(app, listener, tls, most_connections)
    ticking = asyncio.create_task(server.main_loop())
    try:
        yield Served(*listener.getsockname()[:2], tls=tls is not None)
    finally:
        server.should_exit = True
        await ticking
        if on_stop is not None:
            on_stop()
        await _stop(server, listener, grace_s)


async def until_stopped(
    app: App,
    address: str,
    *,
    tls: ssl.SSLContext | None = None,
    on_stop: Callable[[], None] | None = None,
    on_hangup: Callable[[], None] | None = None,
    announce: Callable[[str], None] | None = None,
    most_connections: int | None = None,
) -> signal.Signals:
    """Serve until SIGTERM or SIGINT, which is returned. Tells `announce` (default: stderr) when ready.

    `on_hangup` is called at SIGHUP, which otherwise ends the process.

    A second signal has its usual effect again: it ends the process there and then.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        for handled in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(handled)
        if not stopped.done():
            stopped.set_result(number)

    for handled in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(handled, stop, handled)
    if on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
    async with serve(app, address, tls=tls, on_stop=on_stop, most_connections=most_connections) as served:
        (announce or _say)(f"listening on {served.url}")
        return await stopped


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Make a socket that is bound and does not listen yet; `shared`: others may bind the same address (SO_REUSEPORT).

    Raises DoorError when the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise DoorError(f"cannot listen on {host}:{port}: {error.strerror}: {_advice(error)}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DoorError(f"cannot listen on {host}:{port}: {reason}: {_advice(error)}") from error
    return listener


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "stop what listens there, or choose another port (0 takes a free one)"
        case errno.EACCES | errno.EPERM:
            return "choose a port from 1024 up, or give this process the right to bind lower ones"
        case _:
            return "choose an address of this machine, such as 127.0.0.1"


async def _started(
    app: App, listener: socket.socket, tls: ssl.SSLContext | None, most_connections: int | None
) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="auto",
        log_config=None,  # our own logging stays as the helm set it up
        access_log=False,
        proxy_headers=False,  # X-Forwarded-For is the auditor's to judge: the peer must stay the peer
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        limit_concurrency=most_connections,
        timeout_graceful_shutdown=STOP_LIMIT_S,
    )
    config.load()
    config.ssl = tls
    server = uvicorn.Server(config)
    server.lifespan = LifespanOn(config)
    try:
        await server.startup(sockets=[listener])
    except SystemExit:
        listener.close()
        raise DoorError("the application did not start: its reason is in the log above") from None
    return server


async def _stop(server: uvicorn.Server, listener: socket.socket, grace_s: float) -> None:
    cutting = asyncio.get_running_loop().call_later(grace_s, _cut, server)
    try:
        # The bound holds also where an application never answers the end of its lifespan.
        await asyncio.wait_for(server.shutdown(sockets=[listener]), STOP_LIMIT_S + 1)
    except TimeoutError:
        raise DoorError(f"the application did not stop within {STOP_LIMIT_S + 1} s: it was abandoned") from None
    finally:
        cutting.cancel()


def _cut(server: uvicorn.Server) -> None:
    for connection in list(server.server_state.connections):
        cast("_Protocol", connection).cut()


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with the client's certificate, the raw target, and limits on a request's head."""

    _tls: TlsExtension | None = None
    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # because: as uvicorn's
        super().connection_made(transport)
        self._tls = _tls_extension(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._await_head()
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_LIMIT_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._tls is not None:
            cast("dict[str, Any]", self.scope)["extensions"] = {"tls": self._tls}

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._end_timer()
        cast("dict[str, Any]", self.scope)["decklog.target"] = self.url
        super().on_headers_complete()
        if self.parser.should_upgrade():
            # The parser has stopped for another protocol: a further request on this connection would never be read.
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def cut(self) -> None:
        """End the connection now; its application receives ``http.disconnect``."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.abort()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: whether an upgrade is taken is the application's answer, not ours."""

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_DEADLINE_S, self._give_up)

    def _end_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _refuse_head(self) -> None:
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
            b"content-type: text/plain; charset=utf-8\r\ncontent-length: 35\r\nconnection: close\r\n\r\n"
            b"431 Request Header Fields Too Large",
        )
        self.transport.close()


def _tls_extension(transport: asyncio.BaseTransport) -> TlsExtension | None:
    connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if connection is None:
        return None
    der = connection.getpeercert(binary_form=True)
    suite = connection.cipher()
    return TlsExtension(
        server_cert=None,
        client_cert_chain=[ssl.DER_cert_to_PEM_cert(der)] if der else [],
        client_cert_name=None,
        client_cert_error=None,
        tls_version=_TLS_VERSIONS.get(connection.version() or ""),
        cipher_suite=_suite_number(connection.context, suite[0]) if suite else None,
    )


_TLS_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def _suite_number(context: ssl.SSLContext, name: str) -> int | None:
    # OpenSSL keeps the number of the wire in the low half of its own id.
    return next((cipher["id"] & 0xFFFF for cipher in context.get_ciphers() if cipher["name"] == name), None)

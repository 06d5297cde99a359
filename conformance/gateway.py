"""The recorded corpus on the wire: each request of a run goes through a real gateway, in front of a scripted upstream.

Requests are sent over TLS byte for byte as recorded, with a certificate or the token of the one who sent them; the
upstream answers as the real server did (bodies restored). The events are held against the server's by the criterion of
the recorder's. What only the wire cannot carry is excepted, and the reason printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec
import uvloop

from conformance.corpus import Replay, options_of, policy_of
from conformance.recorded import Body, Row, Run, raw, response_header
from conformance.tally import Tally
from decklog import certificates
from decklog.gateway.certificate import Certificates
from decklog.gateway.front_proxy import RemoteHeaders
from decklog.gateway.identity import Identification
from decklog.gateway.identity_options import IdentityOptions
from decklog.gateway.options import GatewayOptions
from decklog.gateway.permissions import Permissions
from decklog.gateway.questions import Questions
from decklog.gateway.server import Gateway
from decklog.gateway.tokens import SelfSubjectReviews, Tokens
from decklog.gateway.towards import Onward
from decklog.metrics import AuditCounters
from decklog.recorder.recording import Recorder
from decklog.testing import MemoryBackend

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from decklog.audit.event import Event

_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"
_WAIT_S: Final = 10.0
_REVIEW: Final = b"/selfsubjectreviews"
_UNSEEN: Final = {
    "authenticationMetadata": "how an impersonation was authorised never leaves the server",
}

_NODES: Final = {"impersonatedUser": "constrained impersonation adds system:nodes, the legacy one does not"}


def run(folder: Path) -> Tally:
    """Replay one run through a gateway."""
    return uvloop.run(_Site(Run(folder), Tally(f"{folder.name}-gateway", unit="events")).replayed())


@dataclass
class _Upstream:
    """Answers the request of the row that is on its way; questions of the gateway's own by who sent that row."""

    run: Run
    row: Row = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 0
    tls: bool = False
    base_path: bytes = b""
    server_name: str = "127.0.0.1"
    has_certificate: bool = True

    def ssl_context(self, *, own_certificate: bool) -> ssl.SSLContext | None:
        del own_certificate
        return None

    def authorization(self) -> bytes | None:
        return None

    def expired(self) -> None:
        """Hear nothing."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
                await self._body(reader, lines)
                if _REVIEW in head.partition(b"\r\n")[0] and b"audit-id" not in lines:
                    writer.write(self._review())
                    continue
                answer = self._answer()
                if answer is None:
                    break
                writer.write(answer)
                if answer.startswith(b"HTTP/1.1 101"):
                    break
        writer.close()

    async def _body(self, reader: asyncio.StreamReader, lines: dict[bytes, bytes]) -> None:
        if b"transfer-encoding" in lines:
            while (await reader.readuntil(b"\r\n")) != b"0\r\n":
                await reader.readuntil(b"\r\n")
            await reader.readuntil(b"\r\n")
        else:
            await reader.readexactly(int(lines.get(b"content-length", b"0")))

    def _review(self) -> bytes:
        user = self.run.user(self.row)
        if user is None:
            return _rendered(401, b"Unauthorized", [], b'{"kind":"Status","code":401}')
        document = {"kind": "SelfSubjectReview", "status": {"userInfo": msgspec.to_builtins(user)}}
        return _rendered(201, b"Created", [(b"Content-Type", b"application/json")], json.dumps(document).encode())

    def _answer(self) -> bytes | None:
        response = self.row.get("response") or {}
        code = response.get("status")
        if code is None:
            return None
        pairs = [
            (raw(name), raw(value))
            for name, value in response["headers"]
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}
        ]
        body = _whole(self.run.body(self.row, "response"))
        if code == 101:
            return _head(code, b"Switching Protocols", [*pairs, (b"Connection", b"Upgrade")])
        if self.row["method"] == "HEAD":
            return _head(code, b"-", [*pairs, (b"Content-Length", b"0")])
        return _rendered(
            code, b"-", pairs, body, chunked=response_header(self.row, "transfer-encoding").lower() == "chunked"
        )


def _head(code: int, phrase: bytes, pairs: list[tuple[bytes, bytes]]) -> bytes:
    lines = [b"HTTP/1.1 %d %b" % (code, phrase), *(b"%b: %b" % pair for pair in pairs)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _rendered(
    code: int, phrase: bytes, pairs: list[tuple[bytes, bytes]], body: bytes, *, chunked: bool = False
) -> bytes:
    if chunked:
        chunks = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return _head(code, phrase, [*pairs, (b"Transfer-Encoding", b"chunked")]) + chunks + b"0\r\n\r\n"
    if code in {204, 304}:
        return _head(code, phrase, pairs)
    return _head(code, phrase, [*pairs, (b"Content-Length", b"%d" % len(body))]) + body


class _Authorities:
    """The two authorities of a run, and who has a certificate of theirs."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.clients = certificates.authority("clients", clock=_now, lifetime=timedelta(hours=2))
        self.proxies = certificates.authority("proxies", clock=_now, lifetime=timedelta(hours=2))
        self.recorded: dict[str, str] = {}
        """The credential ID of a certificate here → of the one that was recorded."""
        self._contexts: dict[str, ssl.SSLContext] = {}

    @cached_property
    def server(self) -> ssl.SSLContext:
        """The gateway's side."""
        pair = certificates.server_certificate(self.clients, ["127.0.0.1"], clock=_now, lifetime=timedelta(hours=2))
        return certificates.server_context(pair, self.clients.certificate_pem + self.proxies.certificate_pem)

    def client(self, identity: str) -> ssl.SSLContext:
        """Give the side of one who sends."""
        if identity not in self._contexts:
            self._contexts[identity] = certificates.client_context(self.clients.certificate_pem, self._pair(identity))
        return self._contexts[identity]

    def _pair(self, identity: str) -> certificates.KeyPair | None:
        known = self._run.identities["identities"].get(identity, {})
        if "user_from" in known:
            return certificates.client_certificate(self.proxies, "proxy", clock=_now, lifetime=timedelta(hours=2))
        if not known.get("presents", "").startswith("client certificate"):
            return None
        user = known["user"]
        groups = [group for group in user["groups"] if group != "system:authenticated"]
        pair = certificates.client_certificate(
            self.clients, user["username"], groups, clock=_now, lifetime=timedelta(hours=2)
        )
        ours = f"X509SHA256={certificates.identity(pair.certificate_pem).sha256}"
        self.recorded[ours] = user.get("extra", {}).get(_CREDENTIAL, [ours])[0]
        return pair


@dataclass
class _Site:
    """A gateway between one who sends as recorded and one who answers as recorded."""

    run: Run
    tally: Tally

    async def replayed(self) -> Tally:
        self._upstream = upstream = _Upstream(self.run)
        self._authorities = _Authorities(self.run)
        self._sink = MemoryBackend()
        replay = Replay(self.run, self.tally, unseen=_UNSEEN)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._sink)
            serving = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=1 << 24)
            stack.callback(serving.close)
            upstream.port = serving.sockets[0].getsockname()[1]
            questions = await stack.enter_async_context(Questions(upstream))
            self._gateway = gateway = self._made(questions)
            listener = socket.create_server(("127.0.0.1", 0))
            self._address = listener.getsockname()
            await gateway.start()
            await gateway.listen(listener, self._authorities.server)
            for row in self.run.rows:
                why = _not_on_the_wire(self.run, row)
                if why:
                    replay.except_row(row, why)
                else:
                    replay.unseen = _UNSEEN | (_NODES if _constrained_node(self.run, row) else {})
                    replay.hold(row, await self._events(row))
            await gateway.drain(1)
        return self.tally

    def _made(self, questions: Questions) -> Gateway:
        counters = AuditCounters()
        authorities = self._authorities
        identify = Identification(
            Tokens(SelfSubjectReviews(questions), ttl_s=0.0),
            certificates=Certificates(authorities.clients.certificate_pem, authorities.proxies.certificate_pem),
            remote_headers=RemoteHeaders(IdentityOptions()),
        )
        return Gateway(
            GatewayOptions(exec_annotations=False),
            access=self._upstream,
            decide=policy_of(self.run),
            recorder=Recorder(time.time_ns, counters, options_of(self.run)),
            sink=self._sink,
            identify=identify,
            towards=Onward("front-proxy", self._upstream, Permissions(questions)),
            counters=counters,
            new_id=lambda: self._upstream.row["auditID"] or "",
            grouped=True,
        )

    async def _events(self, row: Row) -> list[Event]:
        """Send a row's request; give what the gateway recorded of it."""
        self._upstream.row = row
        self._sink.events.clear()
        reader, writer = await asyncio.open_connection(
            *self._address, ssl=self._authorities.client(row["identity"]), server_hostname="127.0.0.1"
        )
        body = _whole(self.run.body(row, "request"))
        writer.write(_request(row, body))
        declared = next((int(value) for name, value in row["headers"] if name.lower() == "content-length"), 0)
        if declared > len(body):
            await self._until(lambda: bool(self._sink.events))
            writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(reader.read(), _WAIT_S)
        writer.close()
        await self._until(lambda: not self._gateway.connections)
        return [self._as_recorded(event) for event in self._sink.events]

    async def _until(self, met: Any) -> None:
        """Wait for what happens on this very loop."""
        async with asyncio.timeout(_WAIT_S):
            while not met():  # noqa: ASYNC110  # because: the conditions are of another room's, and set no event
                await asyncio.sleep(0.001)

    def _as_recorded(self, event: Event) -> Event:
        """Name the recorded certificate in place of ours, whose hash is another one."""
        extra = event.user.extra or {}
        if _CREDENTIAL not in extra:
            return event
        ids = tuple(self._authorities.recorded.get(value, value) for value in extra[_CREDENTIAL] or ())
        user = msgspec.structs.replace(event.user, extra={**extra, _CREDENTIAL: ids})
        return msgspec.structs.replace(event, user=user)


def _whole(body: Body) -> bytes:
    """Give a body in its length; what of it was not recorded is blank, as its content is compared nowhere."""
    return body.data + b" " * (body.length - len(body.data))


def _request(row: Row, body: bytes) -> bytes:
    version = raw(row.get("http") or "HTTP/1.1")
    lines = [b"%b %b %b" % (raw(row["method"]), raw(row["path"]), version)]
    lines += [b"%b: %b" % (raw(name), raw(value)) for name, value in row["headers"]]
    names = {name.lower() for name, _ in row["headers"]}
    if "host" not in names and version != b"HTTP/1.0":
        lines.append(b"Host: 127.0.0.1")
    if "connection" not in names:
        lines.append(b"Connection: close")  # one request a connection: its end is the end of the answer
    chunked = "transfer-encoding" in names
    if chunked:
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _not_on_the_wire(run: Run, row: Row) -> str:
    """Say why a row cannot be sent; empty: it can."""
    if row["auditID"] is None and not row["event_lines"] and not response_header(row, "audit-id"):
        return "refused by the HTTP server before any filter: the gateway records the refusal, kube-apiserver nothing"
    if run.identities["identities"].get(row["identity"], {}).get("presents", "").endswith("unknown CA"):
        return "a certificate of another authority ends the handshake here; kube-apiserver answers 401"
    return ""


def _constrained_node(run: Run, row: Row) -> bool:
    """Whether a row asks to be a node, by constrained impersonation."""
    constrained = run.identities["identities"].get(row["identity"], {}).get("impersonation") == "constrained"
    return constrained and any(
        name.lower() == "impersonate-user" and value.startswith("system:node:") for name, value in row["headers"]
    )


def _now() -> datetime:
    return datetime.now(UTC)

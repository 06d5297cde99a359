"""A real HTTPS server with a script: what it answers to /readyz, one entry a question; the last one stays.

It writes an audit log, if it is told where, as an API server would: each other request is an event.
"""

from __future__ import annotations

import json
import ssl
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from decklog import certificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLOSED = 0
"""The connection is closed without an answer, as by a server that is going down."""
BODY = b"[+]ping ok\n[-]poststarthook/start-kube-apiserver-admission-initializer failed: not finished\n"


def now() -> datetime:
    return datetime.now(UTC)


class ScriptedServer:
    def __init__(self, script: list[int], log: Path | None = None, hosts: tuple[str, ...] = ("127.0.0.1",)) -> None:
        self.script = script
        self.log = log
        self.pages: dict[str, bytes] = {}
        """What stands at other paths (without their query), sent in chunks."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.on_request: Callable[[int], None] = lambda _: None
        self.authority = certificates.authority("trial", clock=now, lifetime=timedelta(hours=1))
        pair = certificates.server_certificate(self.authority, hosts, clock=now, lifetime=timedelta(hours=1))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(pair.certificate_pem + pair.key_pem)
            file.flush()
            context.load_cert_chain(file.name)
        ours = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                ours.answer(self)

            def do_DELETE(self) -> None:
                ours.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # whoever does not trust us hangs up

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append((handler.path, dict(handler.headers.items())))
        if (page := self.pages.get(handler.path.partition("?")[0])) is not None:
            self._send_chunked(handler, page)
            return
        if handler.path != "/readyz":
            self._record(handler)
            self._send(handler, 404, b"{}")
            return
        status = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.on_request(status)
        if status == CLOSED:
            handler.close_connection = True
            return
        self._send(handler, status, b"ok" if status == 200 else BODY)

    def _send(self, handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _send_chunked(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(body), 100):
            piece = body[start : start + 100]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    def _record(self, handler: BaseHTTPRequestHandler) -> None:
        if self.log is None:
            return
        event = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": handler.headers["Audit-ID"],
            "stage": "ResponseComplete",
            "requestURI": handler.path,
            "verb": "get",
            "user": {"username": "system:anonymous", "groups": ["system:unauthenticated"]},
            "userAgent": handler.headers["User-Agent"],
            "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
            "stageTimestamp": "2026-01-01T00:00:00.100000Z",
        }
        with self.log.open("ab") as file:
            file.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")

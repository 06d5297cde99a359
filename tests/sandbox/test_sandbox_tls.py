"""The sandbox behind a real TLS socket, with the standard library's client."""

from __future__ import annotations

import asyncio
import http.client
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from decklog import certificates, listen
from decklog.sandbox.app import Sandbox
from decklog.sandbox.identities import DEMO, Credentials, issue
from sandbox.client import CONFIG_MAPS, PODS, config_map, pod

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.certificates import KeyPair

pytestmark = pytest.mark.journey


def real() -> datetime:
    return datetime.now(UTC)


class Over:
    """Requests over TLS to a sandbox that is up, from another thread."""

    def __init__(self, served: listen.Served, credentials: Credentials) -> None:
        self.served = served
        self.credentials = credentials

    def connect(self, pair: KeyPair | None) -> http.client.HTTPSConnection:
        context = certificates.client_context(self.credentials.authority.certificate_pem, pair)
        return http.client.HTTPSConnection(self.served.host, self.served.port, timeout=10, context=context)

    def call(self, method: str, target: str, body: Any = None, *, user: str = "", token: str = "") -> tuple[int, Any]:
        connection = self.connect(self.credentials.clients[user] if user else None)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


def with_sandbox(body: Callable[[Over], None]) -> None:
    """Run `body` in a thread against a sandbox on a free port."""

    async def main() -> None:
        credentials = issue(DEMO, ["127.0.0.1", "localhost"], clock=real)
        box = Sandbox(DEMO, credentials.tokens)
        tls = certificates.server_context(credentials.server, credentials.authority.certificate_pem)
        async with listen.serve(box, "127.0.0.1:0", tls=tls, on_stop=box.stop) as served:
            await asyncio.to_thread(body, Over(served, credentials))

    listen.run(main())


def test_certificates_and_tokens_over_tls() -> None:
    """Over TLS a client is who its certificate says, or its token, or anonymous; roles end where they should."""

    def body(over: Over) -> None:
        assert over.call("POST", PODS, pod("p"), user="bob")[0] == 201
        assert over.call("GET", f"{PODS}/p", user="carol")[1]["status"]["phase"] == "Running"
        assert over.call("DELETE", f"{PODS}/p", user="carol")[0] == 403
        tokens = {user.username: token for token, user in over.credentials.tokens.items()}
        assert over.call("GET", PODS, token=tokens["carol"])[0] == 200
        assert over.call("GET", PODS, token="unknown")[0] == 401
        status, answer = over.call("GET", PODS)
        assert (status, answer["reason"]) == (403, "Forbidden")
        review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        extra = over.call("POST", review, {}, user="alice")[1]["status"]["userInfo"]["extra"]
        assert extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")

    with_sandbox(body)


def test_a_watch_over_tls_streams() -> None:
    """Events of a watch arrive line by line while the connection stays open; a big body is refused beside it."""

    def body(over: Over) -> None:
        connection = over.connect(over.credentials.clients["admin"])
        connection.request("GET", f"{CONFIG_MAPS}?watch=1")
        response = connection.getresponse()
        over.call("POST", CONFIG_MAPS, config_map("a"), user="admin")
        event = json.loads(response.readline())
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
        big = {"metadata": {"name": "b"}, "data": {"k": "v" * (4 << 20)}}
        assert over.call("POST", CONFIG_MAPS, big, user="admin")[0] == 413
        connection.close()

    with_sandbox(body)


def test_a_stop_ends_watches_properly() -> None:
    """When the server stops a watch gets its last chunk, so that its client sees an end and no broken stream."""
    ended: list[bytes] = []

    async def main() -> None:
        credentials = issue(DEMO, ["127.0.0.1"], clock=real)
        box = Sandbox(DEMO, credentials.tokens)
        token = next(iter(credentials.tokens))
        async with listen.serve(box, "127.0.0.1:0", on_stop=box.stop) as served:
            reader, writer = await asyncio.open_connection(served.host, served.port)
            head = f"GET {CONFIG_MAPS}?watch=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
            writer.write(head.encode())
            await reader.readuntil(b"\r\n\r\n")
        ended.append(await reader.read())
        writer.close()
        await writer.wait_closed()

    listen.run(main())
    assert ended == [b"0\r\n\r\n"]

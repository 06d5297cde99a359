from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ask.logs import event, log
from decklog import certificates
from decklog.assembling.web import WebDoor, WebSettings
from decklog.errors import DecklogError
from decklog.web.options import WebListenerOptions, WebOptions
from decklog.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.certificates import KeyPair

DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


def test_the_names_of_the_certificate_are_taken_as_hosts(tmp_path: Path) -> None:
    """Under whatever name the certificate is for, and whatever was allowed besides, the pages are reached."""
    ca = certificates.authority("ca", clock=lambda: datetime.now(UTC), lifetime=timedelta(days=2))
    pair = certificates.server_certificate(
        ca, ["Audit.example", "192.0.2.7"], clock=lambda: datetime.now(UTC), lifetime=timedelta(days=1)
    )
    certificates.write(pair, tmp_path / "crt", tmp_path / "key")
    (tmp_path / "tokens").write_text("0123456789abcdef,alice\n")
    listener = WebListenerOptions(str(tmp_path / "tokens"), str(tmp_path / "crt"), str(tmp_path / "key"))
    files = (str(log(tmp_path / "audit.log", event())),)
    settings = WebSettings("0.0.0.0:0", files, web=WebOptions("Deck.example, [::1]"), listener=listener)
    door = WebDoor(settings, lambda _: None)
    assert door._hosts() == {"audit.example", "192.0.2.7", "deck.example", "::1"}


def test_what_cannot_be_shown_is_told_before_serving(tmp_path: Path) -> None:
    """A log that is not there, a store that is none and standard input are errors of the constructor."""
    for settings in (
        WebSettings(files=(str(tmp_path / "none.log"),)),
        WebSettings(store=str(tmp_path / "none")),
        WebSettings(files=("-",)),
    ):
        with pytest.raises(DecklogError):
            WebDoor(settings, lambda _: None)


def test_certificates_and_authority_are_read_again(tmp_path: Path) -> None:
    """New connections meet the new certificate and the new authority; what cannot be read leaves those in force."""

    def issue(name: str, *, server: bool) -> KeyPair:
        """Make an authority, and what it signs: the listener's files, or the authority of clients and one of them."""
        ca = certificates.authority(f"{name} authority", clock=now, lifetime=DAY)
        if server:
            certificates.write(certificates.server_certificate(ca, ["localhost"], clock=now, lifetime=DAY), crt, key)
            return ca
        client_ca.write_bytes(ca.certificate_pem)
        return certificates.client_certificate(ca, "alice", clock=now, lifetime=DAY)

    crt, key, client_ca = tmp_path / "crt", tmp_path / "key", tmp_path / "ca"
    old_server, old_client = issue("old", server=True), issue("old", server=False)
    listener = WebListenerOptions("", str(crt), str(key), str(client_ca))
    door = WebDoor(WebSettings("127.0.0.1:0", (str(log(tmp_path / "l", event())),), listener=listener), lambda _: None)

    async def run() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        worker = Worker(1, 1, sock, {}, lambda _: None)
        working = asyncio.create_task(door.work(worker))

        async def status(server: KeyPair, client: KeyPair) -> int:
            return await asyncio.to_thread(_status, sock.getsockname()[1], server, client)

        try:
            assert await status(old_server, old_client) == 200
            new_server, new_client = issue("new", server=True), issue("new", server=False)
            worker.on_message({"kind": "tls"})
            assert await status(new_server, new_client) == 200
            with pytest.raises(ssl.SSLError):
                await status(old_server, new_client)
            with pytest.raises((ssl.SSLError, ConnectionError)):  # by an alert, or by a close that overtakes it
                await status(new_server, old_client)
            client_ca.write_text("nothing")
            worker.on_message({"kind": "tls"})
            assert await status(new_server, new_client) == 200
        finally:
            worker.stop()
            await working

    asyncio.run(run())


def _status(port: int, server: KeyPair, client: KeyPair) -> int:
    context = certificates.client_context(server.certificate_pem, client)
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/log")
        return connection.getresponse().status

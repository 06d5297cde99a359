from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ask.logs import event, log
from decklog import certificates
from decklog.errors import DecklogError
from decklog.web.app import Pages
from decklog.web.guard import Access, Sessions
from decklog.web.options import WebListenerOptions
from decklog.web.readers import Readers
from decklog.web.reading import Readings
from decklog.web.scanned import Files
from web.web_client import Answer, ask

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "0123456789abcdef-alice"
HOST = {"host": "audit.example"}


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f'{TOKEN},alice,,"auditors"\n\n0123456789abcdef-bare\n')
    return path


def app_of(tmp_path: Path, readers: Readers, **access: Any) -> Any:
    pages = Pages(Files([str(log(tmp_path / "audit.log", event()))]), Readings(None))
    return pages.guarded(Access(frozenset(["audit.example"]), None, readers, secure=True, **access), Sessions())


def test_a_bearer_token_is_a_name(tokens: Path) -> None:
    """Each line is a token and whose it is; a bare one is known by its number; others are nobody's."""
    readers = Readers(str(tokens))
    assert readers.of_token(TOKEN) == "alice"
    assert readers.of_token("0123456789abcdef-bare") == "reader-2"
    assert readers.of_token("0123456789abcdef") is None
    assert readers.of_token("") is None


def test_tokens_are_read_again_and_bad_ones_leave_the_old(tokens: Path) -> None:
    """A changed file counts at once; one that cannot be used changes nothing."""
    readers = Readers(str(tokens))
    tokens.write_text("another-token-of-bob,bob\n")

    os.utime(tokens, (1, 1))
    assert readers.of_token("another-token-of-bob") == "bob"
    assert readers.of_token(TOKEN) is None
    tokens.write_text("short\n")
    os.utime(tokens, (2, 2))
    assert readers.of_token("another-token-of-bob") == "bob"


@pytest.mark.parametrize("text", ["", "short,alice\n", "\n\n"])
def test_a_token_file_that_cannot_be_used_is_told_before_serving(tmp_path: Path, text: str) -> None:
    """Nobody is let in by an empty or a guessable token."""
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(DecklogError):
        Readers(str(path))


def test_a_token_opens_a_session_by_a_form(tmp_path: Path, tokens: Path) -> None:
    """Whoever comes without a session is asked; a right token leads to where they wanted to go."""
    app = app_of(tmp_path, Readers(str(tokens)))

    def login(token: str, onward: str = "%2Flog") -> Answer:
        headers = {**HOST, "origin": "https://audit.example", "sec-fetch-site": "same-origin"}
        body = f"token={token}&onward={onward}".encode()
        return asyncio.run(ask(app, "/login", method="POST", headers=headers, body=body))

    async def visits() -> None:
        assert (await ask(app, "/log", headers=HOST)).status == 401
        bearer = await ask(app, "/log.json", headers={**HOST, "authorization": f"Bearer {TOKEN}"})
        assert bearer.json["total"] == 1

    asyncio.run(visits())
    assert login("wrong").status == 401
    answer = login(TOKEN)
    assert (answer.status, answer.headers["location"]) == (303, "/log")
    assert "Secure" in answer.headers["set-cookie"]
    for elsewhere in ("%2F%2Fevil.example", "https%3A%2F%2Fevil.example", "%2F%5Cevil.example", ""):
        assert login(TOKEN, elsewhere).headers["location"] == "/"
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert asyncio.run(ask(app, "/log", headers={**HOST, "cookie": cookie})).status == 200


def test_a_certificate_is_a_name_while_it_lasts(tmp_path: Path) -> None:
    """A client certificate that TLS has verified lets in under its CN; not when it has run out, nor without the CA."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    ca = certificates.authority("ca", clock=lambda: now, lifetime=timedelta(days=9))
    pair = certificates.client_certificate(ca, "alice", (), clock=lambda: now, lifetime=timedelta(days=2))
    tls = {"client_cert_chain": [pair.certificate_pem.decode()]}

    def status(days: int, **access: Any) -> int:
        readers = Readers(clock=lambda: now + timedelta(days=days))
        app = app_of(tmp_path, readers, **access)
        return asyncio.run(ask(app, "/log", headers=HOST, tls=tls)).status

    assert status(1, certificates=True) == 200
    assert status(3, certificates=True) == 401
    assert status(1) == 401


LISTENERS: dict[str, tuple[str, WebListenerOptions, str]] = {
    "an open address in plain HTTP": ("0.0.0.0", WebListenerOptions(token_file="t"), "plain HTTP"),
    "an open address for nobody": ("::", WebListenerOptions(certificate_file="c", key_file="k"), "nobody may look"),
    "a key without its certificate": ("127.0.0.1", WebListenerOptions(key_file="k"), "go together"),
    "client certificates without TLS": ("127.0.0.1", WebListenerOptions(client_ca_file="c"), "need TLS"),
}


@pytest.mark.parametrize(("host", "options", "problem"), LISTENERS.values(), ids=LISTENERS.keys())
def test_a_listener_that_would_show_too_much_is_refused(host: str, options: WebListenerOptions, problem: str) -> None:
    """What would be open to anybody is told before anything is served."""
    with pytest.raises(DecklogError, match=problem):
        options.check(host)


def test_a_listener_on_loopback_needs_nothing() -> None:
    """On this machine the one-time address is enough; elsewhere TLS and tokens are."""
    WebListenerOptions().check("127.0.0.1")
    WebListenerOptions().check("localhost")
    WebListenerOptions(token_file="t", certificate_file="c", key_file="k").check("192.0.2.1")


def test_a_remark_in_a_token_file_is_no_token(tokens: Path) -> None:
    """Lines that begin with a hash open nothing, however long they are."""
    tokens.write_text(f"# whoever may look, one a line\n{TOKEN},alice\n")
    readers = Readers(str(tokens))
    assert readers.of_token("# whoever may look") is None
    assert readers.of_token("# whoever may look, one a line") is None
    assert readers.of_token(TOKEN) == "alice"


def test_a_session_ends_with_the_name_in_the_token_file(tokens: Path, tmp_path: Path) -> None:
    """Who is taken out of the file may not look any more, session or not."""
    app = app_of(tmp_path, Readers(str(tokens)))
    headers = HOST | {"origin": "https://audit.example"}
    body = f"token={TOKEN}".encode()
    opened = asyncio.run(ask(app, "/login", method="POST", headers=headers, body=body))
    session = HOST | {"cookie": opened.headers["set-cookie"].partition(";")[0]}
    assert asyncio.run(ask(app, "/log", headers=session)).status == 200
    tokens.write_text("another-token-of-bob,bob\n")
    os.utime(tokens, (1, 1))
    assert asyncio.run(ask(app, "/log", headers=session)).status == 401


UNUSABLE: dict[str, tuple[str, str]] = {
    "a quotation mark that would swallow the next line": (
        f'{TOKEN},"alice\nanother-token-of-bob,bob\n',
        "line 1: its quo",
    ),
    "a token of two": (f"# ours\n{TOKEN},alice\n\n{TOKEN},bob\n", "line 4: this token is there twice"),
    "a name without a token": (f"{TOKEN},alice\n,bob\n", "line 2: the token is too short"),
}


@pytest.mark.parametrize(("text", "problem"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_line_of_a_token_file_that_cannot_be_read_is_named(tmp_path: Path, text: str, problem: str) -> None:
    """Nobody is left out, or taken for somebody else, because of a line that is written wrongly."""
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(DecklogError, match=problem):
        Readers(str(path))


def test_a_byte_order_mark_is_no_part_of_a_token(tmp_path: Path) -> None:
    """Editors that put one in front of a file lock nobody out."""
    path = tmp_path / "tokens"
    path.write_bytes(b"\xef\xbb\xbf" + f"{TOKEN},alice\n".encode())
    assert Readers(str(path)).of_token(TOKEN) == "alice"

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from decklog import certificates, kubeconfig
from decklog.access import Access, from_kubeconfig, in_cluster
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from decklog.kubeconfig import ClusterAccess

DAY = timedelta(days=1)
V1 = "client.authentication.k8s.io/v1"


def now() -> datetime:
    return datetime.now(UTC)


CA = certificates.authority("cluster", clock=now, lifetime=DAY)
OTHER_CA = certificates.authority("another cluster", clock=now, lifetime=DAY)
SERVER = certificates.server_certificate(CA, ["api.example"], clock=now, lifetime=DAY)
FIRST = certificates.client_certificate(CA, "first", clock=now, lifetime=DAY)
SECOND = certificates.client_certificate(CA, "second", clock=now, lifetime=DAY)


class Clock:
    """Seconds that go on only when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Place:
    """A directory with a kubeconfig and the files that it names."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = Clock()
        self.server = "https://127.0.0.1:6443"
        self.cluster: dict[str, Any] = {"certificate-authority": "ca.crt", "tls-server-name": "api.example"}
        self.user: dict[str, Any] = {}
        self.path("ca.crt").write_bytes(CA.certificate_pem)

    def path(self, name: str) -> Path:
        return self.directory / name

    def replace(self, name: str, data: bytes) -> None:
        """Put another file there, as everybody who rotates does."""
        self.path(f"{name}.new").write_bytes(data)
        self.path(f"{name}.new").replace(self.path(name))

    def pair(self, pair: certificates.KeyPair) -> None:
        self.replace("tls.crt", pair.certificate_pem)
        self.replace("tls.key", pair.key_pem)
        self.user = {"client-certificate": "tls.crt", "client-key": "tls.key"}

    def write(self) -> Path:
        content = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": self.server, **self.cluster}}],
            "users": [{"name": "u", "user": self.user}],
        }
        self.replace("kubeconfig", yaml.safe_dump(content).encode())
        return self.path("kubeconfig")

    def open(self, **settings: Any) -> Access:
        return from_kubeconfig(self.write(), environ=dict(os.environ), clock=self.clock, **settings)

    def plugin(self, *answers: dict[str, str]) -> None:
        """Make a plugin that gives one answer after the other, and the last one for ever; `runs` counts."""
        for number, status in enumerate(answers, 1):
            text = json.dumps({"kind": "ExecCredential", "apiVersion": V1, "status": status})
            self.path(f"answer-{number}").write_text(text)
        body = (
            f"#!/bin/sh\ncd {self.directory}; echo x >> runs; n=$(wc -l < runs)\n"
            f"[ -e broken ] && exit 1\n[ $n -gt {len(answers)} ] && n={len(answers)}\nexec cat answer-$((n))\n"
        )
        self.path("plugin").write_text(body)
        self.path("plugin").chmod(0o755)
        self.user = {"exec": {"apiVersion": V1, "command": "./plugin", "interactiveMode": "Never"}}

    @property
    def runs(self) -> int:
        return len(self.path("runs").read_text().splitlines())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_where_the_upstream_is(place: Place) -> None:
    """The server's address is given in the parts that a connection needs."""
    place.cluster = {}
    table = [
        ("https://h", ("h", 443, True, b"")),
        ("http://h", ("h", 80, False, b"")),
        ("https://[::1]:6443", ("::1", 6443, True, b"")),
        ("https://H:1/k8s/clusters/c-1/", ("h", 1, True, b"/k8s/clusters/c-1")),
        ("https://h/a b\u00fc", ("h", 443, True, b"/a%20b%C3%BC")),
    ]
    for server, parts in table:
        place.server = server
        access = place.open()
        assert (access.host, access.port, access.tls, access.base_path) == parts, server
        assert access.server_name == access.host


@pytest.mark.parametrize(
    ("name", "user", "header"),
    [
        ("nothing", {}, None),
        ("a token", {"token": "secret"}, b"Bearer secret"),
        ("a password", {"username": "u", "password": "p"}, b"Basic " + base64.b64encode(b"u:p")),
        ("a token wins", {"token": "secret", "username": "u", "password": "p"}, b"Bearer secret"),
        ("a token's file wins", {"token": "secret", "tokenFile": "token"}, b"Bearer from-file"),
    ],
)
def test_our_own_header(place: Place, name: str, user: dict[str, Any], header: bytes | None) -> None:
    """Each way to prove who we are, in client-go's order."""
    place.path("token").write_text("from-file\n")
    place.user = user
    assert place.open().authorization() == header, name


@pytest.mark.parametrize(
    ("name", "user", "server", "text"),
    [
        ("another's name", {"as": "root"}, "https://h", "impersonates another .as.: take the key out"),
        ("a query", {}, "https://h/?x=1", "the upstream's address ends with its path"),
        ("an empty token", {"tokenFile": "empty"}, "https://h", "empty holds no token: write one word in one line"),
        ("a token of two lines", {"tokenFile": "lines"}, "https://h", "lines holds no token"),
        (
            "a token in two lines",
            {"token": "a\r\nX-Remote-User: root"},
            "https://h",
            "token has letters in it that no he",
        ),
        (
            "a password of no text",
            {"username": "u", "password": "\ud800"},
            "https://h",
            "username or password is no te",
        ),
        ("a host of two words", {}, "https://h h", "the upstream's host has letters in it that no host has"),
        ("a key of another", {"client-certificate": "tls.crt", "client-key": "tls.key"}, "https://h", "cannot be used"),
    ],
)
def test_what_cannot_be_used_is_told_at_the_start(
    place: Place, name: str, user: dict[str, Any], server: str, text: str
) -> None:
    """Before anything is served."""
    place.path("empty").touch()
    place.path("lines").write_text("a\nb\n")
    place.path("tls.crt").write_bytes(FIRST.certificate_pem)
    place.path("tls.key").write_bytes(SECOND.key_pem)
    place.user, place.server = user, server
    with pytest.raises(DecklogError, match=text):
        place.open()


def test_a_name_that_no_certificate_can_bear_is_told_at_the_start(place: Place) -> None:
    """It would fail at every connection."""
    place.cluster["tls-server-name"] = ".example"
    with pytest.raises(
        DecklogError, match=r"'\.example' is no name that a certificate can bear: give another tls-serv"
    ):
        place.open()


def test_a_token_is_read_again_when_its_file_changes(place: Place) -> None:
    """It is looked at when a second has gone, not before."""
    place.path("token").write_text("one")
    place.user = {"tokenFile": "token"}
    access = place.open()
    place.replace("token", b"two\n")
    assert access.authorization() == b"Bearer one"
    place.clock.now_s += 1
    assert access.authorization() == b"Bearer two"


def test_a_token_is_read_again_every_minute(place: Place) -> None:
    """Though nothing of its file tells that it has changed."""
    place.user = {"tokenFile": "token"}
    place.path("token").write_text("one")
    access = place.open()
    found = place.path("token").stat()
    with place.path("token").open("r+b") as file:
        file.write(b"two")
    os.utime(place.path("token"), ns=(found.st_atime_ns, found.st_mtime_ns))
    place.clock.now_s += 59
    assert access.authorization() == b"Bearer one"
    place.clock.now_s += 1
    assert access.authorization() == b"Bearer two"


def test_a_refused_token_is_read_again(place: Place) -> None:
    """After `expired`, at the next look."""
    place.user = {"tokenFile": "token"}
    place.path("token").write_text("one")
    access = place.open()
    place.replace("token", b"two")
    access.expired()
    place.clock.now_s += 1
    assert access.authorization() == b"Bearer two"


def test_a_token_stays_while_its_file_cannot_be_used(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is gone, or empty for a moment, costs nobody the access; it is told once."""
    place.user = {"tokenFile": "token"}
    place.path("token").write_text("one")
    access = place.open()
    place.path("token").unlink()
    for _ in range(3):
        place.clock.now_s += 1
        assert access.authorization() == b"Bearer one"
    problem = f"cannot read the token {place.path('token')}: No such file or directory"
    assert [record.getMessage() for record in caplog.records] == [
        f"the upstream's credentials stay as they were: {problem}"
    ]
    place.replace("token", b"two")
    place.clock.now_s += 1
    assert access.authorization() == b"Bearer two"
    place.path("token").unlink()
    place.clock.now_s += 1
    assert access.authorization() == b"Bearer two"
    assert len(caplog.records) == 2, "what is wrong again is told again"


def test_what_is_written_while_we_read_is_found(place: Place) -> None:
    """A file that changes after it has been read and before it is looked at is read again, at the start and later."""
    tokens = iter(["1", "2", "3", "4", "5", "6"])
    path = place.write()

    def load() -> ClusterAccess:
        given = kubeconfig.load(path)
        token = next(tokens, None)
        if token is not None:
            place.user = {"token": token}
            place.write()
        return given

    access = Access(load, environ={}, clock=place.clock)
    for _ in range(8):
        place.clock.now_s += 1
        access.authorization()
    assert access.authorization() == b"Bearer 6"


def test_a_context_is_the_same_until_something_changes(place: Place) -> None:
    """With and without our certificate; files that were written again as they were change nothing."""
    place.pair(FIRST)
    access = place.open()
    assert access.has_certificate
    own, bare = access.ssl_context(own_certificate=True), access.ssl_context(own_certificate=False)
    assert own is not bare
    place.pair(FIRST)
    place.clock.now_s += 1
    assert access.ssl_context(own_certificate=True) is own
    assert access.ssl_context(own_certificate=False) is bare
    place.pair(SECOND)
    place.clock.now_s += 1
    assert access.ssl_context(own_certificate=True) is not own


def test_without_a_certificate_there_is_one_context(place: Place) -> None:
    """Whoever asks for our certificate where there is none gets a context that shows none."""
    access = place.open()
    assert not access.has_certificate
    assert access.ssl_context(own_certificate=True) is access.ssl_context(own_certificate=False) is not None


def test_plain_http_has_no_context_and_no_credentials(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """kubectl sends none there either; we say so."""
    place.server, place.cluster, place.user = "http://127.0.0.1:1", {}, {"token": "secret"}

    async def enter() -> None:
        async with place.open() as access:
            assert access.ssl_context(own_certificate=True) is None
            assert access.authorization() is None
            assert not access.has_certificate

    asyncio.run(enter())
    assert "our credentials are not sent to the upstream: http://127.0.0.1:1" in caplog.text
    assert "secret" not in caplog.text


def test_a_half_written_pair_changes_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Between certificate and key the old pair stays; when the key has come, the new one is taken."""
    place.pair(FIRST)
    access = place.open()
    own = access.ssl_context(own_certificate=True)
    place.replace("tls.crt", SECOND.certificate_pem)
    place.clock.now_s += 1
    assert access.ssl_context(own_certificate=True) is own
    assert "cannot be used" in caplog.text
    place.replace("tls.key", SECOND.key_pem)
    place.clock.now_s += 1
    assert access.ssl_context(own_certificate=True) is not own


def test_another_server_needs_a_restart(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The credentials of another server are not sent to this one."""
    place.user = {"token": "one"}
    access = place.open()
    place.server, place.user = "https://127.0.0.1:7443", {"token": "two"}
    place.write()
    place.clock.now_s += 1
    assert access.authorization() == b"Bearer one"
    assert access.port == 6443
    assert "now leads to another server, https://127.0.0.1:7443: restart to follow it" in caplog.text


def test_a_kubeconfig_that_changes_is_followed(place: Place) -> None:
    """Another token in the same file, and a broken file in between."""
    place.user = {"token": "one"}
    access = place.open()
    place.replace("kubeconfig", b"a: [")
    place.clock.now_s += 1
    assert access.authorization() == b"Bearer one"
    place.user = {"token": "two"}
    place.write()
    place.clock.now_s += 1
    assert access.authorization() == b"Bearer two"


@contextlib.asynccontextmanager
async def served(ca: certificates.KeyPair = CA) -> AsyncIterator[tuple[int, list[str]]]:
    """Serve TLS as an API server does: who comes is written down."""
    context = certificates.server_context(SERVER, ca.certificate_pem)
    context.set_alpn_protocols(["h2", "http/1.1"])
    callers: list[str] = []

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = writer.get_extra_info("ssl_object")
        shown = tls.getpeercert(binary_form=True)
        callers.append(f"{certificates.identity(shown).common_name if shown else ''} {tls.selected_alpn_protocol()}")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(come, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], callers


async def connect(access: Access, *, own: bool) -> None:
    context = access.ssl_context(own_certificate=own)
    _, writer = await asyncio.open_connection(access.host, access.port, ssl=context, server_hostname=access.server_name)
    writer.write(b"x")
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


def test_a_rotated_certificate_is_shown_to_a_real_server(place: Place) -> None:
    """The next connection shows the new one; connections without ours show none; ALPN is http/1.1."""

    async def story() -> list[str]:
        async with served() as (port, callers):
            place.server = f"https://127.0.0.1:{port}"
            place.pair(FIRST)
            async with place.open() as access:
                await connect(access, own=True)
                await connect(access, own=False)
                place.pair(SECOND)
                place.clock.now_s += 1
                await connect(access, own=True)
            await until(lambda: len(callers) == 3)
            return callers

    assert asyncio.run(story()) == ["first http/1.1", " http/1.1", "second http/1.1"]


def test_a_ca_that_changes_is_followed(place: Place) -> None:
    """A server that the CA did not sign is refused, until the CA's file holds the one that did."""

    async def story() -> list[str]:
        async with served() as (port, callers):
            place.server = f"https://127.0.0.1:{port}"
            place.path("ca.crt").write_bytes(OTHER_CA.certificate_pem)
            access = place.open()
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(access, own=False)
            place.replace("ca.crt", CA.certificate_pem)
            place.clock.now_s += 1
            await connect(access, own=False)
            await until(lambda: callers)
            return callers

    assert asyncio.run(story()) == [" http/1.1"]


@pytest.mark.parametrize(
    ("name", "cluster", "good"),
    [
        ("its own name", {"certificate-authority": "ca.crt"}, False),
        ("the name that it bears", {"certificate-authority": "ca.crt", "tls-server-name": "api.example"}, True),
        ("the system's CAs", {"tls-server-name": "api.example"}, False),
        ("no verification", {"insecure-skip-tls-verify": True}, True),
    ],
)
def test_how_a_server_is_verified(place: Place, name: str, cluster: dict[str, Any], good: bool) -> None:
    """By the CA that is given or the system's, under its address or tls-server-name, or not at all."""

    async def story() -> None:
        async with served() as (port, _):
            place.server, place.cluster = f"https://127.0.0.1:{port}", cluster
            with contextlib.nullcontext() if good else pytest.raises(ssl.SSLCertVerificationError):
                await connect(place.open(), own=False)

    asyncio.run(story())


def test_a_plugin_runs_before_anything_is_served(place: Place) -> None:
    """Entering the access runs it; its token is ours."""
    place.plugin({"token": "one"})

    async def story() -> None:
        access = place.open()
        assert access.authorization() is None
        async with access:
            assert access.authorization() == b"Bearer one"
        assert place.runs == 1

    asyncio.run(story())


def test_a_plugin_that_fails_stops_the_start(place: Place) -> None:
    """Its hint is in the error."""
    place.plugin({"token": "one"})
    place.path("broken").touch()
    place.user["exec"]["installHint"] = "install it"

    async def story() -> None:
        async with place.open():
            pass

    with pytest.raises(DecklogError, match="failed with exit code 1: install it"):
        asyncio.run(story())


def test_a_plugin_runs_again_before_its_token_ends(place: Place) -> None:
    """In the background: a fifth of its life, and a minute at most, before."""
    soon = (now() + timedelta(seconds=2)).isoformat()
    place.plugin({"token": "one", "expirationTimestamp": soon}, {"token": "two"})

    async def story() -> None:
        async with place.open(renew_at_most_every_s=0.0) as access:
            assert access.authorization() == b"Bearer one"
            await until(lambda: place.runs == 2)
            await until(lambda: access.authorization() == b"Bearer two")

    asyncio.run(story())


def test_a_plugin_runs_again_when_the_server_refuses_its_token(place: Place) -> None:
    """Once for any number of refusals at a time."""
    place.plugin({"token": "one"}, {"token": "two"}, {"token": "three"})

    async def story() -> None:
        async with place.open(renew_at_most_every_s=0.0) as access:
            for _ in range(100):
                access.expired()
            await until(lambda: access.authorization() == b"Bearer two")
            assert place.runs == 2

    asyncio.run(story())


def test_a_plugin_that_fails_later_costs_nothing_at_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Its last token stays, the failure is told once, and it is tried until it works."""
    place.plugin({"token": "one"}, {"token": "two"})

    async def story() -> None:
        async with place.open(renew_at_most_every_s=0.0) as access:
            place.path("broken").touch()
            access.expired()
            await until(lambda: place.runs >= 4)
            assert access.authorization() == b"Bearer one"
            place.path("broken").unlink()
            await until(lambda: access.authorization() == b"Bearer two")

    with caplog.at_level(logging.WARNING, "decklog"):
        asyncio.run(story())
    assert [r.getMessage().partition(": ")[0] for r in caplog.records] == ["the upstream's credentials are not renewed"]


def test_a_certificate_of_a_plugin_is_shown(place: Place) -> None:
    """It is a client certificate like any other, and a new one makes new contexts."""
    data = [
        {"clientCertificateData": pair.certificate_pem.decode(), "clientKeyData": pair.key_pem.decode()}
        for pair in (FIRST, SECOND)
    ]

    async def story() -> list[str]:
        async with served() as (port, callers):
            place.server = f"https://127.0.0.1:{port}"
            place.plugin(*data)
            async with place.open(renew_at_most_every_s=0.0) as access:
                assert access.has_certificate
                first = access.ssl_context(own_certificate=True)
                await connect(access, own=True)
                access.expired()
                await until(lambda: access.ssl_context(own_certificate=True) is not first)
                await connect(access, own=True)
            await until(lambda: len(callers) == 2)
            return callers

    assert asyncio.run(story()) == ["first http/1.1", "second http/1.1"]


def test_a_plugin_does_not_run_where_a_token_is_given(place: Place) -> None:
    """As in client-go, whose token comes first."""
    place.plugin({"token": "one"})
    place.user["token"] = "given"

    async def story() -> None:
        async with place.open() as access:
            assert access.authorization() == b"Bearer given"

    asyncio.run(story())
    assert not place.path("runs").exists()


def test_a_pod_reaches_its_own_cluster(tmp_path: Path) -> None:
    """By the service account's token and CA, which kubelet swaps by moving a link."""
    for name, token in (("v1", "one"), ("v2", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(token)
        (tmp_path / name / "ca.crt").write_bytes(CA.certificate_pem)
    (tmp_path / "data").symlink_to("v1")
    for name in ("token", "ca.crt"):
        (tmp_path / name).symlink_to(f"data/{name}")
    clock = Clock()
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    access = in_cluster(environ, tmp_path, clock=clock)
    assert (access.server, access.host, access.port) == ("https://[fd00::1]:443", "fd00::1", 443)
    assert access.authorization() == b"Bearer one"
    (tmp_path / "new").symlink_to("v2")
    (tmp_path / "new").replace(tmp_path / "data")
    clock.now_s += 1
    assert access.authorization() == b"Bearer two"


def test_an_access_shows_no_secret(place: Place) -> None:
    """Its text is the address."""
    place.user = {"token": "secret"}
    assert repr(place.open()) == "Access('https://127.0.0.1:6443')"

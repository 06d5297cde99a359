from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Raw

from backends.receiver import Receiver, Say
from decklog import certificates
from decklog.audit.sink import DeliveryError
from decklog.audit.wire import encode_list
from decklog.backends.books import Entered
from decklog.backends.failures import Failures, Notices
from decklog.backends.webhook import REPLY_LIMIT, HttpPoster, Webhook, receiver_url
from decklog.kubeconfig import ClusterAccess
from decklog.metrics import AuditCounters
from decklog.testing import event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from decklog.audit.event import Event


class Waits:
    """A sleep that only notes how long it should have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def webhook(
    access: ClusterAccess,
    counters: AuditCounters,
    *,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    encode: Callable[[Sequence[Event]], bytes] = encode_list,
    backoff_s: float = 10.0,
    chance: float = 0.0,
    call_limit_s: float = 10.0,
) -> Entered:
    """Build the nest of a strict webhook."""
    account = counters.account("webhook")
    leaf = Webhook(
        HttpPoster(access, call_limit_s=call_limit_s),
        encode,
        account=account,
        failures=Failures("webhook", counters, Notices()),
        initial_backoff_s=backoff_s,
        sleep=sleep or Waits(),
        chance=lambda: chance,
    )
    return Entered(leaf, account)


async def send(nest: Entered, *events: Event) -> None:
    """Send through the nest, for as long as it takes."""
    async with nest:
        promise = nest.process(events)
        assert promise is not None
        await promise


def test_events_go_as_kube_apiserver_sends_them() -> None:
    """Request line, headers in its order, body: a list whose items have no kind."""

    async def scene() -> None:
        async with Receiver() as receiver:
            await send(webhook(ClusterAccess(f"{receiver.url}?x=1"), AuditCounters()), event(), event(audit_id="b"))
            (got,) = receiver.got
            assert got.line == "POST /audit?timeout=30s HTTP/1.1"
            assert got.headers == [
                ("Host", f"127.0.0.1:{receiver.port}"),
                ("User-Agent", "Go-http-client/1.1"),
                ("Content-Length", str(len(got.body))),
                ("Accept", "application/json, */*"),
                ("Content-Type", "application/json"),
                ("Accept-Encoding", "gzip"),
            ]
            assert got.body == encode_list([event(), event(audit_id="b")])
            assert "kind" not in got.items[0]

    asyncio.run(scene())


URLS = {
    "http://h:1/audit": "http://h:1/audit?timeout=30s",
    "https://h/a/b?x=1": "https://h/a/b?timeout=30s",
    "https://h": "https://h/?timeout=30s",
    "https://h/a/": "https://h/a?timeout=30s",
    "https://h//a/./b/../c//": "https://h/a/c?timeout=30s",
    "https://[::1]:8443/a": "https://[::1]:8443/a?timeout=30s",
}


@pytest.mark.parametrize("server", URLS)
def test_the_server_s_query_is_dropped(server: str) -> None:
    """A path of / is used if there is none; one that is not clean is cleaned."""
    assert receiver_url(server) == URLS[server]


@pytest.mark.parametrize("status", [200, 201, 204, 206])
def test_these_answers_are_success_whatever_their_body(status: int) -> None:
    """Also one that says Failure."""

    async def scene() -> None:
        counters = AuditCounters()
        async with Receiver([Say(status, body=b"" if status == 204 else b'{"status":"Failure"}')]) as receiver:
            await send(webhook(ClusterAccess(receiver.url), counters), event())
            assert len(receiver.got) == 1
        assert counters.account("webhook").delivered == 1

    asyncio.run(scene())


FAILURES = {
    "400": Say(400),
    "404": Say(404),
    "207, which is no success": Say(207),
    "302, which is not followed": Say(302, (("Location", "/other"),)),
    "500": Say(500),
    "a closed connection": Say(close=True),
    "a reset connection": Say(reset=True),
    "an answer that is no HTTP": Say(raw=b"alice's secret\r\n\r\n"),
    "an answer of headers without end": Say(raw=b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, close=True),
}


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_is_tried_five_times_with_growing_waits(name: str) -> None:
    """b, 1.5b, 2.25b, 3.375b; then the events are lost, counted and told."""

    async def scene() -> None:
        waits, counters = Waits(), AuditCounters()
        async with Receiver([FAILURES[name]]) as receiver:
            with pytest.raises(DeliveryError) as raised:
                await send(webhook(ClusterAccess(receiver.url), counters, sleep=waits), event(), event())
            assert {got.line for got in receiver.got} == {"POST /audit?timeout=30s HTTP/1.1"}
            assert len(receiver.got) == 5
        assert "secret" not in str(raised.value)
        assert waits.seconds == [10.0, 15.0, 22.5, 33.75]
        assert (raised.value.backend, raised.value.lost) == ("webhook", 2)
        book = counters.account("webhook")
        assert (dict(book.dropped), book.in_flight, book.balanced) == ({"failed": 2}, 0, True)
        assert counters.error_total == {"webhook": 2}

    asyncio.run(scene())


SUCCESS = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
TAKEN = {
    "a protocol switch": Say(raw=b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    "a body that is reset": Say(raw=SUCCESS + b"{", reset=True),
    "a body that breaks off": Say(raw=SUCCESS + b"{", close=True),
    "a body that never comes": Say(raw=SUCCESS, hang=True),
    "a byte a second": Say(body=b"{}" * 50, byte_every_s=1.0),
    "a body past the limit": Say(body=b"x" * (REPLY_LIMIT * 4)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_success_is_said_by_the_status_alone(name: str) -> None:
    """What becomes of the rest of the answer costs no second attempt: the events are there."""

    async def scene() -> None:
        counters = AuditCounters()
        async with Receiver([TAKEN[name]]) as receiver:
            await send(webhook(ClusterAccess(receiver.url), counters), event())
            assert len(receiver.got) == 1
        assert (counters.account("webhook").delivered, counters.error_total) == (1, {})

    asyncio.run(scene())


def test_a_connection_is_used_again() -> None:
    """The answer is read to its end, so that the next request needs no new connection."""

    async def scene() -> None:
        async with Receiver([Say(200), Say(500), Say(200)]) as receiver:
            nest = webhook(ClusterAccess(receiver.url), AuditCounters())
            async with nest:
                for _ in range(2):
                    promise = nest.process([event()])
                    assert promise is not None
                    await promise
            assert (len(receiver.got), receiver.connections) == (3, 1)

    asyncio.run(scene())


def test_chance_lengthens_a_wait_by_a_fifth_at_most() -> None:
    """The growth is not touched by it."""

    async def scene() -> None:
        waits = Waits()
        async with Receiver([Say(500)]) as receiver:
            with pytest.raises(DeliveryError):
                await send(webhook(ClusterAccess(receiver.url), AuditCounters(), sleep=waits, chance=1.0), event())
        assert waits.seconds == pytest.approx([12.0, 18.0, 27.0, 40.5])

    asyncio.run(scene())


def test_a_failure_that_passes_costs_nothing() -> None:
    """Two 500s, then 200."""

    async def scene() -> None:
        counters = AuditCounters()
        async with Receiver([Say(500), Say(500), Say(200)]) as receiver:
            await send(webhook(ClusterAccess(receiver.url), counters), event())
            assert len(receiver.got) == 3
        assert counters.account("webhook").delivered == 1
        assert not counters.error_total

    asyncio.run(scene())


RETRY_AFTER = {
    "429 in three seconds, twice": ([Say(429, (("Retry-After", "3"),))] * 2 + [Say(200)], [3.0, 3.0]),
    "503 in a second": ([Say(503, (("Retry-After", "1"),)), Say(200)], [1.0]),
    "a billion seconds are a minute": ([Say(429, (("Retry-After", "1000000000"),)), Say(200)], [60.0]),
    "a date is none": ([Say(503, (("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"),)), Say(200)], [10.0]),
    "404 has none": ([Say(404, (("Retry-After", "3"),)), Say(200)], [10.0]),
}


@pytest.mark.parametrize("name", RETRY_AFTER)
def test_retry_after_is_honoured_and_clamped(name: str) -> None:
    """On 429 and from 500 on, inside an attempt."""

    async def scene() -> None:
        script, expected = RETRY_AFTER[name]
        waits = Waits()
        async with Receiver(script) as receiver:
            await send(webhook(ClusterAccess(receiver.url), AuditCounters(), sleep=waits), event())
        assert waits.seconds == expected

    asyncio.run(scene())


def test_retry_after_cannot_stop_us_for_ever() -> None:
    """Two minutes in all an attempt, then the attempt has failed."""

    async def scene() -> None:
        waits = Waits()
        async with Receiver([Say(429, (("Retry-After", "60"),))]) as receiver:
            with pytest.raises(DeliveryError):
                await send(webhook(ClusterAccess(receiver.url), AuditCounters(), sleep=waits), event())
        assert waits.seconds == [60.0, 60.0, 10.0, 60.0, 60.0, 15.0, 60.0, 60.0, 22.5, 60.0, 60.0, 33.75, 60.0, 60.0]

    asyncio.run(scene())


def test_a_receiver_that_never_answers_is_left_after_the_limit() -> None:
    """30 seconds a call; here less."""

    async def scene() -> None:
        async with Receiver([Say(hang=True), Say(200)]) as receiver:
            await send(webhook(ClusterAccess(receiver.url), AuditCounters(), call_limit_s=0.05), event())
            assert len(receiver.got) == 2

    asyncio.run(scene())


def test_nobody_there_is_a_failure_with_the_system_s_words() -> None:
    """Connection refused."""

    async def scene() -> None:
        async with Receiver() as receiver:
            access = ClusterAccess(receiver.url)
        with pytest.raises(DeliveryError, match=r"refused|Connect"):
            await send(webhook(access, AuditCounters()), event())

    asyncio.run(scene())


def test_an_event_that_cannot_be_encoded_is_dropped_alone() -> None:
    """Its neighbours are sent."""

    def encode(events: Sequence[Event]) -> bytes:
        if any(one.audit_id == "bad" for one in events):
            raise ValueError("cannot")
        return encode_list(events)

    async def scene() -> None:
        counters = AuditCounters()
        async with Receiver() as receiver:
            with pytest.raises(DeliveryError) as raised:
                await send(
                    webhook(ClusterAccess(receiver.url), counters, encode=encode),
                    event(audit_id="a"), event(audit_id="bad"), event(audit_id="c"),
                )  # fmt: skip
            assert receiver.ids == ["a", "c"]
        assert raised.value.lost == 1
        book = counters.account("webhook")
        assert (book.delivered, dict(book.dropped), book.balanced) == (2, {"unencodable": 1}, True)

    asyncio.run(scene())


def test_bodies_with_bad_utf_8_are_sent_as_they_are() -> None:
    """No body takes its event down."""

    async def scene() -> None:
        async with Receiver() as receiver:
            await send(
                webhook(ClusterAccess(receiver.url), AuditCounters()), event(request_object=Raw(b'{"a":"\xff"}'))
            )
            assert b'{"a":"\xff"}' in receiver.got[0].body

    asyncio.run(scene())


def pair() -> tuple[Any, ssl.SSLContext, Any]:
    """Make an authority, a receiver's context that asks for client certificates, and a client's pair."""
    clock = lambda: datetime.now(UTC)  # noqa: E731  # because: a clock is a function
    day = timedelta(days=1)
    authority = certificates.authority("test", clock=clock, lifetime=day)
    server = certificates.server_certificate(authority, ["127.0.0.1"], clock=clock, lifetime=day)
    client = certificates.client_certificate(authority, "sender", (), clock=clock, lifetime=day)
    return authority, certificates.server_context(server, authority.certificate_pem), client


CREDENTIALS: dict[str, tuple[dict[str, Any], str | None]] = {
    "a token": ({"token": "t0ken"}, "Bearer t0ken"),
    "name and password": ({"username": "u", "password": "p"}, "Basic dTpw"),
    "none": ({}, None),
}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials_go_over_tls_only(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Over plain HTTP they are not sent, and it is said."""
    fields, expected = CREDENTIALS[name]
    authority, context, _ = pair()

    async def scene() -> None:
        async with Receiver(tls=context) as receiver:
            access = ClusterAccess(receiver.url, authority.certificate_pem, **fields)
            await send(webhook(access, AuditCounters()), event())
            assert dict(receiver.got[0].headers).get("Authorization") == expected
        async with Receiver() as receiver:
            await send(webhook(ClusterAccess(receiver.url, **fields), AuditCounters()), event())
            assert "Authorization" not in dict(receiver.got[0].headers)

    asyncio.run(scene())
    assert ("not sent" in caplog.text) is (expected is not None)
    assert "t0ken" not in caplog.text


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Any) -> None:
    """A rotated token is used without a restart."""
    authority, context, _ = pair()
    file = tmp_path / "token"
    file.write_text("one\n")

    async def scene() -> None:
        async with Receiver(tls=context) as receiver:
            nest = webhook(
                ClusterAccess(receiver.url, authority.certificate_pem, token_file=str(file)), AuditCounters()
            )
            async with nest:
                for _ in range(2):
                    promise = nest.process([event()])
                    assert promise is not None
                    await promise
                    (tmp_path / "next").write_text("two\n")
                    (tmp_path / "next").replace(file)
            sent = [dict(got.headers)["Authorization"] for got in receiver.got]
            assert sent == ["Bearer one", "Bearer two"]

    asyncio.run(scene())


def test_a_token_file_that_cannot_be_read_keeps_its_last_token(tmp_path: Any) -> None:
    """Neither an empty file, nor none, nor one that is no text takes the token away."""
    authority, context, _ = pair()
    file = tmp_path / "token"
    file.write_text("one\n")

    def binary() -> None:
        file.write_bytes(b"\xff\xfe")

    async def scene() -> None:
        async with Receiver(tls=context) as receiver:
            access = ClusterAccess(receiver.url, authority.certificate_pem, token_file=str(file))
            nest = webhook(access, AuditCounters())
            async with nest:
                for spoil in (lambda: file.write_text("\n"), file.unlink, binary, lambda: None):
                    promise = nest.process([event()])
                    assert promise is not None
                    await promise
                    spoil()
            assert [dict(got.headers)["Authorization"] for got in receiver.got] == ["Bearer one"] * 4

    asyncio.run(scene())


def test_a_token_that_no_header_can_hold_is_a_failure() -> None:
    """Counted and told as any other, without the token."""
    authority, context, _ = pair()

    async def scene() -> None:
        async with Receiver(tls=context) as receiver:
            access = ClusterAccess(receiver.url, authority.certificate_pem, token="two\nlines")
            with pytest.raises(DeliveryError, match="look at the kubeconfig's credentials") as raised:
                await send(webhook(access, AuditCounters()), event())
            assert "two" not in str(raised.value)
            assert not receiver.got

    asyncio.run(scene())


def test_a_receiver_of_another_name_is_not_told_anything() -> None:
    """tls-server-name says whose certificate is expected."""
    authority, context, _ = pair()

    async def scene() -> None:
        async with Receiver(tls=context) as receiver:
            for name, taken in (("localhost", 0), ("127.0.0.1", 1)):
                access = ClusterAccess(receiver.url, authority.certificate_pem, tls_server_name=name)
                with contextlib.suppress(DeliveryError):
                    await send(webhook(access, AuditCounters()), event())
                assert len(receiver.got) == taken

    asyncio.run(scene())


def test_without_verification_anybody_is_told() -> None:
    """insecure-skip-tls-verify."""
    _, context, _ = pair()

    async def scene() -> None:
        async with Receiver(tls=context) as receiver:
            access = ClusterAccess(receiver.url, insecure_skip_tls_verify=True)
            await send(webhook(access, AuditCounters()), event())
            assert len(receiver.got) == 1

    asyncio.run(scene())


def test_a_client_certificate_is_shown() -> None:
    """And an unknown authority is a failure, never plain text."""
    authority, context, client = pair()
    context.verify_mode = ssl.CERT_REQUIRED

    async def scene() -> None:
        async with Receiver(tls=context) as receiver:
            access = ClusterAccess(
                receiver.url,
                authority.certificate_pem,
                client_certificate_pem=client.certificate_pem,
                client_key_pem=client.key_pem,
            )
            await send(webhook(access, AuditCounters()), event())
            assert len(receiver.got) == 1
            stranger = ClusterAccess(receiver.url, pair()[0].certificate_pem)
            with pytest.raises(DeliveryError, match="ertificate"):
                await send(webhook(stranger, AuditCounters()), event())
            assert len(receiver.got) == 1

    asyncio.run(scene())

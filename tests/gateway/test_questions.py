from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import pytest

from decklog import certificates, listen
from decklog.gateway.questions import QuestionError, Questions
from gateway.reviewing import Asked, Reviewer, Way

TOKEN = b"Bearer not-to-be-told"


def answer(_: Asked) -> tuple[int, dict[str, str]]:
    return 201, {"kind": "Review"}


def test_the_callers_header_goes_without_ours() -> None:
    """With the caller's header nothing of ours is shown; without one our own credentials are."""

    async def main() -> list[str | None]:
        reviewer = Reviewer(answer)
        async with reviewer.running() as way:
            way.token = b"Bearer ours"
            async with Questions(way) as questions:
                assert await questions.post("/apis/a", b"{}", TOKEN) == (201, b'{"kind": "Review"}')
                await questions.post("/apis/a", b"{}")
        return [asked.authorization for asked in reviewer.asked]

    assert asyncio.run(main()) == [TOKEN.decode(), "Bearer ours"]


def test_the_servers_path_stands_before_the_reviews() -> None:
    """The path of the upstream's address is kept, as it is escaped."""

    async def main() -> str:
        reviewer = Reviewer(answer)
        async with reviewer.running() as way:
            way.base_path = b"/k8s/clusters/c-%2Fx"
            async with Questions(way) as questions:
                await questions.post("/apis/a", b"{}", TOKEN)
        return reviewer.asked[0].path

    assert asyncio.run(main()) == "/k8s/clusters/c-%2Fx/apis/a"


def test_a_kept_connection_that_was_closed_is_asked_again() -> None:
    """A question that meets a connection closed in the meantime is asked once more, on a new one."""

    async def main() -> tuple[int, int]:
        reviewer = Reviewer(answer, close_after=1)
        async with reviewer.running() as way, Questions(way) as questions:
            for _ in range(4):
                assert (await questions.post("/apis/a", b"{}", TOKEN))[0] == 201
        return len(reviewer.asked), reviewer.connections

    assert asyncio.run(main()) == (4, 4)


def test_refused_credentials_of_ours_are_told() -> None:
    """A 401 to our own credentials is told to whoever renews them; one to the caller's is not."""

    async def main() -> int:
        async with Reviewer(lambda _: (401, {})).running() as way, Questions(way) as questions:
            await questions.post("/apis/a", b"{}", TOKEN)
            assert way.refused == 0
            await questions.post("/apis/a", b"{}")
            return way.refused

    assert asyncio.run(main()) == 1


def test_nobody_listens() -> None:
    """An upstream that is down is a 502 that names the reason and not the credentials."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def main() -> None:
        async with Questions(Way(port)) as questions:
            await questions.post("/apis/a", b"{}", TOKEN)

    with pytest.raises(QuestionError, match="cannot be reached") as caught:
        asyncio.run(main())
    assert caught.value.code == 502
    assert "not-to-be-told" not in str(caught.value)


def test_no_answer_in_time() -> None:
    """An upstream that does not answer is a 504."""

    async def main() -> None:
        async with Reviewer(answer, hold=asyncio.Event()).running() as way, Questions(way, call_limit_s=0.05) as asking:
            await asking.post("/apis/a", b"{}", TOKEN)

    with pytest.raises(QuestionError, match="did not answer within") as caught:
        asyncio.run(main())
    assert caught.value.code == 504


def test_answers_without_end_and_without_sense() -> None:
    """An answer over the limit, and one that is no HTTP, are a 502."""

    async def main(body: bytes) -> None:
        async with Reviewer(lambda _: (200, body)).running() as way, Questions(way) as questions:
            await questions.post("/apis/a", b"{}", TOKEN)

    with pytest.raises(QuestionError, match="over 1048576 bytes"):
        asyncio.run(main(b"x" * (1 << 20 | 1)))

    async def garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x15\x03\x01 no http\r\n\r\n")
        writer.close()

    async def odd() -> None:
        server = await asyncio.start_server(garbage, "127.0.0.1", 0)
        async with server, Questions(Way(server.sockets[0].getsockname()[1])) as questions:
            await questions.post("/apis/a", b"{}", TOKEN)

    with pytest.raises(QuestionError, match="the upstream broke off") as caught:
        asyncio.run(odd())
    assert (caught.value.code, "not-to-be-told" in str(caught.value)) == (502, False)


def test_our_certificate_is_shown_for_our_questions_only() -> None:
    """Over TLS a question in the caller's name shows no certificate of ours: it would win over their token."""
    day = timedelta(days=1)

    def clock() -> datetime:
        return datetime.now(UTC)

    ca = certificates.authority("ca", clock=clock, lifetime=day)
    server = certificates.server_certificate(ca, ["127.0.0.1"], clock=clock, lifetime=day)
    ours = certificates.client_certificate(ca, "gateway", clock=clock, lifetime=day)
    shown: list[bool] = []

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        del receive
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan here")
        shown.append(bool(scope["extensions"]["tls"]["client_cert_chain"]))  # type: ignore[index]  # because: ASGI
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]  # because: the same
        await send({"type": "http.response.body", "body": b"{}"})  # type: ignore[operator]  # because: the same

    async def main() -> None:
        tls = certificates.server_context(server, ca.certificate_pem)
        async with listen.serve(app, "127.0.0.1:0", tls=tls) as served:
            plain = certificates.client_context(ca.certificate_pem)
            way = Way(served.port, None, plain, certificates.client_context(ca.certificate_pem, ours))
            async with Questions(way) as questions:
                for authorization in (TOKEN, None, TOKEN, None):
                    await questions.post("/", b"{}", authorization)

    asyncio.run(main())
    assert shown == [False, True, False, True]

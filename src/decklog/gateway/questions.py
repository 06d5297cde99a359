"""Questions: reviews that are posted to the upstream, off the path of the requests themselves.

Who may be asked for (whose token, may they impersonate) is `tokens`' and `towards`' matter; here is the way there. A
question that finds its kept connection closed is asked once more: a review changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, Self

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

CALL_LIMIT_S: Final = 10.0
"""How long an answer is waited for, connecting included."""
CONNECTIONS: Final = 32
"""Questions that are under way at once, at most; further ones wait, within their limit."""
ANSWER_LIMIT: Final = 1 << 20
"""Bytes of an answer."""


class Upstream(Protocol):
    """What has to be known of the upstream: `decklog.access.Access` does."""

    @property
    def host(self) -> str:
        """Its host."""
        ...

    @property
    def port(self) -> int:
        """Its port."""
        ...

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        ...

    @property
    def base_path(self) -> bytes:
        """What stands before the path of every request; nearly always nothing."""
        ...

    @property
    def server_name(self) -> str:
        """The name that its certificate bears."""
        ...

    @property
    def has_certificate(self) -> bool:
        """Whether we have a certificate of our own."""
        ...

    def ssl_context(self, *, own_certificate: bool) -> ssl.SSLContext | None:
        """Give the context of a connection, with or without our certificate."""
        ...

    def authorization(self) -> bytes | None:
        """Give the Authorization header of our own requests."""
        ...

    def expired(self) -> None:
        """Take note that our own credentials were refused."""
        ...


class QuestionError(Exception):
    """Nobody answered, or nothing that can be used: `code` is what the client gets (502, 503, 504)."""

    def __init__(self, code: int, problem: str) -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem


class Questions:
    """Posts reviews; an async context manager that owns the connections."""

    def __init__(
        self, upstream: Upstream, *, call_limit_s: float = CALL_LIMIT_S, connections: int = CONNECTIONS
    ) -> None:
        self._upstream = upstream
        self._call_limit_s = call_limit_s
        self._connections = connections
        self._session: Any = None

    async def __aenter__(self) -> Self:
        """Prepare the connections."""
        import aiohttp  # noqa: PLC0415  # because: 150 ms that only who asks needs

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=self._call_limit_s),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._session.close()

    async def post(self, path: str, document: bytes, authorization: bytes | None = None) -> tuple[int, bytes]:
        """Post a review; give the code and the body of the answer. Raises QuestionError.

        `authorization`: the caller's own header, sent without anything of ours; None: our own credentials are shown.
        """
        import aiohttp  # noqa: PLC0415  # because: loaded already

        try:
            try:
                return await self._post(path, document, authorization)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                return await self._post(path, document, authorization)
        except TimeoutError:
            raise QuestionError(504, f"the upstream did not answer within {self._call_limit_s:g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise QuestionError(502, "the upstream's certificate cannot be verified") from None
        except aiohttp.ClientConnectorError as error:
            reason = error.os_error.strerror or type(error.os_error).__name__
            raise QuestionError(502, f"the upstream cannot be reached: {reason}") from None
        except (aiohttp.ClientError, OSError) as error:
            # Its text may quote what was sent, and that may be a token: the name of the fault has to do.
            raise QuestionError(502, f"the upstream broke off: {type(error).__name__}") from None
        except ValueError:
            raise QuestionError(502, "the question cannot be sent with these credentials") from None

    async def _post(self, path: str, document: bytes, authorization: bytes | None) -> tuple[int, bytes]:
        from yarl import URL  # noqa: PLC0415  # because: comes with aiohttp

        upstream = self._upstream
        shown = upstream.authorization() if authorization is None else authorization
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "decklog"}
        if shown is not None:
            headers["Authorization"] = shown.decode()
        host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
        origin = f"{'https' if upstream.tls else 'http'}://{host}:{upstream.port}{upstream.base_path.decode()}"
        context = upstream.ssl_context(own_certificate=authorization is None) if upstream.tls else None
        async with self._session.post(
            URL(origin + path, encoded=True),
            data=document,
            headers=headers,
            allow_redirects=False,
            ssl=True if context is None else context,
            server_hostname=upstream.server_name if upstream.tls else None,
        ) as answer:
            if answer.status == 401 and authorization is None:
                upstream.expired()
            return answer.status, await _read(answer)


async def _read(answer: Any) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        body += chunk
        if len(body) > ANSWER_LIMIT:
            raise QuestionError(502, f"the upstream's answer is over {ANSWER_LIMIT} bytes")
    return bytes(body)

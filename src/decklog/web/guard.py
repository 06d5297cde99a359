"""Guard: who may look, and from where; what goes out with every page.

| Threat | What stands against it |
|---|---|
| somebody else on this machine or network | a one-time address, a bearer token, or a client certificate |
| a name that is made to point here (DNS rebinding) | the Host header has to be one of ours |
| another site's page that sends requests | SameSite=Strict, Origin, Sec-Fetch-Site; after its links a page asks |
| another site's frame or window | frame-ancestors 'none', COOP, CORP |
| text of a log that would act as markup | a policy without inline scripts or styles, on top of escaping |
| a page kept by a cache or told by a Referer | no-store; the Referer stays on these pages (same-origin) |

An address with a token opens a session once; then it is spent, and the next is announced. Sessions live in memory, so
they end with the process.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote

from msgspec import Struct

from decklog.web import links
from decklog.web.rendering import STATIC

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping

    from decklog.web.readers import Readers

    Scope = MutableMapping[str, Any]
    App = Callable[[Scope, Any, Any], Awaitable[None]]

READER: Final = "decklog.reader"
"""Key of the scope: the name of who asks."""
SESSION_S: Final = 12 * 3600.0
MOST_SESSIONS: Final = 1000
FORM_BYTES: Final = 4096
"""Of the form with a token."""
TARGET_BYTES: Final = 16 * 1024
LOCAL: Final = frozenset(("127.0.0.1", "localhost", "::1"))

HEADERS: Final = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer a browser sends its own forms with the origin "null"
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_SAFE: Final = frozenset(("GET", "HEAD"))
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:@/\\\[\]]+))(?::[0-9]{0,5})?")
_KEPT: Final = "/%:@!$&'()*+,;=~-._?"
"""Characters of an address that stay as they are."""


class Refusal(Struct, frozen=True):
    """Why a request goes no further; what a page says of it."""

    status: int
    title: str
    advice: str
    login: bool = False
    """A form for a token goes with it."""
    onward: str = ""
    """An address of ours that the reader may go on to by hand."""


class Sessions:
    """Who has a session; for one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def begin(self, name: str) -> str:
        """Open one; give its secret."""
        secret = secrets.token_urlsafe(32)
        self._known[_digest(secret)] = name, self._clock() + SESSION_S
        while len(self._known) > MOST_SESSIONS:
            self._known.popitem(last=False)
        return secret

    def find(self, secret: str) -> str | None:
        """Tell whose it is."""
        name, end = self._known.get(_digest(secret), ("", 0.0))
        return name if name and end > self._clock() else None


class OneTime:
    """A token that opens one session, and its successors."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        """`announce` is told each token, from `renew` on."""
        self._announce = announce
        self._digest = b""

    def renew(self) -> None:
        """Make the next token."""
        token = secrets.token_urlsafe(24)
        self._digest = _digest(token)
        self._announce(token)

    def spend(self, token: str) -> bool:
        """Take a token; tell whether it was the one."""
        if not self._digest or not hmac.compare_digest(_digest(token), self._digest):
            return False
        self.renew()
        return True


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


class Access(Struct, frozen=True):
    """Who is let in."""

    hosts: frozenset[str]
    """Names in the Host header; in lower case, without port."""
    one_time: OneTime | None = None
    readers: Readers | None = None
    """Whose tokens are taken."""
    certificates: bool = False
    """A client certificate that TLS has verified is enough."""
    secure: bool = False
    """Served over TLS."""
    cookie: str = "decklog"
    """The name of the session's cookie: it tells several ports of one host apart."""


class Guard:
    """ASGI: lets through who may look, with their name in the scope; refuses the others with a page."""

    def __init__(self, app: App, access: Access, sessions: Sessions, say: Callable[[Refusal, Scope], bytes]) -> None:
        """`say` makes a page of a refusal."""
        self._app = app
        self._access = access
        self._sessions = sessions
        self._say = say

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one scope."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        request = _Request(scope)

        async def sealed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [*message.get("headers", ()), *HEADERS]
                if not any(name == b"cache-control" for name, _ in own):
                    own.append((b"cache-control", b"no-store"))
                message = {**message, "headers": own}
            await send(message)

        refusal = self._misplaced(request) or self._foreign(request)
        if refusal is None and request.is_static:
            await self._app(scope, receive, sealed)
        elif refusal is not None:
            await self._refuse(refusal, scope, sealed)
        elif request.path == "/login" and request.method == "POST" and self._access.readers is not None:
            await self._login(scope, receive, sealed)
        elif (token := request.token) and (name := self._redeemed(token)):
            await self._redirect(name, onward_from(scope), sealed)
        elif name := self._name(request):
            scope[READER] = name
            await self._app(scope, receive, sealed)
        else:
            await self._refuse(self._unknown(request), scope, sealed)

    def _misplaced(self, request: _Request) -> Refusal | None:
        if len(request.target) > TARGET_BYTES:
            return Refusal(414, "This address is too long.", "Ask with fewer filters.")
        if request.host_name in self._access.hosts:
            return None
        return Refusal(
            421,
            "These pages are not served under this name.",
            "Use the address that decklog web printed, or start it with --allowed-host NAME.",
        )

    def _foreign(self, request: _Request) -> Refusal | None:
        site = request.header(b"sec-fetch-site")
        if request.method in _SAFE:
            is_visit = request.header(b"sec-fetch-mode") == "navigate" and request.header(b"sec-fetch-dest") in {
                "document",
                "",
            }
            if site in {"", "none", "same-origin"} or (is_visit and request.method == "GET"):
                return None
        elif site in {"", "none", "same-origin"} and self._is_own_origin(request):
            return None
        return Refusal(403, "Another site's page sent this request.", "Open the page from here.", onward="/log")

    def _is_own_origin(self, request: _Request) -> bool:
        origin = request.header(b"origin")
        if not origin:  # no browser: then it has to show more than a cookie
            return bool(request.header(b"authorization")) or request.header(b"sec-fetch-site") == "same-origin"
        return origin == f"{'https' if self._access.secure else 'http'}://{request.header(b'host')}".lower()

    def _redeemed(self, token: str) -> str | None:
        if self._access.one_time is not None and self._access.one_time.spend(token):
            return "local"
        return None

    def _name(self, request: _Request) -> str | None:
        bearer = request.header(b"authorization", lower=False)
        scheme, _, token = bearer.partition(" ")
        if scheme.lower() == "bearer" and token and self._access.readers is not None:
            return self._access.readers.of_token(token.strip())
        for secret in request.cookies(self._access.cookie):
            if (name := self._sessions.find(secret)) and self._is_known(name):
                return name
        if self._access.certificates and self._access.readers is not None:
            return self._access.readers.of_certificate(request.certificate)
        return None

    def _is_known(self, name: str) -> bool:
        """Tell whether who has a session may still look: a name that has left the token file may not."""
        return self._access.readers is None or self._access.readers.has(name)

    def _unknown(self, request: _Request) -> Refusal:
        if request.header(b"sec-fetch-site") in {"cross-site", "same-site"}:
            return Refusal(
                200,
                "Another page has sent you here.",
                "Your session is not used for that, until you go on yourself.",
                onward=onward_from(request.scope),
            )
        if self._access.one_time is not None:
            return Refusal(
                401,
                "Open the address that decklog web has printed.",
                "It stands in the terminal where decklog web runs. It opens one session; then the next one is printed.",
            )
        return Refusal(
            401,
            "Who is looking?",
            "Show a token of the file that was given to decklog web with --token-file."
            if not self._access.certificates
            else "Show a client certificate, or a token if there is a token file.",
            login=True,
        )

    async def _refuse(self, refusal: Refusal, scope: Scope, send: Any) -> None:
        body = self._say(refusal, scope)
        kind = b"application/json" if scope["path"].endswith(".json") else b"text/html; charset=utf-8"
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        if refusal.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _login(self, scope: Scope, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > FORM_BYTES or not message.get("more_body"):
                break
        fields = dict(parse_qsl(body[:FORM_BYTES].decode("utf-8", "replace")))
        readers = self._access.readers
        name = readers.of_token(fields.get("token", "").strip()) if readers is not None else None
        if name is None:
            refusal = Refusal(401, "This token is not known.", "Show one of the token file.", login=True)
            await self._refuse(refusal, scope, send)
            return
        onward = fields.get("onward", "/")
        await self._redirect(name, "/" if onward[1:2] in {"/", "\\"} else _here(onward), send)

    async def _redirect(self, name: str, target: str, send: Any) -> None:
        secure = "; Secure" if self._access.secure else ""
        cookie = f"{self._access.cookie}={self._sessions.begin(name)}; Path=/; HttpOnly; SameSite=Strict{secure}"
        headers = [
            (b"location", target.encode("ascii")),
            (b"set-cookie", cookie.encode()),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


class _Request:
    """A scope, as the guard reads it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.target: bytes = scope.get("raw_path", b"") + scope["query_string"]
        self._headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name, []).append(value)

    def header(self, name: bytes, *, lower: bool = True) -> str:
        """Give a header; empty if it is missing, and where it is there twice."""
        found = self._headers.get(name, [])
        text = found[0].decode("latin-1").strip() if len(found) == 1 else ""
        return text.lower() if lower else text

    @property
    def host_name(self) -> str:
        """The name in the Host header, without port and brackets."""
        found = _HOST.fullmatch(self.header(b"host"))
        return (found[1] or found[2]) if found else ""

    @property
    def is_static(self) -> bool:
        """Whether it asks for a file that all pages have: those are for everybody."""
        name = self.path.removeprefix(STATIC)
        return self.method in _SAFE and self.path.startswith(STATIC) and bool(name) and "/" not in name

    @property
    def token(self) -> str:
        """The token in the address."""
        return dict(_pairs(self.scope)).get("token", "") if self.method == "GET" else ""

    @property
    def certificate(self) -> str | None:
        """The client's certificate, PEM."""
        chain = self.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", [])
        return chain[0] if chain else None

    def cookies(self, name: str) -> Iterator[str]:
        """Give the values of a cookie; what other servers of this host have put beside it may be of any shape."""
        for part in self.header(b"cookie", lower=False).split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                yield value


def onward_from(scope: Scope) -> str:
    """Give the address that was asked for, without a token: always one of ours, whatever was in it."""
    path = scope.get("raw_path", b"").decode("latin-1").partition("?")[0]
    return links.to(_here(path), [pair for pair in _pairs(scope) if pair[0] != "token"])


def _here(target: str) -> str:
    r"""Make an address stay on these pages: ``//host`` and ``/\host`` would leave them, a line feed the header."""
    return "/" + quote(target.lstrip("/\\"), safe=_KEPT) if target.startswith("/") else "/"


def _pairs(scope: Scope) -> list[tuple[str, str]]:
    try:
        return parse_qsl(scope["query_string"].decode("latin-1"), errors="surrogateescape", max_num_fields=200)
    except ValueError:
        return []

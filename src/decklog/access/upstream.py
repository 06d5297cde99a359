"""The upstream: where it is, and our own credentials for it, which are never older than their source.

Files are looked at when they are used, at most once a second: kubeconfig, CA, client certificate and key, token. One
that has changed is read again; one that has changed into something that cannot be used changes nothing, is told once,
and is tried again. A token file is also read again once a minute, whatever its times say. The system's CAs are read at
the start only.

An exec plugin (`exec_plugin`) runs when the access is entered, and again in the background: before its credentials
expire, and when the upstream has refused them (`Access.expired`).

| what | client-go | here | why |
|---|---|---|---|
| a token's file | read again every minute | on change, and every minute | a revoked token is of no use for a minute |
| a kubeconfig that changes | read once | followed, but for the server | rotation without a restart |
| an exec plugin | runs while a request waits | runs before its credentials expire | no request pays for it |
| `as` in the kubeconfig | impersonates | refused | who is impersonated is the gateway's business |
| credentials over plain HTTP | not sent | not sent, and said | the operator should know |
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote, urlsplit

from decklog.access import exec_plugin
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from decklog.access.exec_plugin import Issued
    from decklog.kubeconfig import ClusterAccess

LOOK_EVERY_S: Final = 1.0
TOKEN_EVERY_S: Final = 60.0
RENEW_BEFORE_S: Final = 60.0
"""How long before its end a plugin's credential is renewed, but no more than a fifth of its life."""
RENEW_AT_MOST_EVERY_S: Final = 5.0
RETRY_LIMIT_S: Final = 60.0
"""The longest pause between two tries of a plugin that fails."""
RETRY_EVERY_S: Final = 10.0
"""How often files that could not be used are tried again when none of those that we know has changed."""

_ALPN: Final = ["http/1.1"]
_PATH: Final = "/%:@!$&'()*+,;=~-._"

logger = logging.getLogger(__name__)


def _utc() -> datetime:
    return datetime.now(UTC)


class Access:
    """The upstream and our own credentials for it; an async context manager that keeps an exec plugin's fresh.

    `load` reads where it is and as whom, now and whenever one of the files has changed. `clock` counts seconds,
    `now` tells the time that expiries are compared with; `environ` is what a plugin is started with. All methods are
    for the thread of the loop; none of them waits.
    """

    def __init__(
        self,
        load: Callable[[], ClusterAccess],
        *,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc,
        renew_at_most_every_s: float = RENEW_AT_MOST_EVERY_S,
        plugin_deadline_s: float = exec_plugin.DEADLINE_S,
    ) -> None:
        self._load = load
        self._environ = environ
        self._clock = clock
        self._now = now
        self._every_s = renew_at_most_every_s
        self._plugin_deadline_s = plugin_deadline_s
        self._told: dict[str, str] = {}
        # Which files to look at is known when they have been read: read again, so that what is written in between is
        # seen at the next look.
        self._seen = _signatures(load().files)
        self._given = load()
        _check(self._given)
        self._refused: tuple[object, ...] = ()
        self._next_try_s = 0.0
        self._issued: Issued | None = None
        self._renewed_at = now()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._token = ""
        self._token_seen: tuple[object, ...] = ()
        self._next_token_s = 0.0
        self._read_token(clock())
        self._contexts = _contexts(self._given)
        self._authorization = self._credentials()
        self._next_look_s = clock() + LOOK_EVERY_S
        self._place()

    def _place(self) -> None:
        parts = urlsplit(self._given.server)
        self.server = self._given.server
        """Its address as given, with the scheme."""
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self.base_path = quote(parts.path.rstrip("/"), safe=_PATH).encode()
        """What stands before the path of every request; nearly always nothing."""

    def __repr__(self) -> str:
        return f"Access({self.server!r})"

    async def __aenter__(self) -> Self:
        """Run the exec plugin, if there is one. Raises DecklogError when it gives nothing that can be used."""
        if not self.tls and (self._given.has_credentials or self._given.plugin):
            logger.warning("our credentials are not sent to the upstream: %s is no https address", self.server)
        if self._runs_plugin:
            await self._renew()
        self._task = asyncio.create_task(self._keep(), name="decklog-upstream-credentials")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the plugin."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def server_name(self) -> str:
        """The name that the upstream's certificate has to bear."""
        return self._given.tls_server_name or self.host

    @property
    def has_certificate(self) -> bool:
        """Whether there is a client certificate of ours."""
        return True in self._contexts

    def ssl_context(self, *, own_certificate: bool) -> ssl.SSLContext | None:
        """Give the context of a new connection; None for plain HTTP.

        It is the same object until CA or certificate change. Without `own_certificate`, or without a certificate of
        ours, it shows none. ALPN offers http/1.1.
        """
        self._freshen()
        return self._contexts.get(own_certificate) or self._contexts.get(False)

    def authorization(self) -> bytes | None:
        """Give the Authorization header of a request in our own name; None when we have none, and over plain HTTP."""
        self._freshen()
        return self._authorization

    def expired(self) -> None:
        """Say that the upstream answered 401 to our own credentials: they are fetched again, soon but not at once."""
        self._next_token_s = 0.0  # read at the next look; not now, since there may be a storm of refusals
        self._wanted.set()

    def _freshen(self) -> None:
        now_s = self._clock()
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + LOOK_EVERY_S
        for source, read in (("files", self._reload), ("token", self._read_token)):
            try:
                read(now_s)
            except DecklogError as error:
                self._tell(source, f"the upstream's credentials stay as they were: {error}")
        self._authorization = self._credentials()

    def _reload(self, now_s: float) -> None:
        """Read everything again when one of the files has changed. Raises DecklogError, and nothing has changed."""
        signatures = _signatures(self._given.files)
        if signatures == self._seen or (signatures == self._refused and now_s < self._next_try_s):
            return
        self._refused, self._next_try_s = signatures, now_s + RETRY_EVERY_S
        given = self._load()
        _check(given)
        if given.server != self.server:
            raise DecklogError(f"the kubeconfig now leads to another server, {given.server}: restart to follow it")
        self._take(given, self._issued if given.plugin is not None else None)
        if given.plugin != self._given.plugin:
            self._wanted.set()
        # Taken before the files were read: what is written in between is seen at the next look.
        self._seen = signatures if given.files == self._given.files else ()
        self._given, self._refused = given, ()
        self._told.pop("files", None)

    def _take(self, given: ClusterAccess, issued: Issued | None) -> None:
        """Make contexts for new certificates, unless they are those that we have."""
        if _material(given, issued) != _material(self._given, self._issued):
            self._contexts = _contexts(_with(given, issued))
        self._issued = issued

    def _read_token(self, now_s: float) -> None:
        """Read the token's file when it has changed, or a minute has gone. Raises DecklogError; the old one stays."""
        path = self._given.token_file
        if not path:
            self._token = self._given.token
            return
        seen = (path, *_signatures((path,)))
        if seen == self._token_seen and now_s < self._next_token_s:
            return
        try:
            token = Path(path).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DecklogError(f"cannot read the token {path}: {getattr(error, 'strerror', 'no text')}") from None
        if not _is_word(token):
            raise DecklogError(f"{path} holds no token: write one word in one line")
        self._token, self._token_seen, self._next_token_s = token, seen, now_s + TOKEN_EVERY_S
        self._told.pop("token", None)

    def _credentials(self) -> bytes | None:
        """Choose as client-go does: a token, a name with its password, what a plugin gave."""
        given = self._given
        if not given.tls:
            return None
        if self._token:
            return f"Bearer {self._token}".encode()
        if given.username:
            return b"Basic " + base64.b64encode(f"{given.username}:{given.password}".encode())
        if self._issued is not None and self._issued.token:
            return f"Bearer {self._issued.token}".encode()
        return None

    @property
    def _runs_plugin(self) -> bool:
        given = self._given
        return given.plugin is not None and not (given.token or given.token_file or given.username) and given.tls

    async def _renew(self) -> None:
        given = self._given
        issued = await exec_plugin.run(given, environ=self._environ, deadline_s=self._plugin_deadline_s)
        if given.plugin == self._given.plugin:
            self._take(self._given, issued)
            self._renewed_at = self._now()
            self._told.pop("plugin", None)
            self._authorization = self._credentials()

    async def _keep(self) -> None:
        """Renew the plugin's credentials for as long as the access is open."""
        pause_s = self._every_s
        while True:
            await self._until_due(pause_s)
            self._wanted.clear()
            if not self._runs_plugin:
                continue
            try:
                await self._renew()
                pause_s = self._every_s
            except DecklogError as error:
                self._tell("plugin", f"the upstream's credentials are not renewed: {error}")
                pause_s = min(pause_s * 2, RETRY_LIMIT_S)
                self._wanted.set()

    async def _until_due(self, pause_s: float) -> None:
        """Wait for `pause_s`, then until the credentials are near their end or were refused."""
        await asyncio.sleep(pause_s)
        while (left_s := self._left_s()) > 0:
            with contextlib.suppress(TimeoutError):
                # In short pieces: a clock that is set, or a machine that slept, is noticed.
                async with asyncio.timeout(min(left_s, RENEW_BEFORE_S)):
                    await self._wanted.wait()
                    return

    def _left_s(self) -> float:
        """Count the seconds until the credentials should be renewed."""
        expires = self._issued.expires if self._issued is not None else None
        if expires is None:
            return RENEW_BEFORE_S
        life_s = (expires - self._renewed_at).total_seconds()
        return (expires - self._now()).total_seconds() - min(RENEW_BEFORE_S, life_s / 5)

    def _tell(self, source: str, text: str) -> None:
        """Tell what is wrong with one source, once until it is right again or something else is wrong."""
        if self._told.get(source) != text:
            self._told[source] = text
            logger.warning("%s", text)


def _check(given: ClusterAccess) -> None:
    """Raise DecklogError for what a kubeconfig may say but we do not do, or no header can carry."""
    if given.impersonated:
        raise DecklogError(
            "the kubeconfig's user impersonates another (as): take the key out, callers are impersonated as they come"
        )
    parts = urlsplit(given.server)
    if parts.query or parts.fragment:
        raise DecklogError("the upstream's address ends with its path: take ? or # and what follows out of server")
    if not _is_word(parts.netloc):
        raise DecklogError("the upstream's host has letters in it that no host has: look at server in the kubeconfig")
    if given.token and not _is_word(given.token):
        raise DecklogError("the kubeconfig's token has letters in it that no header can carry: write it in one line")
    try:
        f"{given.username}:{given.password}".encode()
    except UnicodeEncodeError:
        raise DecklogError("the kubeconfig's username or password is no text: write it in UTF-8") from None


def _is_word(text: str) -> bool:
    """Whether `text` is of ASCII letters that can be seen, at least one."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _with(given: ClusterAccess, issued: Issued | None) -> ClusterAccess:
    """Put a plugin's certificate where the kubeconfig names none."""
    if issued is None or given.client_certificate_pem:
        return given
    return replace(given, client_certificate_pem=issued.certificate_pem, client_key_pem=issued.key_pem)


def _material(given: ClusterAccess, issued: Issued | None) -> tuple[object, ...]:
    full = _with(given, issued)
    pair = (full.client_certificate_pem, full.client_key_pem)
    return (full.ca_pem, full.insecure_skip_tls_verify, full.tls_server_name, *pair)


def _contexts(given: ClusterAccess) -> dict[bool, ssl.SSLContext]:
    """Make the contexts without our certificate (False) and with it (True, if there is one); none for plain HTTP."""
    if not given.tls:
        return {}
    kinds = (False, True) if given.client_certificate_pem else (False,)
    contexts = {own: given.ssl_context(own_certificate=own) for own in kinds}
    for context in contexts.values():
        context.set_alpn_protocols(_ALPN)
    name = given.tls_server_name or urlsplit(given.server).hostname or ""
    try:
        # Nothing is sent: OpenSSL says whether a certificate could bear the name.
        contexts[False].wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    except ValueError as error:
        raise DecklogError(f"{name!r} is no name that a certificate can bear: give another tls-server-name") from error
    return contexts


def _signatures(paths: tuple[str, ...]) -> tuple[object, ...]:
    return tuple(_signature(Path(path)) for path in paths)


def _signature(path: Path) -> tuple[int, ...]:
    """Tell one state of a file from another; a link that is moved to another file is seen, as kubelet moves them."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a path that no file system has
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)

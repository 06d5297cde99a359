"""Identity: who sends a request. A trusted proxy's word, a certificate, a token, or nobody, in this order.

As in kube-apiserver: the first that is good counts, and what is bad only matters where nothing good follows.
``?access_token=`` is no credential, as there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from decklog.gateway.caller import NOBODY, REFUSED, Caller, Means
from decklog.gateway.tokens import credentials

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from decklog.gateway.certificate import Certificates
    from decklog.gateway.front_proxy import RemoteHeaders
    from decklog.gateway.tokens import Tokens
    from decklog.http1 import RequestHead

__all__ = ["NOBODY", "REFUSED", "Caller", "Identification", "Identify", "Means"]


class Identify(Protocol):
    """Tells who sends a request."""

    def __call__(self, head: RequestHead, certificate: bytes | None) -> Caller | Awaitable[Caller]:
        """Give the caller, at once unless the upstream has to be asked.

        `certificate`: DER of the client's certificate, which TLS has verified; the intermediates that came with it may
        follow, in DER as well. None: none was shown.
        """
        ...

    def forget(self, head: RequestHead) -> None:
        """Drop what is kept of the credentials in `head`: the upstream has answered 401 to them."""
        ...


class Identification:
    """Tells by certificate, proxy headers and token."""

    def __init__(
        self, tokens: Tokens, *, certificates: Certificates, remote_headers: RemoteHeaders, anonymous: bool = True
    ) -> None:
        self._tokens = tokens
        self._certificates = certificates
        self._remote_headers = remote_headers
        self._nobody = NOBODY if anonymous else REFUSED

    def __call__(self, head: RequestHead, certificate: bytes | None) -> Caller | Awaitable[Caller]:
        """Give the caller, at once unless the upstream has to be asked."""
        nobody = self._nobody
        if certificate is not None:
            shown = self._certificates(certificate)
            if shown.front_proxy and (user := self._remote_headers.user(head.headers)) is not None:
                return Caller(user, Means.FRONT_PROXY)
            if shown.caller is not None:
                return shown.caller
            if shown.refused:
                nobody = REFUSED
        authorization = None
        for name, value in head.headers:
            if name == b"authorization":
                if authorization is not None:
                    return REFUSED
                authorization = value
        if not head.upgrade:
            if authorization is None:
                return nobody
            # Asked before anything is read of it: nearly all requests end here.
            if (kept := self._tokens.kept(authorization)) is not None:
                return nobody if kept is NOBODY else kept
        return self._by_token(head, authorization, nobody)

    def _by_token(self, head: RequestHead, authorization: bytes | None, nobody: Caller) -> Caller | Awaitable[Caller]:
        try:
            given = credentials(head, authorization)
        except ValueError:
            return REFUSED
        if given is None:
            return nobody
        kept = self._tokens.kept(given)
        if kept is not None:
            return nobody if kept is NOBODY else kept
        return self._asked(given, nobody)

    async def _asked(self, given: bytes, nobody: Caller) -> Caller:
        caller = await self._tokens.find(given)
        return nobody if caller is NOBODY else caller

    def forget(self, head: RequestHead) -> None:
        """Drop what is kept of the credentials in `head`: the upstream has answered 401 to them."""
        authorization = next((value for name, value in head.headers if name == b"authorization"), None)
        try:
            given = credentials(head, authorization)
        except ValueError:
            return
        if given is not None:
            self._tokens.forget(given)

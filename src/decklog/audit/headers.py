"""Headers: what the record of a request takes from its header lines (spec §5.4, §5.5, §5.7).

Header lines come as (lower-case name, value) in bytes, as ASGI gives them. Spaces and tabs round a value are no part of
it, as for Go's HTTP server; of repeated lines the first counts. Source addresses: `decklog.audit.addresses`.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from decklog.audit import jsontext
from decklog.audit.addresses import alone, chain
from decklog.audit.target import ResolveError, first_values, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.audit.addresses import Headers

_TOLD: Final = frozenset({b"audit-id", b"user-agent", b"x-forwarded-for", b"x-real-ip"})
USER_AGENT_LIMIT: Final = 1024
"""Bytes of a user agent that are kept."""
_CUT: Final = b"...TRUNCATED"
_BLANK: Final = b" \t"


def first(headers: Headers, name: bytes) -> bytes:
    """Give the value of the first line called `name` (lower case), trimmed; empty if there is none."""
    for known, value in headers:
        if known == name:
            return value.strip(_BLANK)
    return b""


def origin(headers: Headers, peer: str, new_id: Callable[[], str]) -> tuple[str, tuple[str, ...], str]:
    """Give audit ID, source addresses and user agent in one walk over the headers: what every request is asked for."""
    identity = agent = forwarded = real = None
    for name, value in headers:
        if name not in _TOLD:
            continue
        if name == b"user-agent":
            agent = value if agent is None else agent
        elif name == b"audit-id":
            identity = value if identity is None else identity
        elif name == b"x-real-ip":
            real = value if real is None else real
        elif forwarded is None:
            forwarded = value
    identity = identity.strip(_BLANK) if identity else b""
    addresses = alone(peer) if forwarded is None and real is None else chain(forwarded, real, peer)
    return jsontext.text(identity) if identity else new_id(), addresses, _agent(agent or b"")


def _agent(value: bytes) -> str:
    if len(value) > USER_AGENT_LIMIT:
        value = value.strip(_BLANK)
        return jsontext.text(value if len(value) <= USER_AGENT_LIMIT else value[:USER_AGENT_LIMIT] + _CUT)
    return _short_agent(value)


@lru_cache(maxsize=1024)
def _short_agent(value: bytes) -> str:
    """Decode one of the few agents that most requests come from; what is remembered is bounded in number and length."""
    return jsontext.text(value.strip(_BLANK))


def audit_id(headers: Headers, new_id: Callable[[], str]) -> str:
    """Give the request's audit ID: the client's own, verbatim and however long, or else a new one (spec §5.5).

    Clients choose it freely: it identifies nothing across clients, and must be escaped wherever it is shown.
    """
    given = first(headers, b"audit-id")
    return jsontext.text(given) if given else new_id()


def user_agent(headers: Headers) -> str:
    """Give the user agent, cut after 1024 bytes and then marked, even in the middle of a character (spec §5.4)."""
    return _agent(first(headers, b"user-agent"))


def authentication_attempts(headers: Headers, target: str | bytes, *, certificate: bool) -> str:
    """Give the message of a failed authentication: what the client tried with, or that it tried nothing (spec §5.7).

    `target` is the raw request target, `certificate` whether the client showed one.
    """
    authorization = first(headers, b"authorization")
    tried = (
        ("basic", _is_basic(authorization)),
        ("bearer", authorization[:7].lower() == b"bearer "),
        ("access_token", _has_access_token(target)),
        ("x509", certificate),
    )
    methods = ", ".join(name for name, holds in tried if holds)
    return f"Authentication failed, {f'attempted: {methods}' if methods else 'no credentials provided'}"


def _is_basic(authorization: bytes) -> bool:
    """Tell whether a header holds Basic credentials that decode to user and password."""
    if authorization[:6].lower() != b"basic ":
        return False
    try:
        return b":" in base64.b64decode(authorization[6:], validate=True)
    except binascii.Error:
        return False


def _has_access_token(target: str | bytes) -> bool:
    raw = target if isinstance(target, bytes) else jsontext.raw(target)
    if b"?" not in raw:
        return False
    try:
        query = parse(raw).query
    except ResolveError:
        return False
    return bool(first_values(query).get("access_token", "").strip())

"""Towards the upstream: as whom a request goes on.

With the caller's own token, so that the upstream decides all by itself; or with our credentials and ``Impersonate-*``
headers; or, by our certificate, as a front proxy. A caller who wants to act as somebody else is judged by the upstream
where it knows the caller; where it would judge us instead, it is asked first (`permissions`).

| what | kube-apiserver | here | why |
|---|---|---|---|
| who may impersonate, of those we impersonate | constrained verbs too (1.36) | the verb impersonate | all know it |
| values to impersonate | any number | 64 for such callers | each is a question to the upstream |
| control characters, blanks at the ends, bad UTF-8 in names | taken | 400 for such callers | no header carries them |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from decklog.audit.event import User  # noqa: TC001  # because: msgspec reads the annotations
from decklog.audit.impersonation import NoUserError, effective, encoded_key, parts, requested
from decklog.audit.jsontext import raw
from decklog.errors import DecklogError
from decklog.gateway.caller import Caller, Means
from decklog.gateway.questions import QuestionError
from decklog.gateway.refusals import Refusal, bad_request, internal, may_not_impersonate, unauthorized, unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Sequence

    from decklog.audit.impersonation import Part
    from decklog.gateway.permissions import Permissions, Verdict
    from decklog.gateway.questions import Upstream
    from decklog.http1 import Headers, RequestHead

__all__ = ["Onward", "Passage", "Refusal", "Towards", "is_identity_header", "is_impersonation_header"]

VALUES: Final = 64
"""How many values may be impersonated at once by a caller for whom the upstream has to be asked."""
_REMEMBERED: Final = 1000
_REMEMBERED_SIZE: Final = 16 * 1024

_IDENTITY: Final = re.compile(rb"\s*(?:x[^a-z0-9]+remote|impersonate)[^a-z0-9]", re.IGNORECASE)
_IMPERSONATION: Final = re.compile(rb"impersonate-(?:user|uid|group|extra-.*)", re.DOTALL)
_CARRIED: Final = re.compile(rb"(?:[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?)?")


class Passage(Struct, frozen=True):
    """How one request goes on."""

    lines: bytes
    """Header lines to add, each with its CR LF: last in the head, so that nothing after them overrides them."""
    own_certificate: bool
    """Whether the connection may show our certificate; never with somebody else's token (certificates come first)."""
    keep_authorization: bool
    """Whether the caller's Authorization goes on."""
    keep_impersonation: bool
    """Whether the caller's Impersonate-* headers (`is_impersonation_header`) go on, for the upstream to judge."""
    impersonated: User | None = None
    """Whom the caller asked to be, to be recorded."""


class Towards(Protocol):
    """Says how a request goes on."""

    def __call__(self, head: RequestHead, caller: Caller) -> Passage | Refusal | Awaitable[Passage | Refusal]:
        """Give the passage, or why there is none; at once unless the upstream has to be asked."""
        ...


_WITH_TOKEN: Final = Passage(b"", own_certificate=False, keep_authorization=True, keep_impersonation=True)
_AS_NOBODY: Final = Passage(b"", own_certificate=False, keep_authorization=False, keep_impersonation=True)


def is_identity_header(name: bytes) -> bool:
    """Whether a header says who somebody is, in any spelling that any server may take for one: never sent on as it is.

    Sent on are only those that are spelled as they should be (`is_impersonation_header`), where a Passage says so.
    """
    return _IDENTITY.match(name) is not None


def is_impersonation_header(name: bytes) -> bool:
    """Whether a header (lower case) is one by which kube-apiserver impersonates, spelled as it reads them."""
    return _IMPERSONATION.fullmatch(name) is not None


class Onward:
    """Says how requests go on, by a mode of ``--upstream-identity``.

    Raises DecklogError for a mode that our credentials do not do for.
    """

    def __init__(self, mode: str, upstream: Upstream, permissions: Permissions) -> None:
        if mode == "front-proxy" and not upstream.has_certificate:
            raise DecklogError(
                "--upstream-identity front-proxy needs a client certificate of ours that the upstream's "
                "--requestheader-client-ca-file trusts: give a kubeconfig that has one"
            )
        self._passes_tokens = mode in {"auto", "pass-through"}
        self._only_passes = mode == "pass-through"
        self._speaks_for_all = mode == "front-proxy"
        self._upstream = upstream
        self._permissions = permissions
        self._written: dict[int, tuple[User, bytes]] = {}

    def __call__(self, head: RequestHead, caller: Caller) -> Passage | Refusal | Awaitable[Passage | Refusal]:
        """Give the passage, or why there is none; at once unless the upstream has to be asked."""
        user = caller.user
        if user is None:
            return unavailable(caller.code, caller.problem) if caller.problem else unauthorized()
        if self._speaks_for_all:
            return self._for_another(head.headers, user)
        if caller.means is Means.ANONYMOUS:
            return _judged_there(_AS_NOBODY, head.headers)
        if caller.means is Means.TOKEN and self._passes_tokens:
            return _judged_there(_WITH_TOKEN, head.headers)
        if self._only_passes:
            return unauthorized(
                "the gateway passes tokens on, and there is none in this request: use a token, "
                "or run the gateway with --upstream-identity auto"
            )
        return self._impersonating(head.headers, user)

    def _for_another(self, headers: Headers, user: User) -> Passage | Refusal:
        try:
            lines = self._lines(user, _REMOTE)
        except ValueError as error:
            return bad_request(str(error))
        said = Passage(lines, own_certificate=True, keep_authorization=False, keep_impersonation=True)
        return _judged_there(said, headers)

    def _impersonating(self, headers: Headers, user: User) -> Passage | Refusal | Awaitable[Passage | Refusal]:
        if not _impersonates(headers):
            return self._as(user, None)
        try:
            wanted = requested(headers)
        except NoUserError as error:
            return bad_request(str(error))
        if wanted is None:
            return self._as(user, None)
        values = list(parts(wanted))
        if len(values) > VALUES:
            return bad_request(f"requested to impersonate {len(values)} values: the gateway takes {VALUES}")
        passage = self._as(wanted, effective(wanted))  # first, since what cannot be carried need not be asked for
        if isinstance(passage, Refusal):
            return passage
        kept = self._permissions.kept(user, values)
        if kept is not None:
            return _denial(user, values, kept) or passage
        return self._asked(user, values, passage)

    async def _asked(self, user: User, values: Sequence[Part], passage: Passage) -> Passage | Refusal:
        try:
            verdicts = await self._permissions.find(user, values)
        except QuestionError as error:
            return unavailable(error.code, error.problem)
        return _denial(user, values, verdicts) or passage

    def _as(self, user: User, impersonated: User | None) -> Passage | Refusal:
        """Go on with our credentials as `user`."""
        upstream = self._upstream
        authorization = upstream.authorization()
        if authorization is None and not upstream.has_certificate:
            return internal(
                "the gateway has no credentials of its own to impersonate with: "
                "give its kubeconfig's user a client certificate or a token"
            )
        try:
            lines = self._lines(user, _IMPERSONATE) if impersonated is None else b"".join(_lines(user, _IMPERSONATE))
        except ValueError as error:
            return bad_request(str(error))
        if authorization is not None:
            lines = b"%bAuthorization: %b\r\n" % (lines, authorization)
        return Passage(
            lines,
            own_certificate=upstream.has_certificate,
            keep_authorization=False,
            keep_impersonation=False,
            impersonated=impersonated,
        )

    def _lines(self, user: User, spelling: bytes) -> bytes:
        """Write the lines of a caller, once a caller: certificates and tokens give the same object again."""
        known = self._written.get(id(user))
        if known is not None and known[0] is user:
            return known[1]
        lines = b"".join(_lines(user, spelling))
        if len(self._written) >= _REMEMBERED:
            self._written.clear()
        if len(lines) <= _REMEMBERED_SIZE:
            self._written[id(user)] = user, lines
        return lines


def _impersonates(headers: Headers) -> bool:
    for name, _ in headers:  # noqa: SIM110  # because: half the time of any(), on every request
        if name[0] == 0x69 and name.startswith(b"impersonate-"):  # most names are told apart by their first byte
            return True
    return False


def _judged_there(passage: Passage, headers: Headers) -> Passage:
    """Add whom the caller asks to be, where the upstream sees the caller as they are, and judges."""
    if not _impersonates(headers):
        return passage
    try:
        wanted = requested(headers)
    except NoUserError:
        return passage  # the upstream answers 400
    if wanted is None:
        return passage
    return Passage(
        passage.lines,
        own_certificate=passage.own_certificate,
        keep_authorization=passage.keep_authorization,
        keep_impersonation=True,
        impersonated=effective(wanted),
    )


def _denial(user: User, values: Sequence[Part], verdicts: Sequence[Verdict]) -> Refusal | None:
    for part, verdict in zip(values, verdicts, strict=True):
        if not verdict.allowed:
            return may_not_impersonate(user, part, verdict.reason)
    return None


_IMPERSONATE: Final = b"Impersonate"
_REMOTE: Final = b"X-Remote"


def _lines(user: User, spelling: bytes) -> Iterator[bytes]:
    """Write a user as header lines. Raises ValueError for what no header can carry as it is."""
    yield b"%b-User: %b\r\n" % (spelling, _carried(user.username, "name"))
    if user.uid:
        yield b"%b-Uid: %b\r\n" % (spelling, _carried(user.uid, "uid"))
    for group in user.groups:
        yield b"%b-Group: %b\r\n" % (spelling, _carried(group, "group"))
    for key, values in user.extra.items():
        for value in values or ():
            yield b"%b-Extra-%b: %b\r\n" % (spelling, encoded_key(key), _carried(value, "extra value"))


def _carried(text: str, what: str) -> bytes:
    try:
        value = text.encode()
    except UnicodeEncodeError:
        value = b"\n"
    if _CARRIED.fullmatch(value) is None:
        raise ValueError(f"the user's {what} {raw(text)!r} cannot stand in a header: the gateway cannot pass it on")
    return value

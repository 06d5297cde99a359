"""Query: one frozen filter over events; pure.

Every field is a tuple of patterns. Several patterns of one field are "or"; the fields together are "and"; a field
without patterns asks nothing. A pattern is written as people know it: ``web``, ``web*`` (a trailing star stands for
any rest), ``-web`` and ``-web*`` (not); ``*`` alone means "there is one", ``-*`` "there is none". Negations all have
to hold, whatever else is wanted.

`matches` reads one event. What a request did is in its latest stage; `lasting` is the part of the filter that every
stage of a request answers alike, so that a scan need not keep requests that can no longer match.

Times are the wire's text (MicroTime, UTC, fixed width): text order is time order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder

from decklog.audit.event import Event, ObjectReference, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

COLLECTION_VERBS: Final = frozenset({"list", "watch", "deletecollection"})
"""Verbs that reach many objects at once and name none."""

_NOTHING: Final = ObjectReference()

Value = TypeVar("Value", contravariant=True)  # noqa: PLC0105  # because: the word reads better in `Term[Value]`


class Term(Protocol[Value]):
    """One pattern of a field."""

    @property
    def negated(self) -> bool:
        """Whether the value must not be there."""
        ...

    def covers(self, value: Value) -> bool:
        """Tell whether `value` is one that the pattern names, negated or not."""
        ...


class Pattern(Struct, frozen=True):
    """One wanted or unwanted value of a text field."""

    text: str
    prefix: bool = False
    """`text` is only the beginning; an empty beginning stands for any text that is not empty."""
    negated: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``web``, ``web*``, ``-web``, ``-web*``, ``*`` or ``-*``. Never fails: any other text is itself."""
        negated = len(text) > 1 and text.startswith("-")
        bare = text[1:] if negated else text
        return cls(bare.removesuffix("*"), bare.endswith("*"), negated)

    def covers(self, value: str) -> bool:
        """Tell whether `value` is one that this pattern names; negation is the caller's (`admits`)."""
        if not self.prefix:
            return value == self.text
        return value.startswith(self.text) if self.text else value != ""


class ResourcePattern(Struct, frozen=True):
    """One wanted or unwanted resource: ``deployments``, ``deployments.apps``, ``*.apps``, ``pods/log``, ``-events``."""

    resource: Pattern
    group: str | None = None
    """None: of any API group; empty: the core group."""
    subresource: Pattern | None = None
    """None: the resource and all its subresources."""
    negated: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[-]RESOURCE[.GROUP][/SUBRESOURCE]``; RESOURCE may end in ``*``, GROUP may be ``*`` (any)."""
        negated = len(text) > 1 and text.startswith("-")
        head, slash, subresource = (text[1:] if negated else text).partition("/")
        resource, dot, group = head.partition(".")
        return cls(
            Pattern(resource.removesuffix("*"), resource.endswith("*")),
            group if dot and group != "*" else None,
            Pattern.parse(subresource) if slash else None,
            negated,
        )

    def covers(self, ref: ObjectReference) -> bool:
        """Tell whether `ref` is of this resource; negation is the caller's (`admits`)."""
        if not self.resource.covers(ref.resource) or self.group not in {None, ref.api_group}:
            return False
        return self.subresource is None or self.subresource.covers(ref.subresource) is not self.subresource.negated


class CodePattern(Struct, frozen=True):
    """One wanted or unwanted range of HTTP codes, both ends included: ``403``, ``4xx``, ``-2xx``."""

    low: int
    high: int
    negated: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a code or a class of codes; ValueError for anything else."""
        negated = text.startswith("-")
        bare = text.removeprefix("-").lower()
        digits = bare.removesuffix("xx")
        if len(bare) != 3 or not digits.isascii() or not digits.isdigit():
            raise ValueError(f"{text!r} is not an HTTP code such as 403, nor a class such as 4xx")
        low = int(digits.ljust(3, "0"))
        return cls(low, low if digits == bare else low + 99, negated)

    def covers(self, code: int) -> bool:
        """Tell whether `code` lies in the range; negation is the caller's (`admits`)."""
        return self.low <= code <= self.high


class Query(Struct, frozen=True, kw_only=True):
    """What events are asked for. Fields left empty ask nothing."""

    verbs: tuple[Pattern, ...] = ()
    resources: tuple[ResourcePattern, ...] = ()
    subresources: tuple[Pattern, ...] = ()
    namespaces: tuple[Pattern, ...] = ()
    names: tuple[Pattern, ...] = ()
    users: tuple[Pattern, ...] = ()
    """Who authenticated; an impersonator stands here."""
    impersonated: tuple[Pattern, ...] = ()
    """As whom the request went on."""
    groups: tuple[Pattern, ...] = ()
    """Any group of the authenticated or of the impersonated user."""
    user_agents: tuple[Pattern, ...] = ()
    audit_ids: tuple[Pattern, ...] = ()
    paths: tuple[Pattern, ...] = ()
    """The path of the request URI, without its query."""
    codes: tuple[CodePattern, ...] = ()
    stages: tuple[Pattern, ...] = ()
    since: str | None = None
    """MicroTime: only requests that were still under way at that time, or began later."""
    until: str | None = None
    """MicroTime: only requests that were received before that time."""
    reach: bool = False
    """`names` and `namespaces` also admit a collection request (list, watch, deletecollection) that may reach them:
    one without a name, in its namespace or over all. Whether a selector spared the object, the event does not tell."""

    def matches(self, event: Event) -> bool:
        """Tell whether `event` is one that is asked for."""
        return self.lasting(event) and self._passing(event)

    def lasting(self, event: Event) -> bool:
        """Tell whether `event` passes the part of the filter that is the same at every stage of a request."""
        if self.until is not None and not _before(event.request_received_timestamp, self.until):
            return False
        ref = event.object_ref or _NOTHING
        return (
            admits(self.verbs, event.verb)
            and admits(self.resources, ref)
            and admits(self.subresources, ref.subresource)
            and admits(self.users, event.user.username)
            and admits(self.audit_ids, event.audit_id)
            and admits(self.user_agents, event.user_agent)
            and (not self.paths or admits(self.paths, event.request_uri.partition("?")[0]))
        )

    def _passing(self, event: Event) -> bool:
        if self.since is not None and not _reaches(event, self.since):
            return False
        other = event.impersonated_user
        return (
            self._admits_object(event)
            and (not self.impersonated or admits(self.impersonated, other.username if other else ""))
            and (not self.groups or admits(self.groups, *event.user.groups, *(other.groups if other else ())))
            and (not self.codes or admits(self.codes, _code(event)))
            and admits(self.stages, event.stage)
        )

    def _admits_object(self, event: Event) -> bool:
        ref = event.object_ref or _NOTHING
        if self.reach and event.verb in COLLECTION_VERBS and not ref.name:
            return not ref.namespace or admits(self.namespaces, ref.namespace)
        return admits(self.namespaces, ref.namespace) and (not self.names or admits(self.names, object_name(event)))


def admits(patterns: Sequence[Term[Value]], *values: Value) -> bool:
    """Tell whether a field with `values` passes: one of the wanted is there, if any is wanted, and none unwanted."""
    wanted = found = False
    for pattern in patterns:
        hit = any(map(pattern.covers, values))
        if pattern.negated and hit:
            return False
        wanted = wanted or not pattern.negated
        found = found or hit
    return found or not wanted


def _code(event: Event) -> int:
    return event.response_status.code if event.response_status else 0


def _before(time: str | None, limit: str) -> bool:
    return time is not None and time < limit


def _reaches(event: Event, since: str) -> bool:
    last = event.stage_timestamp or event.request_received_timestamp
    return last is not None and last >= since


class _Metadata(Struct, frozen=True):
    name: str = ""


class _Named(Struct, frozen=True):
    metadata: _Metadata = _Metadata()


_NAMED: Final = Decoder(_Named)


def object_name(event: Event) -> str:
    """Give the name of the object that `event` is about; empty if the event does not tell.

    An object that is created with generateName has no name in the reference, not even in the last stage; the name is
    in the answer, if the level recorded it.
    """
    ref = event.object_ref
    if ref is None or ref.name or event.verb != "create" or event.stage != Stage.RESPONSE_COMPLETE:
        return ref.name if ref else ""
    return _name_in(event.response_object)


def _name_in(body: Raw) -> str:
    try:
        return _NAMED.decode(body).metadata.name
    except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError):
        return ""

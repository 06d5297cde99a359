"""Query: one frozen filter over events; pure.

Every field is a tuple of patterns. Several patterns of one field are "or"; the fields together are "and"; a field
without patterns asks nothing. A pattern is written as people know it: ``web``, ``web*`` (a trailing star stands for
any rest), ``-web`` and ``-web*`` (not); ``*`` alone means "there is one", ``-*`` "there is none". Negations all have
to hold, whatever else is wanted.

| Who | Told by |
|---|---|
| a machine | a user named ``system:…`` (service accounts, nodes, control plane, anonymous), or in `MACHINE_GROUPS` |
| a human | any other user; also a machine that acts as one (a proxy that impersonates whoever logged in) |
| neither | nobody: a failed login |

`matches` reads one event; `query_sql.where` says the same in SQL. What a request did is in its latest stage; `lasting`
is the part of the filter that every stage of a request answers alike, so that a scan need not keep requests that can no
longer match.

Times are the wire's text (MicroTime, UTC, fixed width): text order is time order.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar
from urllib.parse import unquote_to_bytes

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder

from decklog.audit import jsontext
from decklog.audit.event import Event, ObjectReference, Stage
from decklog.audit.networks import NetworkPattern  # noqa: TC001  # because: hints of a value are read at run time, too

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from decklog.audit.event import User

DECISION: Final = "authorization.k8s.io/decision"
"""The annotation that says what authorization decided."""

MACHINE_PREFIX: Final = "system:"
MACHINE_GROUPS: Final = ("system:serviceaccounts", "system:nodes")

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


class AnnotationPattern(Struct, frozen=True):
    """One wanted or unwanted annotation: ``KEY``, ``KEY=VALUE``; both may end in ``*``; ``-`` in front means not."""

    key: Pattern
    value: Pattern | None = None
    """None: any, also an empty one."""
    negated: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[-]KEY[=VALUE]``. Never fails."""
        negated = len(text) > 1 and text.startswith("-")
        key, is_equal, value = text.removeprefix("-" if negated else "").partition("=")
        wanted = Pattern(value.removesuffix("*"), value.endswith("*")) if is_equal else None
        return cls(Pattern(key.removesuffix("*"), key.endswith("*")), wanted, negated)

    def covers(self, annotations: Mapping[str, str]) -> bool:
        """Tell whether one of `annotations` is meant; negation is the caller's (`admits`)."""
        return any(
            self.key.covers(key) and (self.value is None or self.value.covers(value))
            for key, value in annotations.items()
        )


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
    source_ips: tuple[NetworkPattern, ...] = ()
    """Any of the event's addresses; of these only the last is the server's own, the others are the client's claims."""
    decisions: tuple[Pattern, ...] = ()
    """Of authorization: ``allow`` or ``forbid``."""
    levels: tuple[Pattern, ...] = ()
    annotations: tuple[AnnotationPattern, ...] = ()
    field_managers: tuple[Pattern, ...] = ()
    """As the request URI names it; a client that names none is known by its user agent alone."""
    human: bool | None = None
    """True: only what people did; False: only what machines did (the table above)."""
    slower_than_us: int | None = None
    """Microseconds: only what took longer, from receipt to the stage."""
    faster_than_us: int | None = None
    texts: tuple[str, ...] = ()
    """One of them has to stand anywhere in the event's line: as it is, or as JSON spells it."""
    after: str | None = None
    """MicroTime: only requests that were received at that time or later."""
    since: str | None = None
    """MicroTime: only requests that were still under way at that time, or began later."""
    until: str | None = None
    """MicroTime: only requests that were received before that time."""
    reach: bool = False
    """`names` and `namespaces` also admit a collection request (list, watch, deletecollection) that may reach them:
    one without a name, in its namespace or over all. Whether a selector spared the object, the event does not tell."""

    def matches(self, event: Event, line: bytes | None = None) -> bool:
        """Tell whether `event` is one that is asked for; `line` is what it was read from. None: `texts` ask nothing."""
        return self.lasting(event) and self._passing(event) and (line is None or self._admits_text(line))

    def lasting(self, event: Event) -> bool:
        """Tell whether `event` passes the part of the filter that is the same at every stage of a request."""
        received = event.request_received_timestamp
        if self.until is not None and not (received is not None and received < self.until):
            return False
        if self.after is not None and not (received is not None and received >= self.after):
            return False
        ref = event.object_ref or _NOTHING
        return (
            admits(self.verbs, event.verb)
            and admits(self.resources, ref)
            and admits(self.subresources, ref.subresource)
            and admits(self.users, event.user.username)
            and admits(self.audit_ids, event.audit_id)
            and admits(self.user_agents, event.user_agent)
            and (not self.source_ips or admits(self.source_ips, *event.source_ips))
            and (not self.field_managers or admits(self.field_managers, field_manager(event)))
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
            and (not self.levels or admits(self.levels, event.level))
            and (not self.decisions or admits(self.decisions, event.annotations.get(DECISION, "")))
            and (not self.annotations or admits(self.annotations, event.annotations))
            and (self.human is None or is_human(event) is self.human)
            and self._admits_duration(event)
        )

    def _admits_duration(self, event: Event) -> bool:
        if self.slower_than_us is None and self.faster_than_us is None:
            return True
        took = duration_us(event)
        if took is None:
            return False
        return (self.slower_than_us is None or took > self.slower_than_us) and (
            self.faster_than_us is None or took < self.faster_than_us
        )

    def _admits_text(self, line: bytes) -> bool:
        return not self.texts or any(spelled in line for text in self.texts for spelled in spellings(text))

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


def _reaches(event: Event, since: str) -> bool:
    last = event.stage_timestamp or event.request_received_timestamp
    return last is not None and last >= since


def is_human(event: Event) -> bool | None:
    """Tell whether a person made the request, by the table above; None where nobody was authenticated."""
    other = event.impersonated_user
    if not event.user.username:
        return None
    return not is_machine(event.user) or (other is not None and other.username != "" and not is_machine(other))


def is_machine(user: User) -> bool:
    """Tell whether a user is a service account, a node, or another of Kubernetes' own."""
    return user.username.startswith(MACHINE_PREFIX) or any(group in user.groups for group in MACHINE_GROUPS)


def duration_us(event: Event) -> int | None:
    """Give the microseconds from receipt to this stage; None at receipt itself, and where the times do not tell."""
    if event.stage == Stage.REQUEST_RECEIVED:
        return None
    try:
        received = datetime.fromisoformat(event.request_received_timestamp or "")
        took = datetime.fromisoformat(event.stage_timestamp or "") - received
    except (ValueError, TypeError):
        return None
    return took // timedelta(microseconds=1)


_FIELD_MANAGER: Final = re.compile(r"[?&]fieldManager=([^&]*)")


def field_manager(event: Event) -> str:
    """Give the field manager that the request URI names; empty if it names none, or none that can be read."""
    found = _FIELD_MANAGER.search(event.request_uri) if "fieldManager=" in event.request_uri else None
    try:
        return unquote_to_bytes(found[1].replace("+", " ")).decode() if found else ""
    except UnicodeError:
        return ""


def spellings(text: str) -> tuple[bytes, ...]:
    """Give the bytes as which `text` may stand in a line: as it is, and as kube-apiserver writes it inside a string."""
    quoted = json.dumps(text, ensure_ascii=False)[1:-1]
    for char in "<>&\u2028\u2029":
        quoted = quoted.replace(char, f"\\u{ord(char):04x}")
    both = dict.fromkeys(map(jsontext.raw, (text, quoted)))
    return tuple(each for each in both if b"\n" not in each)


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

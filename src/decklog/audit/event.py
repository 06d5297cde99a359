"""Event: one audit record at one stage of one request, as `audit.k8s.io/v1` defines it.

All values are frozen; nobody copies, locks or asks permission. Fields stand in the order of the wire (spec §1.1), so
that encoding is a walk over the struct; a field that is empty is left out of the JSON, those without a default are
always written. Python spells them in snake_case, the wire as Kubernetes does; the table `_WIRE` knows both.

Times are kept as the wire's text (MicroTime: UTC, six fractional digits, ``2026-01-02T03:04:05.123456Z``): it is fixed
in width, so that text order is time order. `None` is Go's zero time and is written as ``null``.

Bodies are raw JSON (`msgspec.Raw`), already compacted, never parsed and re-encoded: key order, number spelling and
duplicate keys survive. An empty Raw means that there is no body.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Raw, Struct, field

_WIRE: Final = {
    "api_group": "apiGroup",
    "api_version": "apiVersion",
    "audit_id": "auditID",
    "authentication_metadata": "authenticationMetadata",
    "continue_": "continue",
    "impersonated_user": "impersonatedUser",
    "impersonation_constraint": "impersonationConstraint",
    "object_ref": "objectRef",
    "remaining_item_count": "remainingItemCount",
    "request_object": "requestObject",
    "request_received_timestamp": "requestReceivedTimestamp",
    "request_uri": "requestURI",
    "resource_version": "resourceVersion",
    "response_object": "responseObject",
    "response_status": "responseStatus",
    "retry_after_seconds": "retryAfterSeconds",
    "self_link": "selfLink",
    "source_ips": "sourceIPs",
    "stage_timestamp": "stageTimestamp",
    "user_agent": "userAgent",
}
"""Python name → wire name, where they differ."""


def _wire_name(name: str) -> str:
    return _WIRE.get(name, name)


class Stage(StrEnum):
    """When in a request's life an event is made."""

    REQUEST_RECEIVED = "RequestReceived"
    RESPONSE_STARTED = "ResponseStarted"
    RESPONSE_COMPLETE = "ResponseComplete"
    PANIC = "Panic"


class Level(StrEnum):
    """How much of a request is recorded; compare with `at_least`."""

    NONE = "None"
    METADATA = "Metadata"
    REQUEST = "Request"
    REQUEST_RESPONSE = "RequestResponse"

    def at_least(self, other: Level) -> bool:
        """None < Metadata < Request < RequestResponse."""
        return _RANK[self] >= _RANK[other]


_RANK: Final = {level: rank for rank, level in enumerate(Level)}

NO_OBJECT: Final = Raw()
"""The body that is not there."""


class User(Struct, frozen=True, omit_defaults=True):
    """Who: UserInfo of authentication.k8s.io. All fields may be empty (a failed login has ``{}``)."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...] | None] = {}
    """Keys sorted by whoever builds the value."""


class AuthenticationMetadata(Struct, frozen=True, omit_defaults=True, rename=_wire_name):
    """How an impersonation was authorised (since Kubernetes 1.35)."""

    impersonation_constraint: str = ""


# gc=False below: these hold texts, tuples and dicts of texts only, so no circle can pass through them, and a burst of
# events does not wake the garbage collector.
class ObjectReference(Struct, frozen=True, gc=False, omit_defaults=True, rename=_wire_name):
    """What: the object that the request is about, as far as it is known."""

    resource: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_group: str = ""
    api_version: str = ""
    resource_version: str = ""
    subresource: str = ""


class ListMeta(Struct, frozen=True, gc=False, omit_defaults=True, rename=_wire_name):
    """The metadata of a Status; empty in practice, and always written."""

    self_link: str = ""
    resource_version: str = ""
    continue_: str = ""
    remaining_item_count: int | None = None


_LIST_META: Final = ListMeta()


class StatusCause(Struct, frozen=True, omit_defaults=True):
    """One reason of a Status, with the field that it is about."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Struct, frozen=True, omit_defaults=True, rename=_wire_name):
    """What a Status is about."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[StatusCause, ...] = ()
    retry_after_seconds: int = 0


class Status(Struct, frozen=True, gc=False, omit_defaults=True):
    """What response: meta/v1 Status without kind and apiVersion. `code` is the HTTP status."""

    metadata: ListMeta = field(default_factory=lambda: _LIST_META)
    status: str = ""
    message: str = ""
    reason: str = ""
    details: StatusDetails | None = None
    code: int = 0


def _zero_time() -> None:
    """Give Go's zero time. Made by a factory, a default is always written: here as ``null``."""


class Event(Struct, frozen=True, gc=False, omit_defaults=True, rename=_wire_name):
    """One audit event: audit.k8s.io/v1 Event (spec §1.1). `level` and `stage` are texts, because logs hold others'."""

    level: str
    audit_id: str
    stage: str
    request_uri: str
    verb: str
    user: User
    impersonated_user: User | None = None
    authentication_metadata: AuthenticationMetadata | None = None
    source_ips: tuple[str, ...] = ()
    user_agent: str = ""
    object_ref: ObjectReference | None = None
    response_status: Status | None = None
    request_object: Raw = NO_OBJECT
    response_object: Raw = NO_OBJECT
    request_received_timestamp: str | None = field(default_factory=_zero_time)
    stage_timestamp: str | None = field(default_factory=_zero_time)
    annotations: dict[str, str] = {}
    """Keys sorted by whoever builds the value."""

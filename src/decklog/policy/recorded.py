"""Recorded: the few things of a recorded event that a policy asks for, read from its line without decoding the rest.

A policy decides at the start of a request, on what the request line and the identity say. So its attributes are taken
from an event like this:

| What | From | Why |
|---|---|---|
| the user | ``user``, never ``impersonatedUser`` | kube-apiserver decides before it impersonates (spec §3) |
| verb, group, resource, subresource | ``verb`` and ``objectRef`` | they stand there as the server resolved them |
| a resource request or not | whether there is an ``objectRef`` | only resource requests have one |
| namespace and name | ``objectRef``, if the URI has them, too | the server fills both from the body of a create |
| the path of other requests | ``requestURI`` without its query, decoded | the server compares the decoded path |

Lines that a Kubernetes component wrote take the fast way; every other one is read by `decklog.audit.wire`, which knows
old versions, fields of any order, and what is no event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from decklog.audit import jsontext
from decklog.audit.attributes import Attributes
from decklog.audit.event import NO_OBJECT, User
from decklog.audit.jsontext import WireError
from decklog.audit.target import ResolveError, parse
from decklog.audit.wire import decode_event

if TYPE_CHECKING:
    from decklog.audit.event import Event

__all__ = ["HEAD", "Caller", "Recorded", "Thing", "WireError", "attributes_of", "of_event", "read", "user_of"]

HEAD: Final = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1",'
"""How every line begins that a Kubernetes component or decklog wrote."""

_WIRE: Final = {
    "api_group": "apiGroup",
    "object_ref": "objectRef",
    "request_object": "requestObject",
    "request_received_timestamp": "requestReceivedTimestamp",
    "request_uri": "requestURI",
    "response_object": "responseObject",
    "response_status": "responseStatus",
    "stage_timestamp": "stageTimestamp",
}


def _wire_name(name: str) -> str:
    return _WIRE.get(name, name)


class Caller(Struct, gc=False):
    """Who, as far as a policy asks."""

    username: str = ""
    groups: tuple[str, ...] = ()


class Thing(Struct, gc=False, rename=_wire_name):
    """What, as far as a policy asks."""

    resource: str = ""
    namespace: str = ""
    name: str = ""
    api_group: str = ""
    subresource: str = ""


class Answer(Struct, gc=False):
    """The HTTP status; 0: none was recorded."""

    code: int = 0


# gc=False: texts and raw JSON only; a log of millions of events does not wake the garbage collector.
class Recorded(Struct, gc=False, rename=_wire_name):
    """One event, read as far as a decision and its execution need it."""

    level: str
    stage: str
    verb: str = ""
    request_uri: str = ""
    user: Caller = msgspec.field(default_factory=Caller)
    object_ref: Thing | None = None
    response_status: Answer | None = None
    request_object: Raw = NO_OBJECT
    response_object: Raw = NO_OBJECT
    request_received_timestamp: str | None = None
    stage_timestamp: str | None = None
    annotations: Raw = NO_OBJECT


_decode: Final = msgspec.json.Decoder(Recorded).decode
_FOREIGN: Final = "not an audit event: it has no level or no stage"


def read(line: bytes) -> Recorded:
    """Read a line, with or without its line feed; WireError, which shows no content, if no event stands in it."""
    if line.startswith(HEAD):
        try:
            recorded = _decode(line)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            recorded = of_event(decode_event(line))
    else:
        recorded = of_event(decode_event(line))
    if not (recorded.level and recorded.stage):
        raise WireError(_FOREIGN)
    return recorded


def of_event(event: Event) -> Recorded:
    """Give what a decision needs of an event."""
    ref, status = event.object_ref, event.response_status
    return Recorded(
        event.level,
        event.stage,
        event.verb,
        event.request_uri,
        Caller(event.user.username, event.user.groups),
        None if ref is None else Thing(ref.resource, ref.namespace, ref.name, ref.api_group, ref.subresource),
        None if status is None else Answer(status.code),
        event.request_object,
        event.response_object,
        event.request_received_timestamp,
        event.stage_timestamp,
        Raw(jsontext.dump(event.annotations)) if event.annotations else NO_OBJECT,
    )


def attributes_of(event: Recorded) -> Attributes:
    """Give the attributes that the policy was asked about, as the table above says."""
    ref = event.object_ref
    if ref is None:
        return Attributes(event.verb, path_of(event.request_uri))
    namespace, name = place_of(event, ref)
    return Attributes(
        verb=event.verb,
        path="",
        resource_request=True,
        api_group=ref.api_group,
        namespace=namespace,
        resource=ref.resource,
        subresource=ref.subresource,
        name=name,
    )


def user_of(event: Recorded) -> User | None:
    """Give the authenticated user; None where nobody was (an event of a failed login has an empty one)."""
    caller = event.user
    return User(caller.username, groups=caller.groups) if caller.username or caller.groups else None


def place_of(event: Recorded, ref: Thing) -> tuple[str, str]:
    """Give namespace and name as the request line had them; what only the body said was not known to the policy."""
    namespace, name = ref.namespace, ref.name
    if event.verb not in {"create", "update"} or not (namespace or name):
        return namespace, name
    path = event.request_uri.partition("?")[0]
    if "%" in path:
        path = path_of(path)
    if namespace and f"/namespaces/{namespace}" not in path:
        namespace = ""
    if name and event.verb == "create" and f"/{name}" not in path.partition(f"/{ref.resource}")[2]:
        name = ""
    return namespace, name


def path_of(uri: str) -> str:
    """Give the decoded path of a recorded URI."""
    path = uri.partition("?")[0]
    if "%" not in path:
        return path
    try:
        return parse(jsontext.raw(path), "GET").path
    except ResolveError:
        return path

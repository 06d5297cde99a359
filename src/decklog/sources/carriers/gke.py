"""GKE: Cloud Audit Logs, whose LogEntry is no Kubernetes event; one is made of what it says.

A LogEntry tells its origin by its payload: ``protoPayload`` of type AuditLog and service ``k8s.io``, which only Google
writes. What a container prints arrives as ``textPayload`` or ``jsonPayload``, and is passed over.

| field of the event | from | synthesised |
|---|---|---|
| auditID | operation.id, else insertId | the latter |
| verb | last part of methodName | |
| objectRef | resourceName, told by methodName | |
| user.username | authenticationInfo.principalEmail | groups, uid and extra are not recorded |
| sourceIPs, userAgent | requestMetadata | |
| requestObject, responseObject | request, response | |
| annotations | labels | |
| responseStatus | response, if it is a Status; else status, a gRPC code | the code made of a gRPC code |
| level | which of request and response are there | always |
| stage | operation: begun and not ended is ResponseStarted, all else ResponseComplete | always |
| requestURI | resourceName | always; without its query |
| stageTimestamp, requestReceivedTimestamp | timestamp | the latter |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw

from decklog.audit import jsontext
from decklog.audit.event import NO_OBJECT, Event, Level, ObjectReference, Stage, Status, User
from decklog.audit.jsontext import WireError
from decklog.audit.times import normalise
from decklog.sources.carriers.envelope import OTHER, Message, all_said, content, inner, said
from decklog.sources.record import Provenance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.sources.carriers.envelope import Members

CARRIER: Final = "GKE"

_VERSION: Final = re.compile(r"v\d+(?:(?:alpha|beta)\d+)?")
_HTTP: Final = {0: 200, 1: 499, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501}
_HTTP_LATE: Final = {13: 500, 14: 503, 15: 500, 16: 401}
"""gRPC's code → the HTTP status that stands for it (google.rpc.Code)."""


def log_entry(envelope: Members, line: bytes) -> Iterator[Message]:
    """Make an event of a LogEntry, if it is one of the Kubernetes API."""
    payload = inner(envelope, "protoPayload")
    name = said(envelope.get("logName"))
    kind = said(inner(envelope, "resource").get("type")) or "k8s_cluster"
    audit = said(payload.get("@type")).endswith("google.cloud.audit.AuditLog") and (
        not name or "cloudaudit.googleapis.com" in name
    )
    if not audit or kind != "k8s_cluster" or said(payload.get("serviceName")) != "k8s.io":
        yield OTHER
        return
    event, synthesised = _event(envelope, payload)
    labels = inner(inner(envelope, "resource"), "labels")
    about = {**all_said(envelope, "logName", "insertId", "receiveTimestamp"), **all_said(labels, "location")}
    about |= {"project": project} if (project := said(labels.get("project_id"))) else {}
    provenance = Provenance(CARRIER, said(labels.get("cluster_name")), synthesised, about)
    yield Message(line, provenance, event)


def _event(envelope: Members, payload: Members) -> tuple[Event, tuple[str, ...]]:
    operation, request = inner(envelope, "operation"), inner(payload, "requestMetadata")
    audit_id = _text(operation.get("id"))
    verb, ref = _asked(_text(payload.get("methodName")), _text(payload.get("resourceName")))
    status, made_up = _status(payload)
    bodies = {key: _body(payload.get(key)) for key in ("request", "response")}
    level = Level.REQUEST_RESPONSE if bodies["response"] else Level.REQUEST if bodies["request"] else Level.METADATA
    begun = operation.get("first") == b"true" and operation.get("last") != b"true"
    time = _time(envelope.get("timestamp"))
    address = _text(request.get("callerIp"))
    event = Event(
        level=level,
        audit_id=audit_id or _text(envelope.get("insertId")),
        stage=Stage.RESPONSE_STARTED if begun else Stage.RESPONSE_COMPLETE,
        request_uri=_uri(ref),
        verb=verb,
        user=User(_text(inner(payload, "authenticationInfo").get("principalEmail"))),
        source_ips=(address,) if address else (),
        user_agent=_text(request.get("callerSuppliedUserAgent")),
        object_ref=ref,
        response_status=status,
        request_object=Raw(bodies["request"]) if bodies["request"] else NO_OBJECT,
        response_object=Raw(bodies["response"]) if bodies["response"] else NO_OBJECT,
        request_received_timestamp=time,
        stage_timestamp=time,
        annotations=dict(sorted((key, _text(value)) for key, value in inner(envelope, "labels").items())),
    )
    missing = () if audit_id else ("auditID",)
    return event, (*missing, "level", "stage", "requestURI", *made_up, "requestReceivedTimestamp")


def _text(value: bytes | None) -> str:
    text = content(value)
    return jsontext.mend(jsontext.text(text)) if text is not None else ""


def _body(value: bytes | None) -> bytes:
    return b"" if value is None or value == b"null" else jsontext.compact(value)


def _time(value: bytes | None) -> str | None:
    text = _text(value)
    try:
        return normalise(text, any_fraction=True) if text else None
    except ValueError as error:
        raise WireError(f"timestamp: {error}") from None


def _asked(method: str, name: str) -> tuple[str, ObjectReference | None]:
    """Read what was asked: ``io.k8s.core.v1.pods.exec.create`` of ``core/v1/namespaces/shop/pods/web/exec``.

    The method tells resource and subresource apart from names; without it, or for what is no resource, there is none.
    """
    words = method.split(".")
    versions = [at for at, word in enumerate(words) if _VERSION.fullmatch(word)]
    verb = words[-1]
    path = name.split("/")
    if not versions or len(path) < 2 or len(words) - versions[-1] < 3:
        return verb, None
    resource, *sub = words[versions[-1] + 1 : -1]
    group = "" if path[0] == "core" else path[0]
    rest = path[2:]
    namespace = ""
    if len(rest) >= 2 and rest[0] == "namespaces":
        namespace = rest[1]
        rest = rest if resource == "namespaces" else rest[2:]
    object_name = rest[1] if len(rest) > 1 and rest[0] == resource else ""
    subresource = "/".join(sub) or "/".join(rest[2:])
    return verb, ObjectReference(
        resource, namespace, object_name, api_group=group, api_version=path[1], subresource=subresource
    )


def _uri(ref: ObjectReference | None) -> str:
    if ref is None:
        return ""
    parts = ["apis", ref.api_group, ref.api_version] if ref.api_group else ["api", ref.api_version]
    if ref.namespace and ref.resource != "namespaces":
        parts += ["namespaces", ref.namespace]
    return "/" + "/".join([*parts, *filter(None, (ref.resource, ref.name, ref.subresource))])


def _status(payload: Members) -> tuple[Status, tuple[str, ...]]:
    """Read how it ended: from the API server's own Status, else from Google's code, of which absent means OK."""
    response = inner(payload, "response")
    if said(response.get("@type")).endswith(".Status") and (code := _number(response.get("code"))):
        ended, message, reason = (_text(response.get(key)) for key in ("status", "message", "reason"))
        return Status(status=ended, message=message, reason=reason, code=code), ()
    status = inner(payload, "status")
    grpc = _number(status.get("code"))
    code = (_HTTP | _HTTP_LATE).get(grpc, 500)
    return Status(message=_text(status.get("message")), code=code), ("responseStatus.code",)


def _number(value: bytes | None) -> int:
    number: Any = jsontext.load(value) if value is not None else 0
    return number if type(number) is int and 0 <= number < 1000 else 0

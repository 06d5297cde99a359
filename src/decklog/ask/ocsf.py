"""OCSF: an event as API Activity (class 6003) of the Open Cybersecurity Schema Framework, version 1.8.0.

| audit.k8s.io/v1 | OCSF |
|---|---|
| verb | api.operation; activity_id 1 create, 2 read, 3 update, 4 delete, else 99 with activity_name |
| exec, attach, portforward, proxy | activity_id 99 named after the subresource, whatever the verb: GET opens a shell |
| auditID | api.request.uid, metadata.original_event_uid, metadata.correlation_uid |
| auditID and stage | metadata.uid: unique for each event of a request |
| stage, level, apiVersion | metadata.event_code, metadata.log_level, metadata.log_version |
| stageTimestamp | time, in milliseconds; metadata.original_time is the time of receipt |
| user | actor.user (type_id 4: a service account, 3: another of the system, 1: a user) |
| user.extra | actor.user.credential_uid from the credential's ID; the rest is unmapped |
| impersonatedUser | unmapped: the actor stays who authenticated |
| objectRef | resources[0], api.group.name (``core`` if empty), api.version |
| responseStatus | status_id (below 400: 1, else 2), status_code, status_detail, api.response, http_response |
| requestObject, responseObject | api.request.data, api.response.data; only with `bodies`: they may hold secrets |
| annotations | authorization.k8s.io/*: actor.authorizations[0]; others unmapped |
| sourceIPs | src_endpoint.ip the first, http_request.x_forwarded_for all but the last: claims (spec §5.6) |
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from decklog.ask.sound import sound_body
from decklog.audit.event import ObjectReference
from decklog.audit.query import object_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw

    from decklog.audit.event import Event, User

VERSION: Final = "1.8.0"

_CLASS: Final = 6003
_ACTIVITIES: Final = {
    **dict.fromkeys(("create", "post"), 1),
    **dict.fromkeys(("get", "list", "watch", "head", "options"), 2),
    **dict.fromkeys(("update", "patch", "put"), 3),
    **dict.fromkeys(("delete", "deletecollection"), 4),
}
_NAMES: Final = {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}
_CONNECTS: Final = frozenset(("exec", "attach", "portforward", "proxy"))
_OTHER: Final = 99
_NOTHING: Final = ObjectReference()
_DECISION, _REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def ocsf(event: Event, *, cluster: str = "", bodies: bool = False) -> dict[str, Any]:
    """Map one event. What is empty is left out."""
    ref, status = event.object_ref or _NOTHING, event.response_status
    code = status.code if status else 0
    activity, name = _activity(event.verb, ref.subresource)
    time = milliseconds(event.stage_timestamp)
    if time is None:
        time = milliseconds(event.request_received_timestamp) or 0
    return _full(
        {
            "class_uid": _CLASS,
            "class_name": "API Activity",
            "category_uid": 6,
            "category_name": "Application Activity",
            "activity_id": activity,
            "activity_name": name,
            "type_uid": _CLASS * 100 + activity,
            "severity_id": 1,
            "time": time,
            "status_id": 0 if not code else 1 if code < 400 else 2,
            "status_code": str(code) if code else "",
            "status_detail": status.message if status else "",
            "metadata": _metadata(event, cluster),
            "actor": _actor(event),
            "api": _api(event, ref, bodies=bodies),
            "resources": [_resource(event, ref)] if ref.resource else [],
            "src_endpoint": _source(event),
            "http_request": _request(event),
            "http_response": _response(event, code),
            "unmapped": _unmapped(event),
        }
    )


def milliseconds(time: str | None) -> int | None:
    """Give a MicroTime as milliseconds since 1970; None if there is none, or none that can be read."""
    try:
        return (datetime.fromisoformat(time) - _EPOCH) // timedelta(milliseconds=1) if time else None
    except (ValueError, TypeError):
        return None


def _activity(verb: str, subresource: str) -> tuple[int, str]:
    if subresource in _CONNECTS:
        return _OTHER, subresource
    activity = _ACTIVITIES.get(verb.lower(), _OTHER)
    return activity, _NAMES.get(activity) or verb or "unknown"


def _metadata(event: Event, cluster: str) -> dict[str, Any]:
    return {
        "version": VERSION,
        "product": {"name": "Kubernetes", "vendor_name": "Kubernetes"},
        "log_name": "audit.k8s.io",
        "log_version": "audit.k8s.io/v1",
        "log_level": event.level,
        "event_code": event.stage,
        "uid": f"{event.audit_id}/{event.stage}",
        "original_event_uid": event.audit_id,
        "correlation_uid": event.audit_id,
        "original_time": event.request_received_timestamp,
        "tenant_uid": cluster,
    }


def _actor(event: Event) -> dict[str, Any]:
    user = event.user
    decision = event.annotations.get(_DECISION, "")
    reason = event.annotations.get(_REASON, "")
    return {
        "user": {
            "name": user.username,
            "uid": user.uid,
            "type_id": _user_type(user.username),
            "groups": [{"name": group} for group in user.groups],
            "credential_uid": " ".join(user.extra.get(_CREDENTIAL) or ()),
        },
        "authorizations": [{"decision": decision, "policy": {"desc": reason}}] if decision else [],
    }


def _user_type(name: str) -> int:
    if name.startswith("system:serviceaccount:"):
        return 4
    return 3 if name.startswith("system:") else 1


def _api(event: Event, ref: ObjectReference, *, bodies: bool) -> dict[str, Any]:
    status = event.response_status
    code = status.code if status else 0
    return {
        "operation": event.verb or "unknown",
        "group": {"name": ref.api_group or "core"} if ref.resource else {},
        "version": ref.api_version,
        "request": {"uid": event.audit_id, "data": _body(event.request_object) if bodies else None},
        "response": {
            "code": code or None,
            "error": status.reason if status else "",
            "error_message": status.message if status else "",
            "data": _body(event.response_object) if bodies else None,
        },
    }


def _body(body: Raw) -> Raw | None:
    return None if bytes(body) in {b"", b"null"} else sound_body(body)


def _resource(event: Event, ref: ObjectReference) -> dict[str, Any]:
    return {
        "name": object_name(event),
        "namespace": ref.namespace,
        "uid": ref.uid,
        "type": f"{ref.resource}/{ref.subresource}" if ref.subresource else ref.resource,
        "version": ref.resource_version,
        "role_id": 1,
    }


def _source(event: Event) -> dict[str, Any]:
    first, *others = event.source_ips or ("",)
    return {"ip": first, "intermediate_ips": others}


def _request(event: Event) -> dict[str, Any]:
    path, _, query = event.request_uri.partition("?")
    return {
        "uid": event.audit_id,
        "user_agent": event.user_agent,
        "url": {"path": path, "query_string": query, "url_string": event.request_uri},
        "x_forwarded_for": list(event.source_ips[:-1]),
    }


def _response(event: Event, code: int) -> dict[str, Any]:
    received, staged = milliseconds(event.request_received_timestamp), milliseconds(event.stage_timestamp)
    latency = None if staged is None or received is None else staged - received
    return {"code": code, "latency": latency} if code else {}


def _unmapped(event: Event) -> dict[str, Any]:
    other, how = event.impersonated_user, event.authentication_metadata
    annotations = {key: value for key, value in event.annotations.items() if key not in {_DECISION, _REASON}}
    extra = {key: list(values or ()) for key, values in event.user.extra.items() if key != _CREDENTIAL}
    return {
        "stage": event.stage,
        "annotations": annotations,
        "user.extra": extra,
        "impersonatedUser": _person(other) if other else {},
        "impersonationConstraint": how.impersonation_constraint if how else "",
    }


def _person(user: User) -> dict[str, Any]:
    return {"username": user.username, "uid": user.uid, "groups": list(user.groups)}


def _full(value: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is empty, at any depth; zero and false stay."""
    kept: dict[str, Any] = {}
    for key, item in value.items():
        shown = _full(item) if isinstance(item, dict) else item
        if isinstance(item, list):
            shown = [_full(one) if isinstance(one, dict) else one for one in item]
        if shown is None or (isinstance(shown, (str, dict, list)) and not shown):
            continue
        kept[key] = shown
    return kept

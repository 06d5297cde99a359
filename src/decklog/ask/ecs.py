"""ECS: an event in the fields of the Elastic Common Schema; all of it, less bodies, under ``kubernetes.audit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from decklog.ask.rows import duration_seconds
from decklog.ask.sound import sound_body
from decklog.audit.event import NO_OBJECT, ObjectReference
from decklog.audit.query import object_name

if TYPE_CHECKING:
    from decklog.audit.event import Event

VERSION: Final = "8.17.0"

_NOTHING: Final = ObjectReference()
_TYPES: Final = {
    "create": "creation",
    "delete": "deletion",
    "deletecollection": "deletion",
    "update": "change",
    "patch": "change",
}
_IAM: Final = frozenset(("rbac.authorization.k8s.io", "authentication.k8s.io", "certificates.k8s.io"))


def ecs(event: Event, *, cluster: str = "", bodies: bool = False) -> dict[str, Any]:
    """Map one event. Annotations' dots become underlines, as Elastic's own integration has them."""
    ref, status = event.object_ref or _NOTHING, event.response_status
    code = status.code if status else 0
    took = duration_seconds(event)
    return _full(
        {
            "@timestamp": event.stage_timestamp or event.request_received_timestamp,
            "ecs": {"version": VERSION},
            "event": {
                "id": f"{event.audit_id}/{event.stage}",
                "kind": "event",
                "module": "kubernetes",
                "dataset": "kubernetes.audit_logs",
                "action": event.verb,
                "category": ["iam" if ref.api_group in _IAM else "configuration"],
                "type": [_TYPES.get(event.verb, "access")],
                "outcome": "unknown" if not code else "success" if code < 400 else "failure",
                "start": event.request_received_timestamp,
                "duration": round(took * 1e9) if took is not None else None,
            },
            "user": {"name": event.user.username, "id": event.user.uid, "roles": list(event.user.groups)},
            "source": {"ip": event.source_ips[0]} if event.source_ips else {},
            "related": {"ip": list(dict.fromkeys(event.source_ips)), "user": _users(event)},
            "user_agent": {"original": event.user_agent},
            "url": _url(event.request_uri),
            "http": {"response": {"status_code": code or None}},
            "orchestrator": {
                "type": "kubernetes",
                "cluster": {"name": cluster},
                "namespace": ref.namespace,
                "api_version": "/".join(filter(None, (ref.api_group, ref.api_version))),
                "resource": {"type": ref.resource, "name": object_name(event)},
            },
            "kubernetes": {"audit": _raw(event, bodies=bodies)},
        }
    )


def _users(event: Event) -> list[str]:
    other = event.impersonated_user
    return list(filter(None, (event.user.username, other.username if other else "")))


def _url(uri: str) -> dict[str, Any]:
    path, _, query = uri.partition("?")
    return {"original": uri, "path": path, "query": query}


def _raw(event: Event, *, bodies: bool) -> dict[str, Any]:
    """Give the event as it is, less its bodies."""
    bare = msgspec.structs.replace(event, request_object=NO_OBJECT, response_object=NO_OBJECT)
    raw: dict[str, Any] = msgspec.to_builtins(bare)
    raw["annotations"] = {key.replace(".", "_"): value for key, value in event.annotations.items()}
    for name, body in (("requestObject", event.request_object), ("responseObject", event.response_object)):
        raw.pop(name, None)
        if bodies and bytes(body) not in {b"", b"null"}:
            raw[name] = sound_body(body)
    return raw


def _full(value: dict[str, Any]) -> dict[str, Any]:
    kept = {key: _full(item) if isinstance(item, dict) else item for key, item in value.items()}
    return {
        key: item
        for key, item in kept.items()
        if item is not None and not (isinstance(item, (str, dict, list, tuple)) and not item)
    }

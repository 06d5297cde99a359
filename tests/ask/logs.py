"""Builds small logs for the tests of asking: one ordinary event, changed as a test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from decklog.audit.event import Event, ObjectReference, Stage, Status, User
from decklog.audit.wire import encode_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DELETION = Event(
    level="Metadata",
    audit_id="11111111-aaaa-4bbb-8ccc-000000000001",
    stage=Stage.RESPONSE_COMPLETE,
    request_uri="/apis/apps/v1/namespaces/shop/deployments/web",
    verb="delete",
    user=User(username="alice", groups=("dev", "system:authenticated")),
    source_ips=("203.0.113.9", "10.0.0.7"),
    user_agent="kubectl/v1.36.2",
    object_ref=ObjectReference("deployments", "shop", "web", api_group="apps", api_version="v1"),
    response_status=Status(code=200),
    request_received_timestamp="2026-03-01T10:00:00.000000Z",
    stage_timestamp="2026-03-01T10:00:00.250000Z",
    annotations={"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "RBAC: allowed by Role edit"},
)
"""Alice deletes the deployment web in the namespace shop, and may."""


def event(**changes: Any) -> Event:
    """Give the deletion, changed."""
    return replace(DELETION, **changes)


def life(*stages: Stage, **changes: Any) -> list[Event]:
    """Give one request's events; what only the end knows is missing before it."""
    whole = event(**changes)
    return [_at(whole, stage) for stage in stages]


def _at(whole: Event, stage: Stage) -> Event:
    if stage is not Stage.REQUEST_RECEIVED:
        return replace(whole, stage=stage)
    return replace(
        whole,
        stage=stage,
        response_status=None,
        annotations={},
        impersonated_user=None,
        stage_timestamp=whole.request_received_timestamp,
    )


def ref(
    resource: str, namespace: str = "shop", name: str = "", group: str = "", subresource: str = ""
) -> ObjectReference:
    """Give a reference, its common fields in the order in which people say them."""
    return ObjectReference(resource, namespace, name, api_group=group, api_version="v1", subresource=subresource)


def lines(events: Iterable[Event]) -> bytes:
    """Write events as kube-apiserver writes a log."""
    return b"".join(map(encode_line, events))


def log(path: Path, *events: Event) -> Path:
    """Write a log file."""
    path.write_bytes(lines(events))
    return path

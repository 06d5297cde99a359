"""Builds the log of a deployment that is deleted, and of what the controllers then do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from ask.logs import event, ref
from decklog.ask.requests import merge
from decklog.audit.event import Status, User
from decklog.sources.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from decklog.ask.requests import Request
    from decklog.audit.event import Event
    from decklog.audit.query import Query

GARBAGE = "system:serviceaccount:kube-system:generic-garbage-collector"
POD = "web-7d9f6c5b4-x2x8p"
SET = "web-7d9f6c5b4"


def body(value: Any) -> Raw:
    """Encode a body as the log holds it."""
    return Raw(json.dumps(value, separators=(",", ":")).encode())


def at(minute: int, user: str, verb: str, reference: Any, **changes: Any) -> Event:
    """Give an event at ten o'clock and so many minutes."""
    time = f"2026-03-01T10:{minute:02}:00.000000Z"
    changes.setdefault("response_status", Status(code=201 if verb == "create" else 200))
    changes.setdefault("audit_id", f"{minute:02}-{verb}-{reference.resource}")
    return event(
        verb=verb,
        user=User(username=user),
        object_ref=reference,
        request_uri=f"/{reference.resource}/{minute}",
        request_received_timestamp=time,
        stage_timestamp=time.replace(":00.000000", ":00.500000"),
        annotations={},
        **changes,
    )


def controller(name: str) -> str:
    """Give the account of a controller."""
    return f"system:serviceaccount:kube-system:{name}"


def pod(name: str = POD) -> Any:
    return ref("pods", name=name)


def replica_set(name: str = SET) -> Any:
    return ref("replicasets", name=name, group="apps")


def deployment(name: str = "web", subresource: str = "") -> Any:
    return ref("deployments", name=name, group="apps", subresource=subresource)


def owned(kind: str, name: str, owner: tuple[str, str, str]) -> Raw:
    """Give an object with an owner: (kind, name, apiVersion)."""
    above = dict(zip(("kind", "name", "apiVersion"), owner, strict=True))
    return body({"kind": kind, "metadata": {"name": name, "ownerReferences": [above]}})


def records(events: Iterable[Event], file: str = "audit.log") -> list[Record]:
    """Number events as lines of a file."""
    return [Record(b"%d" % number, file, number, event) for number, event in enumerate(events, 1)]


def asking(events: Iterable[Event]) -> Callable[[tuple[Query, ...]], Iterable[Request]]:
    """Give a way to ask these events."""
    known = records(events)
    return lambda queries: merge(known, *queries)

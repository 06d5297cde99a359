"""Stored rows: rows of an answer, made of the index columns of a store; no event is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from decklog.ask.requests import Request, Seen
from decklog.ask.rows import Row, row
from decklog.audit.event import Event, ObjectReference, Status, User
from decklog.store.columns import microtime

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN: Final = (
    "time",
    "stageTime",
    "level",
    "stage",
    "auditID",
    "user",
    "groups",
    "impersonatedUser",
    "verb",
    "apiGroup",
    "resource",
    "subresource",
    "namespace",
    "name",
    "code",
    "reason",
    "message",
    "decision",
    "sourceIPs",
    "userAgent",
    "requestURI",
    "cluster",
    "request",
    "identity",
)
"""The columns of a request's latest stage that a row is made of."""
PLACE: Final = ("filename", "file_row_number")
PAGE: Final = (*SHOWN, *PLACE)
"""The columns that `page_row` takes, in this order."""
REQUEST: Final = PAGE.index("request")
IDENTITY: Final = PAGE.index("identity")
_DECISION: Final = "authorization.k8s.io/decision"


def page_row(values: tuple[Any, ...], earlier: Iterable[str] = ()) -> Row:
    """Make the row of a request of the columns of its latest stage; `earlier`: stages before it."""
    (time, staged, level, stage, audit_id, user, groups, other, verb, group, resource, subresource, namespace, name,
     code, reason, message, decision, ips, agent, uri, cluster, _, _, file, number) = values  # fmt: skip
    event = Event(
        level=level,
        audit_id=audit_id,
        stage=stage,
        request_uri=uri,
        verb=verb,
        user=User(username=user, groups=tuple(groups)),
        impersonated_user=User(username=other) if other else None,
        source_ips=tuple(ips),
        user_agent=agent,
        object_ref=ObjectReference(resource, namespace, name, api_group=group, subresource=subresource),
        response_status=Status(code=code, reason=reason, message=message),
        request_received_timestamp=microtime(time) or None,
        stage_timestamp=microtime(staged) or None,
        annotations={_DECISION: decision} if decision else {},
    )
    seen = Seen(event, file, number + 1)
    made = row(Request((seen,)))
    return replace(made, stages=(*(each for each in earlier if each != stage), stage), cluster=cluster)

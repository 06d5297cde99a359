"""Flat: events as rows of a table, without bodies unless they are asked for; the shape of SQL and of Parquet.

The columns bear the names of ``-o json`` (`ask.rows`), and some more. Times are timestamps in UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw, Struct

from decklog.ask.rows import is_dry_run
from decklog.ask.sound import sound, sound_body
from decklog.audit.event import ObjectReference
from decklog.audit.query import object_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.audit.event import Event

COLUMNS: Final = {
    "time": "TIMESTAMP",
    "stageTime": "TIMESTAMP",
    "level": "VARCHAR",
    "stage": "VARCHAR",
    "auditID": "VARCHAR",
    "user": "VARCHAR",
    "userUID": "VARCHAR",
    "groups": "VARCHAR[]",
    "impersonatedUser": "VARCHAR",
    "verb": "VARCHAR",
    "apiGroup": "VARCHAR",
    "apiVersion": "VARCHAR",
    "resource": "VARCHAR",
    "subresource": "VARCHAR",
    "namespace": "VARCHAR",
    "name": "VARCHAR",
    "code": "INTEGER",
    "reason": "VARCHAR",
    "message": "VARCHAR",
    "decision": "VARCHAR",
    "dryRun": "BOOLEAN",
    "sourceIPs": "VARCHAR[]",
    "userAgent": "VARCHAR",
    "requestURI": "VARCHAR",
    "annotations": "MAP(VARCHAR, VARCHAR)",
    "file": "VARCHAR",
    "line": "BIGINT",
}
"""Column → DuckDB's type, in order. Text that an event lacks is empty, not NULL; a code that it lacks is 0."""
BODIES: Final = {"requestObject": "JSON", "responseObject": "JSON"}
"""Further columns, where they are asked for; NULL: the level did not record it."""

_NOTHING: Final = ObjectReference()
_DECISION: Final = "authorization.k8s.io/decision"


class Flat(Struct, gc=False):
    """One event as a row; the order is that of `COLUMNS`, then what puts rows in order."""

    time: str | None
    stageTime: str | None  # noqa: N815  # because: fields are columns
    level: str
    stage: str
    auditID: str  # noqa: N815  # because: the same
    user: str
    userUID: str  # noqa: N815  # because: the same
    groups: tuple[str, ...]
    impersonatedUser: str  # noqa: N815  # because: the same
    verb: str
    apiGroup: str  # noqa: N815  # because: the same
    apiVersion: str  # noqa: N815  # because: the same
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    reason: str
    message: str
    decision: str
    dryRun: bool  # noqa: N815  # because: the same
    sourceIPs: tuple[str, ...]  # noqa: N815  # because: the same
    userAgent: str  # noqa: N815  # because: the same
    requestURI: str  # noqa: N815  # because: the same
    annotations: dict[str, str]
    file: str
    line: int
    requestObject: Raw | None = None  # noqa: N815  # because: the same
    responseObject: Raw | None = None  # noqa: N815  # because: the same
    seq: int = 0
    """Place in the whole log."""
    same: int = 0
    """Hash of the line: a line that is given twice is one event."""


def flat(event: Event, file: str, line: int, *, bodies: bool = False) -> Flat:
    """Make the row of an event."""
    ref, status, user = event.object_ref or _NOTHING, event.response_status, event.user
    row = Flat(
        event.request_received_timestamp,
        event.stage_timestamp,
        event.level,
        event.stage,
        event.audit_id,
        user.username,
        user.uid,
        user.groups,
        event.impersonated_user.username if event.impersonated_user else "",
        event.verb,
        ref.api_group,
        ref.api_version,
        ref.resource,
        ref.subresource,
        ref.namespace,
        object_name(event),
        status.code if status else 0,
        status.reason if status else "",
        status.message if status else "",
        event.annotations.get(_DECISION, ""),
        is_dry_run(event),
        event.source_ips,
        event.user_agent,
        event.request_uri,
        event.annotations,
        file,
        line,
    )
    if bodies:
        row.requestObject = _body(event.request_object)
        row.responseObject = _body(event.response_object)
    return row


def _body(body: Raw) -> Raw | None:
    return None if bytes(body) in {b"", b"null"} else sound_body(body)


_encoder: Final = msgspec.json.Encoder()


def encoded(rows: Sequence[Flat]) -> bytes:
    r"""Write rows as lines of JSON; a lone surrogate, which no text of a table can hold, becomes ``\ufffd``."""
    try:
        return _encoder.encode_lines(rows)
    except UnicodeEncodeError:
        return b"".join(_encoder.encode(_mended(row)) + b"\n" for row in rows)


def _mended(row: Flat) -> dict[str, Any]:
    return {name: sound(getattr(row, name)) for name in row.__struct_fields__}

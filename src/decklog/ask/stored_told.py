"""Stored told: SQL over the index columns of a store for its requests: each once, at its latest stage.

`exact` says what `Query.matches` says of an event, over the columns of a segment; `told` is the table of the rows that
stand for requests: those of last stages, and of requests that have none the latest. Text is ours, values are
parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from decklog.ask.stored_rows import SHOWN
from decklog.ask.stored_sql import is_sound
from decklog.audit.query_sql import Columns, Condition, where
from decklog.store.columns import HUMANS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.audit.query import Query

SEGMENT: Final = Columns(
    verb='"verb"',
    user='"user"',
    user_groups='"groups"',
    other='"impersonatedUser"',
    other_groups='"impersonatedGroups"',
    namespace='"namespace"',
    named='"name"',
    name='"name"',
    resource='"resource"',
    api_group='"apiGroup"',
    subresource='"subresource"',
    audit_id='"auditID"',
    user_agent='"userAgent"',
    uri='"requestURI"',
    source_ips='"sourceIPs"',
    code='"code"',
    stage='"stage"',
    level='"level"',
    decision='"decision"',
    annotations='map_entries("annotations")',
    received='"time"',
    staged='"stageTime"',
    took='date_diff(\'microsecond\', "time", "stageTime")',
    moment="?::TIMESTAMP",
    is_human=f"(\"by\" = '{HUMANS}')",
)
"""The columns of a segment (`store.columns`)."""

KEPT: Final = (*SHOWN, "impersonatedGroups", "annotations", "by", "sourceIP")
"""The columns that answers without events are made of."""
LAST: Final = "(\"stage\" IN ('ResponseComplete', 'Panic') OR (\"stage\" = 'ResponseStarted' AND \"user\" = ''))"
"""`requests.is_last`."""
LISTS: Final = frozenset(("groups", "impersonatedGroups", "sourceIPs", "annotations"))
"""Of these the columns that cost ten times as much to read as the others."""
READ: Final = "\"level\" <> '' AND \"stage\" <> ''"
"""Of rows that are events."""
LATEST: Final = (
    'row_number() OVER (PARTITION BY "request" ORDER BY "stage" = \'RequestReceived\', "stageTime" DESC) = 1'
)
LABELS: Final = {
    "user": '"user"',
    "verb": '"verb"',
    "resource": "\"resource\" || CASE WHEN \"apiGroup\" = '' THEN '' ELSE '.' || \"apiGroup\" END"
    " || CASE WHEN \"subresource\" = '' THEN '' ELSE '/' || \"subresource\" END",
    "namespace": '"namespace"',
    "code": "CASE WHEN \"stage\" = 'Panic' THEN CASE WHEN \"code\" = 0 THEN 'panic' ELSE \"code\" || ' panic' END"
    " WHEN \"code\" <> 0 THEN \"code\"::VARCHAR WHEN \"stage\" <> 'ResponseComplete' THEN 'open' ELSE '' END",
    "user-agent": '"userAgent"',
    "uri": "split_part(\"requestURI\", '?', 1)",
    "source-ip": '"sourceIP"',
    "cluster": '"cluster"',
    "by": '"by"',
}
"""What requests are counted by → the label that `top.label_of` gives; empty: there is none."""


def exact(query: Query) -> Condition | None:
    """Give the condition for what `query` matches, `texts` aside; None: columns cannot tell."""
    asked = replace(query, texts=())
    if not _all_sound(msgspec.to_builtins(asked)):
        return None
    condition = where(asked, SEGMENT)
    if query.since is None:
        return condition
    # Because: what stands inside coalesce() lets DuckDB pass over nothing.
    wide = '("stageTime" >= ?::TIMESTAMP OR "stageTime" IS NULL)'
    return Condition(f"({wide} AND {condition.sql})", (query.since, *condition.parameters))


def either(queries: Sequence[Query]) -> Condition | None:
    """Give the condition for what one of several queries matches; none: everything."""
    each = [exact(query) for query in queries]
    if not each:
        return Condition("TRUE")
    parts = [one for one in each if one is not None]
    if len(parts) != len(each):
        return None
    sql = " OR ".join(f"({one.sql})" for one in parts)
    return Condition(f"({sql})", tuple(value for one in parts for value in one.parameters))


def _all_sound(value: object) -> bool:
    if isinstance(value, str):
        return is_sound(value)
    if isinstance(value, (list, tuple)):
        return all(map(_all_sound, value))
    return not isinstance(value, dict) or all(map(_all_sound, value.values()))


def columns(names: Sequence[str]) -> str:
    """Write columns of a table."""
    return ", ".join(f'"{name}"' for name in names)


def labels(names: Sequence[str]) -> str:
    """Write labels as columns ``l0``, ``l1`` and so on."""
    return ", ".join(f"{LABELS[name]} AS l{place}" for place, name in enumerate(names))

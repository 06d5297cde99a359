r"""Stored tally: counts of the requests of a store, by labels that the index columns tell; no event is read.

It gives what counting over `ask.requests.merge` gives, for questions that filter by nothing but time. DuckDB groups the
rows of requests that have ended, and of those that have not the latest, by the columns that a label needs; the label
itself is that of `ask.top`, called once a group. What stands in journals is put beside the segments as a table.

| Differs from counting over `merge` | How | Why |
|---|---|---|
| a label with a lone surrogate or a NUL | has ``\ufffd`` there | no text of a table can hold them |
| two ends of what seems one request | two requests, however far apart | nothing is forgotten |
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from decklog.ask.stored import as_in_column, journal_records, reading_segments, table
from decklog.audit.event import Event, ObjectReference, Status, User
from decklog.audit.query import Query
from decklog.sources.record import BadLine
from decklog.store.catalog import COMPACTED
from decklog.store.recent import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from pathlib import Path

    from decklog.disk import Disk
    from decklog.sources.record import Coverage
    from decklog.store.view import View

    Label = Callable[[Any], Hashable]

NEEDED: Final = {
    "user": ('"user"',),
    "verb": ('"verb"',),
    "resource": ('"resource"', '"apiGroup"', '"subresource"'),
    "namespace": ('"namespace"',),
    "code": ('"code"', '"stage"'),
    "user-agent": ('"userAgent"',),
    "uri": ("split_part(\"requestURI\", '?', 1)",),
}
"""What `top.label_of` counts by → the columns that it needs."""
_COLUMNS: Final = (
    '"user"',
    '"verb"',
    '"resource"',
    '"apiGroup"',
    '"subresource"',
    '"namespace"',
    '"code"',
    '"stage"',
    '"userAgent"',
    "split_part(\"requestURI\", '?', 1)",
)
_KEY: Final = '"auditID", "time", "verb", "requestURI"'
_TYPES: Final = {
    "time": "VARCHAR",
    "stageTime": "VARCHAR",
    "stage": "VARCHAR",
    "auditID": "VARCHAR",
    "user": "VARCHAR",
    "verb": "VARCHAR",
    "apiGroup": "VARCHAR",
    "resource": "VARCHAR",
    "subresource": "VARCHAR",
    "namespace": "VARCHAR",
    "code": "INTEGER",
    "userAgent": "VARCHAR",
    "requestURI": "VARCHAR",
    "level": "VARCHAR",
}
_LAST: Final = "(\"stage\" IN ('ResponseComplete', 'Panic') OR (\"stage\" = 'ResponseStarted' AND \"user\" = ''))"
_ROWS: Final = 2_000
_MOST_CODE: Final = 0x7FFFFFFF
_NOTHING: Final = ObjectReference()
_encode: Final = msgspec.json.Encoder().encode
_UNREADABLE: Final = "not an audit event that can be read"


def can_tally(query: Query, names: Iterable[str]) -> bool:
    """Tell whether columns are enough for a question."""
    return replace(query, since=None, until=None, after=None) == Query() and NEEDED.keys() >= set(names)


def stored_tally(
    view: View, disk: Disk, coverage: Coverage, query: Query, label: Label, names: Iterable[str], *, step_s: int | None
) -> Counter[Hashable]:
    """Count requests; `step_s`: `label` asks for the time of receipt, to so many seconds (a divisor of a minute)."""
    chosen = {column for name in names for column in NEEDED[name]}
    with reading_segments(view, ()) as segments:
        segments.cover(coverage, undecoded=False)
        run = segments.cursor.execute
        sources: list[str] = []
        if view.segments:
            run(f'CREATE TEMP VIEW sealed AS SELECT {_kept()}, "identity" FROM {table(view, view.segments)}')  # noqa: S608  # because: our own words
            is_once = all(segment.kind == COMPACTED for segment in view.segments)
            sources.append("SELECT * FROM sealed" if is_once else 'SELECT DISTINCT ON ("identity") * FROM sealed')
        if _load_journals(view, disk, coverage, segments.folder, run):
            fresh = ' WHERE "identity" NOT IN (SELECT "identity" FROM sealed)' if view.segments else ""
            sources.append(f'SELECT DISTINCT ON ("identity") * FROM tail{fresh}')  # noqa: S608  # because: the same
        if not sources:
            return Counter()
        run(f"CREATE TEMP VIEW every AS {' UNION ALL '.join(f'({each})' for each in sources)}")
        run("CREATE TEMP VIEW seen AS SELECT * FROM every WHERE \"level\" <> '' AND \"stage\" <> ''")
        bad = run("SELECT count(*) FROM every WHERE \"level\" = '' OR \"stage\" = ''").fetchall()[0][0]
        if bad:
            coverage.bad_lines += bad
            coverage.bad_examples.append(BadLine(str(view.store), 0, _UNREADABLE))
        return _counted(segments.cursor, query, label, chosen, step_s)


def _counted(cursor: Any, query: Query, label: Label, chosen: set[str], step_s: int | None) -> Counter[Hashable]:
    bounds = {
        '"time" < ?::TIMESTAMP': query.until,
        '"time" >= ?::TIMESTAMP': query.after,
        'coalesce("stageTime", "time") >= ?::TIMESTAMP': query.since,
    }
    asked = {sql: value for sql, value in bounds.items() if value is not None}
    condition = " AND ".join(["TRUE", *asked])
    time = f"time_bucket(INTERVAL '{step_s} seconds', \"time\")" if step_s else "NULL::TIMESTAMP"
    fields = [column if column in chosen else "''" if column != '"code"' else "0" for column in _COLUMNS]
    group = f"strftime({time}, '%Y-%m-%dT%H:%M:%S.%fZ'), {', '.join(fields)}"
    sql = (
        f"WITH ended AS (SELECT * FROM seen WHERE {_LAST}), begun AS (SELECT * FROM seen WHERE NOT {_LAST}),"  # noqa: S608  # because: the same
        f' ends AS (SELECT {_KEY} FROM ended WHERE "auditID" IN (SELECT "auditID" FROM begun)),'
        " under_way AS (SELECT b.* FROM begun b WHERE NOT EXISTS (SELECT 1 FROM ends e WHERE"
        ' e."auditID" = b."auditID" AND e."time" IS NOT DISTINCT FROM b."time" AND e."verb" = b."verb"'
        ' AND e."requestURI" = b."requestURI")'
        f" QUALIFY row_number() OVER (PARTITION BY {_KEY}"
        ' ORDER BY "stage" = \'RequestReceived\', "stageTime" DESC) = 1),'
        " told AS (SELECT * FROM ended UNION ALL SELECT * FROM under_way)"
        f" SELECT {group}, count(*) FROM told WHERE {condition} GROUP BY ALL"
    )
    cursor.execute(sql, list(asked.values()))
    counts: Counter[Hashable] = Counter()
    while rows := cursor.fetchmany(_ROWS):
        for received, user, verb, resource, group_, subresource, namespace, code, stage, agent, uri, count in rows:
            event = Event(
                level="Metadata",
                audit_id="",
                stage=stage or "ResponseComplete",
                request_uri=uri,
                verb=verb,
                user=User(username=user),
                user_agent=agent,
                object_ref=ObjectReference(resource, namespace, api_group=group_, subresource=subresource),
                response_status=Status(code=code),
                request_received_timestamp=received,
            )
            counts[label(event)] += count
    return counts


def _kept() -> str:
    return ", ".join(f'"{name}"' for name in _TYPES)


def _row(event: Event) -> bytes:
    ref = event.object_ref or _NOTHING
    status = event.response_status
    values = (
        event.request_received_timestamp,
        event.stage_timestamp,
        event.stage,
        event.audit_id,
        event.user.username,
        event.verb,
        ref.api_group,
        ref.resource,
        ref.subresource,
        ref.namespace,
        max(-_MOST_CODE, min(_MOST_CODE, status.code)) if status else 0,
        event.user_agent,
        event.request_uri,
        event.level,
    )
    sound = [_sound(value) if isinstance(value, str) else value for value in values]
    return _encode(dict(zip(_TYPES, sound, strict=True))) + b"\n"


def _sound(text: str) -> str:
    return text if text.isascii() and "\0" not in text else as_in_column(text)


def _load_journals(view: View, disk: Disk, coverage: Coverage, folder: Path, run: Any) -> bool:
    """Make the table ``tail`` of what stands in journals; False: there is nothing."""
    file = folder / "tail.json"
    keys = folder / "tail.keys"
    with file.open("wb") as rows, keys.open("wb") as identities:
        for identity, record in journal_records(view.journals, disk, coverage):
            if record.event is not None:
                rows.write(_row(record.event))
                identities.write(identity[:KEY_BYTES].hex().encode() + b"\n")
    if not file.stat().st_size:
        return False
    typed = ", ".join(f"'{name}': '{kind}'" for name, kind in _TYPES.items())
    times = ", ".join(f'try_cast("{name}" AS TIMESTAMP) AS "{name}"' for name in ("time", "stageTime"))
    run(
        f'CREATE TEMP TABLE tail AS SELECT r.* REPLACE ({times}), unhex(k.k) AS "identity" FROM'  # noqa: S608  # because: our own words
        f" read_json(?, format = 'newline_delimited', compression = 'none', maximum_object_size = 268435456,"
        f" columns = {{{typed}}}) r POSITIONAL JOIN"
        " (SELECT k FROM read_csv(?, auto_detect = false, header = false, columns = {'k': 'VARCHAR'})) k",
        [str(file), str(keys)],
    )
    return True

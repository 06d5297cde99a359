"""The legacy line: one event as a line of text, as ``--audit-log-format=legacy`` writes it (spec §6.2).

| Differs from kube-apiserver | How | Why |
|---|---|---|
| fraction of the time | at most six digits, not nine | an Event holds microseconds, as the JSON line does |
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from decklog.audit.jsontext import raw
from decklog.audit.quoting import quote

if TYPE_CHECKING:
    from datetime import tzinfo

    from decklog.audit.event import Event

_ZERO_TIME: Final = "0001-01-01T00:00:00Z"


class NoGroups(tuple[str, ...]):
    """An empty list of groups that was given, where ``()`` means that none was: the legacy line tells them apart.

    Decoding makes it, JSON leaves it out like any empty list, and it equals ``()``.
    """

    __slots__ = ()


def legacy_line(event: Event, zone: tzinfo | None = None) -> bytes:
    """Write one event as a legacy line, with its newline; times in `zone`, by default the system's.

    Event times must be MicroTimes (ValueError otherwise); every other value is taken as it is.
    """
    user, other, status, ref = event.user, event.impersonated_user, event.response_status, event.object_ref
    values = (
        ("id", event.audit_id),
        ("stage", event.stage),
        ("ip", event.source_ips[0] if event.source_ips else "<unknown>"),
        ("method", event.verb),
        ("user", user.username or "<none>"),
        ("groups", _groups(user.groups) if user.username and user.groups else "<none>"),
        ("as", other.username if other is not None else "<self>"),
        ("asgroups", "<lookup>" if other is None or _unknown(other.groups) else _groups(other.groups)),
        ("user-agent", event.user_agent),
        ("namespace", (ref.namespace if ref is not None else "") or "<none>"),
        ("uri", event.request_uri),
    )
    fields = " ".join(f"{name}={quote(value)}" for name, value in values)
    code = "<deferred>" if status is None else str(status.code)
    return raw(f'{_time(event.request_received_timestamp, zone)} AUDIT: {fields} response="{code}"\n')


def _unknown(groups: tuple[str, ...]) -> bool:
    return not groups and not isinstance(groups, NoGroups)


def _groups(groups: tuple[str, ...]) -> str:
    """Quote each group; the caller quotes the whole once more."""
    return ",".join(map(quote, groups))


def _time(microtime: str | None, zone: tzinfo | None) -> str:
    """Write a MicroTime in `zone`, its fraction without trailing zeros."""
    if microtime is None:
        return _ZERO_TIME
    local = datetime.fromisoformat(microtime).astimezone(zone)
    fraction = f".{local.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{_offset(local)}"


def _offset(local: datetime) -> str:
    offset = local.utcoffset()
    if not offset:
        return "Z"
    minutes = int(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"

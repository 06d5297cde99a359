"""Search: the fields of an address → a filter, in the words of the command line's flags; chips, and the command line.

``/log?verb=delete&namespace=shop&since=2h`` asks what ``decklog query --verb=delete --namespace=shop --since=2h`` asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from decklog.ask.filters import annotated, codes, failed, listed, networks, patterns, resources
from decklog.ask.moments import moment, readable, span_us
from decklog.audit.query import Query
from decklog.errors import DecklogError
from decklog.web import links
from decklog.web.asking import FieldError, Fields
from decklog.web.data import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from decklog.web.data import Data

_READERS: Final[dict[str, tuple[str, Callable[[tuple[str, ...]], tuple[Any, ...]]]]] = {
    "verb": ("verbs", listed),
    "resource": ("resources", resources),
    "subresource": ("subresources", listed),
    "namespace": ("namespaces", listed),
    "name": ("names", patterns),
    "user": ("users", patterns),
    "as": ("impersonated", patterns),
    "group": ("groups", patterns),
    "code": ("codes", codes),
    "decision": ("decisions", listed),
    "source-ip": ("source_ips", networks),
    "user-agent": ("user_agents", patterns),
    "path": ("paths", patterns),
    "stage": ("stages", listed),
    "level": ("levels", listed),
    "annotation": ("annotations", annotated),
    "field-manager": ("field_managers", patterns),
    "text": ("texts", tuple),
    "uid": ("audit_ids", patterns),
}
"""A field's name → the Query's, and what reads its values."""
TIMES: Final = ("since", "until", "after")
SWITCHES: Final = ("humans", "machines", "failed-only")
SPANS: Final = ("slower-than", "faster-than")
FIELDS: Final = (*_READERS, *TIMES, *SWITCHES, *SPANS, "cluster")
_WORDS: Final = {
    "as": "acting as",
    "uid": "audit ID",
    "user-agent": "client",
    "source-ip": "from",
    "humans": "people only",
    "machines": "machines only",
    "failed-only": "failed only",
    "after": "received from",
    "until": "received before",
    "since": "since",
    "slower-than": "slower than",
    "faster-than": "faster than",
    "field-manager": "field manager",
}


class Chip(Struct, frozen=True):
    """One filter, as people read it, and the address without it."""

    name: str
    words: str
    value: str
    negated: bool
    remove: str


def wanted(fields: Fields, now: datetime) -> Wanted:
    """Read the filter. Raises FieldError for a value that cannot be read."""
    values: dict[str, Any] = {}
    for name, (field, read) in _READERS.items():
        if given := fields.all(name):
            values[field] = _read(name, read, given)
    for name in TIMES:
        if text := fields.one(name):
            values[name] = _read(name, lambda text: moment(text, now), text)
    for name in SPANS:
        if text := fields.one(name):
            values[f"{name.replace('-', '_')}_us"] = _read(name, lambda text: span_us(text, "this"), text)
    if fields.one("failed-only"):
        values["codes"] = failed(values.get("codes", ()))
    if fields.one("humans") or fields.one("machines"):
        values["human"] = bool(fields.one("humans"))
    return Wanted(Query(**values), fields.one("cluster") if "cluster" in fields else None)


def _read(name: str, read: Callable[[Any], Any], given: Any) -> Any:
    try:
        return read(given)
    except DecklogError as error:
        raise FieldError(name, str(error).removeprefix(f"--{name}: ")) from error


def chips(fields: Fields, path: str) -> tuple[Chip, ...]:
    """Say each filter in words."""
    found = []
    for name, value in fields.only(FIELDS):
        negated = name in _READERS and name != "text" and len(value) > 1 and value.startswith("-")
        bare = value[1:] if negated else value
        found.append(
            Chip(
                name,
                _WORDS.get(name, name),
                "" if name in SWITCHES else _shown(name, bare, negated=negated),
                negated and bare != "*",
                links.to(path, fields.less(name, value).without("before")),
            )
        )
    return tuple(found)


def _shown(name: str, value: str, *, negated: bool) -> str:
    if name in TIMES:
        return readable(value)
    if value == "*":
        return "none" if negated else "any"
    if name == "resource":
        return f"{value[:-3].removesuffix('.')} itself" if value.endswith("/-*") else value.replace("./", "/")
    return value


def command(fields: Fields, data: Data) -> str:
    """Give the command that has the same answer."""
    return links.command(("decklog", "query", *data.arguments, *links.flags(fields.only(FIELDS))))

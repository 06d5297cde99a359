"""The hall's case tables: what an event looks like on the wire, what a target says, from where a request came."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

from conformance.tally import Tally
from decklog.audit import jsontext
from decklog.audit.addresses import source_ips
from decklog.audit.attributes import Attributes, ResolveError, resolve
from decklog.audit.legacy import legacy_line
from decklog.audit.wire import WireError, decode_event, encode_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Row = dict[str, Any]


def serialisation(path: Path) -> Tally:
    """Run event-serialisation-cases.jsonl: an event decoded, and encoded again in both formats (spec §1, §6.2)."""
    return _run("event-serialisation-cases", path, _serialisation)


def requestinfo(path: Path) -> Tally:
    """Run requestinfo-cases.jsonl: method and target → attributes (spec §4)."""
    return _run("requestinfo-cases", path, _requestinfo)


def sourceips(path: Path) -> Tally:
    """Run sourceips-cases.jsonl: headers and peer → source addresses (spec §5.6)."""
    return _run("sourceips-cases", path, _sourceips)


def _run(name: str, path: Path, problem: Any) -> Tally:
    tally = Tally(name)
    for number, row in _rows(path):
        why = problem(row)
        if why:
            tally.failed(f"line {number} {row.get('name', '')}", why)
        else:
            tally.passed()
    return tally


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if line.strip():
            yield number, json.loads(jsontext.text(line))


def _serialisation(row: Row) -> str:
    try:
        event = decode_event(_bytes(row["input"]))
        ours = {"json": encode_line(event), "legacy": legacy_line(event, UTC)}
    except WireError as error:
        return "" if "decodeError" in row else f"not decoded: {error}"
    if "decodeError" in row:
        return f"decoded, but the server says {row['decodeError']}"
    for name, line in ours.items():
        if name in row and line != _bytes(row[name]):
            return f"{name} {line!r} but the server wrote {_bytes(row[name])!r}"
    return ""


def _requestinfo(row: Row) -> str:
    expected = dict(row["expected"])
    problem = expected.pop("error", None)
    try:
        attributes = resolve(row["method"], _bytes(row["url"]))
    except ResolveError as error:
        return "" if str(error) == problem else f"{error} but the server says {problem or 'no error'}"
    if problem:
        return f"no error, but the server says {problem}"
    ours = {**_fields(attributes), "longRunning": attributes.long_running, "requestURI": attributes.request_uri}
    theirs = {**expected, **{name: row[name] for name in ("longRunning", "requestURI") if name in row}}
    differing = [
        f"{name} {ours.get(name)!r} not {value!r}" for name, value in theirs.items() if ours.get(name) != value
    ]
    return ", ".join(differing)


def _fields(attributes: Attributes) -> Row:
    return {
        "isResourceRequest": attributes.resource_request,
        "path": attributes.path,
        "verb": attributes.verb,
        "apiPrefix": attributes.api_prefix,
        "apiGroup": attributes.api_group,
        "apiVersion": attributes.api_version,
        "namespace": attributes.namespace,
        "resource": attributes.resource,
        "subresource": attributes.subresource,
        "name": attributes.name,
        "parts": list(attributes.parts),
        "fieldSelector": attributes.field_selector,
        "labelSelector": attributes.label_selector,
    }


def _sourceips(row: Row) -> str:
    names = {"xForwardedFor": b"x-forwarded-for", "xRealIp": b"x-real-ip"}
    headers = [(name, _bytes(value)) for key, name in names.items() for value in row.get(key) or ()]
    ours = list(source_ips(headers, row["remoteAddr"]))
    return "" if ours == (row["expected"] or []) else f"{ours} but the server says {row['expected']}"


def _bytes(text: str) -> bytes:
    return jsontext.raw(text)

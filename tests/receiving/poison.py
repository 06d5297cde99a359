"""Events, and events that JSON readers choke on though Go's encoder writes them."""

from __future__ import annotations

import json
from typing import Any

import msgspec


def event(number: int, **more: Any) -> bytes:
    """Make an item as a webhook posts it: without kind and apiVersion."""
    return json.dumps(
        {
            "level": "Metadata",
            "auditID": f"{number:08x}-0000-4000-8000-000000000000",
            "stage": "ResponseComplete",
            "requestURI": f"/api/v1/namespaces/shop/pods/web-{number}",
            "verb": "get",
            "user": {"username": "alice", "groups": ["dev", "system:authenticated"]},
            "sourceIPs": ["203.0.113.7"],
            "userAgent": "kubectl/v1.36.0",
            "objectRef": {"resource": "pods", "namespace": "shop", "name": f"web-{number}", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": "2026-01-05T10:00:00.000000Z",
            "stageTimestamp": "2026-01-05T10:00:00.000000Z",
            **more,
        },
        separators=(",", ":"),
    ).encode()


def item(number: int) -> bytes:
    """Make a plain one."""
    return event(number)


def event_list(items: list[bytes]) -> bytes:
    """Make a body as kube-apiserver does."""
    head = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['
    return head + b",".join(items) + b"]}"


def _with(body: bytes) -> bytes:
    return item(666)[:-1] + b',"requestObject":' + body + b"}"


def _is_read(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except RecursionError:
        return False
    return True


_DEEP = [
    ("nested 1,100 deep", b"[" * 1100 + b"]" * 1100),
    ("nested 9,900 deep", b'{"a":' * 9900 + b"1" + b"}" * 9900),
    ("nested 100,000 deep", b"[" * 100_000 + b"]" * 100_000),
]
"""How deep a reader goes is Python's matter: 3.13 ten times as deep as 3.11."""

POISON: list[tuple[str, bytes]] = [
    ("a lone surrogate", _with(b'{"a":"\\ud800"}')),
    ("a lone surrogate before text", _with(b'{"a":"\\udc00x"}')),
    *((name, _with(body)) for name, body in _DEEP if not _is_read(body)),
    ("an unknown escape", _with(b'"\\x41"')),
    ("a control character", _with(b'"a\x00b"')),
    ("a line break in a string", _with(b'"a\nb"')),
    ("a number with two points", _with(b"1.2.3")),
    ("a word", _with(b"undefined")),
    ("an audit ID that is a number", item(1).replace(b'"00000001-0000-4000-8000-000000000000"', b"7")),
    ("no event", b'{"a":{"b":[1,2,"}]"]}}'),
]
"""Whose brackets and strings close."""

UNHARMED: list[tuple[str, bytes]] = [
    *((name, _with(body)) for name, body in _DEEP if _is_read(body)),
    ("1e400", _with(b"1e400")),
    ("5,000 digits", _with(b"9" * 5000)),
    ("the same key twice", _with(b'{"a":1,"a":2}')),
    ("bytes that are no UTF-8", _with(b'"\xff\xfe"')),
    ("an escaped NUL", _with(b'"\\u0000"')),
    ("a body that looks like items", _with(b'[{"level":"x"},{"level":"y"},{"items":[{"level":"z"}]}]')),
]
"""Odd, but to be read as it is."""

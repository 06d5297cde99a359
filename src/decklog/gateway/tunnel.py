"""Tunnels: what the target of an exec, attach or port-forward request says, as annotations of its events.

The streams themselves pass unread: what is typed there is not the audit log's. kube-apiserver writes none of these
annotations; ``--exec-annotations=false`` leaves them out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.audit.attributes import Attributes

_TUNNELS: Final = frozenset({"exec", "attach", "portforward"})
_PREFIX: Final = "decklog/exec-"
_LIMIT: Final = 4096
"""Characters of an annotation at most: the whole is in requestURI."""
_FLAGS: Final = ("tty", "stdin")


def is_tunnel(attributes: Attributes) -> bool:
    """Whether the request opens a stream into a pod."""
    return attributes.subresource in _TUNNELS and attributes.resource == "pods"


def told(attributes: Attributes) -> Iterator[tuple[str, str]]:
    """Give (key, value) of what is asked for: the command as a JSON list, container, tty, stdin, ports."""
    pairs = parse_qsl(attributes.request_uri.partition("?")[2], keep_blank_values=True, errors="surrogateescape")
    commands = [value for name, value in pairs if name == "command"]
    first = dict(reversed(pairs))
    if commands:
        yield f"{_PREFIX}command", _cut(json.dumps(commands, ensure_ascii=False))
    if container := first.get("container"):
        yield f"{_PREFIX}container", _cut(container)
    for flag in _FLAGS:
        if flag in first:
            yield f"{_PREFIX}{flag}", "true" if first[flag].lower() in {"1", "t", "true", ""} else "false"
    ports = [value for name, value in pairs if name == "ports"]
    if ports:
        yield f"{_PREFIX}ports", _cut(",".join(ports))


def _cut(text: str) -> str:
    return text if len(text) <= _LIMIT else f"{text[:_LIMIT]}...TRUNCATED"

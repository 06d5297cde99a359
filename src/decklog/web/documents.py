"""Documents: recorded bodies and manifests as lines for people. What a Secret holds and tokens are left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import yaml
from markupsafe import escape
from msgspec import Struct

from decklog.ask.bodies import parsed

if TYPE_CHECKING:
    from msgspec import Raw

SHOWN_LINES: Final = 2_000
SHOWN_MARKUP: Final = 40_000
"""Bytes that one document takes in a page: with two of them it stays below 150 KB."""
SHOWN_BYTES: Final = 256 << 10
"""Of a body that is written out; of a larger one the beginning, as it stands."""
_HIDDEN_MAPS: Final = ("data", "stringData")
_TOKENS: Final = frozenset(("token", "clientSecret", "password"))
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class Body(Struct, frozen=True, rename="camel"):
    """One body."""

    title: str
    size_bytes: int
    lines: tuple[str, ...]
    note: str = ""


def body(title: str, raw: Raw, *, secret: bool, room: int = SHOWN_MARKUP) -> Body | None:
    """Write a body out; None if none was recorded. `secret`: it is of a Secret, or a patch of one.

    `room`: the bytes that it may take in a page.
    """
    data = bytes(raw)
    if not data:
        return None
    if len(data) > SHOWN_BYTES:
        if secret:
            return Body(title, len(data), (), "It is of a Secret, and too large to leave its values out.")
        text = data[: min(4096, room)].decode("utf-8", "replace")
        return Body(title, len(data), (text,), "It is too large to be shown; this is how it begins.")
    document = parsed(raw)
    if document is None:
        return Body(title, len(data), (), "It is no JSON that can be shown.")
    text = json.dumps(without_secrets(document, secret=secret), ensure_ascii=False, indent=2)
    return Body(title, len(data), *_cut(text.splitlines(), room))


def manifest_lines(document: dict[str, Any], *, secret: bool) -> tuple[str, ...]:
    """Write a manifest as YAML."""
    text = yaml.safe_dump(
        without_secrets(document, secret=secret),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=10_000,
    )
    lines, note = _cut(text.splitlines())
    return (*lines, f"# {note}") if note else lines


def _cut(lines: list[str], room: int = SHOWN_MARKUP) -> tuple[tuple[str, ...], str]:
    """Keep the beginning of a document; say what is left out."""
    shown: list[str] = []
    for line in lines[:SHOWN_LINES]:
        weight = len(escape(line).encode("utf-8", "replace")) + 1
        if weight > room:
            if not shown:
                shown, room = [f"{line[: room * len(line) // weight]}…"], -1
            break
        shown.append(line)
        room -= weight
    if len(shown) == len(lines) and room >= 0:
        return tuple(shown), ""
    left = len(lines) - len(shown)
    more = f"{left:,} more lines are left out" if left else "the rest of the line is left out"
    return tuple(shown), f"This is how it begins; {more}. The command on this page has all."


def without_secrets(document: Any, *, secret: bool) -> Any:
    """Put ``(hidden)`` in the place of values that are secret: those of Secrets, tokens, passwords."""
    if isinstance(document, list):
        return [without_secrets(item, secret=secret) for item in document]
    if not isinstance(document, dict):
        return document
    is_secret = secret or document.get("kind") in {"Secret", "SecretList"}
    return {key: _shown(key, value, secret=is_secret) for key, value in document.items()}


def _shown(key: str, value: Any, *, secret: bool) -> Any:
    if key in _TOKENS and isinstance(value, str) and value:
        return _hidden(value)
    if secret and key in _HIDDEN_MAPS:
        return {name: _hidden(member) for name, member in value.items()} if isinstance(value, dict) else _hidden(value)
    if secret and key == _APPLIED:
        return _hidden(value)
    if secret and key == "value":  # of a JSON patch
        return _hidden(value)
    return without_secrets(value, secret=secret)


def _hidden(value: Any) -> str:
    size = len(value) if isinstance(value, str) else len(json.dumps(value, ensure_ascii=False))
    return f"(hidden, {size} characters)"

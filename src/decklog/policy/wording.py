"""Wording: how values stand in messages, kube-apiserver's and ours. Texts in Go's quotes are in `audit.quoting`."""

from __future__ import annotations

import json
from typing import Final

_JSON_ESCAPES: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def go_json(texts: tuple[str, ...]) -> str:
    """Write a list of texts as Go's JSON encoder does."""
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).translate(_JSON_ESCAPES)


def shown(text: str, limit: int = 60) -> str:
    """Quote a text of the user's for a message of ours: escaped, so that it cannot act on a terminal, and cut short."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}…"

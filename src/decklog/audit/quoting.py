r"""Quoting: text in Go's quotes, as kube-apiserver prints it in the legacy line (spec §6.2) and in plain-text errors.

Text that came from bytes carries its undecodable bytes as surrogate escapes (`decklog.audit.jsontext.text`); here they
become ``\xff`` again.

| Differs from kube-apiserver | How | Why |
|---|---|---|
| printable characters | by the Unicode version of this Python | it is what there is; it matters for new characters |
"""

from __future__ import annotations

import re
from typing import Final

_SHORT: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
_HTML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_SPECIAL: Final = re.compile(r"""["\\]""")


def quote(text: str) -> str:
    """Quote as Go's %q: printable Unicode stands as it is, of the spaces only U+0020."""
    if text.isprintable() and _SPECIAL.search(text) is None:
        return f'"{text}"'
    return f'"{"".join(map(_escape, text))}"'


def _escape(char: str) -> str:
    if (short := _SHORT.get(char)) is not None:
        return short
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0xD800 <= code <= 0xDFFF:
        return _escape_surrogate(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_surrogate(char: str) -> str:
    """Show the bytes that Go would hold here: one undecodable byte, or the three of a lone surrogate."""
    code = ord(char)
    raw = bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else char.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def quote_go_time(text: str) -> str:
    r"""Quote as Go's package time does in its errors: byte for byte, all that is not printable ASCII as ``\xff``."""
    parts = []
    for char in text:
        if " " <= char < "\x80":
            parts.append(f"\\{char}" if char in '"\\' else char)
        else:
            parts += [f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape")]
    return f'"{"".join(parts)}"'


def internal_error(target: str, problem: str) -> str:
    """Give the text of kube-apiserver's plain 500 (spec §4, §5.3), without newline; `target` is the raw one."""
    return f"Internal Server Error: {quote(target)}: {problem}".translate(_HTML)

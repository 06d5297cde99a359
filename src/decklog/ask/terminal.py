r"""Foreign text, made safe to show on a terminal. The one place where it is escaped.

Names, user agents, URIs and messages of audit events are written by whoever sends requests. A terminal obeys control
characters, a reader's eye is fooled by characters that reorder or hide others. So all of them are spelled out:
``\n``, ``\r``, ``\t``, ``\x1b``, ``\u202e``, ``\U000e0001``. What is spelled: whatever is not printable (C0, DEL, C1,
bidi controls, zero-width characters, lone surrogates, private and unassigned code points, odd spaces), the printable
ones that show nothing, and accents beyond four on one letter. Letters of all scripts stay. A backslash is doubled only
where it would read as one of our escapes, so that the spelling can be told from the same text written out.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BLANK: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"  # joiners and fillers that show nothing
    + "".join(map(chr, range(0xFE00, 0xFE10)))  # variation selectors
    + "".join(map(chr, range(0xE0100, 0xE01F0)))  # the same, supplementary
)
_READS_AS_ESCAPE: Final = re.compile(r"[nrt\\]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}")
_STACKED_MARKS: Final = 4


def visible(text: str) -> str:
    """Give `text` with everything spelled out that could move the cursor, hide, or reorder; one line, always."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    pieces: list[str] = []
    marks = 0
    for place, char in enumerate(text):
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        if char == "\\":
            pieces.append("\\\\" if _would_mislead(text, place + 1) else "\\")
        elif is_safe(char) and marks <= _STACKED_MARKS:
            pieces.append(char)
        else:
            pieces.append(_spelled(char))
    return "".join(pieces)


def is_safe(char: str) -> bool:
    """Tell whether a character may stand on a terminal as it is."""
    return char.isprintable() and char not in _BLANK


def _would_mislead(text: str, place: int) -> bool:
    """Tell whether what follows a backslash makes it look like an escape of ours."""
    return place < len(text) and (not is_safe(text[place]) or _READS_AS_ESCAPE.match(text, place) is not None)


def _spelled(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible_json(text: str) -> str:
    """Give a JSON text with the same value, in which whatever `visible` would spell stands as a JSON escape.

    Such characters stand only inside JSON strings, but for white space between tokens, which becomes a plain space.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if is_safe(char) else _json_spelled(char) for char in text)


def _json_spelled(char: str) -> str:
    if char in "\n\r\t":
        return " "
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def columns(text: str) -> int:
    """Count the terminal columns that safe text takes: wide East Asian characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_char_columns(char) for char in text)


def _char_columns(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1

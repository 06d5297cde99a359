"""JSON values: verbatim lines as Python's values, for the formats that print them in another spelling.

Numbers that Python would change (``1e400``, integers of any length, ``0.10``) keep their spelling as a `Number`.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from decklog.audit.event import NO_OBJECT
from decklog.audit.wire import decode_event, encode_event


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def value_of(line: bytes) -> Any:
    """Give the value of an event's line; without its bodies where they are nested too deeply to be taken apart."""
    try:
        return _loads(line)
    except RecursionError:
        return _loads(encode_event(replace(decode_event(line), request_object=NO_OBJECT, response_object=NO_OBJECT)))


def _loads(line: bytes) -> Any:
    return json.loads(line.decode("utf-8", "replace"), parse_int=_whole, parse_float=_fraction)


def _whole(text: str) -> int | Number:
    return int(text) if len(text) <= 18 else Number(text)


def _fraction(text: str) -> float | Number:
    value = float(text)
    return value if repr(value) == text else Number(text)

r"""JSON as text: what an audit log needs of JSON without ever building the values in it.

A request body is recorded as it was sent (spec §1.5): whitespace between tokens goes, everything else survives, also
what Python's parsers refuse or mend: duplicate keys, ``1e400``, integers of any length, lone surrogates, bytes that are
no UTF-8, and up to 10,000 levels of nesting, the bound of Go's parser. Nothing here recurses.

Text that comes from bytes is decoded by `text`: each byte that is no UTF-8 becomes one surrogate escape (PEP 383), as
Go keeps such bytes in its strings; JSON then shows each as ``\ufffd``, the legacy line as ``\xff``, and `raw` gives
the bytes back.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH: Final = 10_000
"""Levels of nesting that Go's parser takes."""
EVENT_DEPTH: Final = MAX_DEPTH + 8
"""The same for an event that holds such a body."""

_WHITESPACE: Final = b" \t\r\n"
_STRING: Final = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+|(?!))*+"')
"""The alternative that never matches: Python before 3.11.5, as `decklog.sources.documents` says of its own."""
_SCALAR: Final = re.compile(rb"true|false|null|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_STRING_OR_SPACE: Final = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")|[ \t\r\n]++', re.DOTALL)
_MARK: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]', re.DOTALL)
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NO_BYTE: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")

_GO_ESCAPED: Final = re.compile(rb"[<>&]|\xe2\x80[\xa8\xa9]")
"""What Go escapes in strings, though JSON does not ask for it."""

_A_STRING: Final = 0x00
_A_SCALAR: Final = 0x01
"""Stand-ins in a skeleton: control bytes, which no JSON text holds."""


class WireError(ValueError):
    """Bytes that are not what the wire should hold. The message says why in a few words and shows no content."""


def text(raw: bytes) -> str:
    """Decode bytes from the network; each byte that is no UTF-8 becomes one surrogate escape, as Go counts them."""
    return raw.decode("utf-8", "surrogateescape")


def raw(text: str) -> bytes:
    """Encode text back into the bytes that it came from (the inverse of `text`); never fails."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _NO_BYTE.sub("\ufffd", text).encode("utf-8", "surrogateescape")


def mend(text: str) -> str:
    """Replace each lone surrogate by U+FFFD, as Go does when it reads a JSON string; the result can be encoded."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def dump(value: Any) -> bytes:
    r"""Encode plain values whose strings may hold lone surrogates: each becomes ``\ufffd``, as Go writes bad bytes."""
    whole = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _LONE_SURROGATE.sub(r"\\ufffd", whole).encode()


def compact(raw: bytes, *, max_depth: int = MAX_DEPTH) -> bytes:
    """Remove the whitespace between tokens; WireError if `raw` is no JSON by Go's rules."""
    try:
        packed = msgspec.json.format(raw, indent=-1)
    except (msgspec.DecodeError, RecursionError):
        return _compact_carefully(raw, max_depth)
    if _GOES_DEEPER and packed.count(b"[") + packed.count(b"{") > max_depth:
        _check_grammar(_skeleton(packed), max_depth)
    return packed


def is_compact(raw: bytes) -> bool:
    """Tell cheaply whether valid JSON certainly has no whitespace between its tokens."""
    return not (32 in raw or 10 in raw or 9 in raw or 13 in raw)


def _compact_carefully(raw: bytes, max_depth: int) -> bytes:
    """Do the same for what msgspec refuses: lone surrogates, deep nesting, and what is wrong."""
    try:
        msgspec.json.format(_SURROGATE_ESCAPE.sub(rb"\\u0000", raw), indent=-1)
    except RecursionError:
        _check_grammar(_skeleton(raw), max_depth)
    except msgspec.DecodeError as error:
        raise WireError(_reason(error)) from None
    return raw if is_compact(raw) else _STRING_OR_SPACE.sub(rb"\1", raw)


def check(raw: bytes, *, max_depth: int = MAX_DEPTH) -> None:
    """WireError if `raw` is no JSON by Go's rules."""
    compact(raw, max_depth=max_depth)


def _reason(error: Exception) -> str:
    """Keep msgspec's reason, which names a byte but shows none."""
    return f"not JSON: {str(error).removeprefix('JSON is malformed: ')}"


def _skeleton(raw: bytes) -> bytes:
    """Reduce JSON to its brackets, commas and colons, with a stand-in for each string and each other scalar."""
    if _A_STRING in raw or _A_SCALAR in raw:
        raise WireError("not JSON: control character")
    bare = _SCALAR.sub(bytes([_A_SCALAR]), _STRING.sub(bytes([_A_STRING]), raw))
    return bare.translate(None, _WHITESPACE)


_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _AFTER = range(6)
_CLOSES: Final = {0x5D: 0x5B, 0x7D: 0x7B}


def _check_grammar(skeleton: bytes, max_depth: int) -> None:
    """Walk a skeleton with a stack of its own; WireError where the grammar or the depth is broken."""
    stack = bytearray()
    state = _VALUE
    for token in skeleton:
        if token in {0x5B, 0x7B} and state in {_VALUE, _VALUE_OR_END}:
            stack.append(token)
            if len(stack) > max_depth:
                raise WireError(f"not JSON: nested deeper than {max_depth} levels")
            state = _VALUE_OR_END if token == 0x5B else _KEY_OR_END
        elif token == _A_STRING and state in {_KEY, _KEY_OR_END}:
            state = _COLON
        elif token in {_A_STRING, _A_SCALAR} and state in {_VALUE, _VALUE_OR_END}:
            state = _AFTER
        elif token == 0x3A and state == _COLON:
            state = _VALUE
        elif token == 0x2C and state == _AFTER and stack:
            state = _VALUE if stack[-1] == 0x5B else _KEY
        elif stack and _CLOSES.get(token) == stack[-1] and state in {_AFTER, _VALUE_OR_END, _KEY_OR_END}:
            stack.pop()
            state = _AFTER
        else:
            raise WireError("not JSON: invalid character")
    if state != _AFTER or stack:
        raise WireError("not JSON: cut short")


def _goes_deeper() -> bool:
    """Whether this Python lets C code recurse further than Go goes (3.12 may), so that depth has to be counted."""
    try:
        msgspec.json.format(b"[" * EVENT_DEPTH + b"]" * EVENT_DEPTH, indent=-1)
    except RecursionError:
        return False
    return True


_GOES_DEEPER: Final = _goes_deeper()


def members(raw: bytes) -> list[tuple[str, bytes]]:
    """Take a JSON object that `check` has passed apart, in order, duplicates included; WireError for another value."""
    if not raw.lstrip(_WHITESPACE).startswith(b"{"):
        raise WireError("not a JSON object")
    pieces = _pieces(raw)
    return [(string(key), value) for key, value in zip(pieces[::2], pieces[1::2], strict=True)]


def join(pairs: Iterable[tuple[str, bytes]]) -> bytes:
    """Put an object together of names and raw values, with Go's escapes in the names; the inverse of `members`."""
    return b"{" + b",".join(_name(name) + b":" + value for name, value in pairs) + b"}"


def _name(name: str) -> bytes:
    quoted = dump(name)
    if name.isascii() and not _GO_ESCAPED.search(quoted):
        return quoted
    return _GO_ESCAPED.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), quoted)


def elements(raw: bytes) -> list[bytes]:
    """Take a JSON array that `check` has passed apart; WireError for another value."""
    if not raw.lstrip(_WHITESPACE).startswith(b"["):
        raise WireError("not a JSON array")
    return _pieces(raw)


def _pieces(raw: bytes) -> list[bytes]:
    """Cut an object or an array at its own commas and colons."""
    pieces: list[bytes] = []
    depth = start = 0
    for mark in _MARK.finditer(raw):
        token = raw[mark.start()]
        if token in {0x5B, 0x7B}:
            depth += 1
            start = mark.end() if depth == 1 else start
        elif token in {0x5D, 0x7D}:
            depth -= 1
            if depth == 0:
                last = raw[start : mark.start()].strip(_WHITESPACE)
                return [*pieces, last] if last or pieces else pieces
        elif depth == 1 and token in {0x2C, 0x3A}:
            pieces.append(raw[start : mark.start()].strip(_WHITESPACE))
            start = mark.end()
    raise WireError("not JSON: cut short")


def string(raw: bytes) -> str:
    """Read a JSON string as Go does: what is no UTF-8 and what is half a surrogate pair becomes U+FFFD."""
    value = load(raw)
    if not isinstance(value, str):
        raise WireError("not a JSON string")
    return mend(value)


def load(raw: bytes) -> Any:
    """Read a small value that `check` has passed; strings may still hold lone surrogates (`mend`).

    An integer too long for any of the wire's fields is read as a float: all that matters of it is its type.
    """
    try:
        return json.loads(text(raw), parse_int=_integer)
    except (ValueError, RecursionError):
        raise WireError("not readable JSON, or nested too deeply") from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= 20 else float(digits)

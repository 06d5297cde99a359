r"""Protobuf on the wire, as far as the recorder and the sandbox both read it: the envelope's magic, and varints."""

from __future__ import annotations

from typing import Final

MAGIC: Final = b"k8s\x00"
"""What Kubernetes puts before every message."""

_WORD: Final = (1 << 64) - 1


def varint(message: bytes, at: int) -> tuple[int, int]:
    """Read the number that begins at `at`: (its low 64 bits, where it ends).

    Raises ValueError, in the words of Go's reader, where the message ends before the number, or the number never does.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("unexpected EOF")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _WORD, at
    raise ValueError("proto: integer overflow")

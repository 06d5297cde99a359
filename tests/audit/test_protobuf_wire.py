from __future__ import annotations

import pytest

from decklog.audit.protobuf_wire import varint

NUMBERS = {
    "one byte": (b"\x05\xff", 0, (5, 1)),
    "two bytes, from the middle": (b"\x00\xac\x02", 1, (300, 3)),
    "minus one": (b"\xff" * 9 + b"\x01", 0, ((1 << 64) - 1, 10)),
    "bits past the sixty-fourth": (b"\xff" * 9 + b"\x7f", 0, ((1 << 64) - 1, 10)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_read_with_its_end(name: str) -> None:
    """Seven bits a byte, the lowest first."""
    message, at, expected = NUMBERS[name]
    assert varint(message, at) == expected


@pytest.mark.parametrize(("message", "words"), [(b"", "EOF"), (b"\xff", "EOF"), (b"\xff" * 11, "overflow")])
def test_a_number_that_has_no_end_is_refused(message: bytes, words: str) -> None:
    """No length is believed beyond the message, and no number beyond ten bytes."""
    with pytest.raises(ValueError, match=words):
        varint(message, 0)

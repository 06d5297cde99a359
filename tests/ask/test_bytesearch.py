from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.ask.bytesearch import TooMuchError, blocks
from decklog.sources.lines import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable


def filler(text: bytes, step: int) -> Callable[[memoryview], int]:
    """Give a stream of `text`, in pieces of at most `step` bytes."""
    left = memoryview(text)

    def fill(memory: memoryview) -> int:
        nonlocal left
        size = min(len(left), len(memory), step)
        memory[:size], left = left[:size], left[size:]
        return size

    return fill


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    torn=st.booleans(),
    size=st.integers(4, 90),
    step=st.integers(1, 90),
)
def test_blocks_are_the_stream_in_whole_lines(lines: list[bytes], torn: bool, size: int, step: int) -> None:
    """However it comes, the blocks are its bytes in order, and no line is cut."""
    text = b"\n".join(lines) + (b"" if torn or not lines else b"\n")
    found = [block.line(0, block.end) for block in blocks(filler(text, step), size)]
    assert b"".join(found) == text
    assert all(block.endswith(b"\n") for block in found[:-1])


@given(
    lines=st.lists(st.text("ab\0", max_size=9).map(str.encode), max_size=9),
    needle=st.text("ab\0", min_size=1, max_size=4).map(str.encode),
    size=st.integers(4, 60),
)
def test_lines_with_a_needle_are_found(lines: list[bytes], needle: bytes, size: int) -> None:
    """Those lines that hold it, whatever stands behind the block, and with zero bytes among them."""
    text = b"\n".join(lines)
    found = [
        block.line(*span) for block in blocks(filler(text, size), size) for span in block.lines_with(needle)
    ]  # fmt: skip
    assert found == [line for line in lines if needle in line]


def test_a_needle_longer_than_the_room_behind_lines_is_found() -> None:
    """It is looked for in another way."""
    needle = b"x" * 5_000
    (block,) = blocks(filler(b"short\n" + needle + b"\nlast\n", 1 << 20), 1 << 20)
    assert [block.line(*span) for span in block.lines_with(needle)] == [needle]


def test_a_line_that_is_too_long_is_not_kept() -> None:
    """It raises as soon as it is known to be; a line of just the limit is a block."""
    whole = b"x" * MAX_LINE_BYTES
    assert [block.end for block in blocks(filler(whole + b"\ny\n", 1 << 26), 1 << 20)] == [MAX_LINE_BYTES + 1, 2]
    with pytest.raises(TooMuchError):
        list(blocks(filler(whole + b"yy\n", 1 << 26), 1 << 20))

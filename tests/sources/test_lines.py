from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.sources.lines import CHUNK_BYTES, DamagedError, chunks, lines

if TYPE_CHECKING:
    from collections.abc import Iterator


class Trickle(io.RawIOBase):
    """Gives a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes, size: int) -> None:
        self._file = io.BytesIO(data)
        self._size = size

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(min(size, self._size))


def read_lines(data: bytes, size: int = CHUNK_BYTES, max_line_bytes: int = 1 << 20) -> list[bytes | None]:
    return list(lines(chunks(Trickle(data, size)), max_line_bytes))


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b" "))), st.integers(1, 30), st.booleans())
def test_lines_are_the_same_however_they_arrive(wanted: list[bytes], size: int, packed: bool) -> None:
    """Pieces of any size, plain or packed, give every line unchanged and in order."""
    data = b"".join(b"." + line + b"\n" for line in wanted)
    assert read_lines(gzip.compress(data, mtime=0) if packed else data, size) == [b"." + line for line in wanted]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\n\r\n", [b"a\r", b"\r"]),
        (b"a\0b\n", [b"a\0b"]),
        (b"\x1f", [b"\x1f"]),
    ],
)
def test_a_line_ends_at_a_line_feed_or_at_the_end(data: bytes, expected: list[bytes]) -> None:
    """Nothing else parts lines, and a last line without its line feed is a line."""
    assert read_lines(data) == expected
    assert read_lines(data, 1) == expected


@pytest.mark.parametrize("size", [1, 7, CHUNK_BYTES])
def test_a_line_that_is_too_long_hurts_only_itself(size: int) -> None:
    """Past the limit a line is only reported; its neighbours are read."""
    data = b"ok\n" + b"x" * 50 + b"\nalso ok\n" + b"y" * 11
    assert read_lines(data, size, max_line_bytes=10) == [b"ok", None, b"also ok", None]


def test_a_long_line_is_read_whole() -> None:
    """A line may be longer than any piece that is read at once."""
    long = b"x" * (3 * CHUNK_BYTES)
    assert read_lines(b"a\n" + long + b"\nb\n", max_line_bytes=4 * CHUNK_BYTES) == [b"a", long, b"b"]


def test_members_of_a_packed_file_follow_each_other() -> None:
    """Concatenated gzip files are one text, also with padding between and behind."""
    data = (
        gzip.compress(b"a\nb", mtime=0) + gzip.compress(b"c\n", mtime=0) + b"\0" * 512 + gzip.compress(b"d\n", mtime=0)
    )
    assert read_lines(data + b"\0" * 512) == [b"a", b"bc", b"d"]
    assert read_lines(data + b"\0" * 512, 3) == [b"a", b"bc", b"d"]


def test_a_bomb_is_unpacked_in_small_pieces() -> None:
    """However well a file was packed, no piece of it is large."""
    bomb = gzip.compress(b"\0" * (20 << 20), mtime=0)
    assert len(bomb) < 50_000
    sizes = list(map(len, chunks(io.BytesIO(bomb))))
    assert sum(sizes) == 20 << 20
    assert max(sizes) <= CHUNK_BYTES


def until_damage(pieces: Iterator[bytes]) -> tuple[list[bytes | None], str]:
    got: list[bytes | None] = []
    try:
        for line in lines(pieces):
            got.append(line)  # noqa: PERF402  # because: what came before the error is wanted
    except DamagedError as error:
        return got, str(error)
    return got, ""


@pytest.mark.parametrize("kept", [5, 40, -1, -9])
def test_a_packed_file_that_is_cut_off_is_read_up_to_there(kept: int) -> None:
    """The lines before the cut are yielded, then it is said."""
    packed = gzip.compress(b"".join(b"line %d\n" % number for number in range(50)), mtime=0)
    got, problem = until_damage(chunks(io.BytesIO(packed[:kept])))
    assert "cut off" in problem
    assert got[:3] == [b"line 0", b"line 1", b"line 2"][: len(got)]
    if kept == -9:
        assert len(got) >= 49


@pytest.mark.parametrize(
    ("name", "tail"), [("garbage behind", b"garbage"), ("a broken member", b"\x1f\x8b\x08\x00broken!!!!!")]
)
def test_a_damaged_file_is_read_up_to_the_damage(name: str, tail: bytes) -> None:
    """What was unpacked before the damage is good."""
    got, problem = until_damage(chunks(io.BytesIO(gzip.compress(b"a\nb\n", mtime=0) + tail)))
    assert got[:2] == [b"a", b"b"], name
    assert "gzip" in problem


def test_a_wrong_checksum_is_said_after_the_lines() -> None:
    """All lines come, and then that they are not what was packed."""
    packed = bytearray(gzip.compress(b"a\nb\n", mtime=0))
    packed[-5] ^= 0xFF
    got, problem = until_damage(chunks(io.BytesIO(bytes(packed))))
    assert got == [b"a", b"b"]
    assert "damaged" in problem

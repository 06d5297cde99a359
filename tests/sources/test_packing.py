from __future__ import annotations

import gzip
import io
import os

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from decklog.sources import packing
from decklog.sources.packing import CHUNK_BYTES, DamagedError, Metered, chunks


def unpacked(data: bytes) -> tuple[bytes, str]:
    """All that comes out, and the problem at its end."""
    got = []
    try:
        for piece in chunks(io.BytesIO(data)):
            got.append(piece)  # noqa: PERF402  # because: what came before the error is wanted
    except DamagedError as error:
        return b"".join(got), str(error)
    return b"".join(got), ""


def zstd(data: bytes, level: int = 3) -> bytes:
    return zstandard.ZstdCompressor(level=level).compress(data)


@given(st.binary(max_size=3000).map(lambda data: b"." + data), st.booleans())
def test_zstandard_is_undone(data: bytes, twice: bool) -> None:
    """One frame or several behind each other are one text."""
    assert unpacked(zstd(data) + (zstd(data) if twice else b"")) == (data + (data if twice else b""), "")


@given(st.integers(5, 5000), st.booleans())
def test_zstandard_that_is_cut_off_is_read_up_to_there(kept: int, random: bool) -> None:
    """What comes out is a part of what was packed, nothing else, and the cut is named."""
    text = os.urandom(20_000) if random else b"".join(b"line %d\n" % number for number in range(3000))
    packed = zstd(text)
    got, problem = unpacked(packed[: min(kept, len(packed) - 1)])
    assert text.startswith(got)
    assert "cut off" in problem


def test_zstandard_that_is_damaged_is_named() -> None:
    """A byte that is wrong in the middle ends the file, with its reason."""
    packed = bytearray(zstd(os.urandom(3 << 20)))
    packed[-1 << 20 :] = b"\xff" * (1 << 20)
    got, problem = unpacked(bytes(packed))
    assert len(got) >= 1 << 20
    assert "Zstandard data" in problem


def test_a_zstandard_bomb_is_unpacked_in_small_pieces() -> None:
    """However well a file was packed, no piece of it is large."""
    bomb = zstd(b"\0" * (200 << 20))
    assert len(bomb) < 50_000
    sizes = list(map(len, chunks(io.BytesIO(bomb))))
    assert sum(sizes) == 200 << 20
    assert max(sizes) <= CHUNK_BYTES


def test_what_is_packed_twice_is_undone_twice() -> None:
    """CloudWatch packs, and Firehose packs again."""
    assert unpacked(gzip.compress(gzip.compress(b"a") + gzip.compress(b"b"))) == (b"ab", "")
    assert unpacked(gzip.compress(zstd(b"a"))) == (b"a", "")


def test_what_is_packed_many_times_is_left_alone() -> None:
    """A file that holds itself, nearly, ends."""
    data = b"a"
    for _ in range(6):
        data = gzip.compress(data, mtime=0)
    got, problem = unpacked(data)
    assert got.startswith(b"\x1f\x8b")
    assert problem == ""


@pytest.mark.parametrize("library", ["isal", "zlib"])
@pytest.mark.parametrize("kept", [30, 4000, -1, -9])
def test_both_libraries_give_the_same_of_a_file_that_is_cut_off(
    library: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one is installed makes no difference to what is read."""
    if library == "zlib":
        monkeypatch.setattr(packing, "_fast_zlib", lambda: None)
    text = b"".join(b"line %d\n" % (number * number) for number in range(5000))
    got, problem = unpacked(gzip.compress(text, mtime=0)[:kept])
    assert text.startswith(got)
    assert "cut off" in problem
    if kept == -9:
        assert len(got) >= len(text) - 32_768


@given(st.binary(max_size=3000), st.integers(20, 2900), st.integers(1, 255))
def test_damage_never_takes_more_with_isal_than_with_zlib(data: bytes, place: int, change: int) -> None:
    """What the fast library makes of a damaged file is what the exact one makes of it."""
    packed = bytearray(gzip.compress(data * 3, mtime=0))
    packed[place % len(packed)] ^= change
    fast = unpacked(bytes(packed))
    exact = b""
    problem = ""
    try:
        for piece in packing._layer(packing._raw_chunks(io.BytesIO(bytes(packed))), None, 3):
            exact += piece
    except DamagedError as error:
        problem = str(error)
    assert (fast[0], fast[1] == "") == (exact, problem == "")


def test_a_file_that_is_read_again_is_counted_once() -> None:
    """The size of what was read is that of the file, also when damage made zlib read it once more."""
    packed = gzip.compress(os.urandom(3 << 20), mtime=0) + b"garbage"
    sizes: list[int] = []
    with pytest.raises(DamagedError):
        list(chunks(Metered(io.BytesIO(packed), sizes.append)))
    assert sum(sizes) == len(packed)

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decklog.disk import Disk
from decklog.receiving.bodies import PREFIX, Body, Space
from decklog.receiving.refusals import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def space(folder: Path, **more: Any) -> Space:
    limits: dict[str, Any] = {"limit_bytes": 4 * MIB, "memory_bytes": 2 * MIB, "spill_bytes": MIB, **more}
    return Space(folder, Disk(), **limits)


def read(body: Body) -> bytes:
    return b"".join(body.windows())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=3000).map(lambda data: data * 400),
    st.integers(1, 200_000),
    st.sampled_from([0, 1000, MIB]),
    st.booleans(),
)
def test_what_goes_in_comes_out(tmp_path: Path, data: bytes, size: int, spill: int, packed: bool) -> None:
    """Packed or not, in memory or on disk, in pieces of any size; and everything is given back."""
    room = space(tmp_path, spill_bytes=spill)
    sent = zlib.compress(data, 1, wbits=31) if packed else data
    body = Body(room, gzip=packed)
    try:
        for at in range(0, len(sent), size):
            body.feed(sent[at : at + size])
        body.finish()
    except RefusedError as refused:
        assert refused.reason == "gzip-bomb"  # noqa: PT017  # because: only repetitive data may meet it
        assert len(data) > 200 * len(sent) // 2
    else:
        assert read(body) == data
        assert (body.size, body.packed_bytes) == (len(data), len(sent))
        assert body.in_memory == (len(data) <= spill)
    body.close()
    assert (room.used_bytes, list(tmp_path.iterdir())) == (0, [])


def test_all_bodies_together_have_their_share_of_memory(tmp_path: Path) -> None:
    """What comes beyond it goes to disk, however small its own body is."""
    room = space(tmp_path)
    bodies = [Body(room) for _ in range(8)]
    for body in bodies:
        for _ in range(5):
            body.feed(b"x" * 100_000)
    assert [body.in_memory for body in bodies] == [True] * 4 + [False] * 4
    assert room.used_bytes <= room.memory_bytes
    for body in bodies:
        assert read(body) == b"x" * 500_000
        body.close()
    assert room.used_bytes == 0


REFUSED: list[tuple[str, list[bytes], bool, str]] = [
    ("too large", [b"x" * MIB] * 5, False, "too-large"),
    ("too large when unpacked", [gzip.compress(os.urandom(50_000) * 100, 1)], True, "too-large"),
    ("a bomb", [gzip.compress(b" " * (4 * MIB))], True, "gzip-bomb"),
    ("a bomb in many members", [gzip.compress(b" " * MIB)] * 4, True, "gzip-bomb"),
    ("damaged", [gzip.compress(b"hello")[:-8] + b"12345678"], True, "bad-gzip"),
    ("cut", [gzip.compress(b"hello")[:-1]], True, "bad-gzip"),
    ("empty", [], True, "bad-gzip"),
    ("something behind", [gzip.compress(b"hello") + b"x"], True, "bad-gzip"),
]


@pytest.mark.parametrize(("name", "pieces", "packed", "reason"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_what_is_refused(tmp_path: Path, name: str, pieces: list[bytes], packed: bool, reason: str) -> None:
    """At the piece that is too much, and nothing stays behind."""
    room = space(tmp_path)
    body = Body(room, gzip=packed)

    def send() -> None:
        for piece in pieces:
            body.feed(piece)
        body.finish()

    with pytest.raises(RefusedError) as refused:
        send()
    assert refused.value.reason == reason, name
    body.close()
    assert (room.used_bytes, list(tmp_path.iterdir())) == (0, [])


def test_names_that_a_kill_has_left_go(tmp_path: Path) -> None:
    """Only ours."""
    (tmp_path / f"{PREFIX}1").touch()
    (tmp_path / "other").touch()
    space(tmp_path).clear()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]

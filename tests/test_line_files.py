from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.faulty_disk import FaultyDisk
from decklog import line_files
from decklog.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (b"", b""),
        (b"a\n", b"a\n"),
        (b"a\nb", b"a\n"),
        (b"ab", b""),
        (b"a\n" + b"b" * 700_000, b"a\n"),
        (b"a" * 262_144, b""),
        (b"\n" + b"a" * 262_143, b"\n"),
        (b"\n" + b"a" * 262_144, b"\n"),
        (b"a" * 700_000 + b"\n", b"a" * 700_000 + b"\n"),
    ],
    ids=["empty", "whole", "torn", "only torn", "long", "one chunk", "chunk's first", "before the chunk", "long whole"],
)
def test_what_has_no_newline_is_cut_off(content: bytes, left: bytes, tmp_path: Path) -> None:
    """A file ends with its last newline afterwards, however long the torn end is, and says how much went."""
    path = tmp_path / "lines"
    path.write_bytes(content)
    fd = os.open(path, os.O_RDWR)
    assert line_files.cut_torn_end(Disk(), fd) == len(content) - len(left)
    os.close(fd)
    assert path.read_bytes() == left


@given(
    lines=st.lists(st.binary(max_size=300).filter(lambda line: b"\n" not in line), max_size=20),
    count=st.integers(1, 10),
    size_bytes=st.integers(1, 1000),
)
def test_reading_in_bites_gives_every_line(
    lines: list[bytes], count: int, size_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each bite holds one line or more, `count` at most; together they are the file, and counting agrees."""
    path = tmp_path_factory.mktemp("lines") / "lines"
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        found: list[bytes] = []
        at = 0
        assert line_files.count_lines(Disk(), fd, 0) == (len(lines), len(data))
        while bite := line_files.read_lines(Disk(), fd, at, len(data), count=count, size_bytes=size_bytes):
            assert len(bite) <= count
            found += bite
            at += sum(map(len, bite)) + len(bite)
        assert found == lines
    finally:
        os.close(fd)


def test_writes_that_fall_short_are_continued(tmp_path: Path) -> None:
    """A disk that takes half of a write is given the other half."""
    fd = os.open(tmp_path / "lines", os.O_RDWR | os.O_CREAT)
    line_files.write_whole(FaultyDisk("tear", 1, only="append"), fd, b"0123456789\n")
    os.close(fd)
    assert (tmp_path / "lines").read_bytes() == b"0123456789\n"


def test_directories_are_made_and_private(tmp_path: Path) -> None:
    """Each missing directory is made 0700; one that is there is left as it is."""
    line_files.make_directories(Disk(), tmp_path / "a" / "b")
    line_files.make_directories(Disk(), tmp_path / "a" / "b" / "c")
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.rglob("*"))] == [0o700] * 3


@pytest.mark.parametrize("inside", ["a", "a/b/c"])
def test_where_no_directory_can_be_made_the_system_says_why(inside: str, tmp_path: Path) -> None:
    """Below a link that leads nowhere mkdir finds neither parent nor room: it ends, with an error."""
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        line_files.make_directories(Disk(), tmp_path / "dangling" / inside)


def test_a_lock_is_for_one(tmp_path: Path) -> None:
    """A second descriptor does not get the lock until the first is closed."""
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert line_files.lock(first)
    assert not line_files.lock(second)
    os.close(first)
    assert line_files.lock(second)
    os.close(second)

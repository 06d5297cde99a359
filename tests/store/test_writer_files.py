from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store import checksums, writer_files
from decklog.store.checksums import sums_of
from store.crash_disk import LaxDisk
from store.journal_peers import CLUSTER, items, journal, number_of

if TYPE_CHECKING:
    from pathlib import Path


def test_numbers_are_those_of_segments(tmp_path: Path) -> None:
    """Other names are no segments."""
    for name in ("0000000002.ndjson", "0000000010.ndjson", "0000000002.sums", "x.ndjson", "12.ndjson", "lock"):
        (tmp_path / name).touch()
    assert writer_files.numbers(Disk(), tmp_path) == [2, 10]


def test_a_folder_has_one_cluster(tmp_path: Path) -> None:
    """Another one's events would get a wrong identity."""
    writer_files.claim(Disk(), tmp_path, "a b")
    writer_files.claim(Disk(), tmp_path, "a b")
    assert writer_files.cluster_of(Disk(), tmp_path) == "a b"
    with pytest.raises(DecklogError, match="belongs to the cluster 'a b', not 'c'"):
        writer_files.claim(Disk(), tmp_path, "c")


@pytest.mark.parametrize(
    ("tail", "kept", "torn"),
    [
        pytest.param(b"", 3, b"", id="nothing torn"),
        pytest.param(b'{"half', 3, b'{"half', id="half a line"),
        pytest.param(bytes(700), 3, bytes(700), id="zeros"),
        pytest.param(b"{}" + bytes(9) + b"\n{}\n", 3, b"{}" + bytes(9) + b"\n{}\n", id="a hole in a line"),
        pytest.param(items([7])[0].line + b"\n" + bytes(5), 4, bytes(5), id="a whole line before a hole"),
    ],
)
@pytest.mark.parametrize("sums", ["all", "none", "torn"])
def test_repair_keeps_whole_lines_and_what_it_cuts(
    tail: bytes, kept: int, torn: bytes, sums: str, tmp_path: Path
) -> None:
    """With checksums there, missing or torn: the end is cut to whole lines, and all is as after an orderly end."""

    async def store() -> Path:
        async with journal(tmp_path, LaxDisk(), segment_bytes=1 << 20) as opened:
            for number in range(3):
                await opened.append(items([number]))
            await opened.turn(now=True)
            return opened.closed()[0]

    path = asyncio.run(store())
    path.write_bytes(path.read_bytes() + tail)
    written = sums_of(path).read_bytes()
    written = written[: written.rindex(b"end ")]
    sums_of(path).write_bytes({"all": written, "none": b"", "torn": written[:-20] + bytes(20)}[sums])
    done = writer_files.repair(LaxDisk(), path, CLUSTER)
    assert [number_of(line) for line in path.read_bytes().splitlines()] == [0, 1, 2, 7][:kept]
    assert (done.cut, done.events, done.missing) == (len(torn), kept, 0)
    assert done.recomputed == kept - {"all": 3, "none": 0, "torn": 2}[sums]
    aside = path.with_suffix(".torn")
    assert (aside.read_bytes() if aside.exists() else b"") == torn
    assert writer_files.is_finished(Disk(), path)
    assert checksums.check(Disk(), path) == (kept, [])


def test_repair_tells_what_was_stored_and_is_gone(tmp_path: Path) -> None:
    """A file that is shorter than its checksums say is damage, not a torn end."""

    async def store() -> Path:
        async with journal(tmp_path, LaxDisk(), segment_bytes=1 << 20) as opened:
            for number in range(3):
                await opened.append(items([number]))
            return writer_files.segment_path(opened.folder, 1)

    path = asyncio.run(store())
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    done = writer_files.repair(LaxDisk(), path, CLUSTER)
    assert done.missing == 10
    assert done.events == 2

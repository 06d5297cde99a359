from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import FaultyDisk
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store.quarantine import Held, Origin, Quarantine, held

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = Origin(1_700_000_000_000_000_000, "kube-apiserver", "blue", "it is no JSON that can be read")


def opened(folder: Path, disk: Disk | None = None) -> Quarantine:
    quarantine = Quarantine(folder / "quarantine" / "receive-1", disk or Disk())
    quarantine.open()
    return quarantine


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "quarantine" / "receive-1").iterdir())


def test_a_body_comes_back_as_it_was(tmp_path: Path) -> None:
    """With where it came from, in any part, in the order of coming, after a restart."""
    first = opened(tmp_path)
    paths = [first.keep([b"one ", b"body"], ORIGIN), first.keep([b"\n{another\n"], ORIGIN)]
    quarantine = opened(tmp_path)
    assert [path for path, _ in quarantine.waiting()] == paths
    with quarantine.read(paths[0]) as reading:
        assert (reading.origin, reading.size) == (ORIGIN, 8)
        assert (reading.at(3, 0), reading.at(100, 4), reading.at(1, 8)) == (b"one", b"body", b"")
        assert b"".join(reading.pieces(2, 6)) == b"e bo"
    with quarantine.read(paths[1]) as reading:
        assert reading.at(100, 0) == b"\n{another\n"


def test_items_that_stay(tmp_path: Path) -> None:
    """Each with its place and its reason, whatever bytes it has; the body goes when they are written."""
    quarantine = opened(tmp_path)
    path = quarantine.keep([b"0123456789"], ORIGIN)
    with quarantine.hold(path, ORIGIN) as holding:
        holding.item(Held(0, 0, 3, "a"), [b"\n{", b"\x00"])
        holding.item(Held(7, 4, 0, "b"), [])
        assert names(tmp_path) == [path.name, path.with_suffix(".held").name + ".part"]
    quarantine.done(path)
    found = [(item.number, item.reason, content()) for item, content in held(path.with_suffix(".held"), Disk())]
    assert found == [(0, "a", b"\n{\x00"), (7, "b", b"")]


def test_what_was_not_finished_is_no_part_of_it(tmp_path: Path) -> None:
    """A block that fails leaves nothing, and what a kill has left goes at the next opening."""
    quarantine = opened(tmp_path)
    path = quarantine.keep([b"x"], ORIGIN)
    with pytest.raises(RuntimeError), quarantine.hold(path, ORIGIN):
        raise RuntimeError
    (path.parent / "1.body.part").write_bytes(b"x")
    opened(tmp_path)
    assert names(tmp_path) == [path.name]
    quarantine.keep_whole(path)
    assert names(tmp_path) == [path.with_suffix(".kept").name]


@pytest.mark.parametrize("call", range(1, 8))
@pytest.mark.parametrize("kind", ["fail", "tear", "full"])
def test_a_disk_that_fails_is_told(tmp_path: Path, call: int, kind: str) -> None:
    """The body is there, synced, or the call has raised; what is there is whole."""
    disk = FaultyDisk()
    quarantine = opened(tmp_path, disk)
    disk.arm(kind, call)
    try:
        path = quarantine.keep([b"0123456789"] * 3, ORIGIN)
    except OSError:
        assert disk.met
    else:
        assert [found for found, _ in opened(tmp_path).waiting()] == [path]
    for path, _ in opened(tmp_path).waiting():
        with quarantine.read(path) as reading:
            assert reading.at(99, 0) == b"0123456789" * 3


def test_what_is_no_file_of_the_quarantine(tmp_path: Path) -> None:
    """It is told, and left where it is."""
    quarantine = opened(tmp_path)
    path = tmp_path / "quarantine" / "receive-1" / "x.body"
    path.write_bytes(b"hello\n")
    with pytest.raises(DecklogError, match="does not begin as a file of the quarantine"):
        quarantine.read(path)
    kept = quarantine.keep([b"no item\n"], ORIGIN)
    with pytest.raises(DecklogError, match="damaged at byte 0"):
        list(held(kept, Disk()))

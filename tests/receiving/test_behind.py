from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from decklog.disk import Disk
from decklog.receiving import behind
from decklog.receiving.behind import Behind, TakenApart
from decklog.store.quarantine import Origin, Quarantine, held
from gateway.running_gateway import run, until
from receiving.poison import POISON, event, event_list, item

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

MIB = 1 << 20


class Kept:
    """Keeps lines in memory; fails for as long as it is told."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.told: list[TakenApart] = []
        self.fails = False
        self.tried = 0

    async def __call__(self, lines: Sequence[bytes]) -> None:
        self.tried += 1
        if self.fails:
            raise OSError("the disk is full")
        self.lines += lines


def opened(folder: Path) -> Quarantine:
    quarantine = Quarantine(folder, Disk())
    quarantine.open()
    return quarantine


def keep(quarantine: Quarantine, body: bytes, when: int = 1) -> Path:
    return quarantine.keep([body], Origin(when, "kube-apiserver", "", "odd"))


def test_a_journal_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body waits; when the journal works again its events are there once, and the file is gone."""
    monkeypatch.setattr(behind, "AGAIN_S", 0.01)
    quarantine, kept = opened(tmp_path / "q"), Kept()

    async def scene() -> None:
        kept.fails = True
        keep(quarantine, event_list([item(1), item(2), POISON[0][1]]))
        working = Behind(quarantine, kept, kept.told.append)
        running = asyncio.ensure_future(working.run())
        await until(lambda: kept.tried > 2)
        assert len(quarantine.waiting()) == 1
        kept.fails = False
        await until(lambda: kept.told)
        working.stop()
        await running

    run(scene())
    assert kept.lines == [item(1), item(2)]
    assert kept.told == [TakenApart(2, 1)]
    assert [path.suffix for path in (tmp_path / "q").iterdir()] == [".held"]


def test_an_item_too_large_for_a_line_is_kept(tmp_path: Path) -> None:
    """Verbatim, in quarantine; what stands beside it goes on."""
    quarantine, kept = opened(tmp_path / "q"), Kept()
    large = event(9, requestObject="x" * (17 * MIB))
    keep(quarantine, event_list([item(1), large, item(2)]))
    run(Behind(quarantine, kept, kept.told.append).once(), 60)
    assert kept.lines == [item(1), item(2)]
    (path,) = (tmp_path / "q").iterdir()
    for found, content in held(path, Disk()):
        assert (found.number, found.size, content() == large) == (1, len(large), True)
        assert "larger than" in found.reason


def test_a_large_body_holds_up_no_small_one(tmp_path: Path) -> None:
    """The small one is done while the large one, which came first, is still being taken apart."""
    quarantine, kept = opened(tmp_path / "q"), Kept()
    keep(quarantine, b"[" + b"[]," * (20 * MIB // 3) + b"1]", 1)

    async def scene() -> None:
        working = Behind(quarantine, kept, kept.told.append)
        running = asyncio.ensure_future(working.run())
        keep(quarantine, event_list([item(1), POISON[0][1]]), 2)
        working.more()
        await until(lambda: kept.told, 30)
        assert kept.told == [TakenApart(1, 1)]
        working.stop()
        await running

    run(scene(), 60)
    assert [path.suffix for path, _ in quarantine.waiting()] == [".body"]  # and goes on after the next start
    assert not list((tmp_path / "q").glob("*.part"))

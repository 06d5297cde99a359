"""Maintenance on a real file system that is full, and freed again."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

from decklog.disk import Disk
from decklog.errors import DecklogError
from store import whole_round
from store.small_disk import mounted

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 16 << 20


@pytest.mark.parametrize("times", [pytest.param(3, id="short"), pytest.param(20, id="long", marks=pytest.mark.torture)])
def test_a_full_disk_costs_no_event(times: int, tmp_path: Path) -> None:
    """However little room there is: nothing is lost, and the round after the disk was freed ends it."""
    made = tmp_path / "made"
    whole_round.make(made)
    failed = 0
    with mounted(tmp_path / "small", str(SIZE)) as small:
        for turn in range(times):
            store = small / f"store-{turn}"
            shutil.copytree(made, store)
            ballast = small / "ballast"
            ballast.write_bytes(bytes(shutil.disk_usage(small).free - 8192 * (turn * 20 // times + 1)))
            try:
                whole_round.work_through(store, Disk())
            except (DecklogError, OSError):
                failed += 1
            with contextlib.suppress(DecklogError):  # a reader of the catalog may need room of its own
                whole_round.check_now(store, tmp_path)
            ballast.unlink()
            whole_round.check_now(store, tmp_path)
            whole_round.work_through(store, Disk())
            whole_round.check_after(store, tmp_path)
            shutil.rmtree(store)
    assert failed >= times / 2, "most rounds are to meet a full disk"

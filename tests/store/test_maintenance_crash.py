"""Power cuts during maintenance: what the device was not told to keep is dropped, torn and reordered."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from decklog.disk import Disk
from decklog.store.catalog import CATALOG
from store import whole_round
from store.crash_disk import CrashDisk, crash

if TYPE_CHECKING:
    from pathlib import Path

FINISHED = 8
"""Each so-many-th state is worked through to its end, too."""


class StoreCrashDisk(CrashDisk):
    """Knows of two more writers: DuckDB, which syncs nothing, and SQLite, which syncs every commit."""

    def __init__(self, root: Path) -> None:
        self._seen: dict[str, bytes] = {}
        super().__init__(root)

    def look(self) -> None:
        """Note the catalog if it has changed: a transaction that was told is on the device."""
        found = {path.name: path.read_bytes() for path in self.root.glob(f"{CATALOG}*") if path.suffix != ".db-shm"}
        if found != self._seen:
            self._seen = found
            self.mark(found)

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        self.look()
        strange = path not in self._named and path.exists()
        fd = super().open(path, flags, mode)
        if strange:
            self.log.append(("write", self._named[path], 0, path.read_bytes()))
        return fd

    def rename_noreplace(self, old: Path, new: Path) -> None:
        self.look()
        Disk.rename_noreplace(self, old, new)
        number = self._named[new] = self._named.pop(old)
        self.log += [("unlink", old.parent, old.name), ("name", new.parent, new.name, number)]

    def unlink(self, path: Path) -> None:
        self.look()
        super().unlink(path)

    def sync_dir(self, directory: Path) -> None:
        self.look()
        super().sync_dir(directory)

    def datasync(self, fd: int) -> None:
        self.look()
        super().datasync(fd)


def crashed(log: list[tuple[Any, ...]], at: int, chance: random.Random, root: Path, place: Path) -> None:
    """Make what a power cut after the first `at` changes leaves."""
    state = crash(log, at, chance)
    state.put(root, place)
    for path in place.glob(f"{CATALOG}*"):
        path.unlink()
    for name, content in state.marks[-1].items() if state.marks else ():
        (place / name).write_bytes(content)


@pytest.mark.parametrize(
    "states", [pytest.param(24, id="short"), pytest.param(2000, id="long", marks=pytest.mark.torture)]
)
def test_no_power_cut_during_maintenance_loses_an_event(states: int, tmp_path: Path) -> None:
    """Whatever of the unsynced survives: what stays is there, what has gone is recorded, and a round ends it."""
    store = tmp_path / "store"
    whole_round.make(store)
    disk = StoreCrashDisk(store)
    begun = len(disk.log)
    whole_round.work_through(store, disk)
    disk.look()
    whole_round.check_after(store, tmp_path)
    for seed in range(states):
        chance = random.Random(seed)
        at = begun + (len(disk.log) - begun) * (seed % states + 1) // states
        place = tmp_path / f"state-{seed}"
        crashed(disk.log, at, chance, store, place)
        try:
            whole_round.check_now(place, tmp_path)
            if seed % FINISHED == 0:
                whole_round.work_through(place, Disk())
                whole_round.check_after(place, tmp_path)
        except BaseException as error:
            error.add_note(f"seed {seed}, after {at - begun} changes of {len(disk.log) - begun}")
            raise
        shutil.rmtree(place)

"""What is in quarantine; `decklog.store.quarantine` says what each kind of file is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from decklog.store.quarantine import BODY, HELD, KEPT, QUARANTINE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from decklog.disk import Disk


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A file in quarantine."""

    path: Path
    writer: str
    kind: str
    size: int

    @property
    def name(self) -> str:
        """Writer and file, as the listing names it."""
        return f"{self.writer}/{self.path.name}"


def quarantined(store: Path, disk: Disk) -> list[Quarantined]:
    """List what is in quarantine, oldest first in each writer's. Raises OSError."""
    found = []
    for writer in names(disk, store / QUARANTINE):
        for name in names(disk, store / QUARANTINE / writer):
            path = store / QUARANTINE / writer / name
            if path.suffix in {BODY, HELD, KEPT}:
                found.append(Quarantined(path, writer, path.suffix, disk.stat(path).st_size))
    return found


def names(disk: Disk, folder: Path) -> Sequence[str]:
    """List a directory in order; nothing if there is none."""
    try:
        return sorted(disk.list(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []

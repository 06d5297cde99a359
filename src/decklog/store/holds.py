"""Legal holds: what is kept whatever its age. They stand in the catalog, and in ``DIR/holds.json`` should that be lost.

A hold is in the file before it is in the catalog, and leaves the catalog first: a crash in between keeps more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from decklog.errors import DecklogError
from decklog.store import writer_files

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.audit.query import Query
    from decklog.disk import Disk
    from decklog.store.segment import Maintenance

HOLDS: Final = "holds.json"
_MOST_BYTES: Final = 64 << 20


def hold(work: Maintenance, name: str, query: Query) -> None:
    """Keep what a query matches, whatever its age, until the hold is released. Raises OSError, DecklogError."""
    text = msgspec.json.encode(query).decode()
    _write(work, {**work.catalog.holds(), name: text})
    work.catalog.hold(name, text, work.clock())


def release(work: Maintenance, name: str) -> bool:
    """End a hold; False: there is none of that name. Raises OSError, DecklogError."""
    if not work.catalog.release(name):
        return False
    _write(work, work.catalog.holds())
    return True


def written(store: Path, disk: Disk) -> dict[str, str]:
    """Read the holds that the file has: name → query, as JSON. Raises DecklogError if it cannot be read, OSError."""
    try:
        fd = disk.open(store / HOLDS, os.O_RDONLY)
    except FileNotFoundError:
        return {}
    try:
        return msgspec.json.decode(disk.read_at(fd, _MOST_BYTES, 0), type=dict[str, str])
    except msgspec.MsgspecError as error:
        raise DecklogError(f"{store / HOLDS} cannot be read ({error}): mend it, or move it away") from error
    finally:
        disk.close(fd)


def _write(work: Maintenance, holds: dict[str, str]) -> None:
    writer_files.replace(work.disk, work.store / HOLDS, msgspec.json.format(msgspec.json.encode(holds)) + b"\n")

"""Checkpoint: how far a log has been followed, in a small file that is replaced whole.

A file of a log is recognised by its first bytes, because inodes are used again and names change with each rotation; a
packed file by the first bytes of what is in it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.disk import Disk

HEAD_BYTES: Final = 1024
"""So many first bytes tell files of events apart: the first audit ID is among them."""

VERSION: Final = 1


class Print(Struct, frozen=True):
    """The fingerprint of a file: the SHA-256 of its first `size` bytes. Of size 0, it is nobody's."""

    size: int = 0
    digest: str = ""


class Position(Struct, frozen=True):
    """A place in a file: all before it has been handed over."""

    device: int
    inode: int
    offset: int
    """In the unpacked text."""
    line: int
    """Lines before it."""
    head: Print


class Checkpoint(Struct, frozen=True):
    """How far a log has been followed."""

    position: Position
    done: tuple[Print, ...] = ()
    """The older files of the log that are not to be read (any more), as far as they were still there."""
    version: int = VERSION


def print_of(head: bytes) -> Print:
    """Give the fingerprint of a file that begins with `head`."""
    kept = head[:HEAD_BYTES]
    return Print(len(kept), hashlib.sha256(kept).hexdigest() if kept else "")


def load(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None if there is none. DecklogError if it is not one."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DecklogError(f"cannot read the checkpoint {path} ({error.strerror})") from error
    except (msgspec.MsgspecError, UnicodeError):
        raise DecklogError(f"{path} is no checkpoint: name another file, or remove it to start anew") from None
    if found.version != VERSION:
        raise DecklogError(f"{path} is a checkpoint of version {found.version}: remove it to start anew")
    return found


def save(path: Path, checkpoint: Checkpoint, disk: Disk) -> None:
    """Replace the checkpoint, at once and lastingly; whenever the process dies, the old or the new one is there."""
    unfinished = path.with_name(f".{path.name}.tmp")
    fd = disk.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        data = msgspec.json.encode(checkpoint)
        if disk.append(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        disk.datasync(fd)
    finally:
        disk.close(fd)
    disk.rename(unfinished, path)
    disk.sync_dir(path.parent)

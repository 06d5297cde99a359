"""Writing a manifest so that kubelet finds the old one or the new one, and the way back.

| Step | Where it fails, or is killed |
|---|---|
| the old bytes and a record go to the backups | nothing has changed; a record without its edit is passed over |
| the new bytes, and the old ones again, go to hidden files beside it | nothing has changed; the next write sweeps |
| the hidden file is renamed over the manifest | either the old one or the new one is there, whole |
| the directory is synced, the manifest read again and compared | the old bytes are renamed back |

kubelet passes over names that begin with a dot, in its directory's listing as well as in what it is notified of, so the
hidden files are never run; they have to be on the manifest's own file system to be renamed. The old bytes lie ready
beside it because a way back that needs room on a full disk is none. Where `undo` finds the disk full, it writes over
the manifest in place: the old one is the shorter one, and a moment of half a manifest is better than the wrong one.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.enable.backups import Backups, Owned, Record, checksum, read_file, said, write_new
from decklog.errors import DecklogError
from decklog.line_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from decklog.disk import Disk

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOTHING: Final = "nothing was changed"


class Undone(Struct, frozen=True):
    """What an undo did."""

    record: Record
    was: bytes
    now: bytes
    note: str = ""
    """What went wrong on the way without keeping it from being done."""


class Manifests:
    """Reads, writes and restores manifests. `clock` gives the time in UTC; `token` a name nobody else has."""

    def __init__(self, disk: Disk, backups: Backups, clock: Callable[[], datetime], token: Callable[[], str]) -> None:
        self._disk = disk
        self.backups = backups
        self._clock = clock
        self._token = token

    def read(self, path: Path) -> bytes:
        """Read a manifest. Raises DecklogError."""
        return self._read(place_of(path))[0]

    def write(self, path: Path, old: bytes, new: bytes, *, awaited: bool = False) -> Record:
        """Put `new` in the place of `old`, with the same mode and owner. Raises DecklogError; then `old` is there.

        `awaited`: the record says that this edit is not yet known to serve, until `Backups.settle`.
        """
        manifest = place_of(path)
        found, owned = self._read(manifest)
        if found != old:
            raise DecklogError(f"{path} has changed since it was read: {_NOTHING}: run again")
        try:
            self.backups.prepare(manifest)
            with self.backups.locked():
                self._sweep(manifest)
                record = self.backups.keep(manifest, old, new, owned, self._clock(), self._token(), awaited=awaited)
                try:
                    self._replace(manifest, old, new, owned)
                except (OSError, DecklogError):
                    if self._stands(manifest, old):
                        self.backups.forget(record)
                    raise
        except OSError as error:
            where = error.filename or manifest
            if not self._stands(manifest, old):
                raise DecklogError(f"{where}: {said(error)}: the manifest is not the old one: run --undo") from None
            raise DecklogError(f"{where}: {said(error)}: {_NOTHING}: {_advice(error)}") from None
        return record

    def undo(self, path: Path | None = None, record: Record | None = None) -> Undone:
        """Restore what stood there before an edit: of `path` the newest, or this one. Raises DecklogError."""
        if record is None:
            record = self._latest(path)
        manifest = Path(record.manifest)
        try:
            self.backups.check_owner()
            with self.backups.locked():
                was, _ = self._read(manifest)
                old = self.backups.bytes_of(record)
                if was == old:
                    return Undone(record, was, old, self._retire(record))
                if checksum(was) != record.after:
                    raise DecklogError(
                        f"{manifest} has changed since: {_NOTHING}: compare it with {self.backups.path_of(record)}"
                    )
                self._restore(manifest, was, old, record.owned)
        except OSError as error:
            where = error.filename or manifest
            raise DecklogError(
                f"{where}: {said(error)}: {manifest} was not restored: copy {self.backups.path_of(record)} there"
            ) from None
        return Undone(record, was, old, self._retire(record))

    # Writing.

    def _replace(self, manifest: Path, old: bytes, new: bytes, owned: Owned) -> None:
        """Rename new bytes over the old ones, and back where it cannot be said that they are there."""
        token = self._token()
        fresh, rescue = (hidden(manifest, f"{token}.{kind}") for kind in ("new", "old"))
        try:
            write_new(self._disk, fresh, new, owned)
            write_new(self._disk, rescue, old, owned)
            if read_file(self._disk, fresh)[0] != new:
                raise DecklogError(f"{fresh} does not hold what was written: {_NOTHING}: check the disk")
            if self._read(manifest)[0] != old:
                raise DecklogError(f"{manifest} has changed since it was read: {_NOTHING}: run again")
            self._disk.rename(fresh, manifest)
            try:
                self._disk.sync_dir(manifest.parent)
                self._verify(manifest, new)
            except OSError:
                self._disk.rename(rescue, manifest)
                raise
        finally:
            for path in (fresh, rescue):
                with suppress(OSError):
                    self._disk.unlink(path)

    def _verify(self, manifest: Path, new: bytes) -> None:
        if read_file(self._disk, manifest)[0] != new:
            raise DecklogError(f"{manifest} was changed by somebody else at the same moment: look at it, and run again")

    def _restore(self, manifest: Path, was: bytes, old: bytes, owned: Owned) -> None:
        try:
            self._sweep(manifest)
            self._replace(manifest, was, old, owned)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self._write_over(manifest, old)

    def _write_over(self, manifest: Path, data: bytes) -> None:
        fd = self._disk.open(manifest, os.O_WRONLY)
        try:
            write_whole(self._disk, fd, data)
            self._disk.truncate(fd, len(data))
            self._disk.datasync(fd)
        finally:
            self._disk.close(fd)
        self._verify(manifest, data)

    def _sweep(self, manifest: Path) -> None:
        """Remove what a run that was killed left beside the manifest."""
        start = hidden(manifest, "").name
        for name in self._disk.list(manifest.parent):
            if name.startswith(start):
                with suppress(FileNotFoundError):
                    self._disk.unlink(manifest.parent / name)

    def _stands(self, manifest: Path, data: bytes) -> bool:
        with suppress(OSError, DecklogError):
            return self._read(manifest)[0] == data
        return False

    # Reading.

    def _read(self, manifest: Path) -> tuple[bytes, Owned]:
        try:
            data, found = read_file(self._disk, manifest)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise DecklogError(f"{manifest} is a symbolic link: name the file that it leads to") from None
            raise DecklogError(f"{manifest}: {said(error)}: {_NOTHING}: {_advice(error)}") from None
        return data, Owned(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)

    def _latest(self, path: Path | None) -> Record:
        records = self.backups.records()
        if path is None:
            if not records:
                raise DecklogError(f"there is nothing to undo: no record in {self.backups.directory}")
            path = Path(records[0].manifest)
        manifest = place_of(path)
        data, _ = self._read(manifest)
        found = self.backups.of(manifest, data)
        if found is not None:
            return found
        mine = [record for record in records if record.manifest == str(manifest)]
        if not mine:
            raise DecklogError(f"there is nothing to undo: {self.backups.directory} has no record of {manifest}")
        if any(record.before == checksum(data) for record in mine):
            raise DecklogError(f"there is nothing to undo: {manifest} is as it was before")
        raise DecklogError(
            f"{manifest} has changed since it was written: {_NOTHING}: compare it with {self.backups.path_of(mine[0])}"
        )

    def _retire(self, record: Record) -> str:
        try:
            self.backups.retire(record)
        except OSError as error:
            return f"the record of the edit could not be put aside: {said(error)}"
        return ""


def place_of(path: Path) -> Path:
    """Give a manifest's absolute path; links on the way to its directory are followed, the file itself is not.

    Raises DecklogError for a name that no record could hold.
    """
    place = path.absolute().parent.resolve() / path.name
    if not str(place).isprintable() and any("\ud800" <= each <= "\udfff" for each in str(place)):
        raise DecklogError(f"{place} is no name in UTF-8: rename it")
    return place


def hidden(manifest: Path, token: str) -> Path:
    """Name a file beside the manifest that kubelet passes over."""
    return manifest.with_name(f".{manifest.name}.decklog-{token}")


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return "run as root, on the node"
        case errno.EROFS:
            return "it is mounted read-only"
        case errno.ENOSPC | errno.EDQUOT:
            return "make room"
        case errno.ENOENT | errno.ENOTDIR | errno.EISDIR:
            return "check the path"
        case 0:  # what is no plain file has no number
            return "check the path"
        case _:
            return "check the disk"

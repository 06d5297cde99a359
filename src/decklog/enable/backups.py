"""Backups: the manifest's bytes as they were, outside of the directory that kubelet runs everything of, and records.

A record says which manifest it was, what stood in it before and after, and who owned it. It is written before the
manifest is changed: where a kill comes between the two, the record's *after* is not what stands there, and nobody takes
it for an undo. Bytes are only restored if they still have the checksum that the record says.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, structs

from decklog.errors import DecklogError
from decklog.line_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from decklog.disk import Disk

DEFAULT: Final = Path("/var/lib/decklog/backups")
_SUFFIX: Final = ".json"
_UNDONE: Final = ".undone"
_LIMIT: Final = 4 << 20


class Owned(Struct, frozen=True):
    """Whose a file is, and what may be done with it."""

    mode: int
    uid: int
    gid: int


class Record(Struct, frozen=True):
    """One edit of one manifest."""

    manifest: str
    """Its absolute path."""
    written: str
    """When, in UTC."""
    before: str
    """SHA-256 of its bytes, which the backup has."""
    after: str
    owned: Owned
    backup: str
    """The name of the file with its bytes, beside the record."""
    awaited: bool = False
    """Somebody waits for the API server to serve with it; where nobody said that it does, the wait was cut short."""


class Backups:
    """The directory of backups and records."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self.directory = directory
        self._disk = disk

    def prepare(self, manifest: Path) -> None:
        """Make the directory, or see that it can be used. Raises DecklogError, OSError."""
        manifests, directory = manifest.parent.resolve(), self.directory.resolve()
        if directory == manifests or (is_kubelets(manifests) and directory.is_relative_to(manifests)):
            raise DecklogError(
                f"the backups' directory {self.directory} lies in {manifests}, and kubelet runs what lies there: "
                "choose another with --backup-dir"
            )
        missing: list[Path] = []
        at = self.directory.absolute()
        while not at.exists():
            missing.append(at)
            at = at.parent
        for directory in reversed(missing):
            with suppress(FileExistsError):
                self._disk.mkdir(directory, 0o700)
                self._disk.sync_dir(directory.parent)
        self.check_owner()

    def check_owner(self) -> None:
        """Refuse a directory that others may write: what lies there becomes a manifest again, run by root.

        Raises DecklogError, OSError.
        """
        found = self.directory.stat()
        if found.st_uid not in {0, os.geteuid()} or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise DecklogError(
                f"others may write in the backups' directory {self.directory}: choose one of your own with --backup-dir"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out. Raises DecklogError if one is at work."""
        fd = self._disk.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise DecklogError(f"another run is at work (it locks {self.directory}): wait for its end") from None
        finally:
            with suppress(OSError):  # nothing was written to it: what was done is not undone by this
                self._disk.close(fd)

    def keep(
        self, manifest: Path, old: bytes, new: bytes, owned: Owned, at: datetime, token: str, *, awaited: bool
    ) -> Record:
        """Write bytes and record, and see that they are on the device. Raises OSError, and leaves nothing then.

        `token`: what no other edit of the same moment has.
        """
        before = checksum(old)
        name = f"{manifest.name}.{at:%Y%m%dT%H%M%S.%fZ}.{token}"
        record = Record(
            str(manifest), f"{at:%Y-%m-%dT%H:%M:%S.%fZ}", before, checksum(new), owned, f"{name}.backup", awaited
        )
        try:
            write_new(self._disk, self.directory / record.backup, old)
            write_new(self._disk, self._path(record), msgspec.json.format(msgspec.json.encode(record)) + b"\n")
            self._disk.sync_dir(self.directory)
        except OSError:
            self.forget(record)
            raise
        return record

    def forget(self, record: Record) -> None:
        """Remove an edit that did not come to pass, as far as that can be done."""
        for path in (self._path(record), self.directory / record.backup):
            with suppress(OSError):
                self._disk.unlink(path)

    def settle(self, record: Record) -> None:
        """Note that the API server serves with this edit. Raises OSError."""
        settled = structs.replace(record, awaited=False)
        temporary = self.directory / f".{self._path(record).name}.new"
        with suppress(FileNotFoundError):
            self._disk.unlink(temporary)
        write_new(self._disk, temporary, msgspec.json.format(msgspec.json.encode(settled)) + b"\n")
        self._disk.rename(temporary, self._path(record))
        self._disk.sync_dir(self.directory)

    def retire(self, record: Record) -> None:
        """Note that an edit was undone. Raises OSError."""
        path = self._path(record)
        self._disk.rename(path, path.with_name(path.name + _UNDONE))
        self._disk.sync_dir(self.directory)

    def bytes_of(self, record: Record) -> bytes:
        """Read what stood there before. Raises DecklogError if these are not the bytes any more."""
        path = self.directory / Path(record.backup).name
        try:
            data = read_file(self._disk, path)[0]
        except OSError as error:
            raise DecklogError(f"the backup {path} cannot be read: {said(error)}") from None
        if checksum(data) != record.before:
            raise DecklogError(f"the backup {path} is not what was saved: restore the manifest by hand")
        return data

    def records(self) -> list[Record]:
        """Give what was not undone, the newest first; what is no record is passed over."""
        try:
            names = sorted(self._disk.list(self.directory), reverse=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DecklogError(
                f"the backups' directory {self.directory} cannot be read: {said(error)}: "
                "run as root, or give --backup-dir"
            ) from None
        found = []
        for name in names:
            if name.endswith(_SUFFIX) and not name.startswith("."):
                with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
                    found.append(msgspec.json.decode(read_file(self._disk, self.directory / name)[0], type=Record))
        return sorted(found, key=lambda record: record.written, reverse=True)

    def of(self, manifest: Path, data: bytes) -> Record | None:
        """Find the newest edit that made the manifest what it is."""
        after = checksum(data)
        return next((each for each in self.records() if each.manifest == str(manifest) and each.after == after), None)

    def path_of(self, record: Record) -> Path:
        """Give where the old bytes lie."""
        return self.directory / record.backup

    def _path(self, record: Record) -> Path:
        return self.directory / f"{record.backup.removesuffix('.backup')}{_SUFFIX}"


def is_kubelets(directory: Path) -> bool:
    """Whether kubelet probably runs everything in a directory: ``manifests``, ``pod-manifests``."""
    return "manifests" in directory.name


def checksum(data: bytes) -> str:
    """Give the SHA-256 of bytes, as sha256sum(1) prints it."""
    return hashlib.sha256(data).hexdigest()


def said(error: OSError) -> str:
    """Give an error in words that may stand in a sentence."""
    reason = error.strerror or str(error)
    return f"{reason[:1].lower()}{reason[1:]}"


def read_file(disk: Disk, path: Path) -> tuple[bytes, os.stat_result]:
    """Read a plain file, and what it is. Raises OSError; ELOOP for a symbolic link."""
    fd = disk.open(path, os.O_RDONLY)
    try:
        found = disk.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is no plain file", str(path))
        pieces = []
        size = 0
        while size <= _LIMIT and (piece := disk.read_at(fd, 1 << 20, size)):
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces), found
    finally:
        disk.close(fd)


def write_new(disk: Disk, path: Path, data: bytes, owned: Owned | None = None) -> None:
    """Write a file that is not there yet, and return when it is on the device. Raises OSError, and leaves none then."""
    fd = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            if owned is not None:
                _hand_over(disk, fd, owned)
            write_whole(disk, fd, data)
            disk.datasync(fd)
        finally:
            disk.close(fd)
    except OSError as error:
        with suppress(OSError):
            disk.unlink(path)
        raise OSError(error.errno, error.strerror, str(path)) from None  # a full disk does not name the file


def _hand_over(disk: Disk, fd: int, owned: Owned) -> None:
    """Give the file its owner and mode: first the owner, because that may clear bits of the mode."""
    found = disk.fstat(fd)
    if (found.st_uid, found.st_gid) != (owned.uid, owned.gid):
        disk.set_owner(fd, owned.uid, owned.gid)
    disk.set_mode(fd, owned.mode)

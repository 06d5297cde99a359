"""Intents on disk: what a strict door keeps where the policy omits RequestReceived.

kube-apiserver's strict mode is void there (spec §6.7). One file of JSON lines beside the log, never the log itself: an
intent is appended and synced before its request goes on; a second line closes it once the request's last event is
stored. What was never closed is told at the next start: of these requests nobody can say what became of them. The file
is written anew, with the open intents alone, when it has grown and at each start; a file that holds anything else is
refused.

Closing is not synced: after a power cut a request may be told that was recorded after all; after a kill that happens
only between storing the event and closing. The other way round, that one is not told, cannot happen.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from decklog import line_files
from decklog.audit import jsontext
from decklog.audit.intent import Intent
from decklog.audit.sink import DeliveryError
from decklog.backends import opening
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from decklog.disk import Disk

PLUGIN: Final = "intents"
REWRITE_BYTES: Final = 4 << 20
"""The file is written anew when it has grown by this much."""
_APPEND: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT
_READ_BYTES: Final = 1 << 20
_STARTS: Final = (b'{"auditID":', b'{"closed":')
"""How lines of ours begin: a file with others is no file of intents, and is never written anew."""

logger = logging.getLogger(__name__)

_Key = tuple[str, str]
"""Audit ID and time: clients reuse audit IDs."""


class IntentLog:
    """Keeps intents until they are closed; an async context manager. One process a file."""

    def __init__(self, path: str | Path, disk: Disk, *, rewrite_bytes: int = REWRITE_BYTES) -> None:
        self._path = Path(path)
        self._disk = disk
        self._rewrite_bytes = rewrite_bytes
        self._open: dict[_Key, Intent] = {}
        self._fd = -1
        self._written = 0
        self.unfinished: tuple[Intent, ...] = ()
        """Those that an earlier run left open, oldest first; each is told at one start."""

    async def __aenter__(self) -> Self:
        """Tell what an earlier run left open. Raises DecklogError if the file cannot be used."""
        self._open.clear()
        try:
            self._fd = self._locked()
            self.unfinished = self._read()
            for intent in self.unfinished:
                logger.warning("a request was let through whose outcome was never recorded: %s", _describe(intent))
            self._rewrite()  # only now: what was not told is told next time
        except DecklogError:
            self._let_go()
            raise
        except OSError as error:
            self._let_go()
            raise DecklogError(
                f"cannot keep intents in {self._path}: {error.strerror}: give --audit-intent-path a file where decklog "
                "may write"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file; what is still open is told at the next start."""
        self._let_go()

    def open(self, intent: Intent) -> None:
        """Keep an intent, on disk before this returns. Raises DeliveryError: then it is not kept."""
        if self._fd < 0:
            raise DeliveryError(PLUGIN, 1, "the file of intents is not open")
        try:
            if not self._disk.fstat(self._fd).st_nlink:
                self._rewrite()  # somebody removed the file
            self._append(jsontext.dump(msgspec.to_builtins(intent)))
            self._disk.datasync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._append(_closing(intent))  # its request is refused: nothing to tell
            raise DeliveryError(PLUGIN, 1, error) from error
        self._open[_key(intent)] = intent

    def close(self, intent: Intent) -> None:
        """Close an intent. A failure leaves it open, to be told at the next start: too often, not too rarely."""
        if self._open.pop(_key(intent), None) is None or self._fd < 0:
            return
        try:
            self._append(_closing(intent))
            if self._written > self._rewrite_bytes:
                self._written = 0  # if it fails, not again at once
                self._rewrite()
        except OSError as error:
            logger.warning("an intent could not be closed in %s: %s", self._path, error.strerror)

    def _append(self, text: bytes) -> None:
        """Write a line. It begins with a newline, too, so that a torn one before it spoils nothing."""
        line = b"\n" + text + b"\n"
        self._written += len(line)
        line_files.write_whole(self._disk, self._fd, line)

    # The start

    def _locked(self) -> int:
        """Open the file for this process alone."""
        line_files.make_directories(self._disk, self._path.parent)
        while True:
            fd = self._disk.open(self._path, _APPEND)
            try:
                self._examine(fd)
                free = line_files.lock(fd)
                named = free and self._is_at_path(fd)
            except OSError:
                self._disk.close(fd)
                raise
            if named:
                return fd
            self._disk.close(fd)
            if not free:
                raise DecklogError(
                    f"the intents {self._path} are in use by another process: give each its own --audit-intent-path"
                )

    def _examine(self, fd: int) -> None:
        """Refuse what is no plain file with one name: a device has no end to read to."""
        found = self._disk.fstat(fd)
        why = opening.refusal(found) if found.st_nlink else ""  # without a name: see `_is_at_path`
        if why:
            raise OSError(errno.EINVAL, why)

    def _is_at_path(self, fd: int) -> bool:
        """Whether the file still has its name: the one who had the lock may have written it anew."""
        mine = self._disk.fstat(fd)
        try:
            there = self._disk.stat(self._path)
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)

    def _read(self) -> tuple[Intent, ...]:
        found: dict[_Key, Intent] = {}
        for line in self._lines():
            try:
                value: dict[str, Any] = msgspec.json.decode(line)
                if "closed" in value:
                    found.pop((value["closed"], value["time"]), None)
                else:
                    intent = msgspec.convert(value, Intent)
                    found[_key(intent)] = intent
            except (msgspec.MsgspecError, TypeError, KeyError, RecursionError):
                continue  # a torn line: its request was refused
        return tuple(found.values())

    def _lines(self) -> Iterator[bytes]:
        at, rest = 0, b""
        while chunk := self._disk.read_at(self._fd, _READ_BYTES, at):
            at += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if not all(map(_is_ours, (*lines, rest))):
                raise DecklogError(
                    f"{self._path} holds something else than intents, which would be lost: give --audit-intent-path a "
                    "file of its own"
                )
            yield from filter(None, lines)

    def _rewrite(self) -> None:
        """Write the file anew with what is open now, in one step. Raises OSError; then the old file goes on."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        fd = self._disk.open(fresh, _APPEND | os.O_TRUNC)
        try:
            line_files.lock(fd)
            data = b"".join(jsontext.dump(msgspec.to_builtins(intent)) + b"\n" for intent in self._open.values())
            line_files.write_whole(self._disk, fd, data)
            self._disk.datasync(fd)
            self._disk.rename(fresh, self._path)
        except OSError:
            self._disk.close(fd)
            raise
        self._let_go()
        self._fd, self._written = fd, 0
        self._disk.sync_dir(self._path.parent)

    def _let_go(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # everything that counts was synced before
                self._disk.close(fd)


def _key(intent: Intent) -> _Key:
    return jsontext.mend(intent.audit_id), intent.time


def _closing(intent: Intent) -> bytes:
    return jsontext.dump({"closed": intent.audit_id, "time": intent.time})


def _is_ours(line: bytes) -> bool:
    """Whether a line can be an intent or its closing, or what a kill or a power cut left of one."""
    line = line.strip(b"\0")
    return any(line[: len(start)] == start[: len(line)] for start in _STARTS)


def _describe(intent: Intent) -> str:
    """Name the request in one line. A query may hold secrets and is not shown; `unfinished` has it."""
    shown = {
        "auditID": intent.audit_id,
        "verb": intent.verb,
        "path": intent.request_uri.partition("?")[0],
        "user": intent.user.username,
        "time": intent.time,
    }
    return json.dumps({name: jsontext.mend(text) for name, text in shown.items()})

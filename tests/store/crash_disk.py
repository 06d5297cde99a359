"""A file system that remembers what was synced, and builds from it what a power cut may leave.

Everything works on real files, without waiting for a device. Meanwhile each change is noted, and each sync. A crash
state holds what was synced, and of what was not: each write kept, dropped, cut, or with sectors of it missing, in any
choice (so that a later one may be there without an earlier one), and each change of a name kept or dropped.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from decklog.disk import Disk

if TYPE_CHECKING:
    import random
    from pathlib import Path

SECTOR: Final = 512
_NAMES: Final = frozenset({"name", "rename", "unlink", "sync_dir"})


class LaxDisk(Disk):
    """The real file system, without waiting for the device."""

    def datasync(self, fd: int) -> None:
        os.fstat(fd)

    def sync_dir(self, directory: Path) -> None:
        directory.lstat()


class CrashDisk(LaxDisk):
    """Works below `root`. What is there already counts as synced, unless `past` tells how it came there."""

    def __init__(self, root: Path, past: list[tuple[Any, ...]] | None = None) -> None:
        super().__init__()
        self.root = root
        self.log: list[tuple[Any, ...]] = past or []
        self._files: dict[int, int] = {}
        """Descriptor to file number."""
        self._named: dict[Path, int] = {}
        if past is None:
            self._adopt()
        else:
            for directory, names in crash(past, len(past), None).names.items():
                self._named.update({directory / name: number for name, number in names.items() if number is not None})
        self.append = self._append  # type: ignore[assignment]  # because: the real one is no method

    def mark(self, what: object) -> None:
        """Note something of the test's own."""
        self.log.append(("mark", what))

    def _adopt(self) -> None:
        for path in sorted(self.root.rglob("*")):
            if path.is_dir():
                self.log.append(("name", path.parent, path.name, None))
            else:
                number = self._named[path] = len(self._named)
                self.log += [("name", path.parent, path.name, number), ("write", number, 0, path.read_bytes())]
                self.log.append(("datasync", number))
            self.log.append(("sync_dir", path.parent))

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        known = path in self._named
        fd = super().open(path, flags, mode)
        if not known:
            self._named[path] = 1_000_000 + len(self.log)
            self.log.append(("name", path.parent, path.name, self._named[path]))
        elif flags & os.O_TRUNC:
            self.log.append(("truncate", self._named[path], 0))
        self._files[fd] = self._named[path]
        return fd

    def _append(self, fd: int, data: bytes) -> int:
        at = os.fstat(fd).st_size
        written = os.write(fd, data)
        self.log.append(("write", self._files[fd], at, bytes(data[:written])))
        return written

    def datasync(self, fd: int) -> None:
        self.log.append(("datasync", self._files[fd]))

    def truncate(self, fd: int, size: int) -> None:
        super().truncate(fd, size)
        self.log.append(("truncate", self._files[fd], size))

    def sync_dir(self, directory: Path) -> None:
        if directory.is_relative_to(self.root):
            self.log.append(("sync_dir", directory))

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self._named[new] = self._named.pop(old)
        self.log.append(("rename", old.parent, old.name, new.name))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        del self._named[path]
        self.log.append(("unlink", path.parent, path.name))

    def mkdir(self, path: Path, mode: int) -> None:
        super().mkdir(path, mode)
        self.log.append(("name", path.parent, path.name, None))


@dataclass
class CrashState:
    """What a power cut leaves behind."""

    files: dict[int, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    names: dict[Path, dict[str, int | None]] = field(default_factory=lambda: defaultdict(dict))
    marks: list[Any] = field(default_factory=list)
    """What was noted before it."""

    def put(self, root: Path, place: Path) -> None:
        """Make real files of it below `place`, of what stood below `root`."""
        place.mkdir()
        for name, number in sorted(self.names[root].items()):
            if number is None:
                self.put(root / name, place / name)
            else:
                (place / name).write_bytes(self.files[number])


def moved(log: list[tuple[Any, ...]], old: Path, new: Path) -> list[tuple[Any, ...]]:
    """Tell the same of another directory."""
    return [
        (kind, new / about.relative_to(old), *rest) if kind in _NAMES else (kind, about, *rest)
        for kind, about, *rest in log
    ]


def crash(log: list[tuple[Any, ...]], at: int, chance: random.Random | None) -> CrashState:
    """Build a state after the first `at` changes; without `chance` only the process was killed: all of them last."""
    state = CrashState()
    content: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    names: dict[Path, list[tuple[Any, ...]]] = defaultdict(list)
    for change in log[:at]:
        kind, about, *rest = change
        if kind == "mark":
            state.marks.append(about)
        elif kind == "datasync":
            _change_content(state.files[about], content.pop(about, []))
        elif kind == "sync_dir":
            _change_names(state.names[about], names.pop(about, []))
        elif kind in {"write", "truncate"}:
            content[about].append((kind, *rest))
        else:
            names[about].append((kind, *rest))
    for number, changes in content.items():
        _change_content(state.files[number], _surviving(changes, chance) if chance else changes)
    for directory, changes in names.items():
        keep = chance.choice((0.0, 0.5, 1.0)) if chance else 1.0
        _change_names(state.names[directory], _kept(changes, keep, chance))
    return state


def _kept(changes: list[tuple[Any, ...]], keep: float, chance: random.Random | None) -> list[tuple[Any, ...]]:
    return [change for change in changes if chance is None or chance.random() < keep]


def _surviving(changes: list[tuple[Any, ...]], chance: random.Random) -> list[tuple[Any, ...]]:
    keep = chance.choice((0.0, 0.3, 0.7, 1.0))
    kept: list[tuple[Any, ...]] = []
    for change in changes:
        if change[0] == "truncate":
            kept += [change] if chance.random() < keep else []
            continue
        _, at, data = change
        fate = chance.choice(("whole", "cut", "sectors")) if chance.random() < keep else "gone"
        if fate == "whole":
            kept.append(change)
        elif fate == "cut":
            kept.append(("write", at, data[: chance.randint(0, len(data))]))
        elif fate == "sectors":
            kept += _sectors(at, data, chance)
    return kept


def _sectors(at: int, data: bytes, chance: random.Random) -> list[tuple[Any, ...]]:
    """Give some of the sectors of the device that a write touches."""
    parts: list[tuple[Any, ...]] = []
    begin = at
    while begin < at + len(data):
        end = min(at + len(data), (begin // SECTOR + 1) * SECTOR)
        if chance.random() < 0.6:
            parts.append(("write", begin, data[begin - at : end - at]))
        begin = end
    return parts


def _change_content(file: bytearray, changes: list[tuple[Any, ...]]) -> None:
    for kind, at, *data in changes:
        if kind == "truncate":
            del file[at:]
            file.extend(bytes(at - len(file)))
        else:
            file.extend(bytes(max(0, at - len(file))))
            file[at : at + len(data[0])] = data[0]


def _change_names(names: dict[str, int | None], changes: list[tuple[Any, ...]]) -> None:
    for kind, name, *rest in changes:
        if kind == "name":
            names[name] = rest[0]
        elif kind == "unlink":
            names.pop(name, None)
        elif name in names:
            names[rest[0]] = names.pop(name)

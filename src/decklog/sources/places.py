"""Places: what the user named (a file, a directory, a glob, ``-``) becomes the list of files to read, in time order.

A log may be rotated at any moment while it is read. So the file that is being written is opened before its older parts
are listed, and both are done again if it was rotated in between: all that had been written by then is read, and read
once. What it is called later does not matter, and a part that is packed after the listing is found under its packed
name. Files are told apart by device and inode.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from decklog.errors import DecklogError
from decklog.sources.families import PACKED, families, older_parts, part_of, unpacked_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STANDARD_INPUT: Final = "-"
LOG_NAMES: Final = (".log", ".jsonl", ".ndjson", ".json")
"""Only such files of a directory are read, also packed; a file that is named itself may be called anything."""

HELD_OPEN: Final = 128
"""So many logs of one directory are opened in advance, so that a rotation cannot take them away unread."""

ATTEMPTS: Final = 100
"""So often a log is opened and its older parts are listed, until no rotation came between the two."""


@dataclass(slots=True)
class Place:
    """One file to read."""

    path: str
    file: BinaryIO | None = None
    """Opened in advance; None: to be opened when its turn comes."""
    problem: str = ""
    """Known beforehand: there is nothing to read here, and the user should hear of it."""

    def open(self) -> BinaryIO:
        """Open the file, under its packed name if it was packed since it was found; raises OSError."""
        if self.file is not None:
            return self.file
        try:
            return _opened(self.path)
        except FileNotFoundError:
            for packed in PACKED[:-1]:
                if (file := _opened_if_there(Path(self.path + packed))) is not None:
                    return file
            return _opened(self.path + PACKED[-1])

    def close(self) -> None:
        """Let go of a file that was opened in advance; standard input is its owner's."""
        if self.file is not None and self.path != STANDARD_INPUT:
            self.file.close()


def find(paths: Iterable[str], stdin: BinaryIO, *, rotated: bool = True) -> list[Place]:
    """Find the files behind `paths`, each once; `rotated`: with the older parts of each log.

    A path that is not there and has ``*``, ``?`` or ``[`` in it is a glob, ``**`` any depth of directories: for shells
    that do not expand it (a configuration file, a quoted argument).

    Raises DecklogError, before anything is read, for a path that is not there or must not be read.
    """
    wanted = list(paths)
    if not wanted:
        raise DecklogError(
            "no audit log was named: give -f FILE (or a directory, a glob, - for standard input), or set DECKLOG_SOURCE"
        )
    places: list[Place] = []
    try:
        for path in wanted:
            places += _behind(path, stdin, rotated=rotated)
    except DecklogError:
        for place in places:
            place.close()
        raise
    return _each_once(places)


def _behind(path: str, stdin: BinaryIO, *, rotated: bool) -> list[Place]:
    if path == STANDARD_INPUT:
        return [Place(STANDARD_INPUT, stdin)]
    try:
        if Path(path).is_dir():
            return _directory(Path(path), rotated=rotated)
        if glob.has_magic(path) and not os.path.lexists(path):
            return _matching(path, stdin, rotated=rotated)
        return _family(Path(path)) if rotated else [Place(path, _opened(path))]
    except FileNotFoundError:
        raise DecklogError(f"{path} is not there: name an audit log, a directory of them, or -") from None
    except OSError as error:
        raise DecklogError(f"cannot read {path} ({error.strerror}): run as a user who may, or copy it") from error


def _matching(pattern: str, stdin: BinaryIO, *, rotated: bool) -> list[Place]:
    """Give the files that a glob names, oldest part first within a log; directories that it names are read, too."""
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207  # because: Path.glob takes no absolute pattern
    if not names:
        raise FileNotFoundError(pattern)
    order = {path: (str(Path(path).with_name((part := part_of(Path(path).name)).head)), part.age) for path in names}
    return [place for path in sorted(names, key=order.__getitem__) for place in _behind(path, stdin, rotated=rotated)]


def _family(path: Path, attempts: int = ATTEMPTS) -> list[Place]:
    """Give the log and its older parts, the log itself last."""
    head = _opened_if_there(path)
    parts = _parts_of(path)
    if attempts > 1 and not _unmoved(path, head):
        _close([head])
        return _family(path, attempts - 1)
    if head is None and not parts:
        raise FileNotFoundError(path)
    problem = "" if head is not None else "the log itself is not there; its older parts were read"
    return [*parts, Place(str(path), head, problem)]


def _parts_of(path: Path) -> list[Place]:
    try:
        names = _settled(lambda: sorted(os.listdir(path.parent)))  # noqa: PTH208  # because: names are wanted, not paths
    except PermissionError as error:
        return [Place(str(path.parent), problem=f"older parts could not be looked for ({error.strerror})")]
    return [Place(str(path.parent / name)) for name in older_parts(path.name, names)]


def _directory(directory: Path, *, rotated: bool, attempts: int = ATTEMPTS) -> list[Place]:
    """Give all logs of a directory, family after family; directories in it are left alone."""
    heads = [name for name in _log_names(directory) if part_of(name).head == name]
    opened = {name: _opened_or_later(directory / name) for name in heads[:HELD_OPEN]}
    found = families(_settled(lambda: _log_names(directory)))
    if not found:
        kinds = ", ".join(LOG_NAMES)
        raise DecklogError(
            f"{directory} holds no audit logs ({kinds}, also {' '.join(PACKED)}): name the files themselves"
        )
    if attempts > 1 and not all(_unmoved(directory / name, file) for name, file in opened.items() if file is not None):
        _close(opened.values())
        return _directory(directory, rotated=rotated, attempts=attempts - 1)
    return [
        Place(str(directory / name), opened.get(name))
        for head in sorted(found)
        for name in (found[head] if rotated else found[head][-1:])
    ]


def _settled(names: Callable[[], list[str]]) -> list[str]:
    """List until two listings agree: a name that changes during a listing may be in it twice, or not at all."""
    last = names()
    for _ in range(ATTEMPTS):
        again = names()
        if again == last:
            break
        last = again
    return last


def _unmoved(path: Path, file: BinaryIO | None) -> bool:
    """Tell whether `path` is still the file that was opened (or is still missing): then no rotation came between."""
    try:
        now = path.stat()
    except OSError:
        return file is None
    return file is not None and os.path.samestat(now, os.fstat(file.fileno()))


def _close(files: Iterable[BinaryIO | None]) -> None:
    for file in files:
        if file is not None:
            file.close()


def _log_names(directory: Path) -> list[str]:
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries if _is_log_name(entry.name) and entry.is_file())


def _is_log_name(name: str) -> bool:
    return unpacked_name(part_of(name).head).endswith(LOG_NAMES) and not name.startswith(".")


def _each_once(places: list[Place]) -> list[Place]:
    """Drop what is there twice: the same file under two names, and a packed file beside its plain twin."""
    plain = {place.path for place in places}
    first: dict[object, Place] = {}
    for place in places:
        if place.path.endswith(PACKED) and unpacked_name(place.path) in plain:
            place.close()
            continue
        if first.setdefault(_identity(place), place) is not place:
            place.close()
    return list(first.values())


def _identity(place: Place) -> object:
    """Device and inode; the path where there is none to see."""
    if place.path == STANDARD_INPUT or place.problem:
        return place.path, place.problem
    try:
        seen = os.fstat(place.file.fileno()) if place.file is not None else Path(place.path).stat()
    except OSError:
        return place.path
    return seen.st_dev, seen.st_ino


def _opened(path: str | Path) -> BinaryIO:
    return Path(path).open("rb", buffering=0)


def _opened_if_there(path: Path) -> BinaryIO | None:
    try:
        return _opened(path)
    except FileNotFoundError:
        return None


def _opened_or_later(path: Path) -> BinaryIO | None:
    """Open one of many; if it cannot be opened, that is said when its turn comes."""
    try:
        return _opened(path)
    except OSError:
        return None

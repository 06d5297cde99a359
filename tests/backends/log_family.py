"""What the tests of the log's files share: lines that tell their number, and a reader of whole families."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
NOON_NS = 1_767_268_800 * SECOND
"""2026-01-01T12:00:00Z"""


class Clock:
    """A wall clock that stands still until somebody turns it."""

    def __init__(self, now_ns: int = NOON_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def turn(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)


class Reports:
    """Collects what a file or a sweep reports."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.texts: list[str] = []

    def __call__(self, kind: str, text: str) -> None:
        self.kinds.append(kind)
        self.texts.append(text)


def line(number: int, length: int = 100) -> bytes:
    """A line of exactly `length` bytes, newline included, that tells its number."""
    head = f'{{"n":{number},"pad":"'.encode()
    return head + b"x" * (length - len(head) - 3) + b'"}\n'


def numbers(data: bytes) -> list[int]:
    """The numbers of the whole lines in `data`; -1 stands for a fragment or anything else."""
    found = []
    for text in data.split(b"\n")[:-1]:
        whole = text.startswith(b'{"n":') and text.endswith(b'"}') and text.count(b"{") == 1
        found.append(int(text[5 : text.index(b",")]) if whole else -1)
    if not data.endswith(b"\n") and data:
        found.append(-1)
    return found


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()


def family(path: Path) -> list[Path]:
    """The backups of the log at `path`, oldest first, the log itself last; a packed one counts if it stands alone."""
    backups = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}")) + [
        packed
        for packed in sorted(path.parent.glob(f"{path.stem}-*{path.suffix}.gz"))
        if not packed.with_suffix("").exists()
    ]
    plain = [backup for backup in backups if not backup.is_symlink()]
    return [*sorted(plain, key=lambda backup: backup.name), *([path] if path.exists() else [])]


def all_numbers(path: Path) -> list[int]:
    """The numbers of all lines of a family, in the order of the files' names."""
    return [number for part in family(path) for number in numbers(content(part))]

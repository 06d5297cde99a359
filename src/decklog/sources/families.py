"""Rotated families: which files beside ``audit.log`` are its older parts, and in which order they were written.

Known are the names of kube-apiserver's rotation (``audit-2026-01-02T03-04-05.678.log``) and of logrotate
(``audit.log.1``, ``audit.log-20260102``), each also packed (``.gz``, ``.zst``). A file that stands there both plain and
packed is in the middle of being packed: the plain one is whole and is taken. Pure: names in, names out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKED: Final = (".gz", ".zst")
"""Endings of packed files."""
_DATED: Final = re.compile(
    r"(?P<stem>.+)-(?P<date>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3})(?P<extension>\.[^.]+)??(?:\.gz|\.zst)?",
    re.DOTALL | re.ASCII,
)
_DAILY: Final = re.compile(r"(?P<head>.+)[-.](?P<date>\d{8}(?:-\d{1,12})?)(?:\.gz|\.zst)?", re.DOTALL | re.ASCII)
_NUMBERED: Final = re.compile(r"(?P<head>.+)\.(?P<number>\d{1,7})(?:\.gz|\.zst)?", re.DOTALL | re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """A file name, read as the part of a family."""

    head: str
    """The name of the file that is being written."""
    age: tuple[int, str, int]
    """Sorts parts of one head from the oldest to the head itself."""


def unpacked_name(name: str) -> str:
    """Give the name without the ending of a packed file."""
    return name.removesuffix(".gz").removesuffix(".zst") if name.endswith(PACKED) else name


def part_of(name: str) -> Part:
    """Read a file name; one that is no older part of anything is a head."""
    if match := _DATED.fullmatch(name):
        return Part(match["stem"] + (match["extension"] or ""), (0, match["date"], 0))
    if match := _DAILY.fullmatch(name):
        return Part(match["head"], (0, match["date"], 0))
    if match := _NUMBERED.fullmatch(name):
        return Part(match["head"], (1, "", -int(match["number"])))
    return Part(name, (2, "", 0))


def older_parts(head: str, names: Iterable[str]) -> list[str]:
    """Choose from a directory's `names` the older parts of the log `head`, oldest first."""
    return [name for name in families(names).get(head, ()) if name != head]


def families(names: Iterable[str]) -> dict[str, list[str]]:
    """Sort a directory's `names` into families: head → parts, oldest first, the head (if it is there) last."""
    everything = set(names)
    found: dict[str, list[str]] = {}
    for name in sorted(everything):
        if not (name.endswith(PACKED) and unpacked_name(name) in everything):
            found.setdefault(part_of(name).head, []).append(name)
    return {head: sorted(parts, key=lambda name: part_of(name).age) for head, parts in found.items()}

"""Reads journals, finished and open ones, without a lock: for sealing, for questions, for `store check`.

What is read from an open segment may be a moment ahead of its acknowledgement. Its last line may be torn; it is left
out, as is what a power cut left of lines that nobody was told are stored (a NUL in them). In a finished segment such a
line is damage, hence given as it is: who parses it will tell.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from decklog.store import writer_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from decklog.disk import Disk

_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class JournalSegment:
    """A segment of some writer."""

    path: Path
    writer: str
    """The name of its folder."""
    cluster: str
    number: int
    open: bool
    """It is its writer's newest: lines may still come, and its number must stay."""


def segments(store: Path, disk: Disk) -> list[JournalSegment]:
    """List the segments of all writers of a store, oldest first in each. Raises OSError; no store, no segments.

    One may be sealed and removed before it is read: whoever needs every event lists these first, the catalog second.
    """
    journal = store / writer_files.JOURNAL
    try:
        writers = sorted(disk.list(journal))
    except FileNotFoundError:
        return []
    return [segment for writer in writers for segment in _of_writer(journal / writer, disk)]


def _of_writer(folder: Path, disk: Disk) -> Iterator[JournalSegment]:
    try:
        cluster = writer_files.cluster_of(disk, folder)
        numbers = writer_files.numbers(disk, folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    if cluster is None:
        return
    for number in numbers:
        path = writer_files.segment_path(folder, number)
        yield JournalSegment(path, folder.name, cluster, number, number == numbers[-1])


def lines(segment: JournalSegment, disk: Disk, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Give each whole line from `offset` on, with the offset where it begins; as it came, without its newline.

    Raises OSError; FileNotFoundError if it was sealed and removed meanwhile.
    """
    fd = disk.open(segment.path, os.O_RDONLY)
    try:
        rest = bytearray()
        read = offset
        while chunk := disk.read_at(fd, _READ_BYTES, read):
            read += len(chunk)
            newline = chunk.rfind(b"\n")
            if newline < 0:
                rest += chunk
                continue
            for line in (bytes(rest) + chunk[:newline]).split(b"\n"):
                if not segment.open or b"\0" not in line:
                    yield offset, line
                offset += len(line) + 1
            rest = bytearray(chunk[newline + 1 :])
    finally:
        disk.close(fd)

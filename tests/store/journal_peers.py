"""What the tests of the journal share: numbered events, and the reading back of a whole store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from decklog.disk import Disk
from decklog.store import reading
from decklog.store.journal import Item, Journal, identity_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CLUSTER: Final = "harbour"
_NUMBER: Final = re.compile(rb'\{"level":"Metadata","auditID":"(\d+)","pad":"(x*)"\}')


def item(number: int, pad: int | None = None) -> Item:
    """Make an event whose number is its audit ID; without `pad` its length follows from the number."""
    width = number * 7919 % 700 if pad is None else pad
    line = b'{"level":"Metadata","auditID":"%d","pad":"%b"}' % (number, b"x" * width)
    return Item(line, identity_of(CLUSTER, line))


def items(numbers: Iterable[int]) -> list[Item]:
    return [item(number) for number in numbers]


def number_of(line: bytes) -> int:
    """Read the number back; a line that is not as it was fails."""
    found = _NUMBER.fullmatch(line)
    assert found, line[:200]
    return int(found[1])


def numbers_in(store: Path, disk: Disk | None = None) -> list[int]:
    """Read all events of a store."""
    disk = disk or Disk()
    return [number_of(line) for segment in reading.segments(store, disk) for _, line in reading.lines(segment, disk)]


def journal(store: Path, disk: Disk, writer: str = "one", *, segment_bytes: int = 5000) -> Journal:
    return Journal(store / "journal" / writer, disk, cluster=CLUSTER, segment_bytes=segment_bytes)

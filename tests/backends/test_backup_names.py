from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.backends.backup_names import LAST_MS, Family, packed_path, packing_path, stamp_text

NOON_MS = 1_767_268_800_123


@pytest.mark.parametrize(
    ("log", "backup"),
    [
        ("audit.log", "audit-2026-01-01T12-00-00.123.log"),
        ("audit", "audit-2026-01-01T12-00-00.123"),
        ("kube.audit.json", "kube.audit-2026-01-01T12-00-00.123.json"),
        (".audit", "-2026-01-01T12-00-00.123.audit"),
        ("[a]*.log", "[a]*-2026-01-01T12-00-00.123.log"),
    ],
)
def test_backups_are_named_as_lumberjack_names_them(log: str, backup: str) -> None:
    """A backup bears stem, UTC time to the millisecond and extension, the extension from the last dot on."""
    family = Family.of(Path("/var/log") / log)
    assert family.backup(NOON_MS) == Path("/var/log") / backup
    read = family.read(backup)
    assert read is not None
    assert (read.stamp_ms, read.packed, read.leftover) == (NOON_MS, False, False)


@pytest.mark.parametrize(
    "name",
    [
        "audit.log",
        "other.log",
        "audit-notatime.log",
        "audit-2026-13-01T12-00-00.123.log",
        "audit-2026-02-30T12-00-00.123.log",
        "audit-2026-01-01T12-00-00.123.log.1",
        "audit-2026-01-01T12-00-00.123.log.gz.bak",
        "audit-2026-01-01T12-00-00.123.log.tmp",
        "audit-2026-01-01T12-00-00.123.log.gz.tmp",
        ".audit-2026-01-01T12-00-00.123.log",
        "audit-2026-01-01T12-00-00.1234.log",
        "audit-٢٠٢٦-01-01T12-00-00.123.log",
        "xaudit-2026-01-01T12-00-00.123.log",
        "audit-2026-01-01T12-00-00.123.log\n",
        "audit-2026-01-01T12-00-00.123",
    ],
)
def test_foreign_names_are_foreign(name: str) -> None:
    """A name that is not exactly a backup's belongs to somebody else."""
    assert Family.of(Path("/var/log/audit.log")).read(name) is None


def test_packed_and_half_packed_backups_are_told_apart() -> None:
    """A packed backup and a leftover of packing are read for what they are."""
    family = Family.of(Path("/var/log/audit.log"))
    backup = family.backup(NOON_MS)
    packed = family.read(packed_path(backup).name)
    leftover = family.read(packing_path(backup).name)
    assert packed is not None
    assert packed.packed
    assert not packed.leftover
    assert leftover is not None
    assert leftover.leftover


@given(st.integers(0, LAST_MS))
def test_every_moment_reads_back(stamp_ms: int) -> None:
    """Writing a moment into a name and reading it again gives the same millisecond."""
    family = Family.of(Path("/d/a.log"))
    read = family.read(family.backup(stamp_ms).name)
    assert read is not None
    assert read.stamp_ms == stamp_ms


@given(st.lists(st.integers(0, LAST_MS), max_size=20))
def test_names_sort_as_their_times(stamps: list[int]) -> None:
    """Sorting names sorts moments."""
    assert sorted(map(stamp_text, stamps)) == [stamp_text(stamp) for stamp in sorted(stamps)]


@pytest.mark.parametrize("stamp_ms", [-1, LAST_MS + 1, 10**18])
def test_a_clock_gone_mad_is_an_error_of_the_disk_kind(stamp_ms: int) -> None:
    """A moment that no name can hold is an OSError, which rotation reports and survives."""
    with pytest.raises(OSError, match="clock"):
        stamp_text(stamp_ms)

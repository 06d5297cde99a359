from __future__ import annotations

import gzip
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.faulty_disk import DISK_FULL, FaultyDisk
from backends.log_family import NOON_NS, Clock, Reports, line
from decklog.backends.backup_names import Family, packing_path
from decklog.backends.retention import DAY_MS, UNSET_CLOCK_MS, Limits, Retention, condemned
from decklog.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path

NOON_MS = NOON_NS // 1_000_000
DAY_S = 86_400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def backups(path: Path, *days_old: float) -> list[Path]:
    """Make backups of so many days of age."""
    made = [Family.of(path).backup(NOON_MS - int(days * DAY_MS)) for days in days_old]
    for number, backup in enumerate(made):
        backup.write_bytes(line(number) * 20)
    return made


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def retention(path: Path, limits: Limits, **options: Any) -> Retention:
    options = {
        "disk": Disk(),
        "report": Reports(),
        "clock_ns": Clock(),
        "monotonic_ns": Clock(0),
        "in_use": lambda: (0, 0),
        **options,
    }
    return Retention(path=path, limits=limits, **options)


@pytest.mark.parametrize(
    ("name", "days_old", "limits", "kept"),
    [
        ("no limits", [1, 2, 3], Limits(), [1, 2, 3]),
        ("the newest two", [3, 1, 2, 4], Limits(max_backups=2), [1, 2]),
        ("by age", [1, 6.9, 7.1, 400], Limits(max_age_days=7), [1, 6.9]),
        ("both", [1, 2, 3, 9], Limits(max_backups=3, max_age_days=2), [1, 2]),
        ("names from the future are young", [-400, 1, 10], Limits(max_age_days=7), [-400, 1]),
        ("names from before 2014 are of a clock that was not set", [1, 20_000], Limits(max_age_days=7), [1, 20_000]),
    ],
)
def test_what_is_kept(name: str, days_old: list[float], limits: Limits, kept: list[float], path: Path) -> None:
    """Count keeps the newest by name, age removes what is older, whatever order they stand in."""
    backups(path, *days_old)
    retention(path, limits).sweep()
    assert names(path) == sorted(Family.of(path).backup(NOON_MS - int(days * DAY_MS)).name for days in kept), name


def test_a_backup_and_its_packed_form_count_once(path: Path) -> None:
    """Of three backups, one of them there twice, the limit two removes the oldest only."""
    newest, middle, oldest = backups(path, 1, 2, 3)
    middle.with_name(middle.name + ".gz").write_bytes(b"")
    retention(path, Limits(max_backups=2)).sweep()
    assert names(path) == sorted([newest.name, middle.name, middle.name + ".gz"])
    retention(path, Limits(max_backups=1)).sweep()
    assert names(path) == [newest.name]
    assert not oldest.exists()


def test_foreign_names_links_and_directories_are_kept(path: Path) -> None:
    """Nothing is removed that is not a plain file with a backup's exact name, nor does it count."""
    _, old = backups(path, 1, 5)
    link, directory = backups(path, 2, 3)
    link.unlink()
    link.symlink_to(path.with_name("foreign"))
    directory.unlink()
    directory.mkdir()
    for name in ("audit.log", "audit-notatime.log", "other.log", "audit-2026-01-01T12-00-00.000.log.bak"):
        path.with_name(name).write_text("kept\n")
    before = names(path)
    retention(path, Limits(max_backups=1, max_age_days=1)).sweep()
    assert names(path) == [name for name in before if name != old.name]


def test_the_file_that_is_being_written_is_never_touched(path: Path) -> None:
    """A log that is on a detour bears a backup's name, and is neither removed nor packed."""
    (writing,) = backups(path, 500)
    backups(path, 1, 2)
    found = writing.stat()
    retention(path, Limits(1, 7, compress=True), in_use=lambda: (found.st_dev, found.st_ino)).sweep()
    assert writing.exists()
    assert len(names(path)) == 2


@pytest.mark.parametrize(("jump_days", "removed"), [(400, False), (-400, False), (0, True), (0.02, True)])
def test_a_clock_that_jumps_removes_nothing_by_age(jump_days: float, removed: bool, path: Path) -> None:
    """After a jump of more than an hour age counts again only when the clock was steady for a day."""
    clock, monotonic, reports = Clock(), Clock(0), Reports()
    backups(path, 8, 401)
    sweeper = retention(path, Limits(max_age_days=400), clock_ns=clock, monotonic_ns=monotonic, report=reports)
    clock.turn(jump_days * DAY_S)
    sweeper.sweep()
    assert (len(names(path)) == 1) == removed
    assert ("clock" in reports.kinds) != removed
    for _ in range(25):
        clock.turn(3600)
        monotonic.turn(3600)
        sweeper.sweep()
    assert len(names(path)) == (0 if jump_days > 0.1 else 2 if jump_days < 0 else 1)


def test_count_still_holds_while_the_clock_is_not_trusted(path: Path) -> None:
    """The number of backups does not depend on the clock."""
    clock = Clock()
    newest, *_ = backups(path, 1, 2, 3)
    sweeper = retention(path, Limits(max_backups=1), clock_ns=clock)
    clock.turn(DAY_S * 4000)
    sweeper.sweep()
    assert names(path) == [newest.name]


def test_packing_keeps_content_mode_and_time(path: Path) -> None:
    """A packed backup holds the same bytes, is as private, and bears the time of the original, which is gone."""
    (backup,) = backups(path, 1)
    backup.chmod(0o640)
    os.utime(backup, (1_000_000_000, 1_500_000_000))
    data = backup.read_bytes()
    retention(path, Limits(compress=True)).sweep()
    packed = backup.with_name(backup.name + ".gz")
    assert names(path) == [packed.name]
    assert gzip.decompress(packed.read_bytes()) == data
    found = packed.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o640, 1_500_000_000)


def test_what_a_kill_left_is_packed_again(path: Path) -> None:
    """A leftover is removed; an original beside a packed file is packed again, for the packed one may be half."""
    (backup,) = backups(path, 1)
    data = backup.read_bytes()
    packing_path(backup).write_bytes(b"half")
    backup.with_name(backup.name + ".gz").write_bytes(b"half of another program's")
    retention(path, Limits(compress=True)).sweep()
    assert names(path) == [backup.name + ".gz"]
    assert gzip.decompress((path.parent / names(path)[0]).read_bytes()) == data


def test_a_backup_that_grows_is_not_packed(path: Path) -> None:
    """If somebody still writes to a backup, nothing is removed, and it is packed when they have stopped."""
    (backup,) = backups(path, 1)

    class Growing(Disk):
        def read_at(self, fd: int, size: int, offset: int) -> bytes:
            data = super().read_at(fd, size, offset)
            if not data:
                with backup.open("ab") as late:
                    late.write(line(99))
            return data

    reports = Reports()
    retention(path, Limits(compress=True), disk=Growing(), report=reports).sweep()
    assert names(path) == [backup.name]
    assert reports.kinds == ["compress"]
    retention(path, Limits(compress=True)).sweep()
    packed = backup.with_name(backup.name + ".gz")
    assert gzip.decompress(packed.read_bytes()).endswith(line(99))


def test_each_failure_of_packing_is_reported_and_made_up_for(path: Path) -> None:
    """Whichever call fails while packing: it is reported, the content is there, the next sweep ends the work."""
    (backup,) = backups(path, 1)
    data = backup.read_bytes()
    packed = backup.with_name(backup.name + ".gz")
    at = 0
    met = "?"
    while met:
        at += 1
        packed.unlink(missing_ok=True)
        backup.write_bytes(data)
        reports = Reports()
        disk = FaultyDisk("fail", at, code=DISK_FULL)
        retention(path, Limits(compress=True), disk=disk, report=reports).sweep()
        met = disk.met
        if met:
            assert {*reports.kinds} <= {"compress", "remove"}, met
            assert reports.kinds, f"a failing {met} is reported"
            whole = backup.exists() and backup.read_bytes() == data
            assert whole or gzip.decompress(packed.read_bytes()) == data, met
        retention(path, Limits(compress=True)).sweep()
        assert names(path) == [packed.name], met
        assert gzip.decompress(packed.read_bytes()) == data
    assert at > 12


def test_a_removal_that_fails_is_reported(path: Path) -> None:
    """A backup that cannot be removed is told, and the others go."""
    backups(path, 1, 2, 3)
    reports = Reports()
    retention(path, Limits(max_backups=1), disk=FaultyDisk("fail", 1, only="unlink"), report=reports).sweep()
    assert reports.kinds == ["remove"]
    assert len(names(path)) == 2


def test_a_directory_that_cannot_be_listed_is_reported(path: Path) -> None:
    """Without a listing nothing is done and it is told."""
    backups(path, 1, 2, 3)
    reports = Reports()
    retention(path, Limits(max_backups=1), disk=FaultyDisk("fail", 1, only="list"), report=reports).sweep()
    assert reports.kinds == ["remove"]
    assert len(names(path)) == 3


def test_whoever_is_in_a_hurry_leaves_the_rest(path: Path) -> None:
    """A sweep that is told to hurry stops packing, leaves no half file, and the next one goes on."""
    backups(path, 1, 2, 3)
    calls = iter([False, False, True])
    retention(path, Limits(compress=True)).sweep(lambda: next(calls, True))
    assert sum(name.endswith(".gz") for name in names(path)) == 1
    assert len(names(path)) == 3
    retention(path, Limits(compress=True)).sweep()
    assert all(name.endswith(".gz") for name in names(path))


@given(
    stamps=st.lists(st.integers(UNSET_CLOCK_MS, NOON_MS + 10**9), max_size=12),
    limits=st.builds(Limits, st.integers(0, 5), st.integers(0, 4000)),
    now_ms=st.one_of(st.none(), st.integers(UNSET_CLOCK_MS, NOON_MS + 10**9)),
)
def test_nothing_newer_goes_before_something_older(stamps: list[int], limits: Limits, now_ms: int | None) -> None:
    """Every backup that is removed is older than every one that is kept."""
    gone = condemned(stamps, limits, now_ms)
    kept = set(stamps) - gone
    assert not gone or not kept or max(gone) < min(kept)
    assert not limits.max_backups or len(kept) <= limits.max_backups

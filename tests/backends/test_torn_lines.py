"""A line that is not whole never runs into the next one."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import FaultyDisk
from backends.log_family import Clock, Reports, all_numbers, family, line, numbers
from decklog.backends.rotate import RotatingFile
from decklog.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path


def opened(path: Path, disk: Disk, reports: Reports | None = None, max_bytes: int = 0) -> RotatingFile:
    file = RotatingFile(disk, path, max_bytes=max_bytes, report=reports or Reports(), clock_ns=Clock())
    file.open()
    return file


def test_a_last_line_without_its_end_is_closed_at_the_start(tmp_path: Path) -> None:
    """What a crash left is kept on a line of its own, before the first event."""
    path = tmp_path / "audit.log"
    path.write_bytes(line(0) + line(1)[:50])
    reports = Reports()
    file = opened(path, Disk(), reports)
    file.write(line(2))
    file.close()
    assert path.read_bytes() == line(0) + line(1)[:50] + b"\n" + line(2)
    assert reports.kinds == ["torn"]


@pytest.mark.parametrize("cut", [0, 1, 50, 99, 100])
def test_only_what_is_torn_is_closed(cut: int, tmp_path: Path) -> None:
    """A newline is added exactly if the file does not end in one."""
    path = tmp_path / "audit.log"
    path.write_bytes(line(0)[:cut])
    file = opened(path, Disk())
    file.write(line(1))
    file.close()
    assert path.read_bytes() == line(0)[:cut] + (b"\n" if 0 < cut < 100 else b"") + line(1)


def test_a_torn_line_does_not_travel_into_the_next_file(tmp_path: Path) -> None:
    """A file that ends torn and is due for rotation is closed first."""
    path = tmp_path / "audit.log"
    path.write_bytes(b"x" * 1000)
    file = opened(path, Disk(), max_bytes=1000)
    file.write(line(1))
    file.close()
    assert [part.read_bytes() for part in family(path)] == [b"x" * 1000 + b"\n", line(1)]


def test_a_short_write_is_completed(tmp_path: Path) -> None:
    """If the kernel takes half a line and then the rest, the line is whole and no error."""
    path = tmp_path / "audit.log"
    file = opened(path, FaultyDisk("tear", 1, only="append"))
    file.write(line(0))
    file.write(line(1))
    file.close()
    assert path.read_bytes() == line(0) + line(1)


def test_a_short_write_of_several_lines_is_completed(tmp_path: Path) -> None:
    """The same for lines that go in one piece."""
    path = tmp_path / "audit.log"
    file = opened(path, FaultyDisk("tear", 2, only="append"))
    file.write(line(0))
    file.check()
    assert file.write_lines([line(number) for number in range(1, 8)]) == []
    file.close()
    assert all_numbers(path) == list(range(8))


def test_of_several_lines_those_that_are_whole_count(tmp_path: Path) -> None:
    """When the disk fills in the middle of seven lines, three are stored, and four are lost, one of them torn."""
    path = tmp_path / "audit.log"
    disk = FaultyDisk("full", 2, only="append")
    file = opened(path, disk)
    file.write(line(0))
    file.check()
    errors = file.write_lines([line(number) for number in range(1, 8)])
    assert [error.errno for error in errors] == [errno.ENOSPC] * 4
    disk.freed()
    file.check()
    assert path.read_bytes().endswith(b"\n"), "the torn line is closed without waiting for the next event"
    file.write(line(8))
    file.close()
    assert all_numbers(path) == [0, 1, 2, 3, -1, 8]


def test_a_line_that_lacks_only_its_newline_is_stored(tmp_path: Path) -> None:
    """The event is there; its newline follows before the next one."""
    path = tmp_path / "audit.log"

    class AlmostFull(FaultyDisk):
        def _meet(self, *_: object) -> int:
            self._full = True
            return os.write(file._fd, line(1)[:-1])

    disk = AlmostFull("full", 2, only="append")
    file = opened(path, disk)
    file.write(line(0))
    file.write(line(1))
    disk.freed()
    file.write(line(2))
    file.close()
    assert path.read_bytes() == line(0) + line(1) + line(2)


def test_a_kernel_that_takes_nothing_has_torn_nothing(tmp_path: Path) -> None:
    """An error before the first byte leaves no fragment and no empty line."""
    path = tmp_path / "audit.log"
    disk = FaultyDisk()
    file = opened(path, disk)
    disk._full = True
    for number in range(3):
        with pytest.raises(OSError, match="No space"):
            file.write(line(number))
    disk.freed()
    file.write(line(3))
    file.close()
    assert path.read_bytes() == line(3)


def test_a_file_size_limit_of_the_real_kernel(tmp_path: Path) -> None:
    """With RLIMIT_FSIZE in the way lines are refused, and once it is lifted the next one stands whole."""
    script = (
        "import resource, signal, sys; from pathlib import Path; from backends.log_family import Reports, line;"
        "from decklog.backends.rotate import RotatingFile; from decklog.disk import Disk\n"
        "file = RotatingFile(Disk(), Path(sys.argv[1]), max_bytes=0, report=Reports()); file.open()\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1050, hard))\n"
        "for number in range(20):\n"
        "    try: file.write(line(number))\n"
        "    except OSError as error: print(number, error.errno)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "file.write(line(20)); file.close()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    path = tmp_path / "audit.log"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:-1] == [f"{number} {errno.EFBIG}" for number in range(10, 20)]
    assert numbers(path.read_bytes()) == [*range(10), -1, 20]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY

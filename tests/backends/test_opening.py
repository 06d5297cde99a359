from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from backends.faulty_disk import FaultyDisk
from backends.log_family import Reports
from decklog.backends.opening import identity, make_log, open_log
from decklog.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _symlink(path: Path) -> None:
    path.symlink_to(path.with_name("target"))


def _good_symlink(path: Path) -> None:
    path.with_name("target").write_text("")
    path.symlink_to(path.with_name("target"))


def _hard_link(path: Path) -> None:
    path.write_text("")
    path.with_name("other").hardlink_to(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    ("kind", "put", "reason"),
    [
        ("a dangling symbolic link", _symlink, "symbolic link"),
        ("a symbolic link to a file", _good_symlink, "symbolic link"),
        ("a hard-linked file", _hard_link, "2 names"),
        ("a directory", lambda path: path.mkdir(), "directory"),
        ("a FIFO", os.mkfifo, "FIFO"),
        ("a socket", _socket, "socket"),
    ],
)
def test_what_is_no_plain_file_of_its_own_is_refused(
    kind: str, put: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    """Opening a log where something else stands fails with the reason, and touches nothing."""
    path = tmp_path / "audit.log"
    put(path)
    before = sorted(tmp_path.iterdir()), path.lstat().st_mtime_ns
    with pytest.raises(OSError, match=reason):
        open_log(Disk(), path, Reports())
    assert (sorted(tmp_path.iterdir()), path.lstat().st_mtime_ns) == before, kind


def test_a_device_is_refused() -> None:
    """A device is no log; standard output is spelled ``-``."""
    from pathlib import Path  # noqa: PLC0415  # because: the module needs it for types only

    with pytest.raises(OSError, match="device"):
        open_log(Disk(), Path("/dev/null"), Reports())


def test_a_link_that_comes_between_asking_and_opening_is_not_followed(tmp_path: Path) -> None:
    """Exchanging the file for a link after it was looked at gains nothing."""
    path = tmp_path / "audit.log"

    class Racing(Disk):
        def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
            if not path.is_symlink():
                path.symlink_to(tmp_path / "target")
            return super().open(path, flags, mode)

    with pytest.raises(OSError, match="symbolic"):
        open_log(Racing(), path, Reports())
    assert not (tmp_path / "target").exists()


def test_a_new_log_is_private_and_so_are_its_directories(tmp_path: Path) -> None:
    """A missing log is made 0600, each missing directory 0700."""
    path = tmp_path / "a" / "b" / "audit.log"
    opened = open_log(Disk(), path, Reports())
    os.close(opened.fd)
    assert opened.size == 0
    assert opened.identity == identity(path.stat())
    modes = [stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


def test_an_existing_log_keeps_its_mode(tmp_path: Path) -> None:
    """Opening changes neither mode nor content of what is there."""
    path = tmp_path / "audit.log"
    path.write_text("old\n")
    path.chmod(0o640)
    opened = open_log(Disk(), path, Reports(), like=tmp_path.stat())
    os.close(opened.fd)
    assert (stat.S_IMODE(path.stat().st_mode), path.read_text(), opened.size) == (0o640, "old\n", 4)


def test_a_successor_has_the_mode_but_is_no_program(tmp_path: Path) -> None:
    """A new file gets the read and write bits of its forerunner, never execute or set-id bits."""
    old = tmp_path / "old"
    old.write_text("")
    old.chmod(0o6754)
    opened = make_log(Disk(), tmp_path / "new", Reports(), old.stat())
    os.close(opened.fd)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o644


@pytest.mark.parametrize(("operation", "kind"), [("set_mode", "mode"), ("set_owner", "owner")])
def test_a_successor_without_mode_or_owner_is_reported(operation: str, kind: str, tmp_path: Path) -> None:
    """Failing to pass on mode or owner costs no event: it is reported."""
    old = tmp_path / "old"
    old.write_text("")
    old.chmod(0o644)
    found = old.stat()
    other_owner = os.stat_result((*found[:4], found.st_uid + 1, *found[5:10]))
    reports = Reports()
    opened = make_log(FaultyDisk("fail", 1, only=operation), tmp_path / "new", reports, other_owner)
    os.close(opened.fd)
    assert kind in reports.kinds


def test_making_a_log_takes_no_existing_name(tmp_path: Path) -> None:
    """`make_log` fails where anything stands."""
    (tmp_path / "audit.log").write_text("")
    with pytest.raises(FileExistsError):
        make_log(Disk(), tmp_path / "audit.log", Reports(), None)

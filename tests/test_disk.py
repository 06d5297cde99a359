from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from decklog import disk as module
from decklog.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["renameat2", "placeholder"])
def disk(request: pytest.FixtureRequest) -> Disk:
    """A disk that can rename without replacing, and one whose file system does not offer it."""
    made = Disk()
    if request.param == "placeholder":
        made._renameat2 = lambda *_: False
    return made


def test_a_rename_replaces_nothing(disk: Disk, tmp_path: Path) -> None:
    """Renaming onto an existing name fails and leaves both files as they were."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("old")
    new.write_text("new")
    with pytest.raises(FileExistsError):
        disk.rename_noreplace(old, new)
    assert (old.read_text(), new.read_text()) == ("old", "new")


def test_a_rename_to_a_free_name_moves(disk: Disk, tmp_path: Path) -> None:
    """Renaming to a free name moves the file, whatever bytes its name holds."""
    old, new = tmp_path / os.fsdecode(b"caf\xe9"), tmp_path / "new"
    old.write_text("old")
    disk.rename_noreplace(old, new)
    assert new.read_text() == "old"
    assert not old.exists()


def test_a_failed_rename_leaves_no_placeholder(disk: Disk, tmp_path: Path) -> None:
    """Renaming a file that is not there raises and leaves nothing behind."""
    with pytest.raises(FileNotFoundError):
        disk.rename_noreplace(tmp_path / "none", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_symbolic_link_at_the_new_name_is_not_followed(disk: Disk, tmp_path: Path) -> None:
    """A dangling link is a taken name."""
    (tmp_path / "old").write_text("old")
    (tmp_path / "new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        disk.rename_noreplace(tmp_path / "old", tmp_path / "new")
    assert not (tmp_path / "elsewhere").exists()


def test_where_the_c_library_has_no_renameat2_the_placeholder_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk made where renameat2 is missing still never replaces."""
    monkeypatch.setattr(module, "_load_renameat2", lambda: None)
    (tmp_path / "old").write_text("old")
    Disk().rename_noreplace(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "new").read_text() == "old"


def test_open_does_not_follow_a_link(tmp_path: Path) -> None:
    """Opening through a symbolic link fails with ELOOP and makes nothing."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic") as caught:
        Disk().open(tmp_path / "link", os.O_RDWR | os.O_CREAT)
    assert caught.value.errno == errno.ELOOP
    assert not (tmp_path / "target").exists()


def test_open_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    """Opening a FIFO without a reader fails at once."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device"):
        Disk().open(tmp_path / "fifo", os.O_WRONLY)


def test_descriptors_are_not_inherited(tmp_path: Path) -> None:
    """An open file does not leak into child processes."""
    disk = Disk()
    fd = disk.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    assert not os.get_inheritable(fd)
    disk.close(fd)


@pytest.mark.parametrize(("size", "left"), [(0, b""), (2, b"ab"), (3, b"abc"), (5, b"abc\0\0")])
def test_a_file_is_cut_to_a_size(size: int, left: bytes, tmp_path: Path) -> None:
    """What is behind goes; whoever appends next does so at the new end."""
    disk = Disk()
    fd = disk.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        disk.append(fd, b"abc")
        disk.truncate(fd, size)
        disk.append(fd, b"!")
    finally:
        disk.close(fd)
    assert (tmp_path / "file").read_bytes() == left + b"!"


def test_the_rest_of_the_file_system(tmp_path: Path) -> None:
    """Appending, reading, listing, syncing, mode, times, renaming over and unlinking do what they say."""
    disk = Disk()
    directory = tmp_path / "made"
    disk.mkdir(directory, 0o700)
    fd = disk.open(directory / "file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    assert disk.append(fd, b"one two") == 7
    assert disk.read_at(fd, 3, 4) == b"two"
    disk.set_mode(fd, 0o640)
    disk.set_owner(fd, os.getuid(), os.getgid())
    disk.set_times(fd, 1_000_000_000, 2_000_000_000)
    disk.datasync(fd)
    disk.sync_dir(directory)
    found = disk.fstat(fd)
    assert (stat.S_IMODE(found.st_mode), found.st_mtime, found.st_size) == (0o640, 2.0, 7)
    disk.close(fd)
    (directory / "over").write_text("gone")
    disk.rename(directory / "file", directory / "over")
    assert disk.list(directory) == ["over"]
    assert disk.stat(directory / "over").st_ino == found.st_ino
    disk.unlink(directory / "over")
    assert disk.list(directory) == []

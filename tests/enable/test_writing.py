from __future__ import annotations

import itertools
import os
import signal
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
import yaml

from backends.faulty_disk import DISK_FULL, IO_ERROR, FaultyDisk
from decklog.disk import Disk
from decklog.enable.backups import Backups
from decklog.enable.edit import plan
from decklog.enable.manifest import StaticPod
from decklog.enable.wanted import AuditWanted
from decklog.enable.writing import Manifests
from decklog.errors import DecklogError
from enable.corpus import FLAG, KUBEADM, MOUNT, SEED, Case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NO_PERMISSION = 13
OLD = KUBEADM.encode()
NEW = plan(StaticPod.read(OLD, "m"), AuditWanted(**SEED)).new


class Ticks:
    """A clock that goes on by a second a look."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


CLOCK = Ticks()
NUMBERS = itertools.count()
CASES = {**FLAG, **MOUNT}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifests" / "kube-apiserver.yaml"
    path.parent.mkdir()
    path.write_bytes(OLD)
    path.chmod(0o640)
    return path


def manifests(manifest: Path, disk: Disk | None = None) -> Manifests:
    disk = disk or Disk()
    return Manifests(
        disk, Backups(manifest.parent.parent / "backups", disk), CLOCK, lambda: f"{os.getpid()}-{next(NUMBERS)}"
    )


def beside(manifest: Path) -> list[str]:
    return sorted(path.name for path in manifest.parent.iterdir())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_undo_restores_the_bytes(manifest: Path, case: Case) -> None:
    """Whatever was edited, an undo gives back every byte, and mode and owner stay throughout."""
    old = case.manifest.encode()
    manifest.write_bytes(old)
    new = plan(StaticPod.read(old, "m"), AuditWanted(**case.wanted)).new
    if new == old:
        return
    store = manifests(manifest)
    record = store.write(manifest, old, new)
    assert manifest.read_bytes() == new
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o640
    assert store.backups.path_of(record).read_bytes() == old
    undone = store.undo(manifest)
    assert (undone.was, undone.now, undone.note) == (new, old, "")
    assert manifest.read_bytes() == old
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o640
    assert beside(manifest) == ["kube-apiserver.yaml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(manifest: Path) -> None:
    """A manifest of another owner and group is theirs after writing, and after the undo."""
    os.chown(manifest, 4321, 1234)
    store = manifests(manifest)
    store.write(manifest, OLD, NEW)
    found = manifest.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (4321, 1234, 0o640)
    store.undo(manifest)
    found = manifest.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (4321, 1234, 0o640)


def test_undo_goes_back_edit_by_edit(manifest: Path) -> None:
    """Two edits are undone in their turn; then there is nothing to undo."""
    store = manifests(manifest)
    store.write(manifest, OLD, NEW)
    newer = NEW.replace(b"maxage=10", b"maxage=20")
    store.write(manifest, NEW, newer)
    assert store.undo().now == NEW
    assert store.undo(manifest).now == OLD
    with pytest.raises(DecklogError, match="nothing to undo"):
        store.undo(manifest)
    with pytest.raises(DecklogError, match="nothing to undo"):
        store.undo()


def test_what_somebody_else_has_changed_is_not_undone(manifest: Path) -> None:
    """A manifest that was edited since is left alone, and the backup is named."""
    store = manifests(manifest)
    record = store.write(manifest, OLD, NEW)
    manifest.write_bytes(NEW + b"# by hand\n")
    with pytest.raises(DecklogError, match="has changed since") as caught:
        store.undo(manifest)
    assert str(store.backups.path_of(record)) in str(caught.value)
    with pytest.raises(DecklogError, match="has changed since"):
        store.undo(record=record)
    assert manifest.read_bytes() == NEW + b"# by hand\n"


def test_what_was_changed_between_reading_and_writing_stays(manifest: Path) -> None:
    """An edit that was planned on other bytes is not written."""
    manifest.write_bytes(OLD + b"# upgraded\n")
    with pytest.raises(DecklogError, match=r"changed since it was read: nothing was changed"):
        manifests(manifest).write(manifest, OLD, NEW)
    assert manifest.read_bytes() == OLD + b"# upgraded\n"


def test_a_backup_that_is_not_what_was_saved_is_not_restored(manifest: Path) -> None:
    """Bytes without the record's checksum never become a manifest."""
    store = manifests(manifest)
    record = store.write(manifest, OLD, NEW)
    store.backups.path_of(record).write_bytes(b"something else")
    with pytest.raises(DecklogError, match="is not what was saved"):
        store.undo(manifest)
    assert manifest.read_bytes() == NEW


def test_backups_that_others_may_write_are_not_restored(manifest: Path) -> None:
    """Who may write the backups could make any manifest of them: they are refused."""
    store = manifests(manifest)
    store.write(manifest, OLD, NEW)
    store.backups.directory.chmod(0o777)
    with pytest.raises(DecklogError, match="others may write"):
        store.undo(manifest)
    assert manifest.read_bytes() == NEW


def test_links_and_odd_files_are_refused(manifest: Path, tmp_path: Path) -> None:
    """A symbolic link would be replaced by a file, a FIFO would be waited for: both are refused by name."""
    link, fifo = tmp_path / "link.yaml", tmp_path / "fifo.yaml"
    link.symlink_to(manifest)
    os.mkfifo(fifo)
    for path, says in (
        (link, "is a symbolic link"),
        (fifo, "no plain file.*check the path"),
        (tmp_path, "no plain file"),
        (tmp_path / "x", "no such file"),
    ):
        with pytest.raises(DecklogError, match=says):
            manifests(manifest).write(path, OLD, NEW)
    assert link.is_symlink()


def test_a_linked_directory_is_followed(manifest: Path, tmp_path: Path) -> None:
    """A manifests directory that is reached by a link is the same directory."""
    (tmp_path / "linked").symlink_to(manifest.parent)
    store = manifests(manifest)
    store.write(tmp_path / "linked" / manifest.name, OLD, NEW)
    assert store.undo(manifest).now == OLD


def test_backups_do_not_lie_where_kubelet_would_run_them(manifest: Path, tmp_path: Path) -> None:
    """A directory for backups within the manifests, also by a link, is refused; so is one that others may write."""
    (tmp_path / "link").symlink_to(manifest.parent)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    for directory, says in (
        (manifest.parent / "b", "kubelet runs what lies there"),
        (tmp_path / "link", "kubelet runs what lies there"),
        (open_to_all, "others may write"),
    ):
        disk = Disk()
        with pytest.raises(DecklogError, match=says):
            Manifests(disk, Backups(directory, disk), Ticks(), lambda: "t").write(manifest, OLD, NEW)
    assert manifest.read_bytes() == OLD
    assert beside(manifest) == ["kube-apiserver.yaml"]


def test_one_run_at_a_time(manifest: Path) -> None:
    """While one run writes, another is told so."""
    store = manifests(manifest)
    store.backups.prepare(manifest)
    with store.backups.locked(), pytest.raises(DecklogError, match="another run is at work"):
        manifests(manifest).write(manifest, OLD, NEW)
    store.write(manifest, OLD, NEW)


def test_only_hidden_names_ever_stand_beside_the_manifest(manifest: Path) -> None:
    """At every step of writing, kubelet finds one name without a dot, and a whole manifest under it."""
    seen: set[str] = set()

    class Watching(FaultyDisk):
        def _call(self, name: str, real: object, *args: object) -> object:
            seen.update(beside(manifest))
            assert manifest.read_bytes() in {OLD, NEW}
            return super()._call(name, real, *args)  # type: ignore[arg-type]  # because: the real signature is wider

    manifests(manifest, Watching()).write(manifest, OLD, NEW)
    assert [name for name in seen if not name.startswith(".")] == ["kube-apiserver.yaml"]
    assert beside(manifest) == ["kube-apiserver.yaml"]


CODES = {"full disk": DISK_FULL, "no permission": NO_PERMISSION, "failing disk": IO_ERROR}


def refused(act: Callable[[], object]) -> str:
    """Give the refusal; empty: there was none."""
    try:
        act()
    except DecklogError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_every_failing_step_leaves_the_old_manifest(manifest: Path, code: int) -> None:
    """Whatever call fails, the old bytes are in place, no file is left beside them, and the next run succeeds."""
    failures = 0
    for at in range(1, 500):
        disk = FaultyDisk("fail", at, code=code)
        refusal = refused(partial(manifests(manifest, disk).write, manifest, OLD, NEW))
        if refusal:
            failures += 1
            assert manifest.read_bytes() == OLD, disk.met
            assert "nothing was changed" in refusal, disk.met
            assert stat.S_IMODE(manifest.stat().st_mode) == 0o640
        else:
            assert manifest.read_bytes() == NEW
            manifests(manifest).undo(manifest)
            if not disk.met:
                break
        assert [name for name in beside(manifest) if not name.startswith(".")] == ["kube-apiserver.yaml"]
    else:
        pytest.fail("there is no end of steps")
    assert failures > 20
    assert beside(manifest) == ["kube-apiserver.yaml"]


@pytest.mark.parametrize("kind", ["tear", "full"])
def test_a_disk_that_takes_a_part_is_no_torn_manifest(manifest: Path, kind: str) -> None:
    """A write that takes half is gone on with; where no more is taken, the old manifest is in place."""
    for at in range(1, 6):
        disk = FaultyDisk(kind, at, only="append")
        refusal = refused(partial(manifests(manifest, disk).write, manifest, OLD, NEW))
        if refusal:
            assert kind == "full"
            assert "make room" in refusal
            assert manifest.read_bytes() == OLD
        else:
            assert manifest.read_bytes() == NEW
            manifests(manifest).undo(manifest)
        assert beside(manifest) == ["kube-apiserver.yaml"]


def in_a_child(act: Callable[[FaultyDisk], object], disk: FaultyDisk) -> bool:
    """Whether the disk's kill met the child that acts."""
    child = os.fork()
    if child == 0:
        try:
            act(disk)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(("kind", "only"), [("kill", ""), ("kill torn", "append")])
def test_killed_at_any_step_a_whole_manifest_is_there(manifest: Path, kind: str, only: str) -> None:
    """Killed at each call in turn: the old manifest or the new one, whole; the next run sweeps up and succeeds."""
    outcomes = []
    for at in range(1, 500):
        killed = in_a_child(
            lambda disk: manifests(manifest, disk).write(manifest, OLD, NEW), FaultyDisk(kind, at, only=only)
        )
        found = manifest.read_bytes()
        assert found in {OLD, NEW}
        assert [name for name in beside(manifest) if not name.startswith(".")] == ["kube-apiserver.yaml"]
        outcomes.append(found)
        if found == OLD:
            manifests(manifest).write(manifest, OLD, NEW)
        assert manifests(manifest).undo(manifest).now == OLD
        assert beside(manifest) == ["kube-apiserver.yaml"]
        assert stat.S_IMODE(manifest.stat().st_mode) == 0o640
        if not killed:
            break
    else:
        pytest.fail("there is no end of steps")
    assert outcomes == sorted(outcomes, key=lambda found: found == NEW)
    assert OLD in outcomes


@pytest.mark.parametrize("kind", ["fail", "kill"])
def test_an_undo_can_fail_or_be_killed_at_any_step(manifest: Path, kind: str) -> None:
    """Of an undo, too, nothing but a whole manifest remains; asked again, it is done."""
    for at in range(1, 500):
        manifests(manifest).write(manifest, OLD, NEW)
        disk = FaultyDisk(kind, at)

        def act(disk: FaultyDisk) -> bool:
            with suppress(DecklogError):
                manifests(manifest, disk).undo(manifest)
            return bool(disk.met)

        met = in_a_child(act, disk) if kind == "kill" else act(disk)
        assert manifest.read_bytes() in {OLD, NEW}
        if manifest.read_bytes() == NEW:
            manifests(manifest).undo(manifest)
        assert manifest.read_bytes() == OLD
        for left in (manifest.parent.parent / "backups").glob("*.json"):
            left.unlink()
        if not met:
            break
    else:
        pytest.fail("there is no end of steps")


def test_an_undo_needs_no_room(manifest: Path) -> None:
    """Where the disk is full, as a log may have left it, the old manifest is restored all the same."""
    manifests(manifest).write(manifest, OLD, NEW)

    class Full(Disk):
        def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
            if flags & os.O_EXCL:
                raise OSError(DISK_FULL, os.strerror(DISK_FULL), str(path))
            return super().open(path, flags, mode)

    assert manifests(manifest, Full()).undo(manifest).now == OLD
    assert manifest.read_bytes() == OLD


def test_a_wait_that_was_cut_short_is_remembered(manifest: Path) -> None:
    """The record of an edit that nobody saw serve says so, until it is settled."""
    store = manifests(manifest)
    record = store.write(manifest, OLD, NEW, awaited=True)
    found = store.backups.of(manifest, NEW)
    assert found is not None
    assert found.awaited is True
    store.backups.settle(record)
    found = store.backups.of(manifest, NEW)
    assert found is not None
    assert found.awaited is False
    assert store.undo(manifest).now == OLD


def test_the_manifest_that_is_written_is_the_one_that_was_read(manifest: Path) -> None:
    """What stands there in the end is read by PyYAML, flags and all."""
    manifests(manifest).write(manifest, OLD, NEW)
    assert "--audit-log-maxage=10" in yaml.safe_load(manifest.read_bytes())["spec"]["containers"][0]["command"]

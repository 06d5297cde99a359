from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from decklog.errors import DecklogError
from decklog.sources.places import Place, find

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD = "audit-2026-01-01T00-00-00.000.log"
NEW = "audit-2026-01-02T00-00-00.000.log"


def make(directory: Path, *names: str) -> None:
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).write_bytes(name.encode() + b"\n")


def contents(places: list[Place]) -> list[str]:
    return list(_contents(places))


def _contents(places: list[Place]) -> Iterator[str]:
    for place in places:
        if place.problem:
            yield f"({place.problem})"
            continue
        with place.open() as file:
            yield file.read().decode().strip()


def found(*paths: Path | str, rotated: bool = True) -> list[str]:
    return contents(find(map(str, paths), io.BytesIO(b"standard input"), rotated=rotated))


def test_a_log_is_read_with_its_older_parts(tmp_path: Path) -> None:
    """The family of a file is found beside it, oldest first, the file last; without `rotated` only the file."""
    make(tmp_path, "audit.log", OLD, NEW + ".gz", "other.log")
    assert found(tmp_path / "audit.log") == [OLD, NEW + ".gz", "audit.log"]
    assert found(tmp_path / "audit.log", rotated=False) == ["audit.log"]
    assert found(tmp_path / OLD) == [OLD]


def test_a_file_of_the_working_directory_has_a_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name is looked for where the user stands."""
    make(tmp_path, "audit.log", OLD)
    monkeypatch.chdir(tmp_path)
    assert found("audit.log") == [OLD, "audit.log"]


def test_each_file_is_read_once(tmp_path: Path) -> None:
    """A shell's star, a link and a file that is being packed name the same events again; they are read once."""
    make(tmp_path, "audit.log", OLD, NEW, NEW + ".gz")
    (tmp_path / "link.log").symlink_to("audit.log")
    names = [OLD, NEW, NEW + ".gz", "audit.log", "link.log"]
    assert found(*(tmp_path / name for name in names)) == [OLD, NEW, "audit.log"]
    assert found(tmp_path / "audit.log", tmp_path / "audit.log", "-", "-") == [OLD, NEW, "audit.log", "standard input"]


def test_a_directory_is_all_its_logs(tmp_path: Path) -> None:
    """Family after family; what is no log by its name, hidden or a directory is left alone."""
    make(
        tmp_path,
        "b.log",
        "audit.log",
        OLD,
        NEW + ".gz",
        "audit.log.1",
        "x.jsonl.gz",
        "notes.txt",
        ".hidden.log",
        "core",
    )
    make(tmp_path / "deeper.log", "audit.log")
    assert found(tmp_path) == [OLD, NEW + ".gz", "audit.log.1", "audit.log", "b.log", "x.jsonl.gz"]
    assert found(tmp_path, rotated=False) == ["audit.log", "b.log", "x.jsonl.gz"]


def test_many_logs_of_a_directory_are_all_found(tmp_path: Path) -> None:
    """More logs than are opened in advance are opened when their turn comes."""
    names = [f"node-{number:03}.log" for number in range(150)]
    make(tmp_path, *names)
    assert found(tmp_path) == names


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("missing.log", "is not there"),
        ("missing/audit.log", "is not there"),
        ("empty", "holds no audit logs"),
        ("audit.log/x", "cannot read"),
    ],
)
def test_what_is_not_there_is_said_before_anything_is_read(tmp_path: Path, path: str, says: str) -> None:
    """A wrong path is the user's to mend, and the message says how."""
    make(tmp_path, "audit.log")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DecklogError, match=f"{path}.*{says}|{says}.*{path}"):
        find([str(tmp_path / "audit.log"), str(tmp_path / path)], io.BytesIO())


def test_no_source_at_all_is_said() -> None:
    """Nothing is read from a terminal by surprise."""
    with pytest.raises(DecklogError, match="give -f FILE"):
        find([], io.BytesIO())


def test_a_log_whose_head_is_gone_is_read_from_its_parts(tmp_path: Path) -> None:
    """Older parts without the log itself are read, and the gap is told."""
    make(tmp_path, OLD, NEW)
    assert found(tmp_path / "audit.log") == [OLD, NEW, "(the log itself is not there; its older parts were read)"]


def test_a_rotation_after_finding_loses_nothing(tmp_path: Path) -> None:
    """The log was opened before its parts were listed: renamed and packed, it is still read, in its place."""
    make(tmp_path, "audit.log", OLD)
    places = find([str(tmp_path / "audit.log")], io.BytesIO())
    (tmp_path / "audit.log").rename(tmp_path / NEW)
    (tmp_path / NEW).unlink()
    make(tmp_path, "audit.log", NEW + ".gz")
    assert contents(places) == [OLD, "audit.log"]


def test_a_part_packed_after_finding_is_read_packed(tmp_path: Path) -> None:
    """A part that is gone when its turn comes is looked for under its packed name."""
    make(tmp_path, "audit.log", OLD)
    places = find([str(tmp_path / "audit.log")], io.BytesIO())
    (tmp_path / OLD).rename(tmp_path / (OLD + ".gz"))
    assert contents(places) == [OLD, "audit.log"]


def test_a_log_rotated_and_packed_while_it_is_found_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the log was renamed (and packed) between opening it and listing its parts, both are done again."""
    make(tmp_path, "audit.log", OLD)
    listing = os.listdir
    rotations = iter([NEW + ".gz"])

    def rotate_then_list(path: Path) -> list[str]:
        for name in rotations:
            (tmp_path / "audit.log").rename(tmp_path / "unlinked")
            (tmp_path / name).write_bytes((tmp_path / "unlinked").read_bytes())
            (tmp_path / "unlinked").unlink()
            (tmp_path / "audit.log").write_bytes(b"made anew")
        return listing(path)

    monkeypatch.setattr(os, "listdir", rotate_then_list)
    places = find([str(tmp_path / "audit.log")], io.BytesIO())
    assert contents(places) == [OLD, "audit.log", "made anew"]


def test_a_listing_that_missed_a_name_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that is renamed during a listing may not be in it; two listings have to agree."""
    make(tmp_path, "audit.log", OLD, NEW)
    listing = os.listdir
    missed = iter([OLD])

    def miss_once(path: Path) -> list[str]:
        gone = next(missed, None)
        return [name for name in listing(path) if name != gone]

    monkeypatch.setattr(os, "listdir", miss_once)
    assert found(tmp_path / "audit.log") == [OLD, NEW, "audit.log"]


def test_an_unlistable_directory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the log may be read but not its directory, the answer says that older parts are missing."""
    make(tmp_path, "audit.log", OLD)

    def refuse(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert found(tmp_path / "audit.log") == ["(older parts could not be looked for (Permission denied))", "audit.log"]


def test_a_glob_names_its_files_in_time_order(tmp_path: Path) -> None:
    """Where no shell expands it: every match with its family, each file once; a name with a star in it is that name."""
    make(tmp_path, "audit.log", OLD, NEW + ".zst", "other.txt")
    make(tmp_path / "deeper", "audit.log")
    assert found(tmp_path / "audit*") == [OLD, NEW + ".zst", "audit.log"]
    assert found(tmp_path / "audit-*") == [OLD, NEW + ".zst"]
    assert len(found(tmp_path / "**" / "audit.log")) == 4
    with pytest.raises(DecklogError, match="is not there"):
        found(tmp_path / "no*")
    make(tmp_path, "au*.log")
    assert found(tmp_path / "au*.log") == ["au*.log"]


def test_a_part_that_was_packed_by_zstd_is_one_of_its_family(tmp_path: Path) -> None:
    """Beside its plain twin it is left out; found under its packed name if it was packed since."""
    make(tmp_path, "audit.log", OLD, OLD + ".zst", "audit.log.1.zst")
    assert found(tmp_path / "audit.log") == [OLD, "audit.log.1.zst", "audit.log"]
    places = find([str(tmp_path / "audit.log")], io.BytesIO())
    (tmp_path / OLD).unlink()
    assert contents(places) == [OLD + ".zst", "audit.log.1.zst", "audit.log"]

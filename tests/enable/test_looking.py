from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from decklog.enable.container import last_lines, newest, texts_of
from decklog.enable.looking import LogArrivals
from decklog.enable.processes import audit_flags, runs

if TYPE_CHECKING:
    from pathlib import Path


def test_only_what_comes_later_is_given(tmp_path: Path) -> None:
    """What stands in the log already is passed over; half a line waits for its end."""
    log = tmp_path / "audit.log"
    log.write_bytes(b"old\n")
    arrivals = LogArrivals(log, "the log")
    with log.open("ab") as file:
        file.write(b"one\ntw")
    assert list(arrivals.new_lines()) == [b"one"]
    with log.open("ab") as file:
        file.write(b"o\n")
    assert list(arrivals.new_lines()) == [b"two"]
    arrivals.close()


def test_a_log_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """A log that comes later is read from its beginning."""
    log = tmp_path / "audit.log"
    arrivals = LogArrivals(log, "the log")
    assert not list(arrivals.new_lines())
    log.write_bytes(b"one\n")
    assert list(arrivals.new_lines()) == [b"one"]
    arrivals.close()


def test_a_rotation_loses_nothing(tmp_path: Path) -> None:
    """What was written just before the rotation is given, then what stands in the new file."""
    log = tmp_path / "audit.log"
    log.write_bytes(b"old\n")
    arrivals = LogArrivals(log, "the log")
    with log.open("ab") as file:
        file.write(b"last of the old\n")
    log.rename(tmp_path / "audit-1.log")
    log.write_bytes(b"first of the new\n")
    assert list(arrivals.new_lines()) == [b"last of the old", b"first of the new"]
    arrivals.close()


def test_a_log_cut_in_its_place_is_read_again(tmp_path: Path) -> None:
    """After copytruncate the log is read from its beginning."""
    log = tmp_path / "audit.log"
    log.write_bytes(b"a long line of old\n")
    arrivals = LogArrivals(log, "the log")
    os.truncate(log, 0)
    with log.open("ab") as file:
        file.write(b"new\n")
    assert list(arrivals.new_lines()) == []
    assert list(arrivals.new_lines()) == [b"new"]
    arrivals.close()


def test_the_runtimes_words_are_taken_away() -> None:
    """Time, stream and tag go; a line that the runtime has cut is joined; other lines stay as they are."""
    assert texts_of(
        [
            b"2026-01-01T00:00:00Z stderr F one",
            b"2026-01-01T00:00:00Z stdout P tw",
            b"2026-01-01T00:00:00Z stdout F o",
            b"no frame here",
        ]
    ) == [b"one", b"two", b"no frame here"]


def test_the_newest_output_is_taken(tmp_path: Path) -> None:
    """Of several restarts the file that was written last is read, and of it the last lines."""
    for number, (uid, text) in enumerate((("abc", "old"), ("def", "new"))):
        folder = tmp_path / f"var/log/pods/kube-system_kube-apiserver-n1_{uid}/kube-apiserver"
        folder.mkdir(parents=True)
        (folder / "0.log").write_text("".join(f"2026 stderr F {text} {line}\n" for line in range(40)))
        os.utime(folder / "0.log", (number, number))
    assert newest(tmp_path, "kube-system", "kube-apiserver", "kube-apiserver") == (
        tmp_path / "var/log/pods/kube-system_kube-apiserver-n1_def/kube-apiserver/0.log"
    )
    lines = last_lines(tmp_path, "kube-system", "kube-apiserver", "kube-apiserver", 2).lines
    assert lines == ("new 38", "new 39")


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["--audit-log-path=/a", "--v=2"], {"--audit-log-path": "/a"}),
        (
            ["--audit-log-path", "/a", "--audit-log-compress"],
            {"--audit-log-path": "/a", "--audit-log-compress": "true"},
        ),
        (["--audit-log-maxage=1", "--audit-log-maxage=2"], {"--audit-log-maxage": "2"}),
        ([], {}),
    ],
)
def test_a_command_lines_audit_flags_are_read(words: list[str], flags: dict[str, str]) -> None:
    """Flags are read as kube-apiserver reads them; the last of one name counts."""
    assert audit_flags(words) == flags


def test_processes_are_told_by_their_program(tmp_path: Path) -> None:
    """Only kube-apiserver counts, with the new flags or the old; another cluster's says nothing."""
    assert runs({}, {}, tmp_path / "none") is None
    for pid, line in (("1", b"init\0"), ("x", b""), ("7", b"")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes(line)
    (tmp_path / "8").mkdir()
    assert runs({}, {}, tmp_path) is None
    (tmp_path / "8" / "cmdline").write_bytes(b"/usr/bin/kube-apiserver\0--audit-log-path=/a\0--v=1\0")
    there, other = {"--audit-log-path": "/a"}, {"--audit-log-path": "/b"}
    assert runs(there, {}, tmp_path) is True
    assert runs(other, there, tmp_path) is False
    assert runs(other, {}, tmp_path) is None

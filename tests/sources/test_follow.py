from __future__ import annotations

import gzip
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ask.logs import event
from decklog.audit.wire import encode_event
from decklog.errors import DecklogError
from decklog.sources.follow import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from decklog.sources.record import Record


def line(number: int) -> bytes:
    return encode_event(event(audit_id=str(number))) + b"\n"


@dataclass
class Log:
    """A log that is written and rotated by hand; it knows what it has written."""

    path: Path
    written: int = 0

    def write(self, lines: int = 3) -> None:
        with self.path.open("ab") as file:
            for number in range(self.written, self.written + lines):
                file.write(line(number))
        self.written += lines

    def write_half(self) -> None:
        with self.path.open("ab") as file:
            file.write(line(self.written)[:100])

    def write_other_half(self) -> None:
        with self.path.open("ab") as file:
            file.write(line(self.written)[100:])
        self.written += 1

    def rename(self) -> None:
        """As logrotate does: every number moves up."""
        for number in (3, 2, 1):
            for ending in ("", ".gz"):
                older = self.path.with_name(f"{self.path.name}.{number}{ending}")
                if older.exists():
                    older.rename(self.path.with_name(f"{self.path.name}.{number + 1}{ending}"))
        self.path.rename(f"{self.path}.1")

    def create(self) -> None:
        self.path.touch()

    def rotate(self) -> None:
        self.rename()
        self.create()

    def copy_and_truncate(self) -> None:
        shutil.copy(self.path, f"{self.path}.1")
        with self.path.open("r+b") as file:
            file.truncate(0)

    def pack(self) -> None:
        older = self.path.with_name(f"{self.path.name}.1")
        older.with_name(f"{older.name}.gz").write_bytes(gzip.compress(older.read_bytes(), mtime=0))
        older.unlink()


@dataclass
class Script:
    """Lets a follower run without waiting; where it has nothing to do, the next thing happens to the log."""

    actions: Iterator[Callable[[], None]]
    now: float = 0
    idle: int = 0
    over: bool = False
    records: list[Record] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.idle += 1
        if self.idle == 5:
            self.idle = 0
            action = next(self.actions, None)
            self.over = action is None
            if action is not None:
                action()

    def run(self, path: Path, checkpoint: Path | None = None, **options: Any) -> Follower:
        options = {"from_start": True, **options}
        follower = Follower(
            path,
            checkpoint,
            poll_seconds=1,
            linger_seconds=2,
            clock=lambda: self.now,
            wait=self.wait,
            stopped=lambda: self.over,
            **options,
        )
        for batch in follower.batches():
            self.idle = 0
            self.records += batch.records
        return follower

    @property
    def ids(self) -> list[int]:
        return [int(record.event.audit_id) for record in self.records if record.event]


def at_once(*actions: Callable[[], object]) -> Callable[[], None]:
    """Several things that happen before anybody looks."""

    def all_of_them() -> None:
        for action in actions:
            action()

    return all_of_them


STORIES: dict[str, Callable[[Log], list[Callable[[], None]]]] = {
    "growing": lambda log: [log.write, log.write, log.write],
    "renamed and made anew": lambda log: [log.write, log.rotate, log.write],
    "renamed, made anew later": lambda log: [log.write, log.rename, log.create, log.write],
    "rotated with unread lines": lambda log: [at_once(log.write, log.write, log.rotate, log.write)],
    "rotated twice at once": lambda log: [
        log.write,
        at_once(log.write, log.rotate, log.write, log.rotate, log.write),
        log.write,
    ],
    "rotated while empty": lambda log: [log.write, log.rotate, log.rotate, log.write, log.rotate, log.write],
    "packed behind": lambda log: [log.write, log.rotate, log.pack, log.write, log.rotate, log.pack, log.write],
    "packed at once with unread lines": lambda log: [
        log.write,
        at_once(log.write, log.rotate, log.pack, log.write),
        log.write,
    ],
    "copied and truncated": lambda log: [log.write, log.copy_and_truncate, log.write, log.copy_and_truncate, log.write],
    "copied and truncated with unread lines": lambda log: [
        log.write,
        at_once(log.write, log.copy_and_truncate, lambda: log.write(2)),
        log.write,
    ],
    "truncated and longer than before": lambda log: [
        log.write,
        at_once(log.copy_and_truncate, lambda: log.write(20)),
        log.write,
    ],
    "copied, truncated, packed": lambda log: [
        log.write,
        at_once(log.write, log.copy_and_truncate, log.pack, log.write),
        log.write,
    ],
    "copied and truncated before anybody looked": lambda log: [
        log.create,
        at_once(log.write, log.copy_and_truncate, log.write),
        log.write,
    ],
    "copied, truncated, and empty since": lambda log: [log.create, at_once(log.write, log.copy_and_truncate)],
    "half a line": lambda log: [log.write, log.write_half, log.write_other_half, log.write],
    "half a line over a rotation": lambda log: [
        log.write,
        at_once(log.write_half, log.write_other_half, log.rotate),
        log.write,
    ],
    "not there at first": lambda log: [log.create, log.write, log.rotate, log.write],
}


@pytest.mark.parametrize("story", STORIES)
def test_nothing_is_lost_or_doubled_while_following(story: str, tmp_path: Path) -> None:
    """Whatever happens to the log: each event is handed over once, in order."""
    log = Log(tmp_path / "audit.log")
    script = Script(iter(STORIES[story](log)))
    follower = script.run(log.path, tmp_path / "checkpoint")
    assert script.ids == list(range(log.written))
    assert follower.coverage.problems == []
    assert follower.coverage.lines == log.written


@pytest.mark.parametrize("lines", [0, 3])
def test_what_is_written_while_a_rotation_is_looked_for_is_not_lost(lines: int, tmp_path: Path) -> None:
    """The log, empty or not, grows and is rotated more than once between a reading of it and the look at its name."""
    log = Log(tmp_path / "audit.log")
    looks = 0

    class Watched(type(tmp_path)):  # type: ignore[misc]  # because: the class of paths depends on the platform
        """A path; whoever looks at it the tenth time comes too late."""

        def stat(self, **options: bool) -> Any:
            nonlocal looks
            looks += 1
            if looks == 10:
                at_once(*[log.write, log.rotate] * 4, log.write)()
            return super().stat(**options)

    log.create()
    log.write(lines)
    script = Script(iter([log.write, log.write]))
    script.run(Watched(log.path))
    assert looks > 10
    assert script.ids == list(range(log.written))


@pytest.mark.parametrize("story", STORIES)
def test_nothing_is_lost_or_doubled_over_restarts(story: str, tmp_path: Path) -> None:
    """Whatever happens to the log while nobody follows: the next one goes on where the last one stopped."""
    log = Log(tmp_path / "audit.log")
    got: list[int] = []
    for action in STORIES[story](log):
        action()
        script = Script(iter(()))
        follower = script.run(log.path, tmp_path / "checkpoint")
        got += script.ids
        assert follower.coverage.problems == []
    assert got == list(range(log.written))


def test_following_begins_at_the_end(tmp_path: Path) -> None:
    """Without a checkpoint only what is new counts, from the next line on; with one, also what came in between."""
    log = Log(tmp_path / "audit.log")
    log.write(5)
    log.rotate()
    log.write(5)
    log.write_half()
    script = Script(iter([log.write_other_half, log.rotate, log.write]))
    script.run(log.path, tmp_path / "checkpoint", from_start=False)
    assert script.ids == list(range(10, 14))
    log.write()
    script = Script(iter(()))
    script.run(log.path, tmp_path / "checkpoint", from_start=False)
    assert script.ids == [14, 15, 16]


def test_a_follower_that_saw_nothing_yet_has_a_place(tmp_path: Path) -> None:
    """What is written between two runs is read by the second, also if the first had nothing to read."""
    log = Log(tmp_path / "audit.log")
    log.write(5)
    Script(iter(())).run(log.path, tmp_path / "checkpoint", from_start=False)
    log.write()
    log.rotate()
    log.write()
    script = Script(iter(()))
    script.run(log.path, tmp_path / "checkpoint", from_start=False)
    assert script.ids == list(range(5, 11))


def test_a_batch_that_was_not_finished_comes_again(tmp_path: Path) -> None:
    """The checkpoint is written when the next batch is asked for, not before: at least once."""
    log = Log(tmp_path / "audit.log")
    log.write()
    follower = Follower(log.path, tmp_path / "checkpoint", from_start=True)
    batches = follower.batches()
    assert len(next(batches).records) == 3
    batches.close()  # type: ignore[attr-defined]  # because: it is a generator
    script = Script(iter(()))
    script.run(log.path, tmp_path / "checkpoint")
    assert script.ids == [0, 1, 2]


def test_what_is_gone_is_named(tmp_path: Path) -> None:
    """A file that was removed before it was read to its end is a problem; what is there is read."""
    log = Log(tmp_path / "audit.log")
    log.write()
    Script(iter(())).run(log.path, tmp_path / "checkpoint")
    log.path.unlink()
    log.write()
    script = Script(iter(()))
    follower = script.run(log.path, tmp_path / "checkpoint")
    assert script.ids == [3, 4, 5]
    assert len(follower.coverage.problems) == 1
    assert "is gone" in follower.coverage.problems[0]


def test_lines_of_any_length_and_bad_ones_are_followed(tmp_path: Path) -> None:
    """A line of 5 MB is handed over; one past the limit is counted and named, and so is one that is no event."""
    path = tmp_path / "audit.log"
    long = event(audit_id="0", annotations={"note": "x" * (5 << 20)})
    path.write_bytes(encode_event(long) + b"\n" + b"y" * (9 << 20) + b"\nhello\n\n" + line(1))
    script = Script(iter(()))
    follower = script.run(path, max_line_bytes=8 << 20)
    assert script.ids == [0, 1]
    assert [(record.number, record.problem) for record in script.records if record.problem] == [
        (2, "longer than 8 MiB"),
        (3, follower.coverage.bad_examples[1].problem),
    ]
    assert script.records[-1].number == 5
    assert follower.coverage.bad_lines == 2


def test_the_last_line_of_a_rotated_file_may_lack_its_line_feed(tmp_path: Path) -> None:
    """It is handed over as it is, when nothing more has come for a while."""
    log = Log(tmp_path / "audit.log")
    log.write(2)
    log.path.write_bytes(log.path.read_bytes()[:-1])
    script = Script(iter([log.rotate, log.write]))
    script.run(log.path, tmp_path / "checkpoint")
    assert script.ids == [0, 1, 2, 3, 4]


def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    """It says what to do, and nothing is overwritten."""
    (tmp_path / "checkpoint").write_bytes(b"hello")
    with pytest.raises(DecklogError, match="is no checkpoint: name another file"):
        next(Follower(tmp_path / "audit.log", tmp_path / "checkpoint").batches())
    assert (tmp_path / "checkpoint").read_bytes() == b"hello"


def test_a_directory_cannot_be_followed(tmp_path: Path) -> None:
    """One file is."""
    with pytest.raises(DecklogError, match="cannot be followed"):
        next(Follower(tmp_path).batches())

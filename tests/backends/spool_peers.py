"""What the tests of the spool put round it: a receiver that answers as told, and a nest with its book."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from backends.delegates import StandingTime, turns
from backends.faulty_disk import FaultyDisk
from decklog.audit.wire import encode_item, join_items, split_list
from decklog.backends.books import Entered
from decklog.backends.delivery import PostError
from decklog.backends.failures import Failures, Notices
from decklog.backends.spool import Spool
from decklog.backends.spool_files import PARKED, SpoolFiles
from decklog.metrics import Account, AuditCounters
from decklog.testing import event

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from pathlib import Path

    from decklog.audit.event import Event
    from decklog.disk import Disk

DOWN = PostError(None, None, "Connection refused")
BUSY = PostError(503, None, "the receiver answered 503")
_NUMBER = re.compile(rb'"auditID":"(\d+)"')


def numbered(*numbers: int, size: int = 0) -> list[Event]:
    """Events that tell their numbers, each padded by `size` bytes."""
    return [event(audit_id=str(number), user_agent="x" * size) for number in numbers]


def numbers_in(data: bytes) -> list[int]:
    """The numbers of all events in a body or a file."""
    return [int(number) for number in _NUMBER.findall(data)]


class Receiver:
    """Takes bodies while it is up; refuses with 400 what holds one of `bad`; the next answers are those of `fate`."""

    def __init__(self, bad: Container[int] = (), account: Account | None = None) -> None:
        self.bad = bad
        self.account = account
        self.down: Exception | None = None
        self.silent = False
        """Whether it never answers."""
        self.fate: list[Exception | None] = []
        self.bodies: list[list[int]] = []
        """What was taken, body by body."""
        self.attempts: list[list[int]] = []
        """What was offered."""

    async def post(self, body: bytes) -> None:
        numbers = [number for item in split_list(body) for number in numbers_in(item)]
        self.attempts.append(numbers)
        if self.account is not None:
            assert self.account.balanced
        await turns(1)
        if self.silent:
            await asyncio.get_running_loop().create_future()
        if error := self.fate.pop(0) if self.fate else self.down:
            raise error.with_traceback(None)  # it is raised often, and would grow
        if any(number in self.bad for number in numbers):
            raise PostError(400, None, "the receiver answered 400")
        self.bodies.append(numbers)

    @property
    def arrived(self) -> list[int]:
        return [number for body in self.bodies for number in body]


class Nest:
    """A spool in a directory, with its book and a receiver: ``async with nest.entered``."""

    def __init__(
        self,
        directory: Path,
        *,
        disk: Disk | None = None,
        bad: Container[int] = (),
        max_bytes: int = 1 << 20,
        segment_bytes: int = 2000,
    ) -> None:
        self.directory = directory
        self.account = Account()
        self.counters = AuditCounters()
        self.time = StandingTime()
        self.receiver = Receiver(bad, self.account)
        self.files = SpoolFiles(directory, disk or FaultyDisk(), max_bytes=max_bytes, segment_bytes=segment_bytes)
        notices = Notices(self.time)
        self.spool = Spool(
            self.receiver,
            self.files,
            encode_item=encode_item,
            join=join_items,
            account=self.account,
            failures=Failures("webhook", self.counters, notices),
            notices=notices,
            sleep=self.time.sleep,
        )
        self.entered = Entered(self.spool, self.account)

    async def send(self, events: Sequence[Event]) -> None:
        promise = self.entered.process(events)
        assert promise is not None
        try:
            await promise
        finally:
            assert self.account.balanced

    async def drained(self) -> None:
        """Let time pass until nothing waits."""
        for _ in range(10_000):
            if not self.account.spooled:
                return
            await self.time.pass_by(60)
        raise AssertionError(f"{self.account.spooled} events still wait")

    @property
    def book(self) -> dict[str, int]:
        """The columns that hold something."""
        account = self.account
        columns = ("delivered", "queued", "in_flight", "spooled", "parked")
        held = {column: getattr(account, column) for column in columns} | dict(account.dropped)
        return {column: count for column, count in held.items() if count}

    @property
    def parked(self) -> list[int]:
        file = self.directory / PARKED
        return numbers_in(file.read_bytes()) if file.exists() else []

    @property
    def waiting(self) -> list[int]:
        """The numbers in all segments."""
        return [number for path in sorted(self.directory.glob("0*.ndjson")) for number in numbers_in(path.read_bytes())]

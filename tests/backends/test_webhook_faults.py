"""A webhook before receivers in trouble: with a spool nothing is lost, without one the book says exactly what is.

What a receiver stored is what the book calls delivered, but for one case: a success that was said and did not arrive
(the connection broke first, or the time for an answer was up). Then the receiver has *more* than the book says, never
less: events that are sent again from the spool double there, and some that the book calls ``failed`` or ``shut-down``
are there all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml

from backends import webhook_faults_process
from backends.receiver import Receiver
from backends.spool_peers import numbered, numbers_in
from backends.webhook_faults_process import TROUBLES, Stored, Trouble, columns
from decklog import certificates
from decklog.audit.sink import DeliveryError
from decklog.audit.wire import encode_item, encode_list, join_items
from decklog.backends.batch import Batch, BatchLimits
from decklog.backends.blocking import Blocking
from decklog.backends.books import Entered
from decklog.backends.failures import Failures, Notices
from decklog.backends.limits import MODES
from decklog.backends.spool import Spool
from decklog.backends.spool_files import SpoolFiles
from decklog.backends.webhook import HttpPoster, Webhook
from decklog.disk import Disk
from decklog.kubeconfig import ClusterAccess
from decklog.metrics import Account, AuditCounters

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from decklog.audit.sink import Backend

LIMITS = BatchLimits(buffer_size=10_000, max_size=10, max_wait_s=0.01, throttle=False)
BACKOFF_S = 0.001
CALL_LIMIT_S = 0.2
SPOOL = [pytest.param(True, id="spool"), pytest.param(False, id="no spool")]


@dataclass
class Nest:
    """A webhook's nest with its book, as the assembly builds it, but in a hurry."""

    access: ClusterAccess
    spool: Path | None = None
    mode: str = "batch"
    drain_s: float = 8.0
    call_limit_s: float = CALL_LIMIT_S
    account: Account = field(default_factory=Account)
    counters: AuditCounters = field(default_factory=AuditCounters)
    notices: Notices = field(default_factory=Notices)
    given: int = 0

    async def __aenter__(self) -> Self:
        self.backend = self._build()
        await self.backend.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.backend.__aexit__(None, None, None)

    def _build(self) -> Entered:
        leaf = self._webhook() if self.spool is None else self._spool(self.spool)
        keep = leaf.keep if isinstance(leaf, Spool) else None
        wrapped: Backend = leaf
        if self.mode == "batch":
            wrapped = Batch(
                leaf, LIMITS, account=self.account, counters=self.counters, asynchronous=True, keep=keep,
                drain_s=self.drain_s,
            )  # fmt: skip
        elif self.mode == "blocking":
            wrapped = Blocking(leaf, self.counters, account=self.account)
        return Entered(wrapped, self.account, failures=self._failures("buffered"), drain_s=self.drain_s)

    def _failures(self, plugin: str) -> Failures:
        return Failures(plugin, self.counters, self.notices)

    def _webhook(self) -> Webhook:
        poster = HttpPoster(self.access, call_limit_s=self.call_limit_s)
        failures = self._failures("webhook")
        return Webhook(poster, encode_list, account=self.account, failures=failures, initial_backoff_s=BACKOFF_S)

    def _spool(self, directory: Path) -> Spool:
        return Spool(
            HttpPoster(self.access, call_limit_s=self.call_limit_s),
            SpoolFiles(directory, Disk(), max_bytes=1 << 20),
            encode_item=encode_item,
            join=join_items,
            account=self.account,
            failures=self._failures("webhook"),
            notices=self.notices,
            first_pause_s=BACKOFF_S,
        )

    def send(self, count: int) -> asyncio.Task[None]:
        """Give the nest `count` events; the task ends when their promise is met or broken."""
        events = numbered(*range(self.given, self.given + count))
        self.given += count
        return asyncio.ensure_future(self._sent(events))

    async def _sent(self, events: list[Any]) -> None:
        with contextlib.suppress(DeliveryError):
            promise = self.backend.process(events)
            if promise is not None:
                await promise

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way and nothing waits."""
        assert self.account.balanced
        return self.account.queued + self.account.in_flight + self.account.spooled == 0

    @property
    def lost(self) -> int:
        assert self.account.balanced
        return self.account.dropped.total()


async def through(trouble: Trouble, spool: Path | None) -> tuple[Nest, Counter[int]]:
    """Send 100 events while the receiver is in trouble, then 50 when it is well; give the book and what was stored."""
    stored: Counter[int] = Counter()
    judge = Stored(trouble, stored.update)
    async with Receiver(judge=judge) as receiver, Nest(ClusterAccess(receiver.url), spool) as nest:
        nest.send(100)
        if trouble.told or spool is None:
            await receiver.until(lambda: nest.account.processed == 100 and nest.idle)
        else:
            await receiver.until(lambda: nest.account.spooled == 100)
        judge.recover()
        nest.send(50)
        await receiver.until(lambda: nest.account.processed == 150 and nest.idle)
    return nest, stored


@pytest.mark.parametrize("name", TROUBLES)
def test_with_a_spool_nothing_is_lost(name: str, tmp_path: Path) -> None:
    """All is delivered when the trouble is over; it doubles only where the receiver stored what it could not say."""
    trouble = TROUBLES[name]
    nest, stored = asyncio.run(through(trouble, tmp_path / "spool"))
    assert columns(nest.account) == {**columns(Account()), "processed": 150, "delivered": 150}
    assert nest.counters.error_total == {}
    assert sorted(stored) == list(range(150))
    if not trouble.stores or trouble.told:
        assert set(stored.values()) == {1}


@pytest.mark.parametrize("name", TROUBLES)
def test_without_a_spool_the_book_says_what_is_lost(name: str) -> None:
    """Delivered is what the receiver stored; it may have more where its success did not arrive, never less."""
    trouble = TROUBLES[name]
    nest, stored = asyncio.run(through(trouble, None))
    lost = 0 if trouble.told else 100
    assert nest.account.delivered == 150 - lost
    assert dict(nest.account.dropped) == ({"failed": 100} if lost else {})
    assert nest.counters.error_total == ({"webhook": 100} if lost else {})
    in_doubt = trouble.stores and not trouble.told
    assert sorted(stored) == list(range(0 if in_doubt else lost, 150))
    if not in_doubt:
        assert set(stored.values()) == {1}


def contexts() -> tuple[bytes, ssl.SSLContext, ssl.SSLContext]:
    """Make the authority that is trusted, a receiver's context that it signed, and one that a stranger signed."""
    life: dict[str, Any] = {"clock": lambda: datetime.now(UTC), "lifetime": timedelta(days=1)}
    ours, strange = (certificates.authority(name, **life) for name in ("ours", "strange"))
    served = [certificates.server_certificate(one, ["127.0.0.1"], **life) for one in (ours, strange)]
    right, wrong = (certificates.server_context(pair) for pair in served)
    return ours.certificate_pem, right, wrong


@pytest.mark.parametrize("kept", SPOOL)
@pytest.mark.parametrize("trouble", ["a wrong certificate", "down"])
def test_a_receiver_that_cannot_be_reached(trouble: str, kept: bool, tmp_path: Path) -> None:
    """It is told nothing; when it can be reached again it gets what waits, or the book has what is lost."""
    authority, right, wrong = contexts()
    stored: Counter[int] = Counter()

    async def scene() -> Nest:
        receiver = Receiver(tls=right, judge=Stored(None, stored.update))
        async with (
            receiver,
            Nest(ClusterAccess(receiver.url, authority), tmp_path / "spool" if kept else None, call_limit_s=5) as nest,
        ):
            nest.send(20)
            await receiver.until(lambda: nest.account.delivered == 20)
            await receiver.stop()
            if trouble == "a wrong certificate":
                receiver.tls = wrong
                await receiver.start()
            nest.send(100)
            await receiver.until(lambda: nest.account.spooled + nest.lost == 100)
            assert len(stored) == 20
            await receiver.stop()
            receiver.tls = right
            await receiver.start()
            nest.send(30)
            await receiver.until(lambda: nest.account.processed == 150 and nest.idle)
        return nest

    nest = asyncio.run(scene())
    assert dict(nest.account.dropped) == ({} if kept else {"failed": 100})
    assert nest.account.delivered == len(stored) == (150 if kept else 50)
    assert set(stored.values()) == {1}


@pytest.mark.parametrize("kept", SPOOL)
@pytest.mark.parametrize("mode", MODES)
def test_the_end_before_a_silent_receiver(mode: str, kept: bool, tmp_path: Path) -> None:
    """When the time to drain is up, everything is on disk, or in the book as lost."""
    directory = tmp_path / "spool"

    async def scene() -> Nest:
        with socket.create_server(("127.0.0.1", 0)) as silent:  # connections wait in its backlog for ever
            access = ClusterAccess(f"http://127.0.0.1:{silent.getsockname()[1]}")
            nest = Nest(access, directory if kept else None, mode, drain_s=0.1, call_limit_s=60)
            async with nest:
                sends = [nest.send(3) for _ in range(20)]
                while nest.account.processed < 60:
                    await asyncio.sleep(0)
            await asyncio.wait(sends)
        return nest

    account = asyncio.run(scene()).account
    empty = columns(Account())
    assert columns(account) == {**empty, "processed": 60, **({"spooled": 60} if kept else {"shut-down": 60})}
    waiting = [number for path in directory.glob("0*") for number in numbers_in(path.read_bytes())]
    assert sorted(waiting) == (list(range(60)) if kept else [])


# Processes


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run one end of the webhook, killed when the block ends."""
    command = [sys.executable, webhook_faults_process.__file__, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()  # also while it is stopped


def line_of(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def speaks(running: subprocess.Popen[str]) -> bool:
    """Whether there is a line to read."""
    return bool(select.select([running.stdout or 0], [], [], 0)[0])


def resident_mib(pid: int) -> float:
    """Measure what of a process is in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def watch(pid: int, until: Callable[[], bool], limit_s: float) -> float:
    """Wait until something holds; give the most memory that the process had meanwhile, in MiB."""
    handle = os.pidfd_open(pid)
    peak, deadline = 0.0, time.monotonic() + limit_s
    try:
        while not until():
            assert time.monotonic() < deadline, f"not within {limit_s:g} s"
            assert not select.select([handle], [], [], 0.05)[0], "the process ended"
            peak = max(peak, resident_mib(pid))
    finally:
        os.close(handle)
    return max(peak, resident_mib(pid))


def after(seconds: float) -> Callable[[], bool]:
    """Make a condition that holds after a time: what is watched goes on for so long."""
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() >= deadline


def flags(folder: Path, url: str, *, kept: bool, **more: Any) -> str:
    """Write the kubeconfig and give the flags of a sender."""
    kubeconfig = folder / "webhook.yaml"
    kubeconfig.write_text(yaml.safe_dump({"clusters": [{"name": "", "cluster": {"server": url}}]}))
    spool = {"spool_dir": str(folder / "spool")} if kept else {}
    quick = {"batch_max_wait": 0.1, "initial_backoff": 0.1, "batch_throttle_enable": False}
    return json.dumps({"config_file": str(kubeconfig), **quick, **spool, **more})


class Numbers:
    """The numbers that a receiver stored, read as they come."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __len__(self) -> int:
        return self._file.read_bytes().count(b"\n") if self._file.exists() else 0

    def counted(self) -> Counter[int]:
        return Counter(map(int, self._file.read_text().split()))


RATE = 3000
FLAT_MIB = 48.0
"""How much more than at the start a sender may hold: its buffer of 10,000 events, 16 batches of 400 that are under way
as events and as bodies, what is read from disk at once, and what the allocator keeps of them all."""


@dataclass(frozen=True)
class Ran:
    """What became of a sender and its receiver."""

    book: Counter[str]
    stored: Counter[int]
    before_mib: float
    peak_mib: float
    after_mib: float

    @property
    def lost(self) -> int:
        """How many events are nowhere."""
        return self.book["processed"] - len(self.stored)

    def __str__(self) -> str:
        memory = f"{self.before_mib:.1f}, peak {self.peak_mib:.1f}, after {self.after_mib:.1f} MiB"
        doubled = self.stored.total() - len(self.stored)
        return f"{memory}; stored {len(self.stored)}, doubled {doubled}, lost {self.lost}; {dict(self.book)}"


def run(folder: Path, trouble: str, seconds: float, *, kept: bool) -> Ran:
    """Send at RATE to a receiver that is in trouble for some seconds ("stopped": by SIGSTOP after a good second)."""
    numbers = Numbers(folder / "stored")
    with (
        process("receive", trouble, str(folder / "stored")) as receiver,
        process("send", str(RATE), flags(folder, line_of(receiver), kept=kept)) as sender,
    ):
        assert line_of(sender) == "ready"
        before = watch(sender.pid, lambda: len(numbers) >= RATE if trouble == "stopped" else True, 20)
        if trouble == "stopped":
            receiver.send_signal(signal.SIGSTOP)
        peak = watch(sender.pid, after(seconds), seconds + 10)
        receiver.send_signal(signal.SIGCONT if trouble == "stopped" else signal.SIGUSR1)
        sender.send_signal(signal.SIGUSR1)
        peak = max(peak, watch(sender.pid, lambda: speaks(sender), 120))
        assert line_of(sender) == "idle"
        end = resident_mib(sender.pid)
        sender.send_signal(signal.SIGTERM)
        book = Counter(json.loads(line_of(sender)))
        assert sender.wait(10) == 0
    ran = Ran(book, numbers.counted(), before, peak, end)
    print(f"{trouble}, {seconds:g} s, {'spool' if kept else 'no spool'}: {ran}")
    return ran


def check(ran: Ran, *, kept: bool) -> None:
    """With a spool nothing is lost; without one the receiver has all that the book calls delivered; memory is flat."""
    dropped = ran.book["failed"] + ran.book["buffer-full"]
    assert ran.book["processed"] == ran.book["delivered"] + dropped
    assert ran.book["errors"] == dropped
    assert len(ran.stored) >= ran.book["delivered"]
    assert ran.peak_mib - ran.before_mib < FLAT_MIB
    if kept:
        assert (ran.lost, dropped) == (0, 0)


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        pytest.param(1.5, True, id="short, spool"),
        pytest.param(1.5, False, id="short, no spool"),
        pytest.param(60.0, True, id="long, spool", marks=pytest.mark.torture),
        pytest.param(60.0, False, id="long, no spool", marks=pytest.mark.torture),
    ],
)
def test_a_receiver_that_is_stopped(seconds: float, kept: bool, tmp_path: Path) -> None:
    """SIGSTOP and SIGCONT under load: memory stays flat; with a spool all arrives, without one the book is exact.

    The kernel of a stopped receiver takes bodies whose answers then come too late. They double: they are stored, and
    sent again.
    """
    ran = run(tmp_path, "stopped", seconds, kept=kept)
    check(ran, kept=kept)
    assert len(ran.stored) == ran.book["delivered"]


@pytest.mark.torture
@pytest.mark.parametrize("kept", SPOOL)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_no_trouble_costs_memory(trouble: str, kept: bool, tmp_path: Path) -> None:
    """Under load, before each receiver of the table, the sender's memory stays flat, and its book exact."""
    ran = run(tmp_path, trouble, 4.0, kept=kept)
    check(ran, kept=kept)
    if not TROUBLES[trouble].stores or TROUBLES[trouble].told:
        assert len(ran.stored) == ran.stored.total() == ran.book["delivered"]


@pytest.mark.torture
@pytest.mark.parametrize("kept", SPOOL)
@pytest.mark.parametrize("mode", MODES)
def test_sigterm_before_a_silent_receiver(mode: str, kept: bool, tmp_path: Path) -> None:
    """The backend, with the options and times of a real one, is gone within ten seconds; all is in the book."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        process(
            "send",
            "500",
            flags(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}", kept=kept, mode=mode, batch_max_size=10),
        ) as sender,
    ):
        assert line_of(sender) == "ready"
        peak = watch(sender.pid, after(1.0), 10)
        begun = time.monotonic()
        sender.send_signal(signal.SIGTERM)
        assert sender.wait(10) == 0
        took_s = time.monotonic() - begun
        book = Counter(json.loads(line_of(sender)))
    print(f"{mode}, {'spool' if kept else 'no spool'}: gone after {took_s:.1f} s, {peak:.1f} MiB, {dict(book)}")
    place = "spooled" if kept else "shut-down"
    assert book["processed"] == book[place] > 0
    waiting = [number for path in (tmp_path / "spool").glob("0*") for number in numbers_in(path.read_bytes())]
    assert sorted(waiting) == (list(range(book["processed"])) if kept else [])

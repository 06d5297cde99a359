"""The spool before a real receiver, over real connections, inside the batch that it stands in."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from backends.receiver import Got, Receiver, Say
from backends.spool_peers import numbered
from decklog.audit.wire import encode_item, join_items
from decklog.backends.batch import Batch, BatchLimits
from decklog.backends.books import Entered
from decklog.backends.failures import Failures, Notices
from decklog.backends.spool import Spool
from decklog.backends.spool_files import SpoolFiles
from decklog.backends.webhook import HttpPoster
from decklog.disk import Disk
from decklog.kubeconfig import ClusterAccess
from decklog.metrics import Account, AuditCounters

if TYPE_CHECKING:
    from pathlib import Path

PAUSE_S = 0.01
LIMITS = BatchLimits(buffer_size=1000, max_size=10, max_wait_s=0.01, throttle=False, qps=10, burst=15)


def nest(url: str, directory: Path, account: Account, *, batch: bool = False, drain_s: float = 8) -> Entered:
    counters, notices = AuditCounters(), Notices()
    spool = Spool(
        HttpPoster(ClusterAccess(server=url), call_limit_s=60),
        SpoolFiles(directory, Disk(), max_bytes=1 << 20),
        encode_item=encode_item,
        join=join_items,
        account=account,
        failures=Failures("webhook", counters, notices),
        notices=notices,
        first_pause_s=PAUSE_S,
    )
    if not batch:
        return Entered(spool, account)
    wrapped = Batch(
        spool, LIMITS, account=account, counters=counters, asynchronous=True, drain_s=drain_s, keep=spool.keep
    )
    return Entered(wrapped, account)


async def send(to: Entered, *numbers: int) -> None:
    promise = to.process(numbered(*numbers))
    if promise is not None:
        await promise


def ids(*numbers: int) -> list[str]:
    return [str(number) for number in numbers]


def test_down_and_back(tmp_path: Path) -> None:
    """What comes while the receiver is gone arrives when it is back on its port, all of it, once, in order."""

    async def scenario() -> None:
        account = Account()
        async with Receiver() as receiver, nest(receiver.url, tmp_path / "spool", account) as backend:
            await send(backend, 1, 2)
            await receiver.stop()
            for number in range(3, 30):
                await send(backend, number)
            assert account.spooled == 27
            await receiver.start()
            await receiver.until(lambda: account.spooled == 0)
            await send(backend, 30)
            assert receiver.ids == ids(*range(1, 31))
        assert (account.delivered, account.balanced) == (30, True)

    asyncio.run(scenario())


def test_many_kinds_of_trouble(tmp_path: Path) -> None:
    """Whether it answers 500, 429, 302 or 401, or closes without a word: each event is taken once."""

    async def scenario() -> None:
        account = Account()
        troubles = [Say(500), Say(429), Say(302, (("Location", "/"),)), Say(401), Say(close=True), Say(503)]
        receiver = Receiver(script=[*troubles, Say(), *troubles, Say()])
        async with receiver, nest(receiver.url, tmp_path / "spool", account) as backend:
            for number in range(20):
                await send(backend, number)
            await receiver.until(lambda: account.spooled == 0)
        assert receiver.ids == ids(*range(20))
        assert (account.delivered, account.balanced) == (20, True)

    asyncio.run(scenario())


def test_a_poison_event_is_parked(tmp_path: Path) -> None:
    """The one event that the receiver answers with 400 is put aside; the 99 others of its body arrive."""

    def judge(got: Got) -> Say:
        return Say(400) if any(item["auditID"] == "57" for item in got.items) else Say()

    async def scenario() -> None:
        account = Account()
        receiver = Receiver(judge=judge)
        async with receiver, nest(receiver.url, tmp_path / "spool", account) as backend:
            await send(backend, *range(100))
        assert receiver.ids == ids(*(number for number in range(100) if number != 57))
        assert (account.delivered, account.parked) == (99, 1)
        assert b'"auditID":"57"' in (tmp_path / "spool" / "parked.ndjson").read_bytes()

    asyncio.run(scenario())


def test_a_run_that_ends_before_a_silent_receiver_keeps_everything(tmp_path: Path) -> None:
    """In mode batch, when the time to drain is up, what is queued and under way goes to disk; the next run sends it."""

    async def scenario() -> None:
        first, second = Account(), Account()
        with socket.create_server(("127.0.0.1", 0)) as silent:  # connections wait in its backlog for ever
            receiver = Receiver(port=silent.getsockname()[1])
            async with nest(receiver.url, tmp_path / "spool", first, batch=True, drain_s=0.2) as backend:
                await send(backend, *range(300))
        assert (first.spooled, first.in_flight, first.queued, first.balanced) == (300, 0, 0, True)
        async with receiver, nest(receiver.url, tmp_path / "spool", second):
            await receiver.until(lambda: second.spooled == 0)
        assert sorted(map(int, receiver.ids)) == list(range(300))
        assert (second.processed, second.delivered) == (300, 300)

    asyncio.run(scenario())

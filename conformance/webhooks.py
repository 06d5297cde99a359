"""webhook/*.jsonl: what our webhook nest posts, held against what a real server posted.

Each scenario is replayed in real time, all of them side by side: the nest that `decklog.assembly` makes of the recorded
flags, over real sockets and TLS, to a receiver that answers as the recorded one did. Compared are the number of posts,
their batches and order, every byte of the bodies (events are fed with their recorded times, so those are equal too),
request line and headers, which requests were refused, metrics, the log beside a webhook, and when posts came:

- between two attempts: the backoff's window b·1.5ⁿ to 1.2·b·1.5ⁿ, or the seconds of the Retry-After;
- a blocking mode's first attempt: at once;
- a batch's first attempt: when the recorded server's came, since a batch's times are no matter of chance; its collector
  is started as long before the first event as that one's.

The tolerance is `TOLERANCE_S`, what the recorded server itself was late by (50 ms are seen) for it and as much for us,
plus what a watch on our own loop saw timers be late by meanwhile: this machine's load is no fault of the backend.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance.lag import TICK_S, Lag
from conformance.receiver import Receiver, Reply
from conformance.recorded_flags import audit_options, plumbing, quiet
from conformance.tally import Tally
from conformance.webhook_compare import TOLERANCE_S, Comparison, Outcome
from conformance.webhook_feed import Feed
from conformance.webhook_scenario import Scenario
from conformance.webhook_site import Trust, is_down, write_kubeconfig
from decklog.assembly import backend_of
from decklog.audit.event import Stage
from decklog.audit.sink import DeliveryError
from decklog.metrics import AuditCounters

if TYPE_CHECKING:
    from conformance.receiver import Got
    from conformance.webhook_feed import Turn
    from decklog.audit.event import Event
    from decklog.audit.sink import Backend

_STAGGER_S: Final = 0.05
"""Between the begins of two scenarios, so that their handshakes do not all come at once."""
_PATIENCE_S: Final = 300.0
"""Longer than five attempts with all their time limits at the default backoff."""


def replay(path: Path) -> Tally:
    """Replay every scenario of a folder (or one file), side by side."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    with quiet():
        verdicts = asyncio.run(_replay_all(files))
    tally = Tally("webhook")
    for file, (faults, reasons) in zip(files, verdicts, strict=True):
        tally.judged(file.stem, faults, reasons)
    return tally


Verdict = tuple[list[str], list[str]]
"""(what differs, the reasons of what differs on purpose)."""


async def _replay_all(files: list[Path]) -> list[Verdict]:
    import_module("aiohttp")  # now, or the time that it takes would be taken for a backend's
    trust = Trust.make()
    lag = Lag()
    watch = asyncio.create_task(lag.watch())
    try:
        return await asyncio.gather(*(_one(file, trust, lag, place * _STAGGER_S) for place, file in enumerate(files)))
    finally:
        watch.cancel()


async def _one(file: Path, trust: Trust, lag: Lag, wait_s: float) -> Verdict:
    await asyncio.sleep(wait_s)
    try:
        with tempfile.TemporaryDirectory(prefix="decklog-conformance-") as folder:
            return await _Replay(Scenario(file), trust, lag, Path(folder)).verdict()
    except Exception as error:  # noqa: BLE001  # because: one scenario that cannot be replayed hides no other
        return [f"cannot be replayed: {type(error).__name__}: {error}"], []


class _Replay:
    """One scenario: fed, and watched."""

    def __init__(self, scenario: Scenario, trust: Trust, lag: Lag, folder: Path) -> None:
        self._scenario = scenario
        self._receiver = Receiver(self._judge, trust.context(scenario), listening=not is_down(scenario))
        self._trust = trust
        self._lag = lag
        self._folder = folder

    async def verdict(self) -> Verdict:
        """Replay and compare."""
        async with self._receiver as receiver:
            config = write_kubeconfig(self._scenario, self._trust, receiver.port, self._folder)
            log_file = self._folder / "audit.log"
            log_path = str(log_file) if self._scenario.audit_log is not None else ""
            options = audit_options(self._scenario.meta["flags"], log_path=log_path, webhook_config=str(config))
            self._of = Outcome(
                self._scenario,
                options,
                self._scenario.chains(options.webhook.backoff_s),
                self._lag,
                log_file,
                AuditCounters(),
                [False] * len(self._scenario.requests),
                port=receiver.port,
                got=receiver.got,
            )
            self._feed = Feed(self._scenario, options, self._folder / "policy.yaml")
            await self._run()
        comparison = Comparison(self._of)
        return comparison.faults(), comparison.reasons

    async def _run(self) -> None:
        of = self._of
        nest, _ = backend_of(of.options, of.counters)
        if nest is None:
            raise ValueError("the flags make no backend")
        of.plumbing = plumbing(nest)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(nest)
            await asyncio.sleep(self._head_start())
            of.begin = _now()
            feeding = asyncio.create_task(self._feed_all(nest))
            await self._until_settled(feeding)
            of.metrics = {plugin: count for plugin, count in of.counters.error_total.items() if count}
            of.left_at = _now()
            if not feeding.done():
                feeding.cancel()
        if feeding.done() and not feeding.cancelled():
            feeding.result()

    def _head_start(self) -> float:
        """Say how long before the first event the collector has to begin, for its timer to ring when it did there."""
        batch, chains = self._of.options.webhook.batch, self._of.chains
        if self._of.options.webhook.mode != "batch" or batch.max_size == 1 or not chains:
            return 0.0
        first = chains[0]
        if first.first_at is None or first.during_stop or len(first.items) >= batch.max_size:
            return 0.0
        return max(0.0, batch.max_wait_s - (first.first_at - self._scenario.origin))

    def _judge(self, got: Got) -> Reply:
        """Answer as the recorded receiver did: by batch and attempt; the last answer again if there are more."""
        chain = next((chain for chain in self._of.chains if chain.items == got.items and chain.posts), None)
        if chain is None:
            return Reply()
        return chain.reply(sum(one.items == got.items for one in self._receiver.got))

    async def _feed_all(self, nest: Backend) -> None:
        if self._of.options.webhook.mode == "batch":
            for at, event in self._feed.timetable():
                await asyncio.sleep(self._of.begin + at - _now())
                await self._hand_over(nest, event)
            return
        ends = [asyncio.Event() for _ in self._feed.turns]
        async with asyncio.TaskGroup() as tasks:
            for place in range(len(ends)):
                tasks.create_task(self._feed_one(nest, place, ends))

    async def _feed_one(self, nest: Backend, place: int, ends: list[asyncio.Event]) -> None:
        turn = self._feed.turns[place]
        if turn.after is not None:
            await ends[turn.after].wait()
            await asyncio.sleep(turn.delay_s)
        else:
            await asyncio.sleep(self._of.begin + turn.delay_s - _now())
        self._of.refused[place] = await self._live(nest, turn)
        ends[place].set()

    async def _live(self, nest: Backend, turn: Turn) -> bool:
        """Hand over a request's events; True: it was refused at the first, as strict mode does (spec §6.7)."""
        for event, pause_s in zip(turn.events, turn.pauses, strict=True):
            await asyncio.sleep(pause_s)
            if not await self._hand_over(nest, event) and event.stage == Stage.REQUEST_RECEIVED:
                return True
        return False

    async def _hand_over(self, nest: Backend, event: Event) -> bool:
        """Give an event to the nest; False: it is lost, and said so."""
        self._of.called[event.audit_id, str(event.stage)] = _now()
        self._of.fed += 1
        try:
            promise = nest.process((event,))
            if promise is not None:
                await promise
        except DeliveryError:
            return False
        return True

    async def _until_settled(self, feeding: asyncio.Task[None]) -> None:
        """Wait until nothing more can come: by the books, or because nobody looked any more in the recording either."""
        begin, origin, horizon = self._of.begin, self._scenario.origin, self._scenario.horizon
        last = begin + (_PATIENCE_S if horizon is None else horizon - origin)
        stops = [chain.first_at for chain in self._of.chains if chain.during_stop and chain.first_at is not None]
        if stops:
            await asyncio.wait((feeding,))
            await asyncio.sleep(begin + min(stops) - origin - 3 * TOLERANCE_S - _now())
            return
        while _now() < last and not (feeding.done() and self._settled()):  # noqa: ASYNC110  # because: books ring no bell
            await asyncio.sleep(TICK_S)

    def _settled(self) -> bool:
        accounts = self._of.counters.accounts.values()
        return all(account.queued == account.in_flight == 0 for account in accounts)


def _now() -> float:
    return asyncio.get_running_loop().time()

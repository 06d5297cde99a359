"""`decklog serve`: several doors in one tree of processes, and the upkeep of the stores that they write to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from decklog import listen
from decklog.assembling.doors import Doors, named
from decklog.assembling.gateway import AuditedGateway
from decklog.assembling.receiver import StoreReceiver
from decklog.assembling.upkeep import retention_rules, round_of
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.metrics import bequeathed, snapshot

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from decklog.assembling.doors import Door
    from decklog.assembling.upkeep import Round
    from decklog.assembling.web import WebDoor, WebSettings
    from decklog.crew import Crew
    from decklog.health import HealthOptions
    from decklog.metrics import AuditCounters
    from decklog.store.options import UpkeepOptions
    from decklog.store.retention import Rules
    from decklog.worker import Worker

logger = logging.getLogger(__name__)


class PagesInCrew:
    """The pages as one door of several; their worker tells the address himself, with the token that opens it."""

    name = "web"
    workers = 1
    certificates = None
    """Its worker reads them again himself."""

    def __init__(self, settings: WebSettings, announce: Callable[[str], None]) -> None:
        self.counters_at = ""
        """Where all doors together tell what they have counted; empty: nowhere that is known before."""
        self.address = settings.address
        self._settings = settings
        self._announce = announce
        self._door().data.close()  # what cannot be used is told before anybody starts

    async def work(self, worker: Worker) -> None:
        """Serve."""
        await self._door().work(worker)

    def _door(self) -> WebDoor:
        from decklog.assembling.web import WebDoor  # noqa: PLC0415  # because: 400 ms, for who serves pages

        return WebDoor(self._settings.beside(self.counters_at), self._announce)

    async def begin(self) -> None:
        """Nothing is done once."""

    def ready(self, url: str) -> list[str]:
        """Tell nothing: the worker has."""
        del url
        return []

    def hung_up(self, crew: Crew) -> None:
        """Read the certificate again."""
        crew.tell({"kind": "tls"})


class Upkeep:
    """Looks after stores from time to time, in a process of its own: what it holds in memory costs no door anything."""

    name = "upkeep"
    address = ""
    workers = 1
    certificates = None

    def __init__(self, stores: Sequence[str], options: UpkeepOptions) -> None:
        options.check()
        self._stores = [Path(store) for store in stores]
        self._options = options
        self._rules()  # what cannot be read is told before anybody starts

    async def work(self, worker: Worker) -> None:
        """Do a round every so often. A stop does not wait for one: what it leaves, the next one finishes."""
        counters = bequeathed(worker.inherited)
        worker.stats = lambda: snapshot(counters)
        worker.ready()
        stopped = asyncio.ensure_future(worker.stopped())
        while not stopped.done():
            await asyncio.wait([stopped], timeout=self._options.every_s)
            if not stopped.done():
                await asyncio.wait([stopped, self._round(counters)], return_when=asyncio.FIRST_COMPLETED)

    def _round(self, counters: AuditCounters) -> asyncio.Future[None]:
        """Do it in a thread that nobody waits for at the end of the process."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        def end(rounds: Sequence[Round | None]) -> None:
            for each in rounds:
                _count(each, counters)
            if not over.done():
                over.set_result(None)

        def work() -> None:
            rounds = [self._look_after(store) for store in self._stores]
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile, and the process will
                loop.call_soon_threadsafe(end, rounds)

        threading.Thread(target=work, name="upkeep", daemon=True).start()
        return over

    def _look_after(self, store: Path) -> Round | None:
        """Do one store's round, and tell of it; None: it failed."""
        try:
            done = round_of(store, Disk(), self._rules())
        except (OSError, DecklogError) as error:
            logger.warning("the upkeep of %s: %s: it is tried again later", store, error)
        except Exception:
            logger.exception("the upkeep of %s failed: it is tried again later", store)
        else:
            for left in done.left:
                logger.warning("the upkeep of %s has left as it is what it could not take: %s", store, left)
            if done.deleted:
                logger.warning("the upkeep of %s has deleted %d events by the retention", store, done.deleted)
            return done
        return None

    def _rules(self) -> Rules | None:
        options = self._options
        if not options.retention_file and not options.retention_max_bytes:
            return None
        return retention_rules(options.retention_file or None, options.retention_max_bytes or None)

    async def begin(self) -> None:
        """Nothing is done once."""

    def ready(self, url: str) -> list[str]:
        """Tell of what it looks after."""
        del url
        return [f"{', '.join(map(str, self._stores))}, every {self._options.every_s:g} s"]

    def hung_up(self, crew: Crew) -> None:
        """Nothing is read again: the retention is, at each round."""


def _count(done: Round | None, counters: AuditCounters) -> None:
    if done is None:
        counters.upkeep["failed"] += 1
    else:
        counters.upkeep["incomplete" if done.left else "done"] += 1
        counters.retention_deleted += done.deleted


DOORS: Final[dict[str, Callable[[Any, Callable[[str], None]], Door]]] = {
    "gateway": AuditedGateway,
    "receive": StoreReceiver,
    "web": PagesInCrew,
}
"""What can serve, by its section in the configuration: each is made of its settings."""


def door_of(name: str, settings: Any, announce: Callable[[str], None]) -> Door:
    """Make the door of a section; what it tells bears its name. Raises DecklogError for settings that cannot be."""
    return DOORS[name](settings, lambda line: announce(named(line, name)))


def serve(
    doors: Sequence[Door],
    stores: Sequence[str],
    *,
    health: HealthOptions,
    upkeep: UpkeepOptions,
    announce: Callable[[str], None],
) -> signal.Signals:
    """Serve with `doors`, and look after the `stores`, until SIGTERM or SIGINT, which is returned.

    Raises DecklogError when one of them cannot serve; then all of them are stopped.
    """
    _have_addresses_of_their_own(doors)
    for door in doors:
        if isinstance(door, PagesInCrew):
            door.counters_at = _metrics_url(health.address)
    crew = list(doors)
    if stores and upkeep.every_s:
        crew.append(Upkeep(stores, upkeep))
    return Doors(crew, health, announce).run()


def _metrics_url(address: str) -> str:
    """Give the address of the metrics for a door of the same machine; empty: it is chosen only when they are served."""
    host, port = listen.parse_address(address) if address else ("", 0)
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # because: who listens everywhere is here
    return f"{listen.Served(own, port, tls=False).url}/metrics" if port else ""


def _have_addresses_of_their_own(doors: Sequence[Door]) -> None:
    taken: dict[tuple[str, int], str] = {}
    for door in doors:
        place = listen.parse_address(door.address)
        if place[1] and place in taken:
            raise DecklogError(
                f"{taken[place]} and {door.name} both listen on {door.address}: give each section a 'listen' of its own"
            )
        taken[place] = door.name

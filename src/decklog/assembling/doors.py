"""The life of doors that serve together: one supervisor, one view of what is counted, one end.

A door says what its workers do and what is to be told of it; everything that a supervisor does for every door alike
stands here: certificates that are looked at and read again, sums of what all workers count, reasons why it is not
ready, the lines at the start. One door is what `decklog gateway` and `decklog receive` run, several `decklog serve`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final, Protocol

from decklog import listen
from decklog.crew import Crew
from decklog.health import Health
from decklog.metrics import AuditCounters, merged, restored
from decklog.supervisor import Supervisor

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Callable, Sequence

    from decklog.assembling.listener_certificates import Certificates
    from decklog.health import HealthOptions
    from decklog.worker import Worker

LOOK_EVERY_S: Final = 5.0
"""How often the files of certificates are looked at."""
LISTENING: Final = "listening on "


class Door(Protocol):
    """What serves: its workers, and what is done once for all of them."""

    name: str
    """Told where several doors serve: ``gateway``."""

    @property
    def address(self) -> str:
        """Where its workers listen; empty: nowhere."""
        ...

    @property
    def workers(self) -> int:
        """How many there are."""
        ...

    @property
    def certificates(self) -> Certificates | None:
        """Those of its listener; None where nobody has to look after them."""
        ...

    async def work(self, worker: Worker) -> None:
        """Serve in one worker, from its start to its end."""
        ...

    async def begin(self) -> None:
        """Do what is done once, before there are workers."""
        ...

    def ready(self, url: str) -> list[str]:
        """Hear that all workers serve; gives what is to be told of it, a line each."""
        ...

    def hung_up(self, crew: Crew) -> None:
        """Answer SIGHUP; certificates are looked after already."""
        ...


class Doors:
    """Runs doors until they are to end."""

    def __init__(self, doors: Sequence[Door], health: HealthOptions, announce: Callable[[str], None]) -> None:
        self._several = len(doors) > 1
        self._crews = [
            (door, Crew(door.work, door.address, door.workers, door.name if self._several else "")) for door in doors
        ]
        self._health = health
        self._announce = announce
        self._metrics_url = ""

    def run(self) -> signal.Signals:
        """Serve until SIGTERM or SIGINT, which is returned. Raises DecklogError when a door cannot serve."""
        return Supervisor(
            [crew for _, crew in self._crews], on_ready=self._ready, on_hangup=self._hung_up, beside=self._beside
        ).run()

    def _ready(self) -> None:
        lines = []
        for door, crew in self._crews:
            has_tls = door.certificates is not None and door.certificates.material is not None
            url = listen.Served(crew.host, crew.port, tls=has_tls).url if crew.listens else ""
            lines += [self._named(line, door) for line in door.ready(url)]
        first = next((place for place, line in enumerate(lines) if line.startswith(LISTENING)), len(lines))
        if self._metrics_url:
            lines.insert(first, f"metrics on {self._metrics_url}")
        for line in lines:
            self._announce(line)

    def _named(self, line: str, door: Door) -> str:
        return named(line, door.name) if self._several else line

    @contextlib.asynccontextmanager
    async def _beside(self, supervisor: Supervisor) -> AsyncIterator[None]:
        async def counted() -> AuditCounters:
            total = merged(map(restored, await supervisor.gather()))
            total.certificates = self._ends()
            return total

        async with contextlib.AsyncExitStack() as stack:
            for door, _ in self._crews:
                await door.begin()
            if self._health.address:
                health = Health(counted, supervisor.problems)
                served = await stack.enter_async_context(listen.serve(health, self._health.address))
                self._metrics_url = f"{served.url}/metrics"
            looking = asyncio.create_task(self._look_after_certificates())
            stack.callback(looking.cancel)
            yield

    def _ends(self) -> dict[str, float]:
        """Tell when certificates run out; where several doors serve, each is told with its door's name in front."""
        return {
            f"{door.name}-{name}" if self._several else name: end_s
            for door, _ in self._crews
            if door.certificates is not None
            for name, end_s in door.certificates.ends.items()
        }

    async def _look_after_certificates(self) -> None:
        while True:
            for door, _ in self._crews:
                if door.certificates is not None:
                    door.certificates.warn(time.time())
            await asyncio.sleep(LOOK_EVERY_S)
            for door, crew in self._crews:
                self._follow_certificates(door, crew)

    def _follow_certificates(self, door: Door, crew: Crew) -> None:
        if door.certificates is not None and door.certificates.follow():
            crew.tell({"kind": "tls"})
            self._announce(self._named("the listener's certificates were read again", door))

    def _hung_up(self, supervisor: Supervisor) -> None:
        del supervisor
        for door, crew in self._crews:
            self._follow_certificates(door, crew)
            door.hung_up(crew)


def named(line: str, door: str) -> str:
    """Say of which door a line is; where it listens stays in front, for those who look for it."""
    return f"{line} ({door})" if line.startswith(LISTENING) else f"{door}: {line}"

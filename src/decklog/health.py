"""A door: how decklog itself is doing, for Prometheus and for probes, on a listener of its own.

| path | answer |
|---|---|
| `/metrics` | Prometheus' text format: kube-apiserver's audit metrics under their names, ours beside them |
| `/healthz` | 200 `ok` as long as the process answers |
| `/readyz` | 200 `ok`, or 503 with a reason a line, in words |

Labels come from closed sets only (plugins, levels, backends, reasons): no client can make series.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from decklog.metrics import families
from decklog.options import option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.metrics import AuditCounters

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TEXT: Final = b"text/plain; charset=utf-8"
PROMETHEUS: Final = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class HealthOptions:
    """Where metrics and health are served."""

    listen: str = option(
        "--metrics-listen",
        "",
        "Serve /metrics, /healthz and /readyz over plain HTTP on this address; a port alone means loopback. "
        "Unset: nowhere.",
        metavar="HOST:PORT",
    )

    @property
    def address(self) -> str:
        """The address, with the loopback host where only a port was given."""
        port = self.listen.removeprefix(":")
        return f"127.0.0.1:{port}" if port.isdigit() else self.listen


class Health:
    """An ASGI application over what is counted: the counters themselves, or who gathers them from several workers.

    `problems` gives the reasons why decklog is not ready, in words; none when it is.
    """

    def __init__(
        self,
        counters: AuditCounters | Callable[[], Awaitable[AuditCounters]],
        problems: Callable[[], list[str]],
    ) -> None:
        self._counters = counters
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _answer(send, *await self._page(scope["method"], scope["path"]))

    async def _page(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in {"GET", "HEAD"}:
            return 405, TEXT, b"only GET is answered here\n"
        match path:
            case "/metrics":
                counters = await self._counters() if callable(self._counters) else self._counters
                return 200, PROMETHEUS, exposition(counters)
            case "/healthz" | "/livez":
                return 200, TEXT, b"ok"
            case "/readyz":
                problems = self._problems()
                return (
                    (503, TEXT, "".join(f"{line}\n" for line in problems).encode()) if problems else (200, TEXT, b"ok")
                )
        return 404, TEXT, b"here are /metrics, /healthz and /readyz\n"


class Readiness:
    """Why decklog is not ready: what failed or was lost within the last minute, and what waits on disk.

    It sees what is counted when it is asked, so it has to be asked more often than once a minute to tell of all.
    """

    WINDOW_S: Final = 60.0

    def __init__(self, counters: AuditCounters, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._clock = clock
        self._seen: dict[str, int] = {}
        self._grew: dict[str, float] = {}

    def __call__(self) -> list[str]:
        """Give the reasons, a line each."""
        now = self._clock()
        problems = []
        for words, count in self._losses():
            if count > self._seen.get(words, 0):
                self._grew[words] = now
            self._seen[words] = count
            if now - self._grew.get(words, -self.WINDOW_S) < self.WINDOW_S:
                problems.append(f"{words}: {count} so far, the last within a minute")
        problems.extend(
            f"{name}: the receiver is not taking events, {book.spooled} wait on disk"
            for name, book in self._counters.accounts.items()
            if book.spooled
        )
        return problems

    def _losses(self) -> Iterator[tuple[str, int]]:
        yield "requests refused, because their events could not be stored", self._counters.requests_rejected_total
        for name, book in self._counters.accounts.items():
            for reason, count in book.dropped.items():
                yield f"{name}: events lost ({reason})", count
            yield f"{name}: events that the receiver refused, kept aside", book.parked


def exposition(counters: AuditCounters) -> bytes:
    """Write everything that is counted in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415  # because: 60 ms, for who scrapes
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415  # because: the same

    class Counted:
        """Hands the counters over at each scrape."""

        def collect(self) -> Any:
            for family in families(counters):
                make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                metric = make(family.name, family.help, labels=family.label_names)
                for values, value in family.samples:
                    metric.add_metric(values, value)
                yield metric

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Counted())
    return generate_latest(registry)


async def _answer(send: Send, code: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Any, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

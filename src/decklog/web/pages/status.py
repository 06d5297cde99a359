"""Status: how fresh the sources are, how fast events come, what was lost and why, how long the disk lasts."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.store.inspection import gaps, stats
from decklog.web.asking import Asked, Page
from decklog.web.scraping import Count, DoorCounts, counts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.store.inspection import Figures

PATH: Final = "/status"
RATE_S: Final = 60
"""Events of so many seconds make the rate."""
STALE_S: Final = 15 * 60
"""A source that is silent for so long is named: a cluster writes something every second."""
WARN_DAYS: Final = 14
_SHORT_S: Final = 3600
"""A store that spans less says nothing of a day."""


class Source(Struct, frozen=True, rename="camel"):
    """One log, or one cluster of a store."""

    name: str
    events: int | None
    """None: not counted, as it would take reading it all."""
    size_bytes: int | None
    newest: str | None
    """The MicroTime of the newest request."""
    lag_s: float | None
    """Seconds from then until now."""

    @property
    def stale(self) -> bool:
        """Whether it has been silent for long."""
        return self.lag_s is not None and self.lag_s > STALE_S


class StoreFigures(Struct, frozen=True, rename="camel"):
    """A store on its disk."""

    events: int
    size_bytes: int
    journal_bytes: int
    bytes_an_event: float
    raw_bytes: int
    """What its segments would take as plain lines."""
    first: str
    last: str
    days: int
    """Days with events."""
    quarantined: int
    free_bytes: int
    day_bytes: float | None
    """What a day adds; None: the store is too young to tell."""
    days_left: float | None


class GapFigures(Struct, frozen=True):
    """What a count of all events tells."""

    distinct: int
    received: int
    """Requests of which the beginning is recorded."""
    open: int
    """Of these, without an end."""
    examples: tuple[str, ...]


class Certificate(Struct, frozen=True, rename="camel"):
    """One certificate and its end."""

    name: str
    until: str | None
    """MicroTime."""
    days_left: int | None
    problem: str = ""

    @property
    def urgent(self) -> bool:
        """Whether somebody has to do something."""
        return bool(self.problem) or (self.days_left is not None and self.days_left < WARN_DAYS)


class StatusPage(Struct, frozen=True, rename="camel"):
    """The page."""

    sources: tuple[Source, ...]
    events_a_second: float
    rate_seconds: int
    store: StoreFigures | None
    gaps: GapFigures | None
    """None: not asked for, or there is no store."""
    doors: tuple[DoorCounts, ...]
    certificates: tuple[Certificate, ...]
    warnings: tuple[str, ...]
    """What somebody should see to, the gravest first."""

    @property
    def losses(self) -> tuple[tuple[str, Count], ...]:
        """All that was lost: where, and how much."""
        return tuple((door.address, one) for door in self.doors for one in door.losses)


def make(asked: Asked) -> StatusPage:
    """Look at everything."""
    path = str(asked.settings.get("store") or "")
    figures = _figures(path) if path else None
    sources = tuple(_clusters(asked, figures) if figures is not None else _files(asked))
    store = _store(Path(path), figures) if figures is not None else None
    doors = tuple(counts_of(address) for address in asked.settings.get("metrics") or ())
    certificates = tuple(_certificates(asked, doors))
    found = _gaps(asked, Path(path)) if path and "gaps" in asked.fields else None
    return StatusPage(
        sources=sources,
        events_a_second=_rate(asked),
        rate_seconds=RATE_S,
        store=store,
        gaps=found,
        doors=doors,
        certificates=certificates,
        warnings=tuple(_warnings(sources, store, doors, certificates, found)),
    )


def _warnings(
    sources: Iterable[Source],
    store: StoreFigures | None,
    doors: Iterable[DoorCounts],
    certificates: Iterable[Certificate],
    found: GapFigures | None,
) -> Iterator[str]:
    for door in doors:
        for loss in door.losses:
            yield f"{loss.count:,} events lost at {door.address}: {loss.what} ({loss.labels})"
        if door.problem:
            yield f"{door.address} {door.problem}"
    for one in certificates:
        if one.urgent:
            yield f"{one.name}: {one.problem or _ends(one.days_left)}"
    if store is not None and store.days_left is not None and store.days_left < WARN_DAYS:
        yield f"the store's disk is full in about {store.days_left:,.0f} days: make room, or keep less (store retain)"
    if store is not None and store.quarantined:
        yield f"{store.quarantined:,} bodies wait in quarantine: decklog store quarantine lists them"
    if found is not None and found.open:
        yield f"{found.open:,} requests have no end: they are under way, or events were lost"
    for source in sources:
        if source.stale and source.lag_s is not None:
            yield f"{source.name} has been silent since {source.newest}: is it still written?"


def _ends(days: int | None) -> str:
    return "it has run out: replace it" if days is not None and days < 0 else f"it ends in {days} days: replace it"


# Sources


def _files(asked: Asked) -> Iterator[Source]:
    arguments = asked.data.arguments
    newest = asked.data.newest(asked.deadline)
    paths = [word for flag, word in pairwise(arguments) if flag == "-f"]
    for path in paths:
        try:
            size = os.stat(path).st_size  # noqa: PTH116  # because: the path is text as the user wrote it
        except OSError:
            size = None
        yield Source(path, None, size, newest, _lag(asked, newest))


def _clusters(asked: Asked, figures: Figures) -> Iterator[Source]:
    for cluster, events in sorted(figures.clusters.items()):
        newest = asked.data.newest(asked.deadline, cluster)
        yield Source(cluster or "the only cluster", events, None, newest, _lag(asked, newest))


def _lag(asked: Asked, time: str | None) -> float | None:
    if not time:
        return None
    try:
        return max(0.0, (asked.now - datetime.fromisoformat(time)).total_seconds())
    except (ValueError, TypeError):
        return None


def _rate(asked: Asked) -> float:
    since = (asked.now - timedelta(seconds=RATE_S)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return sum(1 for _ in asked.data.lines(since, asked.deadline)) / RATE_S


# The store


def _figures(path: str) -> Figures:
    try:
        return stats(Path(path), Disk())
    except OSError as error:
        raise DecklogError(f"cannot read the store {path} ({error.strerror}): run as a user who may") from error


def _store(path: Path, figures: Figures) -> StoreFigures:
    size = figures.segment_bytes + figures.journal_bytes
    free = shutil.disk_usage(path).free
    a_day = _day_bytes(figures)
    return StoreFigures(
        figures.events,
        size,
        figures.journal_bytes,
        figures.bytes_an_event,
        figures.segment_raw_bytes,
        figures.first,
        figures.last,
        len(figures.days),
        figures.waiting,
        free,
        a_day,
        free / a_day if a_day else None,
    )


def _day_bytes(figures: Figures) -> float | None:
    """Spread what the segments take over the time from their first to their last event."""
    try:
        span = datetime.fromisoformat(figures.last) - datetime.fromisoformat(figures.first)
    except (ValueError, TypeError):
        return None
    if span.total_seconds() < _SHORT_S:
        return None
    return figures.segment_bytes / (span.total_seconds() / 86_400)


def _gaps(asked: Asked, path: Path) -> GapFigures:
    # Because: DuckDB takes its time to import, and only this count needs it.
    from decklog.store.parquet import engine  # noqa: PLC0415  # because: what a page that counts nothing does not need

    with (
        tempfile.TemporaryDirectory(prefix="decklog-status-") as aside,
        engine(Path(aside)) as opened,
        asked.deadline.on_expiry(opened.interrupt),
    ):
        return GapFigures(**asdict(gaps(path, Disk(), opened)))


# Certificates


def _certificates(asked: Asked, doors: Iterable[DoorCounts]) -> Iterator[Certificate]:
    for name, path in asked.settings.get("certificates") or ():
        yield from _in_file(asked, name, path)
    for door in doors:
        for name, end_s in door.certificates:
            end = datetime.fromtimestamp(min(max(end_s, 0.0), 253_000_000_000.0), UTC)
            yield _certificate(f"{name} of {door.address}", end, asked.now)


def _in_file(asked: Asked, name: str, path: str) -> Iterator[Certificate]:
    from cryptography import x509  # noqa: PLC0415  # because: plain pages over a log have no certificates

    try:
        found = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        yield Certificate(f"{name} {path}", None, None, f"cannot be read: {error}")
        return
    yield _certificate(f"{name} {path}", min(one.not_valid_after_utc for one in found), asked.now)


def _certificate(name: str, end: datetime, now: datetime) -> Certificate:
    return Certificate(name, end.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), (end - now).days)


PAGE: Final = Page(PATH, "status.html", make, "Status")

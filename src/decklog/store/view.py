"""A view of a store: the files that hold its events at one moment, each event in exactly one of them. Takes no lock.

Journals are listed first, the catalog second: what is sealed in between is in a segment, and left out as a journal.
Files that count no more stay for a grace period, so a view can be read for that long.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # because: hints of a value are read at run time, too
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.errors import DecklogError
from decklog.store import catalog, reading
from decklog.store.catalog import COMPACTED, Catalog, EmptyCatalogError, Segment
from decklog.store.reading import JournalSegment  # noqa: TC001  # because: hints of a value are read at run time, too

if TYPE_CHECKING:
    from decklog.disk import Disk

READING: Final = "decklog/reading"
"""The cluster whose events tell who has read the store: a stream of its own beside those of real clusters."""


class View(Struct, frozen=True):
    """What to read for all events of a store."""

    store: Path
    """The directory."""
    segments: tuple[Segment, ...]
    journals: tuple[JournalSegment, ...]

    @property
    def doubled(self) -> bool:
        """Whether an event may stand in it twice (an identity tells); never within compacted segments of a cluster."""
        return bool(self.journals) or any(segment.kind != COMPACTED for segment in self.segments)

    def within(self, since: str | None, until: str | None, cluster: str | None = None) -> View:
        """Leave out the segments that have no event of a window (MicroTimes, `until` excluded) or of a cluster.

        Who has read the store is left out as well, unless `cluster` names it (`READING`).
        """
        return self.of(cluster).during(since, until)

    def of(self, cluster: str | None) -> View:
        """Leave out the other clusters; None: who has read the store (`READING`)."""
        return View(
            self.store,
            tuple(segment for segment in self.segments if _is_asked(cluster, segment.cluster)),
            tuple(journal for journal in self.journals if _is_asked(cluster, journal.cluster)),
        )

    def during(self, since: str | None, until: str | None) -> View:
        """Leave out the segments that have no event of a window (MicroTimes, `until` excluded)."""
        chosen = (
            segment
            for segment in self.segments
            if (since is None or not segment.max_time or segment.max_time >= since)
            and (until is None or not segment.min_time or segment.min_time < until)
        )
        return View(self.store, tuple(chosen), self.journals)


def _is_asked(cluster: str | None, found: str) -> bool:
    return found != READING if cluster is None else found == cluster


def view(store: Path, disk: Disk) -> View:
    """Look at a store. Raises DecklogError if it is none, or its catalog is lost; OSError."""
    journals = reading.segments(store, disk)
    try:
        with Catalog(store) as opened:
            segments, sealed = opened.snapshot()
            if not segments:
                catalog.refuse_lost(store, opened)
    except EmptyCatalogError:
        if not journals and not (store / "journal").is_dir() and not catalog.exists(store):
            raise DecklogError(f"{store} is no store: give the directory that decklog receive writes to") from None
        catalog.refuse_lost(store)
        segments, sealed = [], set()
    return View(
        store,
        tuple(segments),
        tuple(journal for journal in journals if (journal.writer, journal.number) not in sealed),
    )

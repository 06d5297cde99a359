"""What decklog counts of itself, under kube-apiserver's names where it counts the same (spec §8). Lives in the cellar.

Plain integers: a count costs nanoseconds on the request path, and a listener may render them in any format.

An `Account` is the book of one backend's nest. Every event that enters is in exactly one column at any time, so that at
any time (between two steps of the event loop) ``processed == delivered + queued + in_flight + spooled + parked +
dropped``: nothing disappears without a trace. Who moves what:

| who | when | from → to |
|---|---|---|
| `enter` (the outermost part of a nest) | an event comes in | processed, in_flight |
| batch | it is put into the queue, and taken out | in_flight ⇄ queued |
| truncate, batch, a leaf | it is given up, with the reason | in_flight → dropped |
| spool | it is on disk; it is sent from there | in_flight → spooled → in_flight |
| spool | the receiver refuses it alone | in_flight → parked |
| a leaf (log, webhook) | it is written, or answered with success | in_flight → delivered |
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WORKER_DIED: Final = "worker-died"
"""Why events were dropped that waited in the memory of a worker that is gone."""


@dataclass(slots=True)
class Account:
    """The book of one backend. Single-threaded: all moves happen on the event loop's thread, or under one lock."""

    processed: int = 0
    delivered: int = 0
    queued: int = 0
    in_flight: int = 0
    spooled: int = 0
    parked: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """By reason: ``buffer-full``, ``shut-down``, ``too-large``, ``unencodable``, ``failed``, ``spool-full`` …"""

    left_out: int = 0
    """Events that the backend's own policy left out before they came in: in no column, and no loss."""

    @property
    def balanced(self) -> bool:
        """Whether every event that came in is in a column."""
        return self.processed == (
            self.delivered + self.queued + self.in_flight + self.spooled + self.parked + self.dropped.total()
        )


@dataclass(slots=True)
class ReceiverCounters:
    """What a receiver takes and refuses."""

    bodies: int = 0
    """Bodies that were answered 200."""
    body_bytes: int = 0
    """Their bytes, unpacked."""
    events: int = 0
    """Events that were stored."""
    doubled: int = 0
    """Events that were stored already: a sender has sent them again."""
    quarantined: int = 0
    """Bodies that could not be split as usual, and were kept as a whole to be taken apart."""
    held: int = 0
    """Items of these that are no events that can be read: they stay in quarantine."""
    stores: int = 0
    store_seconds: float = 0.0
    """How long storing took, each with its sync, in all."""
    refused: Counter[str] = field(default_factory=Counter)
    """Bodies and connections that were not taken, by reason."""


@dataclass(slots=True)
class AuditCounters:
    """The four counters of the Kubernetes audit system, and the books of the backends."""

    event_total: int = 0
    """apiserver_audit_event_total: events sent to the backend, one a stage, whatever became of them."""

    error_total: Counter[str] = field(default_factory=Counter)
    """apiserver_audit_error_total{plugin}: events that a plugin failed to audit properly."""

    level_total: dict[str, int] = field(default_factory=dict)
    """apiserver_audit_level_total{level}: decisions, one a request, None included."""

    requests_rejected_total: int = 0
    """apiserver_audit_requests_rejected_total: requests refused because the backend failed."""

    accounts: dict[str, Account] = field(default_factory=dict)
    """By backend: ``log``, ``webhook``."""

    refused_connections: Counter[str] = field(default_factory=Counter)
    """Connections of clients that the gateway closed at once, by reason: ``too-many``, ``too-many-of-one-address``."""

    certificates: dict[str, float] = field(default_factory=dict)
    """When the certificates in use run out, in seconds since the epoch, by what they are for: ``listener`` …"""

    receiver: ReceiverCounters = field(default_factory=ReceiverCounters)

    upkeep: Counter[str] = field(default_factory=Counter)
    """Times that a store was looked after, by the outcome: ``done``, ``failed``, and ``incomplete`` where something
    damaged was left as it is."""

    retention_deleted: int = 0
    """Events that were deleted because the retention says so."""

    def account(self, backend: str) -> Account:
        """Give the book of a backend, new if there is none yet."""
        return self.accounts.setdefault(backend, Account())


def merged(parts: Iterable[AuditCounters]) -> AuditCounters:
    """Sum what several workers count; of a certificate that they all use, the earliest end counts."""
    total = AuditCounters()
    levels: Counter[str] = Counter()
    for part in parts:
        total.event_total += part.event_total
        total.requests_rejected_total += part.requests_rejected_total
        total.retention_deleted += part.retention_deleted
        total.error_total.update(part.error_total)
        total.upkeep.update(part.upkeep)
        total.refused_connections.update(part.refused_connections)
        levels.update(part.level_total)
        for column in _RECEIVED:
            setattr(total.receiver, column, getattr(total.receiver, column) + getattr(part.receiver, column))
        total.receiver.refused.update(part.receiver.refused)
        for name, book in part.accounts.items():
            _add(total.account(name), book)
        for name, end_s in part.certificates.items():
            total.certificates[name] = min(end_s, total.certificates.get(name, end_s))
    total.level_total = dict(levels)
    return total


def _add(total: Account, book: Account) -> None:
    for column in _BOOK:
        setattr(total, column, getattr(total, column) + getattr(book, column))
    total.dropped.update(book.dropped)


def snapshot(counters: AuditCounters) -> dict[str, Any]:
    """Write everything down as plain values, which JSON can carry from a worker to its supervisor."""
    return {
        "event_total": counters.event_total,
        "error_total": dict(counters.error_total),
        "level_total": {str(level): count for level, count in counters.level_total.items()},
        "requests_rejected_total": counters.requests_rejected_total,
        "accounts": {
            name: {**{column: getattr(book, column) for column in _BOOK}, "dropped": dict(book.dropped)}
            for name, book in counters.accounts.items()
        },
        "refused_connections": dict(counters.refused_connections),
        "certificates": dict(counters.certificates),
        "receiver": {
            **{column: getattr(counters.receiver, column) for column in _RECEIVED},
            "refused": dict(counters.receiver.refused),
        },
        "upkeep": dict(counters.upkeep),
        "retention_deleted": counters.retention_deleted,
    }


def restored(values: Mapping[str, Any]) -> AuditCounters:
    """Read what `snapshot` wrote; nothing at all is a start from zero."""
    if not values:
        return AuditCounters()
    accounts = {
        name: Account(**{**columns, "dropped": Counter(columns["dropped"])})
        for name, columns in values["accounts"].items()
    }
    errors = Counter(values["error_total"])
    refused = Counter(values["refused_connections"])
    received = ReceiverCounters(**{**values["receiver"], "refused": Counter(values["receiver"]["refused"])})
    return AuditCounters(
        **{
            **values,
            "error_total": errors,
            "refused_connections": refused,
            "accounts": accounts,
            "receiver": received,
            "upkeep": Counter(values["upkeep"]),
        }
    )


def bequeathed(values: Mapping[str, Any]) -> AuditCounters:
    """Give what the successor of a dead worker begins with, so that no counter ever goes backwards.

    What waited in memory is lost with it. What waited on disk stays in the book: the successor opens the same spool.
    """
    counters = restored(values)
    for book in counters.accounts.values():
        if lost := book.queued + book.in_flight:
            book.dropped[WORKER_DIED] += lost
            book.queued = book.in_flight = 0
    return counters


_RECEIVED = (
    "bodies",
    "body_bytes",
    "events",
    "doubled",
    "quarantined",
    "held",
    "stores",
    "store_seconds",
)
_BOOK = ("processed", "delivered", "queued", "in_flight", "spooled", "parked", "left_out")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric as a scraper sees it."""

    name: str
    kind: str
    """``counter`` or ``gauge``."""
    help: str
    label_names: tuple[str, ...]
    samples: tuple[tuple[tuple[str, ...], float], ...]
    """(label values, value) of each series."""


def families(counters: AuditCounters) -> tuple[Family, ...]:
    """Give everything that is counted, kube-apiserver's metrics first, with its own help texts (spec §8)."""
    books = counters.accounts
    return (
        Family(
            "apiserver_audit_event_total",
            "counter",
            "[ALPHA] Counter of audit events generated and sent to the audit backend.",
            (),
            (((), counters.event_total),),
        ),
        Family(
            "apiserver_audit_error_total",
            "counter",
            "[ALPHA] Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected "
            "by the error.",
            ("plugin",),
            tuple(((plugin,), count) for plugin, count in sorted(counters.error_total.items())),
        ),
        Family(
            "apiserver_audit_level_total",
            "counter",
            "[ALPHA] Counter of policy levels for audit events (1 per request).",
            ("level",),
            tuple(((level,), count) for level, count in sorted(counters.level_total.items())),
        ),
        Family(
            "apiserver_audit_requests_rejected_total",
            "counter",
            "[ALPHA] Counter of apiserver requests rejected due to an error in audit logging backend.",
            (),
            (((), counters.requests_rejected_total),),
        ),
        *(
            Family(name, kind, text, ("backend",), tuple(((key,), getattr(book, field)) for key, book in books.items()))
            for name, kind, field, text in _COLUMNS
        ),
        Family(
            "decklog_backend_dropped_events_total",
            "counter",
            "Events that a backend gave up, by the reason.",
            ("backend", "reason"),
            tuple(
                ((key, reason), count) for key, book in books.items() for reason, count in sorted(book.dropped.items())
            ),
        ),
        Family(
            "decklog_gateway_refused_connections_total",
            "counter",
            "Connections of clients that were closed at once, by the reason.",
            ("reason",),
            tuple(((reason,), count) for reason, count in sorted(counters.refused_connections.items())),
        ),
        *(
            Family(name, "counter", text, (), (((), getattr(counters.receiver, column)),))
            for name, column, text in _RECEIVER
        ),
        Family(
            "decklog_receiver_refused_total",
            "counter",
            "Bodies and connections that a receiver did not take, by the reason.",
            ("reason",),
            tuple(((reason,), count) for reason, count in sorted(counters.receiver.refused.items())),
        ),
        Family(
            "decklog_store_upkeep_rounds_total",
            "counter",
            "Times that a store was sealed, compacted and cleared of what is too old, by the outcome: done, incomplete "
            "(what is damaged is left as it is), failed.",
            ("outcome",),
            tuple(((outcome,), count) for outcome, count in sorted(counters.upkeep.items())),
        ),
        Family(
            "decklog_store_retention_deleted_events_total",
            "counter",
            "Events that the upkeep has deleted because the retention says so.",
            (),
            (((), counters.retention_deleted),),
        ),
        Family(
            "decklog_certificate_expiry_timestamp_seconds",
            "gauge",
            "When a certificate of this door runs out, in seconds since 1970.",
            ("certificate",),
            tuple(((name,), end_s) for name, end_s in sorted(counters.certificates.items())),
        ),
    )


_COLUMNS = (
    ("decklog_backend_processed_events_total", "counter", "processed", "Events that came into a backend."),
    (
        "decklog_backend_delivered_events_total",
        "counter",
        "delivered",
        "Events that were written, or taken by the receiver.",
    ),
    ("decklog_backend_queued_events", "gauge", "queued", "Events that wait in the batch buffer."),
    ("decklog_backend_in_flight_events", "gauge", "in_flight", "Events that are on their way."),
    ("decklog_backend_spooled_events", "gauge", "spooled", "Events that wait on disk for the receiver."),
    ("decklog_backend_parked_events", "gauge", "parked", "Events that the receiver refused, kept aside on disk."),
    ("decklog_backend_left_out_events_total", "counter", "left_out", "Events that a backend's own policy left out."),
)

_RECEIVER = (
    ("decklog_receiver_bodies_total", "bodies", "Bodies that a receiver has stored and answered 200."),
    ("decklog_receiver_body_bytes_total", "body_bytes", "Bytes of these bodies, unpacked."),
    ("decklog_receiver_events_total", "events", "Events that a receiver has stored."),
    ("decklog_receiver_doubled_events_total", "doubled", "Events that came again and were stored already."),
    (
        "decklog_receiver_quarantined_bodies_total",
        "quarantined",
        "Bodies that were kept as a whole, because an item of them could not be read.",
    ),
    ("decklog_receiver_held_items_total", "held", "Items that are no events that can be read, kept in quarantine."),
    ("decklog_receiver_stores_total", "stores", "How often a receiver has stored events, each time with a sync."),
    ("decklog_receiver_store_seconds_total", "store_seconds", "How long that took, in all."),
)

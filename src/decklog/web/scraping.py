"""Scraping: what the doors count of themselves (`/metrics`), for the status page: drops, waiting events, certificates.

The addresses are the operator's (``--metrics-url``), never a reader's. An answer is bounded in time and size; a door
that does not answer is a sentence on the page, and no page fails because of it.
"""

from __future__ import annotations

import http.client
import math
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.samples import Sample

TIMEOUT_S: Final = 3.0
MOST_BYTES: Final = 4 << 20
_LOSSES: Final = {
    "apiserver_audit_error_total": "a backend failed",
    "decklog_backend_dropped_events_total": "dropped by a backend",
}
_REFUSALS: Final = {
    "apiserver_audit_requests_rejected_total": "requests refused, because they could not be recorded",
    "decklog_receiver_refused_total": "bodies or connections not taken by the receiver",
    "decklog_gateway_refused_connections_total": "connections not taken by the gateway",
}
_WAITING: Final = {
    "decklog_backend_queued_events": "wait in a buffer",
    "decklog_backend_in_flight_events": "are on their way",
    "decklog_backend_spooled_events": "wait on disk for their receiver",
    "decklog_backend_parked_events": "were refused by their receiver, and are kept on disk",
}
_FIGURES: Final = {
    "apiserver_audit_event_total": "events recorded",
    "decklog_receiver_events_total": "events stored by the receiver",
    "decklog_receiver_doubled_events_total": "events that came again, and were stored already",
    "decklog_receiver_quarantined_bodies_total": "bodies in quarantine",
}
_EXPIRY: Final = "decklog_certificate_expiry_timestamp_seconds"


class Count(Struct, frozen=True):
    """One counter, in words."""

    what: str
    count: int
    labels: str = ""
    """The reason, the backend: ``webhook, buffer-full``."""


class DoorCounts(Struct, frozen=True):
    """What one door says of itself."""

    address: str
    problem: str = ""
    """Why there is nothing."""
    figures: tuple[Count, ...] = ()
    losses: tuple[Count, ...] = ()
    """Events that were lost, with their reasons."""
    refusals: tuple[Count, ...] = ()
    """What was not taken, with the reasons; the sender knows of it."""
    waiting: tuple[Count, ...] = ()
    certificates: tuple[tuple[str, float], ...] = ()
    """Name, and seconds since 1970."""


def counts_of(address: str, timeout_s: float = TIMEOUT_S) -> DoorCounts:
    """Ask one door. What goes wrong is the `problem`."""
    try:
        text = _fetch(address, timeout_s)
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except (OSError, http.client.HTTPException, ValueError, DecklogError) as error:
        return DoorCounts(address, f"does not answer: {error}")
    return DoorCounts(
        address,
        "",
        tuple(_counts(samples, _FIGURES, zeros=True)),
        tuple(_counts(samples, _LOSSES)),
        tuple(_counts(samples, _REFUSALS)),
        tuple(_counts(samples, _WAITING)),
        tuple(
            (sample.labels.get("certificate", ""), sample.value)
            for sample in samples
            if sample.name == _EXPIRY and math.isfinite(sample.value)
        ),
    )


def _fetch(address: str, timeout_s: float) -> str:
    url = urlsplit(address)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise DecklogError("write its address as in http://127.0.0.1:9090/metrics")
    connection = (
        http.client.HTTPSConnection(url.hostname, url.port, timeout=timeout_s, context=ssl.create_default_context())
        if url.scheme == "https"
        else http.client.HTTPConnection(url.hostname, url.port, timeout=timeout_s)
    )
    try:
        connection.request("GET", url.path or "/metrics", headers={"Accept": "text/plain"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise DecklogError(f"it answers {answer.status}")
        data = answer.read(MOST_BYTES + 1)
    finally:
        connection.close()
    if len(data) > MOST_BYTES:
        raise DecklogError(f"its answer is larger than {MOST_BYTES >> 20} MiB")
    return data.decode("utf-8", "replace")


def _counts(samples: list[Sample], words: dict[str, str], *, zeros: bool = False) -> Iterator[Count]:
    for sample in samples:
        if sample.name in words and math.isfinite(sample.value) and (sample.value or zeros):
            labels = ", ".join(value for _, value in sorted(sample.labels.items()) if value)
            yield Count(words[sample.name], int(sample.value), labels)

"""The status page: lag, rate, losses with their reasons, the disk, certificates; and what it says of trouble."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from ask.logs import event, log
from decklog import certificates
from decklog.audit.event import Stage
from decklog.audit.wire import encode_line
from decklog.disk import Disk
from decklog.web.scanned import Files
from decklog.web.stored import Stored
from store.filled_store import fill
from web.web_client import Door

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 1, 10, 0, 30, tzinfo=UTC)
METRICS = """\
# HELP apiserver_audit_event_total Counter of audit events generated.
# TYPE apiserver_audit_event_total counter
apiserver_audit_event_total 1000.0
# TYPE decklog_backend_dropped_events counter
decklog_backend_dropped_events_total{backend="webhook",reason="buffer-full"} 7.0
# TYPE decklog_backend_queued_events gauge
decklog_backend_queued_events{backend="webhook"} 3.0
# TYPE decklog_certificate_expiry_timestamp_seconds gauge
decklog_certificate_expiry_timestamp_seconds{certificate="serving"} 1.7723556e+09
"""


@pytest.fixture
def told() -> Iterator[str]:
    """A door that says what it has counted; gives the address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(METRICS.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
    server.shutdown()
    thread.join()
    server.server_close()


def door(data: Files | Stored, **settings: object) -> Door:
    return Door(data, settings=settings, clock=lambda: NOW)


def test_a_log_has_a_lag_and_a_rate(tmp_path: Path) -> None:
    """The newest request is half a minute old; sixty events in the last minute are one a second."""
    events = [event(audit_id=f"id-{number}") for number in range(60)]
    page = door(Files([str(log(tmp_path / "audit.log", *events))])).look("/status.json").json
    assert page["sources"][0]["lagS"] == 30.0
    assert page["eventsASecond"] == 1.0
    assert page["warnings"] == []


def test_a_silent_log_is_named(tmp_path: Path) -> None:
    """A cluster writes something every second: silence of hours is told."""
    old = event(request_received_timestamp="2026-03-01T02:00:00.000000Z", stage_timestamp="2026-03-01T02:00:00.000000Z")
    page = door(Files([str(log(tmp_path / "audit.log", old))])).look("/status.json").json
    assert "silent since 2026-03-01T02:00:00" in page["warnings"][0]


def test_an_empty_log_has_no_lag(tmp_path: Path) -> None:
    """Nothing is claimed of a log without events."""
    (tmp_path / "audit.log").touch()
    answer = door(Files([str(tmp_path / "audit.log")])).look("/status.json")
    assert answer.status == 200
    assert answer.json["sources"][0]["lagS"] is None


def test_a_store_is_told_in_figures(tmp_path: Path) -> None:
    """Its events, its clusters with their lag, the room on its disk."""
    store = tmp_path / "store"
    fill(store, [encode_line(event(audit_id=f"id-{number}")).rstrip(b"\n") for number in range(5)], cluster="east")
    with closing(Stored(str(store), Disk())) as data:
        page = door(data, store=str(store)).look("/status.json").json
    assert page["store"]["events"] == 5
    assert [(one["name"], one["events"], one["lagS"]) for one in page["sources"]] == [("east", 5, 30.0)]
    assert page["store"]["freeBytes"] > 0
    assert page["store"]["daysLeft"] is None
    assert page["gaps"] is None


def test_requests_without_an_end_are_counted_when_asked_for(tmp_path: Path) -> None:
    """One request was received and has no end; it is named, and warned of."""
    store = tmp_path / "store"
    whole = [event(audit_id="whole", stage=Stage.REQUEST_RECEIVED), event(audit_id="whole")]
    events = [*whole, event(audit_id="lost", stage=Stage.REQUEST_RECEIVED)]
    fill(store, [encode_line(one).rstrip(b"\n") for one in events])
    with closing(Stored(str(store), Disk())) as data:
        page = door(data, store=str(store)).look("/status.json?gaps=1").json
    assert page["gaps"] == {"distinct": 3, "received": 2, "open": 1, "examples": ["lost"]}
    assert any("1 requests have no end" in one for one in page["warnings"])


def test_losses_of_a_door_are_told_with_their_reason(tmp_path: Path, told: str) -> None:
    """What a backend dropped stands first among the warnings; what waits is no loss."""
    page = door(Files([str(log(tmp_path / "audit.log", event()))]), metrics=(told,)).look("/status.json").json
    assert page["doors"][0]["losses"] == [
        {"what": "dropped by a backend", "count": 7, "labels": "webhook, buffer-full"}
    ]
    assert page["doors"][0]["waiting"][0]["count"] == 3
    assert page["doors"][0]["figures"][0]["count"] == 1000
    assert "7 events lost" in page["warnings"][0]
    assert any("serving" in one["name"] and one["daysLeft"] < 14 for one in page["certificates"])


UNREACHABLE = {
    "nobody listens": "http://127.0.0.1:1/metrics",
    "no address of HTTP": "ftp://127.0.0.1/metrics",
    "no address at all": "metrics",
}


@pytest.mark.parametrize("address", UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_door_that_does_not_answer_is_a_sentence(tmp_path: Path, address: str) -> None:
    """The page comes all the same."""
    page = door(Files([str(log(tmp_path / "audit.log", event()))]), metrics=(address,)).look("/status.json").json
    assert page["doors"][0]["problem"].startswith("does not answer")
    assert address in page["warnings"][0]


def test_certificates_have_an_end(tmp_path: Path) -> None:
    """One that ends within two weeks is warned of; one that cannot be read is, too."""
    near = certificates.authority("near", clock=lambda: NOW, lifetime=timedelta(days=10))
    far = certificates.authority("far", clock=lambda: NOW, lifetime=timedelta(days=400))
    for name, pair in (("near", near), ("far", far)):
        certificates.write(pair, tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
    named = tuple((name, str(tmp_path / f"{name}.pem")) for name in ("near", "far", "none"))
    page = door(Files([str(log(tmp_path / "audit.log", event()))]), certificates=named).look("/status.json").json
    assert [one["daysLeft"] for one in page["certificates"]] == [10, 400, None]
    assert len(page["warnings"]) == 2


def test_the_page_says_it_in_html(tmp_path: Path, told: str) -> None:
    """The same for people."""
    text = door(Files([str(log(tmp_path / "audit.log", event()))]), metrics=(told,)).look("/status").text
    assert "To be seen to" in text
    assert "buffer-full" in text

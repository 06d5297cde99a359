from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from decklog.health import Health, HealthOptions, Readiness, exposition
from decklog.metrics import AuditCounters, families


def get(health: Health, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Ask the application."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(health({"type": "http", "method": method, "path": path}, None, send))
    return sent[0]["status"], sent[1]["body"]


def counted() -> AuditCounters:
    """Counters that have seen something."""
    counters = AuditCounters(event_total=7, requests_rejected_total=1, level_total={"Metadata": 3, "None": 2})
    counters.error_total["log"] += 2
    book = counters.account("log")
    book.processed, book.delivered = 7, 5
    book.dropped["failed"] += 2
    return counters


def test_what_is_counted_is_exposed_under_kube_apiserver_s_names() -> None:
    """A scraper reads the same metrics with the same labels and help texts."""
    text = exposition(counted()).decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["apiserver_audit_event_total",] == 7
    assert samples["apiserver_audit_error_total", "log"] == 2
    assert samples["apiserver_audit_level_total", "None"] == 2
    assert samples["apiserver_audit_requests_rejected_total",] == 1
    assert samples["decklog_backend_dropped_events_total", "log", "failed"] == 2
    assert "# HELP apiserver_audit_event_total [ALPHA] Counter of audit events generated" in text


def test_counters_without_labels_are_there_from_the_start() -> None:
    """With the value 0, as kube-apiserver's."""
    text = exposition(AuditCounters()).decode()
    assert "apiserver_audit_event_total 0.0" in text
    assert "apiserver_audit_requests_rejected_total 0.0" in text


def test_no_metric_is_named_twice() -> None:
    """Names are unique and say their kind."""
    found = families(counted())
    assert len({family.name for family in found}) == len(found)
    assert all(family.name.endswith("_total") is (family.kind == "counter") for family in found)


PAGES = {
    ("GET", "/healthz"): (200, b"ok"),
    ("GET", "/livez"): (200, b"ok"),
    ("GET", "/readyz"): (200, b"ok"),
    ("GET", "/"): (404, b"here are /metrics, /healthz and /readyz\n"),
    ("POST", "/metrics"): (405, b"only GET is answered here\n"),
}


@pytest.mark.parametrize(("method", "path"), PAGES)
def test_each_page_answers(method: str, path: str) -> None:
    """Probes and people are told what is where."""
    health = Health(AuditCounters(), list)
    assert get(health, path, method) == PAGES[method, path]


def test_not_ready_says_why() -> None:
    """503, a reason a line."""
    health = Health(AuditCounters(), lambda: ["the disk is full", "the receiver is down"])
    assert get(health, "/readyz") == (503, b"the disk is full\nthe receiver is down\n")
    assert get(health, "/healthz") == (200, b"ok")


def test_a_loss_makes_unready_for_a_minute() -> None:
    """Each new one begins the minute again."""
    counters, now = AuditCounters(), [0.0]
    readiness = Readiness(counters, lambda: now[0])
    assert readiness() == []
    counters.account("log").dropped["failed"] += 3
    assert readiness() == ["log: events lost (failed): 3 so far, the last within a minute"]
    now[0] = 59.0
    assert len(readiness()) == 1
    now[0] = 60.0
    assert readiness() == []
    counters.requests_rejected_total += 1
    assert "requests refused" in readiness()[0]


def test_what_waits_on_disk_makes_unready_until_it_is_sent() -> None:
    """The receiver is down."""
    counters = AuditCounters()
    counters.account("webhook").spooled = 4
    assert Readiness(counters)() == ["webhook: the receiver is not taking events, 4 wait on disk"]
    counters.account("webhook").spooled = 0
    assert Readiness(counters)() == []


@pytest.mark.parametrize(
    ("given", "address"),
    [("9095", "127.0.0.1:9095"), (":9095", "127.0.0.1:9095"), ("0.0.0.0:1", "0.0.0.0:1"), ("", "")],
)
def test_a_port_alone_means_loopback(given: str, address: str) -> None:
    """Metrics are nobody else's business unless somebody says so."""
    assert HealthOptions(given).address == address

from __future__ import annotations

import logging

import pytest

from backends.log_family import Clock
from decklog.backends.failures import Failures, Notices, Troubles, reason_of
from decklog.metrics import AuditCounters


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "decklog.backends.failures")


def notices(clock: Clock) -> Notices:
    return Notices(lambda: clock.now_ns / 1e9)


def test_a_cause_is_told_once_a_minute_with_a_count(caplog: pytest.LogCaptureFixture) -> None:
    """The first failure is told at once, those of the next minute together, another cause on its own."""
    clock = Clock()
    failures = Failures("log", AuditCounters(), notices(clock))
    for _ in range(1000):
        failures.lost(1, OSError(28, "No space left on device"))
        clock.turn(0.05)
    failures.lost(2, OSError(5, "Input/output error"))
    clock.turn(20)
    failures.lost(1, OSError(28, "No space left on device"))
    assert caplog.messages == [
        "audit backend log: events not stored: No space left on device",
        "audit backend log: events not stored: Input/output error (2 times)",
        "audit backend log: events not stored: No space left on device (1000 times)",
    ]


def test_what_was_held_back_is_told_when_due_or_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A count that nobody asks for any more is not forgotten."""
    clock = Clock()
    told = notices(clock)
    for _ in range(3):
        told.tell("the disk is full")
    told.flush()
    assert len(caplog.messages) == 1
    clock.turn(61)
    told.flush()
    told.tell("the disk is full")
    told.flush(everything=True)
    told.flush(everything=True)
    assert caplog.messages[1:] == ["the disk is full (2 more times)", "the disk is full (1 more times)"]


def test_lost_events_are_counted_under_their_plugin() -> None:
    """apiserver_audit_error_total grows by the number of events, and the error to raise tells the same."""
    counters = AuditCounters()
    error = Failures("log", counters, Notices()).lost(3, OSError(28, "No space left on device"))
    assert counters.error_total == {"log": 3}
    assert str(error) == "audit backend log: 3 events not stored: No space left on device"


def test_troubles_are_counted_by_kind() -> None:
    """What costs no event has a count of its own and no part in the audit counters."""
    troubles = Troubles(Notices())
    for _ in range(2):
        troubles("rotate", "rotation failed")
    assert troubles.total == {"rotate": 2}


def test_a_reason_never_quotes_what_an_event_brought_in() -> None:
    """Of any exception but an OSError only type and place are shown."""

    def fail() -> None:
        raise ValueError("the password is hunter2")

    with pytest.raises(ValueError, match="hunter2") as caught:
        fail()
    assert reason_of(caught.value).startswith("ValueError at test_failures.py:")
    assert "hunter2" not in reason_of(caught.value)
    assert reason_of(OSError(28, "No space left on device", "/secret/path")) == "No space left on device"

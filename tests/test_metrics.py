from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.event import Level
from decklog.metrics import AuditCounters, bequeathed, families, merged, restored, snapshot

COUNTS = st.integers(0, 1 << 40)
NAMES = st.sampled_from(["log", "webhook", "buffered"])


@st.composite
def counters(draw: st.DrawFn) -> AuditCounters:
    found = AuditCounters(draw(COUNTS), requests_rejected_total=draw(COUNTS))
    found.error_total.update(draw(st.dictionaries(NAMES, COUNTS)))
    found.level_total.update(draw(st.dictionaries(st.sampled_from(Level), COUNTS)))
    found.receiver.events, found.receiver.store_seconds = draw(COUNTS), float(draw(st.integers(0, 1 << 20)))
    found.receiver.refused.update(draw(st.dictionaries(st.sampled_from(["too-large", "malformed"]), COUNTS)))
    found.upkeep.update(draw(st.dictionaries(st.sampled_from(["done", "incomplete", "failed"]), COUNTS)))
    found.retention_deleted = draw(COUNTS)
    for name in draw(st.sets(NAMES)):
        book = found.account(name)
        book.delivered, book.queued, book.in_flight, book.spooled, book.parked = (draw(COUNTS) for _ in range(5))
        book.dropped.update(draw(st.dictionaries(st.sampled_from(["failed", "too-large"]), COUNTS)))
        book.processed = sum((book.delivered, book.queued, book.in_flight, book.spooled, book.parked))
        book.processed += book.dropped.total()
    return found


def totals(found: AuditCounters) -> dict[tuple[str, ...], float]:
    """Every series that only grows."""
    return {
        (family.name, *labels): value
        for family in families(found)
        if family.kind == "counter"
        for labels, value in family.samples
    }


@given(counters())
def test_a_snapshot_is_json_and_comes_back_whole(found: AuditCounters) -> None:
    """What a worker tells is what its supervisor hears."""
    assert restored(json.loads(json.dumps(snapshot(found)))) == found


@given(st.lists(counters(), max_size=4))
def test_the_sum_holds_every_count(parts: list[AuditCounters]) -> None:
    """Each series of the sum is the sum of the series, and books stay balanced."""
    total = merged(parts)
    for key, value in totals(total).items():
        assert value == sum(totals(part).get(key, 0) for part in parts)
    assert all(book.balanced for book in total.accounts.values())
    assert parts == [restored(snapshot(part)) for part in parts]


@given(counters())
def test_a_successor_s_counters_do_not_go_backwards(found: AuditCounters) -> None:
    """What waited in memory is counted as lost; what is on disk is still in the book."""
    after = bequeathed(snapshot(found))
    before = totals(found)
    assert all(value >= before.get(key, 0) for key, value in totals(after).items())
    assert set(before) <= set(totals(after))
    for name, book in after.accounts.items():
        old = found.accounts[name]
        assert book.balanced
        assert (book.queued, book.in_flight, book.spooled) == (0, 0, old.spooled)
        assert book.dropped["worker-died"] == old.queued + old.in_flight


def test_the_first_worker_inherits_nothing() -> None:
    """It begins at zero."""
    assert bequeathed({}) == AuditCounters()


def test_of_a_certificate_the_earliest_end_counts() -> None:
    """Workers may be a moment apart in reading a renewed one."""
    parts = [AuditCounters(certificates={"listener": end_s}) for end_s in (30.0, 20.0)]
    assert merged(parts).certificates == {"listener": 20.0}

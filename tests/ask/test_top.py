from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from ask.logs import DELETION, event, ref
from decklog.ask.top import STEPS, label_of, time_label, timeline
from decklog.audit.event import Event, Stage, Status, User
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Hashable


@pytest.mark.parametrize(
    ("name", "one", "label"),
    [
        ("user", DELETION, "alice"),
        ("user", event(user=User()), "-"),
        ("resource", DELETION, "deployments.apps"),
        ("resource", event(object_ref=ref("pods", subresource="log")), "pods/log"),
        ("resource", event(object_ref=None), "-"),
        ("namespace", event(object_ref=ref("nodes", "")), "-"),
        ("code", DELETION, "200"),
        ("code", event(response_status=None, stage=Stage.REQUEST_RECEIVED), "open"),
        ("code", event(response_status=Status(code=500), stage=Stage.PANIC), "500 panic"),
        ("code", event(response_status=None), "-"),
        ("source-ip", DELETION, "10.0.0.7"),
        ("source-ip", event(source_ips=()), "-"),
        ("uri", event(request_uri="/healthz?verbose"), "/healthz"),
    ],
)
def test_labels(name: str, one: Event, label: str) -> None:
    """What requests are counted by; what is not there is a dash."""
    assert label_of([name])[0](one) == label


def test_several_labels_are_a_tuple() -> None:
    """Several fields count together; one that needs whole events says so for all."""
    label, whole = label_of(["verb", "source-ip"])
    assert (label(DELETION), whole) == (("delete", "10.0.0.7"), True)


def test_a_label_that_is_none() -> None:
    """A field that is not known is refused with those that are."""
    with pytest.raises(DecklogError, match="choose among user"):
        label_of(["colour"])


def test_times_are_cut_to_ten_seconds_or_one() -> None:
    """A timeline holds no more than it may have to show."""
    late = replace(DELETION, request_received_timestamp="2026-03-01T10:00:17.500000Z")
    assert time_label(None, fine=False)(late) == "2026-03-01T10:00:1"
    assert time_label(None, fine=True)(late) == "2026-03-01T10:00:17"


def test_buckets_are_whole_steps() -> None:
    """Buckets begin at multiples of their width, and empty ones are there."""
    drawn = timeline({"2026-03-01T10:59:5": 2, "2026-03-01T13:00:0": 1, "": 4}, buckets=4, split=False)
    assert (drawn.step_s, drawn.counts, drawn.untimed) == (3600, (2, 0, 0, 1), 4)
    assert drawn.times()[0] == datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("days", [0.0001, 0.01, 1, 40, 4000])
def test_a_window_never_takes_more_buckets_than_fit(days: float) -> None:
    """Whatever the window, the width of buckets is chosen so that they fit."""
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime.fromtimestamp(1577836800 + days * 86_400 + 1, UTC)
    drawn = timeline({("2020-01-01T00:00:0", ""): 1}, buckets=40, split=False, start=start, end=end)
    assert len(drawn.counts) <= 40
    assert drawn.step_s in STEPS or drawn.step_s % 86_400 == 0


def test_a_step_that_is_too_short_is_refused() -> None:
    """A window of years in seconds would be no picture."""
    counts: dict[Hashable, int] = {("2020-01-01T00:00:0", ""): 1, ("2026-01-01T00:00:0", ""): 1}
    with pytest.raises(DecklogError, match="choose a longer one"):
        timeline(counts, buckets=40, split=False, step_s=10)


def test_splits_are_ranked() -> None:
    """The most frequent label comes first; each has every bucket."""
    counts: dict[Hashable, int] = {
        ("2026-03-01T10:00:0", "a"): 1,
        ("2026-03-01T10:00:1", "b"): 5,
        ("2026-03-01T10:00:0", ("c", "d")): 2,
    }
    drawn = timeline(counts, buckets=40, split=True)
    assert drawn.split == {"b": (0, 5), "c d": (2, 0), "a": (1, 0)}

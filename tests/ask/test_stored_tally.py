from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from ask.logs import event, life
from ask.test_stored import DISK, LAYOUTS, story
from decklog.ask.requests import merge
from decklog.ask.stored import stored
from decklog.ask.stored_tally import NEEDED, can_tally, stored_tally
from decklog.ask.top import label_of, time_label
from decklog.audit.event import Stage, Status, User
from decklog.audit.query import Pattern, Query
from decklog.audit.wire import encode_event
from decklog.sources.record import Coverage
from decklog.store.view import view

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

RECEIVED, STARTED, COMPLETE, PANIC = Stage
ODD = [
    *life(RECEIVED, STARTED, audit_id="watch", verb="watch", request_uri="/w?watch=1"),
    *life(RECEIVED, audit_id="lost", object_ref=None),
    *life(RECEIVED, PANIC, audit_id="panic", response_status=Status(code=500)),
    *life(STARTED, audit_id="unknown", user=User(), response_status=Status(code=401)),
    event(audit_id="timeless", request_received_timestamp=None, stage_timestamp=None),
]
WINDOWS = {
    "all times": Query(),
    "since": Query(since="2026-03-01T10:00:02.500000Z"),
    "until": Query(until="2026-03-02T00:00:00.000000Z"),
    "after": Query(after="2026-03-02T00:00:00.000000Z"),
    "a verb": Query(verbs=(Pattern("delete"),)),
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_columns_count_what_events_do(tmp_path: Path, layout: Callable[[Path, Sequence[bytes]], None]) -> None:
    """By every label, in every window, wherever events stand; with requests that never ended."""
    layout(tmp_path, [*story(), *map(encode_event, ODD)])
    several = ("user", "verb", "code")
    asked: list[tuple[str, tuple[str, ...], int | None]] = [("all times", (name,), None) for name in sorted(NEEDED)]
    asked += [(said, several, step_s) for said in WINDOWS for step_s in (None, 1, 10)]
    for said, names, step_s in asked:
        query = WINDOWS[said]
        label, _ = label_of(names)
        label = label if step_s is None else time_label(label, fine=step_s == 1)
        assert can_tally(query, names)
        coverage, read = Coverage(), Coverage()
        counts = stored_tally(view(tmp_path, DISK), DISK, coverage, query, label, names, step_s=step_s)
        expected = Counter(
            label(request.latest.event) for request in merge(stored(view(tmp_path, DISK), DISK, read, [query]), query)
        )
        assert counts == expected, (said, names, step_s)
        assert (coverage.lines, coverage.undecoded) == (read.lines, 0), said


@pytest.mark.parametrize(
    ("query", "names"),
    [(Query(texts=("web",)), ("user",)), (Query(users=(Pattern("\0"),)), ("user",)), (Query(), ("rule",))],
)
def test_what_columns_cannot_tell_is_left_to_the_events(query: Query, names: tuple[str, ...]) -> None:
    """Texts, what no column can hold, and labels that need whole events."""
    assert not can_tally(query, names)

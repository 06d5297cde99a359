r"""Stored tally: counts of the requests of a store, by labels that the index columns tell; no event is read.

It gives what counting over `ask.requests.merge` gives. What stands in journals is put beside the segments as a table.

| Differs from counting over `merge` | How | Why |
|---|---|---|
| a label with a lone surrogate or a NUL | has ``\ufffd`` there | no text of a table can hold them |
| two ends of what seems one request | two requests, however far apart | nothing is forgotten |
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Final

from decklog.ask.forking import usable_processes
from decklog.ask.stored_told import LABELS, exact
from decklog.ask.top import BY

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from decklog.ask.tally import Label
    from decklog.audit.query import Query
    from decklog.disk import Disk
    from decklog.sources.record import Coverage
    from decklog.store.view import View

NEEDED: Final = frozenset(BY) & LABELS.keys()
"""What columns tell of what `top.label_of` counts by."""
_TEN_SECONDS: Final = len("2026-01-31T12:00:0")
_SECOND: Final = _TEN_SECONDS + 1


def can_tally(query: Query, names: Iterable[str]) -> bool:
    """Tell whether columns are enough for a question."""
    return not query.texts and set(names) <= NEEDED and exact(query) is not None


def stored_tally(
    view: View, disk: Disk, coverage: Coverage, query: Query, label: Label, names: Iterable[str], *, step_s: int | None
) -> Counter[Hashable]:
    """Count requests by the labels `names`; `step_s`: first by the time of receipt, to so many seconds (1 or 10).

    The keys are those that `label` gives of events.
    """
    del label  # what `names` are says it all
    from decklog.ask.opened import OpenStore  # noqa: PLC0415  # because: DuckDB, which `can_tally` needs not

    chosen = tuple(names)
    with closing(OpenStore(view.store, disk, view=view, threads=usable_processes())) as store:
        counts = store.tally(query, chosen, step_s=step_s, coverage=coverage)
    if step_s is None:
        return Counter({key if len(chosen) > 1 else key[0]: count for key, count in counts.items()})
    end = _SECOND if step_s == 1 else _TEN_SECONDS
    timed: Counter[Hashable] = Counter()
    for (time, *labels), count in counts.items():
        timed[time[:end], tuple(labels) if len(labels) > 1 else labels[0] if labels else ""] += count
    return timed

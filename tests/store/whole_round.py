"""A whole round of maintenance over a small store, with what is to stand in it before and afterwards.

Runs as a process of its own, too: ``whole_round.py STORE``.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from decklog.disk import Disk
from decklog.store.compaction import compact
from decklog.store.retention import DELETIONS, Rules, carry_out, plan
from decklog.store.segment import seal
from decklog.store.view import view
from store.filled_store import fill, numbered, stored, working

OLD_READS: Final = numbered(range(10), day="2026-02-10")
OLD_WRITES: Final = numbered(range(10, 15), day="2026-02-10", verb="delete")
RECENT: Final = numbered(range(20, 24), day="2026-02-24")
ANCIENT: Final = numbered(range(30, 33), day="2026-01-05")
KEPT: Final = {*OLD_WRITES, *RECENT}
GOING: Final = {*OLD_READS, *ANCIENT}
DAY_S: Final = 86_400.0
RULES: Final = Rules(lambda line: (365 if b'"verb":"delete"' in line else 7) * DAY_S, "tiered")


def make(store: Path) -> None:
    """Fill a store: three journals of two writers, with events that stand there twice."""
    fill(store, OLD_READS + OLD_WRITES[:3], OLD_WRITES + RECENT + ANCIENT)
    fill(store, [*OLD_READS[4:], *RECENT], writer="two")


def work_through(store: Path, disk: Disk) -> None:
    """Seal, compact, delete by age, remove what went before: every step that touches the disk."""
    with working(store, disk, grace_s=0) as (work, engine):
        seal(work, engine)
        compact(work, engine)
        carry_out(work, engine, plan(work, engine, RULES), RULES)
        work.remove_dead()


def check_now(store: Path, tmp: Path) -> None:
    """Whatever died when: nothing is missing that stays, and what has gone is recorded."""
    found = set(stored(store, tmp))
    assert found >= KEPT, "lost"
    assert found <= KEPT | GOING
    gone = len(GOING - found)
    assert sum(_recorded(store)) >= gone


def check_after(store: Path, tmp: Path) -> None:
    """A round later: each event once, and no file that does not count."""
    assert stored(store, tmp) == Counter(KEPT)
    files = {str(path.relative_to(store)) for path in store.rglob("*.parquet")}
    assert files == {segment.path for segment in view(store, Disk()).segments}
    assert not list((store / "aside").iterdir())
    assert sum(_recorded(store)) >= len(GOING)


def _recorded(store: Path) -> list[int]:
    """Read the deletions: their lines are whole."""
    path = store / DELETIONS
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    return [int(json.loads(line)["annotations"]["decklog/deleted-events"]) for line in lines[:-1]]


if __name__ == "__main__":
    work_through(Path(sys.argv[1]), Disk())

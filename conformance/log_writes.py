"""The writes of a recorded rotation scenario: how long each line was, and what happened to the log before it.

Lengths are told in four ways, the surest first: by the log's growth between two snapshots, by the server's complaint
of a line that is too long, by what of a line a full disk took, and by the sizes of the files in the end, shared out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

Row = dict[str, Any]

_COMPLETE: Final = "ResponseComplete"
_RECEIVED: Final = "RequestReceived"
_LOG: Final = "audit.log"
_SHORT: Final = 700
"""Bytes of a line without objects: a RequestReceived of the recorded requests has 670 to 720."""
_USUAL: Final = 1200
"""Bytes of a line whose length nothing tells."""


@dataclass(frozen=True)
class Write:
    """One request: its lines, and what is known of the log around it."""

    lines: tuple[tuple[str, int], ...]
    """(stage, bytes with the newline)."""
    before: str = ""
    """``rename`` or ``unlink``: what is done to the log (``unlink``: to what was renamed) first."""
    name: str = ""
    """The name that the log gets, or that is removed."""
    size_then: int | None = None
    """Bytes of audit.log afterwards."""


def recorded_writes(scenario: Row, metrics: dict[str, int]) -> list[Write]:
    """Find out what was written, in order."""
    if "after_rename" in scenario:
        return _around_a_move(scenario, metrics.get("event_total", 0))
    if scenario.get("snapshots"):
        return [_one(length, size) for length, size in _grown(scenario["snapshots"], _size_at_start(scenario))]
    if scenario.get("small_ls"):
        return _onto_a_full_disk(scenario)
    count = metrics.get("event_total", 0)
    return _shared_out(scenario, count)


def _one(length: int, size_then: int | None = None) -> Write:
    return Write(((_COMPLETE, length),), size_then=size_then)


def _size_at_start(scenario: Row) -> int:
    return next((row["size"] for row in scenario["listing_at_start"] if row["name"] == _LOG), 0)


def _grown(snapshots: list[Any], before: int) -> list[tuple[int, int]]:
    """Read (a line's length, the log's size then) off each snapshot; a smaller log than before is a new one.

    A new log can be as large as the one before: then there is one backup more, or another newest one.
    """
    found = []
    newest = ""
    for snapshot in snapshots:
        sizes = dict(map(tuple, snapshot))
        backups = max(
            (name.removesuffix(".gz") for name in sizes if re.search(r"-\d{4}-.*\.\d{3}\.", name)), default=""
        )
        size = sizes.get(_LOG)
        if size is None:
            continue
        new = size < before or backups != newest
        found.append((size if new else size - before, size))
        before, newest = size, backups
    return found


def _shared_out(scenario: Row, count: int) -> list[Write]:
    """Share the sizes of the files in the end out over their lines."""
    lengths: list[int] = []
    for row in scenario["listing_at_end"]:
        if row["lines"]:
            short, longer = divmod(row["size"], row["lines"])
            lengths += [short + (number < longer) for number in range(row["lines"])]
    refused = [
        int(length) for length in re.findall(r"write length (\d+) exceeds", "\n".join(scenario["apiserver_log"]))
    ]
    lengths[1:1] = refused  # somewhere among them: where it is does not matter, but in the middle it needs two turns
    usual = round(sum(lengths) / len(lengths)) if lengths else _USUAL
    lengths += [usual] * (count - len(lengths))
    return [_one(length) for length in lengths]


def _onto_a_full_disk(scenario: Row) -> list[Write]:
    """Make requests of a short line and a long one, so long that the disk is full where it was."""
    (log,) = scenario["small_ls"]
    whole, size = log["lines"], log["size"]
    found = re.search(r"char (\d+)", log.get("error", ""))
    torn = int(found[1]) + 50 if found else 0
    short = whole - whole // 2
    long = (size - torn - short * _SHORT) // max(1, whole // 2)
    lines = ((_RECEIVED, _SHORT), (_COMPLETE, long))
    return [Write(lines) for _ in scenario["work"]]


def _around_a_move(scenario: Row, count: int) -> list[Write]:
    """Put a renaming between the first write and the second, and a removal between that and the third."""
    moved = next(row for row in scenario["after_rename"] if row["name"] != _LOG)
    single = [_one(moved["size"] // moved["lines"]) for row in scenario["work"] if isinstance(row, dict)]
    steps = [("", ""), ("rename", moved["name"])]
    if "after_unlink" in scenario:
        steps.append(("unlink", moved["name"]))
    steps += [("", "")] * (len(single) - len(steps))
    writes = [Write(write.lines, before, name) for write, (before, name) in zip(single, steps, strict=True)]
    seen = [length for length, _ in _grown([one for one in scenario.get("snapshots", ()) if one], 0)]
    unseen = count - len(writes) - len(seen)  # written to a file that had no name any more
    large = [seen[0] if seen else _USUAL] * unseen + seen
    return [*writes, *(_one(length) for length in large)]

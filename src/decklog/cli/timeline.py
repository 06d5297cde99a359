"""``decklog timeline``: a histogram of requests over time."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.ask.terminal import columns, visible
from decklog.ask.top import BY, label_of, time_label, timeline
from decklog.cli.asking import Asking
from decklog.cli.completing import values
from decklog.cli.listing import Listing, print_listing
from decklog.cli.narrowing import FILTERS_HELP, filtered
from decklog.cli.printing import terminal_width
from decklog.cli.searching import search_options
from decklog.cli.top import counted, named, rule_of
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.ask.top import Timeline
    from decklog.cli.narrowing import Filters
    from decklog.cli.objects import Thing
    from decklog.cli.searching import Search

_BUCKETS: Final = 40
_PLAIN_WIDTH: Final = 100
"""Columns where there is no terminal."""
_BAR: Final = " ▏▎▍▌▋▊▉█"
_SPARKS: Final = " ▁▂▃▄▅▆▇█"
_SPLITS: Final = 20
_FINE_S: Final = 600
_STEP: Final = re.compile(r"(\d{1,6})([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_HELP: Final = """Draw the number of requests over time.

With --by, a line for each value, drawn over the whole window; each line is scaled by its own highest bucket.

\b
decklog timeline audit.log
decklog timeline --failed-only --since 6h --step 10m -f /var/log/kubernetes/audit.log
decklog timeline --by user --resource secrets audit.log
"""
_FORMATS: Final = ("table", "json", "jsonl", "yaml", "csv", "jsonpath=TEMPLATE")
_EPILOG: Final = f"""{FILTERS_HELP}
-o json is {{"stepSeconds": N, "by": {{...}}, "untimed": N, "buckets": [...],
"searched": {{...}}}}, a bucket {{"time": ..., "requests": N}}; in jsonl and csv
with "by". jsonpath= is kubectl's template filled from one bucket at a time.
Exit code 1: no request matches."""


@click.command("timeline", help=_HELP, epilog=_EPILOG)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|TYPE/NAME]...")
@click.option("--by", metavar="FIELDS", shell_complete=values(BY), help=f"Split by: {', '.join(BY)}.")
@click.option(
    "--step", metavar="WIDTH", help="Of a bucket: 10s, 5m, 1h, 1d; without it, chosen by the window and the terminal."
)
@filtered()
@search_options(_FORMATS, objects=True)
def command(search: Search, things: tuple[Thing, ...], filters: Filters, by: str | None, step: str | None) -> None:
    """Draw requests over time."""
    step_s = _seconds(step) if step else None
    label, whole = label_of(named(by), rule_of(search.policy) if search.policy else None) if by else (None, False)
    start, end = (_moment(time) for time in (search.since, search.until))
    fine = bool((step_s and step_s % 10) or (start and ((end or datetime.now(UTC)) - start).total_seconds() < _FINE_S))
    asking = Asking(search, *filters.queries(search, things))
    counts = counted(asking, (time_label(label, fine=fine), whole), named(by) if by else (), 1 if fine else 10)
    width = terminal_width(sys.stdout) or _PLAIN_WIDTH
    buckets = max(width - 40, 20) if by and search.output == "table" else _BUCKETS
    drawn = timeline(
        counts, buckets=buckets, split=by is not None, start=start, end=end, step_s=step_s, finest_s=1 if fine else 10
    )
    _print(asking, drawn, width, found=bool(counts))
    asking.conclude("no request matches", found=bool(counts))


def _print(asking: Asking, drawn: Timeline, width: int, *, found: bool) -> None:
    output = asking.search.output
    if output == "table":
        if drawn.counts:
            for line in _sparks(drawn, width) if drawn.split else _bars(drawn, width):
                click.echo(line)
        if drawn.untimed:
            click.echo(f"{drawn.untimed:,} requests without a time of receipt")
        return
    also = {"stepSeconds": drawn.step_s, "by": drawn.split, "untimed": drawn.untimed}
    print_listing(output, _listing(output, drawn, also), asking.searched(found=found))


def _listing(output: str, drawn: Timeline, also: dict[str, Any]) -> Listing:
    """Give the buckets: in json and yaml of all requests, the split ones beside them; else one a line, each its own."""
    if output in {"json", "yaml"}:
        buckets = [
            {"time": _utc(time), "requests": count} for time, count in zip(drawn.times(), drawn.counts, strict=True)
        ]
    else:
        buckets = [{"time": time, "by": by, "requests": count} for time, by, count in _csv(drawn)]
    return Listing("buckets", buckets, (), ("time", "by", "requests"), also=also)


def _csv(drawn: Timeline) -> Iterator[tuple[str, str, int]]:
    for label, counts in (drawn.split or {"": drawn.counts}).items():
        for time, count in zip(drawn.times(), counts, strict=True):
            yield _utc(time), label, count


def _bars(drawn: Timeline, width: int) -> Iterator[str]:
    """One line a bucket: its time, a bar, its count."""
    most = max(drawn.counts)
    digits = len(f"{most:,}")
    times = [f"{time:{_time_format(drawn.step_s)}}" for time in drawn.times()]
    room = max(width - len(times[0]) - digits - 4, 8)
    for time, count in zip(times, drawn.counts, strict=True):
        yield f"{time}  {count:>{digits},}  {bar(count, most, room)}".rstrip()


def _sparks(drawn: Timeline, width: int) -> Iterator[str]:
    """One line a label: its line over the window, its highest bucket, its sum, its name."""
    shown = dict(list(drawn.split.items())[:_SPLITS])
    digits = max(len(f"{sum(counts):,}") for counts in shown.values())
    times = drawn.times()
    yield f"from {_utc(times[0])}, {len(times)} columns of {_words(drawn.step_s)}"
    for label, counts in shown.items():
        line = "".join(_SPARKS[-(-count * 8 // max(counts))] for count in counts)
        room = max(width - len(line) - digits - 4, 8)
        text = visible(label)
        while columns(text) > room:
            text = f"{text[:-2]}…"
        yield f"{line}  {sum(counts):>{digits},}  {text}"
    if rest := list(drawn.split.values())[_SPLITS:]:
        yield f"{len(rest):,} more with {sum(map(sum, rest)):,} requests"


def bar(count: int, most: int, room: int) -> str:
    """Draw a count in eighths of a column; anything that is not nothing shows."""
    eighths = max(count * room * 8 // most, 1) if count else 0
    return _BAR[-1] * (eighths // 8) + _BAR[eighths % 8].strip()


def _time_format(step_s: int) -> str:
    return "%Y-%m-%d" if step_s % 86_400 == 0 else "%Y-%m-%d %H:%M:%S" if step_s % 60 else "%Y-%m-%d %H:%M"


def _utc(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _moment(time: str | None) -> datetime | None:
    return datetime.fromisoformat(time) if time else None


def _words(step_s: int) -> str:
    for unit, seconds in (("d", 86_400), ("h", 3600), ("min", 60)):
        if step_s % seconds == 0:
            return f"{step_s // seconds} {unit}"
    return f"{step_s} s"


def _seconds(text: str) -> int:
    match = _STEP.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise DecklogError(f"--step {text!r} is no width of time: write 10s, 5m, 1h or 1d")
    return int(match[1]) * _UNITS[match[2]]

"""What replay, apply and suggest share: which logs, which policy, a bar, and words for volumes."""

from __future__ import annotations

import functools
import os
import sys
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.ask.covering import covered
from decklog.cli.flags import environment_name
from decklog.cli.progress import shown
from decklog.cli.searching import tell
from decklog.policy.releases import NEWEST
from decklog.sources.places import find
from decklog.sources.record import Coverage
from decklog.sources.verbatim import read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from decklog.policy.event_filter import LoadedFilter
    from decklog.sources.places import Place

    _Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

INCOMPLETE: Final = 1


class Logs:
    """The logs that were named; read once."""

    def __init__(self, paths: tuple[str, ...], *, rotated: bool) -> None:
        self._paths = paths
        self._rotated = rotated
        self.coverage = Coverage()

    def lines(self) -> Iterator[bytes]:
        """Give the lines of all logs, with a bar on a terminal; raises DecklogError for what is not there."""
        stdin = sys.stdin.buffer if sys.stdin else BytesIO()  # a process may be started without one
        places = find(self._paths, stdin, rotated=self._rotated)
        return shown(read_lines(places, self.coverage), self.coverage, _total(places))

    def tell(self, unreadable: int, first: str | None = None, last: str | None = None) -> None:
        """Say on stderr what was read; lines that could not be are the caller's to count."""
        self.coverage.first, self.coverage.last = first, last
        self.coverage.bad_lines += unreadable
        tell(covered(self.coverage, None, None).replace("searched all times; ", "read ", 1))

    @property
    def incomplete(self) -> bool:
        """Whether a part of the logs could not be read at all."""
        return bool(self.coverage.problems or self.coverage.bad_lines)


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument LOG... and --rotated; its argument `logs` is a `Logs`."""

    @functools.wraps(command)
    def with_logs(*args: Any, logs: tuple[str, ...], rotated: bool, **values: Any) -> Any:
        return command(*args, logs=Logs(logs, rotated=rotated), **values)

    rotated = click.option(
        "--rotated/--no-rotated", default=True, show_default=True, help="Read the older parts of a rotated log, too."
    )
    named = click.argument(
        "logs", nargs=-1, required=True, type=click.Path(), metavar="LOG...", envvar="DECKLOG_SOURCE"
    )
    return named(rotated(with_logs))


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument FILE and how to read it; its argument `policy` is a `LoadedFilter`."""

    @functools.wraps(command)
    def with_policy(*args: Any, file: str, lenient: bool, kubernetes: str, **values: Any) -> Any:
        return command(*args, policy=_load(file, lenient=lenient, kubernetes=kubernetes), **values)

    options: Sequence[_Decorator] = (
        click.option(
            "--kubernetes",
            default=f"1.{NEWEST}",
            show_default=True,
            metavar="VERSION",
            help="Read the policy as this release of Kubernetes does.",
        ),
        click.option(
            "--audit-policy-lenient",
            "lenient",
            is_flag=True,
            envvar=environment_name("--audit-policy-lenient"),
            help="Unknown and duplicate keys are warnings, as kube-apiserver has them.",
        ),
        click.argument("file", metavar="FILE", type=click.Path()),
    )
    with_options: Callable[..., Any] = with_policy
    for option in options:
        with_options = option(with_options)
    return with_options


def _load(path: str, *, lenient: bool, kubernetes: str) -> LoadedFilter:
    from decklog.policy.event_filter import load  # noqa: PLC0415  # because: --help does not need the reader

    loaded = load(path, lenient=lenient, kubernetes=kubernetes)
    for finding in loaded.warnings:
        tell(str(finding))
    return loaded


def _total(places: list[Place]) -> int | None:
    """Sum the sizes of the files, as they lie on disk; None where standard input is among them."""
    total = 0
    for place in places:
        if place.path == "-":
            return None
        with suppress(OSError):
            total += os.fstat(place.file.fileno()).st_size if place.file else os.stat(place.path).st_size  # noqa: PTH116  # because: its twin is os.fstat
    return total


def size(count: float) -> str:
    """Write bytes as people do: ``1.8 kB``, ``3.0 GB``."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def percent(part: float, whole: float) -> str:
    """Write a share; nothing of nothing is nothing."""
    if not whole:
        return "-"
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 or share == 0 else f"{share:.1f} %"


def columns(rows: Sequence[Sequence[str]], right: frozenset[int]) -> Iterator[str]:
    """Align rows; columns in `right` to their right edge."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = (
            cell.rjust(widths[place]) if place in right else cell.ljust(widths[place]) for place, cell in enumerate(row)
        )
        yield "  ".join(cells).rstrip()

"""Asking a store: warm, in a process that holds it open, and fresh, as a whole command; called by `benchmarks.store`.

`python -m benchmarks.store_asking DIR` measures a store that is there. The questions are about what the store has: a
deployment that was changed, the user who did most, the words of one audit ID. Wall clock, the best and the median of
the rounds; warm questions are asked once before, and their answers are counted, so that nobody measures an empty one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from decklog.ask.history import Target, history
from decklog.ask.opened import OpenStore
from decklog.ask.questions import who_did
from decklog.ask.rows import row
from decklog.audit.query import Pattern, Query, ResourcePattern
from decklog.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.ask.rows import Row

_TARGETS_MS: Final = {"history": 40, "who": 40, "top": 80, "timeline": 80, "rare text": 1500}
_FRESH_MS: Final = 450


def main() -> None:
    """Measure a store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f}")
    measure(arguments.store, arguments.rounds)


def measure(store: Path, rounds: int) -> None:
    """Print a table."""
    with OpenStore(store, Disk()) as opened:
        began = time.perf_counter()
        count = opened.count(Query())
        print(f"first question     {1e3 * (time.perf_counter() - began):8.0f} ms  of an open store, {count:,} requests")
        changed = _changed(opened)
        for name, ask in _questions(opened, changed).items():
            _print(f"warm {name}", _times(ask, rounds), _TARGETS_MS.get(name))
    for name, arguments in _commands(changed).items():
        _print(f"fresh {name}", _times(lambda: _run(store, arguments), rounds), _FRESH_MS)  # noqa: B023  # because: it is called at once


def _changed(opened: OpenStore) -> Row:
    """Find an object that somebody changed."""
    query = Query(resources=(ResourcePattern.parse("deployments"),), verbs=(Pattern("patch"), Pattern("update")))
    return next(each for each in opened.page(query).rows if each.name and each.namespace)


def _questions(opened: OpenStore, of: Row) -> dict[str, Callable[[], int]]:
    target = Target.parse((f"deploy/{of.name}",), of.namespace)
    asked = target.queries(reads=True, status=False)
    whose = who_did(("changed", f"deploy/{of.name}"), namespaces=(Pattern(of.namespace),))
    text, user = Query(texts=(of.audit_id,)), Query(users=(Pattern(of.user),))
    return {
        "history": lambda: len(list(history(opened.requests(*asked), target, status=False))),
        "who": lambda: len([row(request) for request in opened.requests(*whose)]),
        "top": lambda: len(opened.tally(Query(), ("user",))),
        "top of three": lambda: len(opened.tally(Query(), ("user", "verb", "resource"))),
        "timeline": lambda: len(opened.timeline(Query()).counts),
        "rare text": lambda: len(opened.requests(text)),
        "page": lambda: len(opened.page(Query()).rows),
        "page of a user": lambda: len(opened.page(user).rows),
        "facets, all nine": lambda: opened.facets(Query()).total,
        "by audit ID": lambda: len(opened.requests(Query(audit_ids=(Pattern(of.audit_id),)))),
    }


def _commands(of: Row) -> dict[str, tuple[str, ...]]:
    return {
        "history": ("history", f"deploy/{of.name}", "-n", of.namespace),
        "who": ("who", "changed", f"deploy/{of.name}", "-n", of.namespace),
        "top": ("top",),
        "timeline": ("timeline",),
    }


def _run(store: Path, arguments: tuple[str, ...]) -> int:
    command = [sys.executable, "-m", "decklog", *arguments, "--store", str(store)]
    return len(subprocess.run(command, check=True, capture_output=True).stdout)


def _times(ask: Callable[[], int], rounds: int) -> list[float]:
    if not ask():
        sys.exit("a question without an answer: nothing to measure")
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        ask()
        times.append(1e3 * (time.perf_counter() - began))
    return times


def _print(name: str, times: list[float], target_ms: int | None) -> None:
    target = f"  (target {target_ms} ms)" if target_ms else ""
    print(f"{name:<22} {min(times):6.0f} ms  median {statistics.median(times):.0f}{target}", flush=True)


if __name__ == "__main__":
    main()

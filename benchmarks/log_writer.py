"""The log writer against logging.handlers.RotatingFileHandler: the same lines, the same limit, the same run.

`run()` gives measurements; `benchmarks/core.py` prints them. Values are the best of nine rounds, in which both take
turns. The peer is used as its users use it: ``logger.info(line)``; what is left of its time when the record is made
beforehand is shown, too, since that is the least that the handler can do.
"""

from __future__ import annotations

import logging
import logging.handlers
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decklog.backends.rotate import RotatingFile
from decklog.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 9
LINES = 50_000
MAX_BYTES = 10 * 1024 * 1024
LINE = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","pad":"' + b"x" * 967 + b'"}\n'


def _report(kind: str, text: str) -> None:
    raise RuntimeError(f"{kind}: {text}")


def _ours(directory: Path, max_bytes: int, lines_a_call: int) -> float:
    file = RotatingFile(Disk(), directory / "audit.log", max_bytes=max_bytes, report=_report)
    file.open()
    many = [LINE] * lines_a_call
    begun = time.perf_counter()
    if lines_a_call == 1:
        for _ in range(LINES):
            file.write(LINE)
    else:
        for _ in range(LINES // lines_a_call):
            file.write_lines(many)
    took = time.perf_counter() - begun
    file.close()
    return took


def _peer(directory: Path, *, record_made: bool) -> float:
    handler = logging.handlers.RotatingFileHandler(directory / "audit.log", maxBytes=MAX_BYTES, backupCount=100)
    logger = logging.Logger("peer")  # noqa: LOG001  # because: one a round, outside the tree of loggers
    logger.addHandler(handler)
    text = LINE.decode().rstrip("\n")
    record = logger.makeRecord("peer", logging.INFO, __file__, 1, text, (), None)
    begun = time.perf_counter()
    if record_made:
        for _ in range(LINES):
            handler.emit(record)
    else:
        for _ in range(LINES):
            logger.info(text)
    took = time.perf_counter() - begun
    handler.close()
    return took


CASES: dict[str, Callable[[Path], float]] = {
    "rotating": lambda directory: _ours(directory, MAX_BYTES, 1),
    "plain": lambda directory: _ours(directory, 0, 1),
    "eight a call": lambda directory: _ours(directory, MAX_BYTES, 8),
    "peer": lambda directory: _peer(directory, record_made=False),
    "peer, record made": lambda directory: _peer(directory, record_made=True),
}


def _best(rounds: int) -> dict[str, float]:
    """Seconds a line, the best of the rounds."""
    best = dict.fromkeys(CASES, float("inf"))
    for _ in range(rounds):
        for name, run in CASES.items():
            with tempfile.TemporaryDirectory() as directory:
                best[name] = min(best[name], run(Path(directory)) / LINES)
    return best


def run(rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure; rows of name, value, unit, target and peer, as `benchmarks/core.py` prints them."""
    best = _best(rounds)
    rotating, peer, lean = (best[name] for name in ("rotating", "peer", "peer, record made"))
    named = f"RotatingFileHandler {_per_second(peer):,.0f}"
    return [
        _row("log writer with rotation", _per_second(rotating), "lines/s", "≥ 487000", named),
        _row("the same against RotatingFileHandler", peer / rotating, "x", "≥ 8", named),
        _row("the same, the handler's record made beforehand", lean / rotating, "x", "", f"{_per_second(lean):,.0f}"),
        _row("log writer without rotation", _per_second(best["plain"]), "lines/s", "", ""),
        _row("log writer, eight lines a call", _per_second(best["eight a call"]), "lines/s", "", ""),
    ]


def _per_second(seconds: float) -> float:
    return 1 / seconds


def _row(name: str, value: float, unit: str, target: str, peer: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "target": target, "peer": peer}

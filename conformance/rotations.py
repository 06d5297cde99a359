"""rotation/*.json: what our log leaves in its directory, held against what a real server left.

The bodies of the recorded events are gone, their sizes are not: every write is replayed as an event whose line has the
recorded length, through the nest that the recorded flags make, in a folder prepared as theirs was. Compared are the
listings (names' shape, plain sizes, modes, lines, the last newline; of a packed file what is in it), the log's size
after each write, which requests were refused, and metrics. A full disk is a `Disk` that fills up. What differs on
purpose is excepted, after everything else was found equal and every event was found somewhere.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conformance.lag import TICK_S, Lag
from conformance.log_folder import Entry, FullDisk, Lines, event_of, list_folder, prepare, recorded_listing
from conformance.log_writes import Write, recorded_writes
from conformance.recorded_flags import audit_options, plumbing, quiet, recorded_plumbing
from conformance.tally import Tally
from conformance.webhook_scenario import errors_of, metrics_of
from decklog.audit.legacy import legacy_line
from decklog.audit.sink import DeliveryError
from decklog.audit.wire import encode_line
from decklog.backends.batch import Batch
from decklog.backends.blocking import Blocking
from decklog.backends.books import Entered
from decklog.backends.log import log_backend
from decklog.backends.truncate import Truncate
from decklog.metrics import AuditCounters

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.audit.sink import Backend

Row = dict[str, Any]

_PATIENCE_S: Final = 5.0
"""How long packing and removing, which go on beside the writing, may take."""
_TOLERANCE_S: Final = 0.1
"""Of a throttled log: the recorded times are those of a file system, some milliseconds coarse; we look every 20."""


def replay(path: Path) -> Tally:
    """Replay every scenario of a folder (or one file), side by side."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    tally = Tally("rotation")
    with quiet():
        verdicts = asyncio.run(_replay_all(files))
    for file, (faults, reasons) in zip(files, verdicts, strict=True):
        tally.judged(file.stem, faults, reasons)
    return tally


Verdict = tuple[list[str], list[str]]


async def _replay_all(files: list[Path]) -> list[Verdict]:
    lag = Lag()
    watch = asyncio.create_task(lag.watch())
    try:
        return await asyncio.gather(*(_one(file, lag) for file in files))
    finally:
        watch.cancel()


async def _one(file: Path, lag: Lag) -> Verdict:
    try:
        with tempfile.TemporaryDirectory(prefix="decklog-conformance-") as folder:
            return await _Replay(_read(file), Path(folder, "log"), lag).verdict()
    except Exception as error:  # noqa: BLE001  # because: one scenario that cannot be replayed hides no other
        return [f"cannot be replayed: {type(error).__name__}: {error}"], []


def _read(file: Path) -> Row:
    scenario: Row = json.loads(file.read_text("utf-8"))
    return scenario


class _Replay:
    """One scenario: written, listed, and compared."""

    def __init__(self, scenario: Row, folder: Path, lag: Lag) -> None:
        self._scenario = scenario
        self._lag = lag
        self._folder = folder
        self._counters = AuditCounters()
        self._metrics = metrics_of("\n".join(scenario["metrics"]))
        self._disk = FullDisk(_capacity(scenario))
        path = "-" if "stdout_audit_lines" in scenario else str(folder / "audit.log")
        self._options = audit_options(scenario["flags"], log_path=path).log
        self._encode = legacy_line if self._options.format == "legacy" else encode_line
        self._writes = recorded_writes(scenario, self._metrics)
        self._oversize = [length for write in self._writes for _, length in write.lines if length > self._limit]
        self._moved = any(write.before for write in self._writes)
        self._removed = 0
        self._faults: list[str] = []
        self._reasons: list[str] = []
        self._fed = self._refused = 0
        self._overflow = False

    async def verdict(self) -> Verdict:
        prepare(self._folder, self._scenario["listing_at_start"])
        nest = self._nest()
        recorded = recorded_plumbing(self._scenario["apiserver_log"])
        self._expect("the nest", plumbing(nest), recorded or plumbing(nest))
        async with nest:
            if not self._disk.capacity:
                self._compare_start()
            await self._write_all(nest)
            await self._compare_end()
            self._compare_metrics()
        self._compare_books()
        return self._faults, self._reasons

    def _nest(self) -> Backend:
        """Make what assembly makes of these options, but with a disk that can fill up and a standard output of ours."""
        account = self._counters.account("log")
        nest: Backend = log_backend(self._options, self._encode, self._counters, account=account, disk=self._disk)
        if self._options.mode == "batch":
            batch = self._options.batch
            nest = Batch(nest, batch, account=account, counters=self._counters, asynchronous=False)
        elif self._options.mode == "blocking":
            nest = Blocking(nest, self._counters, account=account)
        if self._options.truncate_enabled:
            limits = self._options.truncation()
            nest = Truncate(nest, limits, self._encode, account=account, counters=self._counters)
        return Entered(nest, account)

    # The writes

    async def _write_all(self, nest: Backend) -> None:
        for write in self._writes:
            if write.before == "rename":
                (self._folder / "audit.log").rename(self._folder / write.name)
            elif write.before == "unlink":
                self._removed = Lines.of([self._folder / write.name]).count
                (self._folder / write.name).unlink()
            self._refused += await self._request(nest, write)
            if write.size_then is not None:
                self._compare_size(write)
        if "right_after" in self._scenario:
            self._compare_entries("right after", self._listing(), recorded_listing(self._scenario["right_after"]))

    async def _request(self, nest: Backend, write: Write) -> bool:
        """Hand over a request's events; True: it was refused."""
        for stage, length in write.lines:
            self._fed += 1
            try:
                promise = nest.process((event_of(stage, length, self._encode),))
                if promise is not None:
                    await promise
            except DeliveryError:
                if stage == "RequestReceived":
                    return True
            await asyncio.sleep(0)  # a batch's collector runs, as the server's thread did
        return False

    def _compare_size(self, write: Write) -> None:
        ours = (self._folder / "audit.log").stat().st_size
        if ours != write.size_then:
            self._faults.append(f"audit.log holds {ours} bytes after a write, the server's {write.size_then}")

    # The comparison

    def _listing(self) -> list[Entry]:
        return list_folder(self._folder)

    def _compare_start(self) -> None:
        """Compare what stands there when the server has begun.

        Old backups are left out: retention begins at once here, there with the first write.
        """
        ours, theirs = self._listing(), recorded_listing(self._scenario["listing_at_start"])
        self._compare_entries("at the start", *([entry for entry in some if not entry.old] for some in (ours, theirs)))

    async def _compare_end(self) -> None:
        """Compare what is left in the end, as soon as it is there, or as late as it was looked at."""
        await self._until_written()
        if self._oversize or self._moved:
            await self._compare_kept()
            return
        expected = recorded_listing(self._scenario.get("small_ls") or self._scenario["listing_at_end"])
        if self._overflowed():
            return
        shapes = sorted(entry.shape for entry in expected)
        await self._until(lambda: sorted(entry.shape for entry in self._listing()) == shapes)
        self._compare_entries("in the end", self._listing(), expected)
        if "stdout_audit_lines" in self._scenario:
            self._expect("lines on standard output", self._disk.printed, self._scenario["stdout_audit_lines"])

    async def _until(self, there: Callable[[], bool]) -> None:
        """Wait for what is done beside the writing, or until it should have been done."""
        for _ in range(round(_PATIENCE_S / TICK_S)):
            if there():
                return
            await asyncio.sleep(TICK_S)

    async def _until_written(self) -> None:
        """Wait until the buffer is empty; a throttled one is looked at with as many lines as the recorded one."""
        if self._options.batch_throttle_enable and self._options.mode == "batch":
            await self._throttled()
            return
        account = self._counters.account("log")
        while account.queued or account.in_flight:  # noqa: ASYNC110  # because: the books ring no bell
            await asyncio.sleep(TICK_S)

    async def _throttled(self) -> None:
        """Wait for as many lines as the recorded log had, and compare how long they took after the first one."""
        lines = sum(row["lines"] for row in self._scenario["listing_at_end"])
        begin = _now()
        await self._until(lambda: self._all_lines().count >= lines)
        took_s, end = _now() - begin, _now()
        first, last = (_modified(self._scenario[key]) for key in ("right_after", "listing_at_end"))
        if abs(took_s - (last - first)) > _TOLERANCE_S + self._lag.between(begin, end):
            self._faults.append(f"{lines} lines took {took_s:.3f} s, the server's {last - first:.3f} s")

    async def _compare_kept(self) -> None:
        """See that events are here which the server lost: too long a line, or a log that somebody moved."""
        least = self._fed - self._removed
        await self._until(lambda: self._all_lines().count >= least)  # a removal is noticed within a quarter of a second
        lines = self._all_lines()
        if not least <= lines.count <= self._fed:
            self._faults.append(f"of {self._fed} events, {self._removed} of them removed, {lines.count} are there")
        if self._oversize:
            self._expect("the longest line", lines.longest, max(self._oversize))
            self._reasons.append("a line longer than maxsize is kept, in a file of its own; there it is lost")
        if self._moved:
            self._reasons.append("a log that is renamed or removed is noticed, and what was written since is kept")

    def _all_lines(self) -> Lines:
        names = [entry.name for entry in self._listing()]
        return Lines.of([self._folder / name for name in names])

    @property
    def _limit(self) -> float:
        return self._options.max_size_mib * 1024 * 1024 or float("inf")

    def _overflowed(self) -> bool:
        """Whether the recorded server's buffer was too small for its threads."""
        theirs = errors_of(self._metrics).get("buffered", 0)
        ours = self._counters.error_total["buffered"]
        if theirs == ours:
            return False
        self._overflow = True
        written = self._all_lines().count
        if written + ours != self._fed:
            self._faults.append(f"{self._fed} events: {written} written, {ours} dropped")
        self._reasons.append(
            f"which events find the buffer full is a matter of threads: {theirs} there, {ours} here; every one is "
            "accounted for"
        )
        return True

    def _compare_entries(self, what: str, ours: list[Entry], theirs: list[Entry]) -> None:
        if ours != theirs:
            missing = [str(entry) for entry in theirs if entry not in ours]
            more = [str(entry) for entry in ours if entry not in theirs]
            self._faults.append(f"{what}: {more or 'nothing'}, the server's {missing or 'nothing'}")

    def _compare_metrics(self) -> None:
        theirs = self._metrics
        self._expect("event_total", self._fed, theirs.get("event_total", self._fed))
        self._expect("requests_rejected_total", self._refused, theirs.get("requests_rejected_total", 0))
        expected = Counter(errors_of(theirs)) - Counter({"log": len(self._oversize)})
        ours = Counter(self._counters.error_total)
        if self._overflow:
            expected["buffered"] = ours["buffered"]
        self._expect("error_total", +ours, +expected)

    def _compare_books(self) -> None:
        account = self._counters.account("log")
        if not account.balanced or account.queued or account.in_flight or account.processed != self._fed:
            self._faults.append(f"the book does not balance: {account}")

    def _expect(self, what: str, ours: object, theirs: object) -> None:
        if ours != theirs:
            self._faults.append(f"{what}: {ours}, the server's {theirs}")


def _capacity(scenario: Row) -> int:
    """Find out how large the disk was that filled up; 0: none did."""
    listing = scenario.get("small_ls")
    return sum(entry["size"] for entry in listing) if listing else 0


def _now() -> float:
    return asyncio.get_running_loop().time()


def _modified(listing: list[Row]) -> float:
    return max(datetime.fromisoformat(re.sub(r"Z?$", "+00:00", row["mtime"])).timestamp() for row in listing)

"""What the tests of segments share: real-looking events, stores that hold them, and the reading back of everything."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from decklog.disk import Disk
from decklog.store import reading
from decklog.store.items import Item, identity_of
from decklog.store.journal import Journal
from decklog.store.parquet import engine
from decklog.store.segment import Maintenance
from decklog.store.view import view

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from decklog.store.parquet import Engine

CLUSTER: Final = "harbour"
NOW_S: Final = 1_772_000_000.0
"""2026-02-25T06:13:20Z"""


def line(number: int, *, day: str = "2026-01-31", verb: str = "get", user: str = "alice", **more: str) -> bytes:
    """Make an event as kube-apiserver writes it; `number` makes it another one."""
    stage, name = more.get("stage", "ResponseComplete"), more.get("name", f"pod-{number % 7}")
    time = f"{day}T10:{number // 60 % 60:02d}:{number % 60:02d}.{number:06d}Z"
    return (
        f'{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-{number}","stage":"{stage}",'
        f'"requestURI":"/api/v1/namespaces/shop/pods/{name}","verb":"{verb}",'
        f'"user":{{"username":"{user}","groups":["system:authenticated"]}},"sourceIPs":["10.0.0.1"],'
        f'"objectRef":{{"resource":"pods","namespace":"shop","name":"{name}","apiVersion":"v1"}},'
        f'"responseStatus":{{"metadata":{{}},"code":200}},"requestReceivedTimestamp":"{time}","stageTimestamp":"{time}",'
        f'"annotations":{{"authorization.k8s.io/decision":"allow"}}}}'
    ).encode()


def fill(store: Path, *batches: Sequence[bytes], writer: str = "one", cluster: str = CLUSTER) -> None:
    """Store each batch in a journal segment of its own; one more, empty, keeps the number.

    Another writer than the first knows nothing of what stands in the store, as if it had come hours later.
    """
    apart = store if writer == "one" else store.with_name(f"{store.name}-{writer}")
    folder = apart / "journal" / writer

    async def write() -> None:
        async with Journal(folder, Disk(), cluster=cluster, clock=lambda: NOW_S) as journal:
            for lines in batches:
                await journal.append([Item(each, identity_of(cluster, each)) for each in lines])
                await journal.turn(now=True)

    asyncio.run(write())
    if apart != store:
        (store / "journal").mkdir(exist_ok=True, parents=True)
        folder.rename(store / "journal" / writer)


@contextmanager
def working(
    store: Path, disk: Disk | None = None, *, now_s: float = NOW_S, grace_s: float = 3600.0
) -> Iterator[tuple[Maintenance, Engine]]:
    with (
        Maintenance(store, disk or Disk(), clock=lambda: now_s, grace_s=grace_s) as work,
        engine(work.aside, threads=1) as ready,
    ):
        yield work, ready


def stored(store: Path, tmp: Path) -> Counter[bytes]:
    """Read every event of a view, with how often it stands there."""
    seen = view(store, Disk())
    found: Counter[bytes] = Counter()
    for journal in seen.journals:
        found.update(each for _, each in reading.lines(journal, Disk()))
    with engine(tmp, threads=1) as ready:
        for segment in seen.segments:
            found.update(event for _, event in ready.events(store / segment.path))
    return found


def columns_of(store: Path, tmp: Path, names: str, where: str = "true") -> list[tuple[object, ...]]:
    """Ask the segments for columns."""
    with engine(tmp, threads=1) as ready:
        files = [str(store / segment.path) for segment in view(store, Disk()).segments]
        return ready.all(f"SELECT {names} FROM read_parquet(?) WHERE {where} ORDER BY ALL", [files])


def numbered(numbers: Iterable[int], **values: str) -> list[bytes]:
    return [line(number, **values) for number in numbers]

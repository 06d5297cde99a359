from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from decklog.assembling.worker import share
from decklog.assembly import Auditing
from decklog.audit.wire import encode_line
from decklog.backends.kept_options import KeptOptions
from decklog.backends.log_options import LogOptions
from decklog.config import AuditOptions
from decklog.policy.options import PolicyOptions
from decklog.policy.rules import Policy
from decklog.store.journal import identity_of
from decklog.testing import event

if TYPE_CHECKING:
    from decklog.audit.event import Event


def options(folder: Path, *, cluster: str = "", mode: str = "blocking", log: str = "") -> AuditOptions:
    kept = KeptOptions(store=str(folder / "store"), cluster=cluster, mode=mode)
    return AuditOptions(policy=PolicyOptions(file="policy.yaml"), log=LogOptions(path=log), kept=kept)


def journals(folder: Path) -> dict[str, list[bytes]]:
    """Give the lines of each writer's journal."""
    return {
        path.parent.name: path.read_bytes().splitlines() for path in (folder / "store" / "journal").glob("*/*.ndjson")
    }


async def store(auditing: Auditing, *events: Event) -> None:
    async with AsyncExitStack() as stack:
        await auditing.start(stack)
        assert auditing.backend is not None
        waiting = auditing.backend.process(events)
        if waiting is not None:
            await waiting


@pytest.mark.parametrize(
    ("name", "given", "plumbing"),
    [
        ("a store alone", {}, "blocking<store>"),
        ("strict", {"mode": "blocking-strict"}, "store"),
        ("beside a log", {"log": "audit.log"}, "union[blocking<log>, blocking<store>]"),
    ],
)
def test_the_nest_of_a_store(tmp_path: Path, name: str, given: dict[str, Any], plumbing: str) -> None:
    """It stands beside the others; without a policy nothing goes there."""
    assert Auditing(options(tmp_path, **given), Policy()).plumbing == plumbing, name
    assert Auditing(options(tmp_path, **given), None).plumbing == (
        "auditing is off: no --audit-policy-file"
        if "log" in given
        else "auditing is off: no --audit-log-path, no --audit-webhook-config-file, no --store"
    )


def test_each_worker_has_a_journal_of_its_own(tmp_path: Path) -> None:
    """Side by side; the lines are those of a log, and one event is there once, however often it comes."""

    async def main() -> None:
        given = options(tmp_path, cluster="Blue/1")
        workers = [Auditing(share(given, number, 2), Policy()) for number in (1, 2)]
        first, second = event(verb="get"), event(verb="delete")
        async with AsyncExitStack() as stack:
            for auditing in workers:
                await auditing.start(stack)
            for auditing, each in zip(workers, (first, second), strict=True):
                assert auditing.backend is not None
                for _ in range(2):
                    waiting = auditing.backend.process((each,))
                    assert waiting is not None
                    await waiting
        found = sorted(journals(tmp_path).items())
        assert [lines for _, lines in found] == [[encode_line(each).rstrip()] for each in (first, second)]
        assert [name.startswith("gateway-blue-1-") and name[-2:] for name, _ in found] == ["-1", "-2"]
        assert identity_of("Blue/1", found[0][1][0]) != identity_of("", found[0][1][0])

    asyncio.run(main())


def test_intents_of_a_strict_store_are_kept_in_it(tmp_path: Path) -> None:
    """Unless there is a log, beside which they are, or a file that is told."""
    strict = options(tmp_path, mode="blocking-strict")
    assert strict.strict
    assert strict.intent_path == str(tmp_path / "store" / "gateway.intents")
    assert replace(strict, log=LogOptions(path="audit.log")).intent_path == "audit.log.intents"
    strict.check()


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before anything is served."""
    Path(tmp_path, "store").write_text("a file")
    with pytest.raises(Exception, match="cannot use the journal"):
        asyncio.run(store(Auditing(options(tmp_path), Policy()), event()))

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from decklog.audit.event import Stage
from decklog.audit.sink import Backend, DeliveryError
from decklog.backends.books import Entered
from decklog.backends.filtered import Filtered
from decklog.metrics import Account
from decklog.policy.apply import Applier
from decklog.policy.deciding import decide_by
from decklog.policy.rules import Policy, Rule
from decklog.testing import MemoryBackend, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.audit.event import Event


def keep_deletions(given: Event) -> Event | None:
    return given if given.verb == "delete" else None


def sent(keep: Callable[[Event], Event | None], *events: Event) -> tuple[MemoryBackend, Filtered, Account]:
    memory, account = MemoryBackend(), Account()
    filtered = Filtered(Entered(memory, account), keep, account)

    async def run() -> None:
        async with filtered:
            filtered.process(events)

    asyncio.run(run())
    return memory, filtered, account


def test_only_what_is_kept_arrives() -> None:
    """Events arrive in order, as what the function made of them; the rest is counted, and in no book."""
    kept = [event(verb="delete", audit_id=str(number)) for number in range(2)]
    memory, _, account = sent(keep_deletions, kept[0], event(), kept[1])
    assert memory.events == kept
    assert (account.left_out, account.processed) == (1, 2)
    assert account.balanced


def test_a_call_of_which_nothing_is_left_is_not_made() -> None:
    """A backend that fails is not asked about events that it would not get."""
    memory, filtered, account = sent(keep_deletions)
    memory.failing = True
    assert filtered.process([event()]) is None
    assert account.processed == 0


def test_a_policy_of_its_own() -> None:
    """One backend gets its events lowered, another one beside it does not notice."""
    policy = Policy((Rule("Metadata", omit_stages=(Stage.REQUEST_RECEIVED.value,)),))
    whole = event(level="RequestResponse", verb="delete")
    memory, _, account = sent(Applier(decide_by(policy)).event, whole, event(stage=Stage.REQUEST_RECEIVED))
    (lowered,) = memory.events
    note = {"decklog/lowered": "RequestResponse to Metadata"}
    annotations = dict(sorted({**whole.annotations, **note}.items()))
    assert lowered == structs.replace(whole, level="Metadata", annotations=annotations)
    assert (account.left_out, whole.level) == (1, "RequestResponse")


def test_failures_go_up() -> None:
    """What the backend raises is raised: strict mode stays strict for what is kept."""
    memory = MemoryBackend()

    async def run() -> None:
        async with Filtered(memory, keep_deletions, Account()) as filtered:
            memory.failing = True
            filtered.process([event(verb="delete")])

    with pytest.raises(DeliveryError):
        asyncio.run(run())


def test_it_is_a_backend_and_says_so() -> None:
    """The nest in one line."""
    filtered = Filtered(MemoryBackend(), keep_deletions, Account())
    assert isinstance(filtered, Backend)
    assert str(filtered) == "filtered<memory>"

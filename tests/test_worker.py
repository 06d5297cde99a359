from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from decklog.worker import Lines, Worker, ignore

if TYPE_CHECKING:
    from decklog.worker import Message


def worker(said: list[Message]) -> Worker:
    """A worker without a process; what it says is kept."""
    return Worker(2, 3, socket.socket(), {}, said.append)


def test_a_worker_says_what_it_counts_when_it_is_asked() -> None:
    """Under the number of the question."""

    async def main() -> None:
        said: list[Message] = []
        it = worker(said)
        with it.listener:
            it.stats, it.problems = lambda: {"seen": 7}, lambda: ["no disk"]
            it.told({"kind": "count", "turn": 4})
        assert said == [{"kind": "stats", "turn": 4, "stats": {"seen": 7}, "problems": ["no disk"]}]

    asyncio.run(main())


def test_what_comes_early_is_heard_once_it_is_ready() -> None:
    """In order, and what comes later after it."""

    async def main() -> None:
        said: list[Message] = []
        heard: list[Any] = []
        it = worker(said)
        with it.listener:
            it.told({"kind": "word", "text": 1})
            it.told({"kind": "word", "text": 2})
            it.on_message = lambda message: heard.append(message["text"])
            it.ready()
            it.told({"kind": "word", "text": 3})
        assert heard == [1, 2, 3]
        assert [message["kind"] for message in said] == ["ready", "stats"]

    asyncio.run(main())


def test_a_worker_obeys_until_its_supervisor_is_gone() -> None:
    """A message that it cannot follow does not keep it from the next; the channel's end stops it."""

    async def main() -> None:
        heard: list[Any] = []
        it = worker([])
        with it.listener:
            it.ready()
            it.on_message = lambda message: heard.append(message["text"])
            ours, theirs = socket.socketpair()
            await Lines().open(theirs, it.obey, it.stop)
            theirs_end = Lines()
            await theirs_end.open(ours, ignore)
            theirs_end.say({"kind": "word"})
            theirs_end.say({"kind": "word", "text": "later"})
            await theirs_end.close()
            await asyncio.wait_for(it.stopped(), 10)
            theirs_end.say({"kind": "word", "text": "too late"})
        assert heard == ["later"]

    asyncio.run(main())


def test_the_last_word_is_what_was_counted_in_the_end() -> None:
    """Also where the work fails."""

    async def main() -> None:
        said: list[Message] = []
        it = worker(said)

        async def work(worker: Worker) -> None:
            worker.stats = lambda: {"seen": 9}
            raise ZeroDivisionError

        with it.listener:
            try:
                await it.live(work)
            except ZeroDivisionError:
                ignore({})
        assert said[-1]["stats"] == {"seen": 9}

    asyncio.run(main())


@pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
def test_a_long_message_comes_whole(size: int) -> None:
    """In however many pieces."""

    async def main() -> None:
        heard: list[Message] = []
        ours, theirs = socket.socketpair()
        here, there = Lines(), Lines()
        await there.open(theirs, heard.append)
        await here.open(ours, ignore)
        here.say({"kind": "word", "text": "x" * size})
        here.say({"kind": "end"})
        await here.close()
        await asyncio.wait_for(there.over.wait(), 10)
        assert heard == [{"kind": "word", "text": "x" * size}, {"kind": "end"}]

    asyncio.run(main())


def test_what_came_before_a_reset_is_heard() -> None:
    """A killed process leaves what it has not read, and so a reset; its last words count."""

    async def main() -> None:
        heard: list[Message] = []
        ours, theirs = socket.socketpair()
        here = Lines()
        await here.open(ours, heard.append)
        here.say({"kind": "count"})
        theirs.sendall(b'{"kind":"last"}\n')
        theirs.close()
        await asyncio.wait_for(here.over.wait(), 10)
        assert heard == [{"kind": "last"}]

    asyncio.run(main())


def test_what_came_before_a_write_that_failed_is_heard() -> None:
    """The supervisor may be speaking to a worker that has just ended."""

    async def main() -> None:
        heard: list[Message] = []
        ours, theirs = socket.socketpair()
        here = Lines()
        await here.open(ours, heard.append)
        theirs.sendall(b'{"kind":"failed"}\n')
        theirs.close()
        here.say({"kind": "count"})
        here.say({"kind": "count"})
        await asyncio.wait_for(here.over.wait(), 10)
        assert heard == [{"kind": "failed"}]

    asyncio.run(main())

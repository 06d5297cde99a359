"""A supervised server as a process, for tests: ``supervised_process.py WORKERS [HOW]``.

It says ``ready HOST PORT`` once it serves. Every connection is answered with a line of JSON: the worker's number and
process, how many were answered (by this worker and those before it), and the messages that came.
SIGHUP sends a message to all.

HOW: ``failing`` (the last worker cannot start), ``crashing`` (it has a fault), ``stubborn`` (workers do not stop),
``unready`` (announcing fails), ``slow`` (ready only when two words came), ``troubled`` (workers have a problem),
``beside`` (a crew that listens nowhere runs beside them), ``beside-failing`` (that one cannot start).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import TYPE_CHECKING

from decklog.crew import Crew
from decklog.errors import DecklogError, DoorError
from decklog.supervisor import Supervisor

if TYPE_CHECKING:
    from decklog.worker import Message, Work, Worker


def work_of(how: str, stop_all_s: float) -> Work:
    async def work(worker: Worker) -> None:
        if how == "failing" and worker.number == worker.count:
            raise DecklogError("the log cannot be written: give another")
        if how == "crashing" and worker.number == worker.count:
            raise ZeroDivisionError
        answered = worker.inherited.get("answered", 0)
        heard: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal answered
            await reader.readline()
            answered += 1
            said = {"worker": worker.number, "pid": os.getpid(), "answered": answered, "heard": heard}
            writer.write(json.dumps(said).encode() + b"\n")
            await writer.drain()
            await reader.read()
            writer.close()

        def hear(message: Message) -> None:
            if message["kind"] != "early" or how == "slow":
                heard.append(message["text"])

        while how == "slow" and len(worker._early or ()) < 2:
            await asyncio.sleep(0.001)
        worker.stats = lambda: {"answered": answered}
        worker.problems = lambda: ["it is a test"] if how == "troubled" else []
        worker.on_message = hear
        server = await asyncio.start_server(serve, sock=worker.listener)
        worker.ready()
        await worker.stopped()
        if how == "stubborn":
            await asyncio.sleep(stop_all_s * 100)
        server.close()

    return work


def back_of(how: str) -> Work:
    async def work(worker: Worker) -> None:
        if how == "beside-failing":
            raise DoorError("there is no back")
        worker.stats = lambda: {"pid": os.getpid()}
        worker.problems = lambda: ["it is dark"]
        worker.ready()
        await worker.stopped()

    return work


def main(count: int, how: str) -> None:
    logging.basicConfig(format="decklog: %(message)s", stream=sys.stderr, level=logging.WARNING)
    stop_s = 0.2 if how == "stubborn" else 9.5

    crew = Crew(work_of(how, stop_s), "127.0.0.1:0", count)

    def ready() -> None:
        if how == "unready":
            raise DecklogError("cannot announce")
        print("ready", crew.host, crew.port, flush=True)

    hung_up = 0

    def hang_up(supervisor: Supervisor) -> None:
        nonlocal hung_up
        hung_up += 1
        supervisor.tell({"kind": "word", "text": f"hangup {hung_up}"})

    crews = [crew]
    if how.startswith("beside"):
        crew.name = "front"
        crews.append(Crew(back_of(how), "", 1, "back"))
    supervisor = Supervisor(crews, on_ready=ready, on_hangup=hang_up, beside=Asked, stop_s=stop_s)
    try:
        print("ended by", supervisor.run().name, flush=True)
    except DecklogError as error:
        print("failed:", error, flush=True)
        sys.exit(error.exit_code)


class Asked:
    """Answers on standard output what is asked on standard input: `gather` or `problems`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self._reading = asyncio.create_task(self._answer(reader))
        self._speaking = asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        """Say two words as soon as there are workers to hear them; only those that wait for them (``slow``) listen."""
        seats = self._supervisor._seats
        while len(seats) > 1 and not all(seat.pid for seat in seats):
            await asyncio.sleep(0.001)
        for number in (1, 2):
            self._supervisor.tell({"kind": "early", "text": f"early {number}"})

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        async for line in reader:
            asked = line.decode().strip()
            answer = await self._supervisor.gather() if asked == "gather" else self._supervisor.problems()
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")

"""The two ends of a webhook as processes of their own, and the troubles that a receiver may be in.

``webhook_faults_process.py receive TROUBLE FILE`` is a receiver: it prints its URL, notes in FILE the number of each
event that it stored, and is in TROUBLE (a name of `TROUBLES`, or ``none``) until SIGUSR1.

``webhook_faults_process.py send RATE FLAGS`` is the process under test: it prints ``ready``, enters RATE events a
second into the backend that FLAGS (JSON: fields of WebhookOptions) ask for, until SIGUSR1; when nothing is on its way
any more it prints ``idle``. At SIGTERM, whenever it comes, it drains and prints its book as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from backends.receiver import Got, Receiver, Say
from backends.spool_peers import numbered, numbers_in
from decklog.assembly import backend_of
from decklog.audit.sink import DeliveryError
from decklog.backends.webhook_options import WebhookOptions
from decklog.config import AuditOptions
from decklog.metrics import Account, AuditCounters

if TYPE_CHECKING:
    from collections.abc import Callable

_SUCCESS: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
TICK_S: Final = 0.02


@dataclass(frozen=True)
class Trouble:
    """What a receiver says, and what it does with the events."""

    say: Say
    stores: bool = False
    """Whether it keeps the events all the same."""
    told: bool = False
    """Whether its success reaches the sender."""


TROUBLES: Final = {
    "429": Trouble(Say(429)),
    "429, again at once": Trouble(Say(429, (("Retry-After", "0"),))),
    "500": Trouble(Say(500)),
    "503, again at once": Trouble(Say(503, (("Retry-After", "0"),))),
    "301 to itself": Trouble(Say(301, (("Location", "/audit"),))),
    "200, then a reset": Trouble(Say(raw=_SUCCESS + b"{", reset=True), stores=True, told=True),
    "stored, then a reset before the 200": Trouble(Say(reset=True), stores=True),
    "a reset, nothing stored": Trouble(Say(reset=True)),
    "a body of one byte a second": Trouble(Say(body=b"{}" * 50, byte_every_s=1.0), stores=True, told=True),
    "a head that never ends": Trouble(Say(raw=b"HTTP/1.1 200 O", hang=True), stores=True),
    "silence": Trouble(Say(hang=True)),
}


class Stored:
    """Judges requests: in trouble until `well`; tells each number that is stored to `note`."""

    def __init__(self, trouble: Trouble | None, note: Callable[[list[int]], None]) -> None:
        self.well = trouble is None
        self._trouble = trouble
        self._note = note

    def recover(self) -> None:
        self.well = True

    def __call__(self, got: Got) -> Say:
        trouble = None if self.well else self._trouble
        if trouble is None or trouble.stores:
            self._note(numbers_in(got.body))
        return Say() if trouble is None else trouble.say


def columns(account: Account) -> dict[str, int]:
    """Give the columns of a book, the reasons of drops among them under their names."""
    names = ("processed", "delivered", "queued", "in_flight", "spooled", "parked")
    return {name: getattr(account, name) for name in names} | dict(account.dropped)


async def receive(trouble: str, file: str) -> None:
    """Be a receiver until the process is ended."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(numbers: list[int]) -> None:
        os.write(fd, "".join(f"{number}\n" for number in numbers).encode())
        receiver.got.clear()

    judge = Stored(TROUBLES.get(trouble), note)
    async with Receiver(judge=judge) as receiver:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, judge.recover)
        print(receiver.url, flush=True)
        await asyncio.get_running_loop().create_future()


async def send(rate: int, flags: dict[str, Any]) -> None:
    """Be the process under test."""
    counters = AuditCounters()
    backend, _ = backend_of(dataclasses.replace(AuditOptions(), webhook=WebhookOptions(**flags)), counters)
    assert backend is not None
    account = counters.account("webhook")
    enough, stop = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, enough.set)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    sends: set[asyncio.Task[None]] = set()
    async with backend:
        print("ready", flush=True)
        begun, number = time.monotonic(), 0
        while not (enough.is_set() or stop.is_set()):
            due = int((time.monotonic() - begun + TICK_S) * rate) - number
            promise = backend.process(numbered(*range(number, number + due))) if due else None
            number += due
            if promise is not None:
                task = asyncio.ensure_future(_quietly(promise))
                sends.add(task)
                task.add_done_callback(sends.discard)
            assert account.balanced
            await asyncio.sleep(TICK_S)
        while not stop.is_set() and account.queued + account.in_flight + account.spooled:
            await asyncio.sleep(TICK_S)
        if not stop.is_set():
            print("idle", flush=True)
        await stop.wait()
        begun = time.monotonic()
    assert account.balanced
    drained_s = round(time.monotonic() - begun, 1)
    print(json.dumps({**columns(account), "errors": counters.error_total.total(), "drained_s": drained_s}), flush=True)


async def _quietly(promise: Any) -> None:
    with contextlib.suppress(DeliveryError):
        await promise


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        asyncio.run(receive(sys.argv[2], sys.argv[3]))
    else:
        asyncio.run(send(int(sys.argv[2]), json.loads(sys.argv[3])))

"""The supervisor: one process that looks after the workers of its crews. Lives in the cellar, knows nothing of audit.

A crew (`decklog.crew`) is N workers that do the same on one address; several crews are several doors in one tree.

Each worker is a process of its own with its own listening socket (SO_REUSEPORT: the kernel deals out connections), its
own event loop (uvloop) and a channel to the supervisor, a socket pair that carries JSON, a line a message. The
supervisor accepts nothing itself; it keeps the address, holds what all workers share, and does what is done once.

| message | from | means |
|---|---|---|
| `ready` | worker | it listens |
| `stats` | worker | what it counts and what troubles it; once a second, and whenever it is asked |
| `failed` | worker | why it cannot start; before the first start is complete this ends everything |
| `count` | supervisor | send `stats` now |
| `stop` | supervisor | finish what is under way and end |
| anything else | supervisor | handed to the worker's `on_message` (a new policy, a renewed certificate) |

Workers are forked, not spawned: a successor then begins with what the supervisor holds in memory (the last policy that
was good, not what the file says by now), within milliseconds. What makes a fork unsafe is kept away: the supervisor has
no threads, forks only between two runs of its event loop, never from inside of one, and the child closes every
descriptor but its own, keeps the garbage collector from what it inherited, and leaves by `os._exit`. With one worker
nothing is forked: the same `work` runs in this process, and its messages are calls.

A worker that dies is started again, at once if it had lived for a minute, else after a pause that doubles up to
`LONGEST_PAUSE_S`. Its last `stats` are handed to its successor, so that no counter goes backwards. A supervisor that
dies takes its workers along: their channel ends, and they stop in good order.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

from decklog import listen, sd_notify
from decklog.errors import DecklogError, DoorError
from decklog.worker import Lines, Message, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from decklog.crew import Crew, Seat

STOP_S: Final = 9.5
"""How long workers may take to stop; then they are killed, so that all is over within ten seconds."""
ANSWER_S: Final = 1.0
"""How long a worker may take to answer `count`; then its last figures stand."""
STEADY_S: Final = 60.0
"""A worker that lived so long is started again at once."""
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 30.0
_OPEN_FILES: Final = "/dev/fd"
_FILES: Final = 1 << 20
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)


class Supervisor:
    """Runs the workers of `crews`.

    `on_ready()` is called once, when all of them serve. `on_hangup(self)` answers SIGHUP. `beside(self)` gives what
    runs in the supervisor for as long as the workers do. A crew that cannot start ends all of them.
    """

    def __init__(
        self,
        crews: Sequence[Crew],
        *,
        on_ready: Callable[[], None],
        on_hangup: Callable[[Supervisor], None] | None = None,
        beside: Callable[[Supervisor], AbstractAsyncContextManager[Any]] | None = None,
        stop_s: float = STOP_S,
    ) -> None:
        self.crews = tuple(crews)
        self._seats = [seat for crew in self.crews for seat in crew.seats]
        self._on_ready = on_ready
        self._on_hangup = on_hangup
        self._beside = beside
        self._stop_s = stop_s
        self._stack = contextlib.AsyncExitStack()
        self._turn = 0
        self._serving = False
        self._stop: Callable[[], None] = self._stop_all
        self._news = asyncio.Event()
        self._due: asyncio.Queue[Seat | None] = asyncio.Queue()
        self._tending: set[asyncio.Task[None]] = set()
        self._signal: signal.Signals | None = None
        self._failure: DecklogError | None = None

    def run(self) -> signal.Signals:
        """Serve until SIGTERM or SIGINT, which is returned.

        A second one kills. Raises the DecklogError of a worker that cannot start, and DoorError if the address cannot
        be had.
        """
        raise_file_limit()
        if len(self._seats) == 1:
            return listen.run(self._alone())
        with asyncio.Runner() as runner:
            return self._crew(runner)

    # What the bridge asks and tells.

    def tell(self, message: Message) -> None:
        """Tell every worker of every crew."""
        for crew in self.crews:
            crew.tell(message)

    async def gather(self) -> list[Message]:
        """Give what every worker counts, the last that is known of those that do not answer."""
        self._turn += 1
        turn = self._turn
        asked = [seat for seat in self._seats if seat.ready]
        for seat in asked:
            seat.send({"kind": "count", "turn": turn})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                while any(seat.ready and seat.turn < turn for seat in asked):
                    self._news.clear()
                    await self._news.wait()
        return [seat.stats for seat in self._seats]

    def problems(self) -> list[str]:
        """Say in words, a line each, what keeps which worker from being ready."""
        return [problem for crew in self.crews for problem in crew.problems()]

    # One worker, in this process.

    async def _alone(self) -> signal.Signals:
        (seat,) = self._seats
        worker = Worker(1, 1, seat.crew.take_alone(), {}, lambda message: self._heard(seat, message))
        seat.send = worker.told
        stopping = asyncio.Event()
        self._stop = stopping.set
        self._catch_signals()
        async with self._stack:
            await self._enter_beside()
            working = asyncio.create_task(worker.live(seat.crew.work))
            waiting = asyncio.create_task(stopping.wait())
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
            worker.stop()
            waiting.cancel()
            await asyncio.wait({working}, timeout=self._stop_s)
            seat.vacate("it has stopped")
            if not working.done():
                _kill_ourselves()
            if (error := working.exception()) is not None and not isinstance(error, DecklogError):
                logger.error("the worker failed", exc_info=error)
                raise DoorError(f"the worker failed with {type(error).__name__}: see the log above")
            working.result()
        return self._ended_by()

    # Several, each in a process.

    def _crew(self, runner: asyncio.Runner) -> signal.Signals:
        try:
            runner.run(self._begin())
            gc.collect()
            gc.freeze()  # workers share the pages of what is never looked at again
            for seat in self._seats:
                self._fork(seat)
            while (due := runner.run(self._watch())) is not None:
                self._fork(due)
        finally:
            self._kill_all()
            runner.run(self._stack.aclose())
            for crew in self.crews:
                crew.release()
        return self._ended_by()

    async def _begin(self) -> None:
        for crew in self.crews:
            crew.take()
        self._catch_signals()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        await self._enter_beside()

    async def _watch(self) -> Seat | None:
        """Look after the workers until one has to be forked; None: all is over."""
        for seat in self._seats:
            if seat.channel is not None:
                task = asyncio.create_task(self._tend(seat, seat.channel))
                seat.channel, seat.exited = None, asyncio.get_running_loop().create_future()
                self._tending.add(task)
                task.add_done_callback(self._tending.discard)
        self._reap()  # a worker that died before its future was there
        while True:
            due = await self._due.get()
            if due is None or not self._ending:
                return due

    async def _tend(self, seat: Seat, channel: socket.socket) -> None:
        lines = Lines()
        await lines.open(channel, lambda message: self._heard(seat, message))
        seat.send = lines.say
        for message in seat.backlog:
            seat.send(message)
        if self._ending:
            seat.send({"kind": "stop"})
        await lines.over.wait()
        if seat.exited is not None:
            self._died(seat, await seat.exited)

    def _heard(self, seat: Seat, message: Message) -> None:
        seat.heard_s = time.monotonic()
        match message["kind"]:
            case "ready":
                seat.ready = True
                self._all_ready()
            case "stats":
                seat.stats, seat.problems = message["stats"], message["problems"]
                seat.turn = max(seat.turn, message["turn"])
            case "failed":
                kind = DoorError if message["code"] == DoorError.exit_code else DecklogError
                seat.failure = kind(message["text"])
        self._news.set()

    def _all_ready(self) -> None:
        if not self._serving and all(seat.ready for seat in self._seats):
            self._serving = True
            try:
                self._on_ready()
            except DecklogError as error:
                self._give_up(error)
            else:
                sd_notify.tell(sd_notify.READY)

    def _died(self, seat: Seat, code: int) -> None:
        why = f"it was killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with code {code}"
        failure, seat.failure = seat.failure, None
        if failure is not None:
            why = f"it cannot start: {failure}"
            failure = _of(seat.crew, failure)
        seat.vacate(why)
        self._news.set()
        if self._ending:
            self._over()
        elif not self._serving:
            self._give_up(failure or DoorError(f"{seat} did not start: {why}: see the log above"))
        else:
            self._restart_later(seat)

    def _restart_later(self, seat: Seat) -> None:
        lived_s = time.monotonic() - seat.begun_s
        seat.short_lives = 0 if lived_s >= STEADY_S else seat.short_lives + 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (seat.short_lives - 1)) if seat.short_lives else 0.0
        logger.warning("%s: %s: it is started again in %g s", seat, seat.why_down, pause_s)
        asyncio.get_running_loop().call_later(pause_s, self._due.put_nowait, seat)

    def _give_up(self, error: DecklogError) -> None:
        """End everything, because of an error that only the user can mend."""
        self._failure = self._failure or error
        self._stop()

    def _stop_all(self) -> None:
        self.tell({"kind": "stop"})
        asyncio.get_running_loop().call_later(self._stop_s, self._kill_all)
        self._over()

    def _over(self) -> None:
        if not any(seat.pid for seat in self._seats):
            self._due.put_nowait(None)

    def _reap(self) -> None:
        for seat in self._seats:
            if seat.pid and seat.exited is not None and not seat.exited.done():
                pid, status = os.waitpid(seat.pid, os.WNOHANG)
                if pid:
                    seat.exited.set_result(os.waitstatus_to_exitcode(status))

    def _kill_all(self) -> None:
        for seat in self._seats:
            if seat.pid and not (seat.exited is not None and seat.exited.done()):
                logger.warning("%s did not stop in time: it is killed", seat)
                os.kill(seat.pid, signal.SIGKILL)

    def _fork(self, seat: Seat) -> None:
        ours, theirs = socket.socketpair()
        listener = seat.crew.another()
        sys.stdout.flush()
        sys.stderr.flush()
        seat.begun_s, seat.exited, seat.why_down = time.monotonic(), None, "it is starting"
        seat.backlog = []
        seat.send = seat.backlog.append
        # No handler of the supervisor may run in the child, not even for an instant.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {*_ENDING, signal.SIGHUP, signal.SIGCHLD})
        seat.pid = os.fork()
        if not seat.pid:
            self._be_worker(seat, theirs, listener, blocked)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        if listener is not None:
            listener.close()
        seat.channel = ours

    # In the child.

    def _be_worker(self, seat: Seat, channel: socket.socket, listener: socket.socket | None, blocked: Any) -> NoReturn:
        code = DoorError.exit_code
        try:
            gc.freeze()  # what the supervisor left behind is never collected: it would close descriptors that are ours
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGHUP):  # the terminal sends them to all; the supervisor answers
                signal.signal(number, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            kept = [listener.fileno()] if listener is not None else []
            _close_all_but(0, 1, 2, channel.fileno(), *kept)
            listen.run(self._as_worker(seat, channel, listener))
            code = 0
        except DecklogError as error:
            code = error.exit_code
        except BaseException:
            logger.exception("%s failed", seat)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    async def _as_worker(self, seat: Seat, channel: socket.socket, listener: socket.socket | None) -> None:
        lines = Lines()
        worker = Worker(seat.number, len(seat.crew.seats), listener, seat.stats, lines.say)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await lines.open(channel, worker.obey, worker.stop)
        try:
            await worker.live(seat.crew.work)
        except DecklogError as error:
            lines.say({"kind": "failed", "text": str(error), "code": error.exit_code})
            raise
        finally:
            await lines.close()

    # Both.

    async def _enter_beside(self) -> None:
        if self._beside is not None:
            await self._stack.enter_async_context(self._beside(self))

    @property
    def _ending(self) -> bool:
        return self._signal is not None or self._failure is not None

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def ending(number: signal.Signals) -> None:
            if self._signal is not None:
                self._kill_all()
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
                return
            self._signal = number
            sd_notify.tell(sd_notify.STOPPING)
            self._stop()

        for number in _ENDING:
            loop.add_signal_handler(number, ending, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)

    def _hung_up(self) -> None:
        if self._on_hangup is not None:
            self._on_hangup(self)

    def _ended_by(self) -> signal.Signals:
        if self._failure is not None:
            raise self._failure
        return self._signal or signal.SIGTERM


def _of(crew: Crew, error: DecklogError) -> DecklogError:
    """Say which crew an error is of, where there are several."""
    return error if not crew.name else type(error)(f"{crew.name}: {error}")


def raise_file_limit() -> None:
    """Let this process and its children open as many files as they may: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, _FILES) if hard >= 0 else _FILES  # negative: no limit
    if 0 <= soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # some systems do not take the limit that they name
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _close_all_but(*kept: int) -> None:
    """Close every descriptor but those; whose connections they are would else stay open as long as we live."""
    for name in os.listdir(_OPEN_FILES):  # noqa: PTH208  # because: numbers are wanted, not paths
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
                os.close(int(name))


def _kill_ourselves() -> NoReturn:
    logger.warning("what was under way did not end in time: it is abandoned")
    sys.stderr.flush()
    os._exit(DoorError.exit_code)

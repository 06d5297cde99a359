"""The trial of a manifest that was written: wait until it serves, put the old one back if not, prove that it records.

| The process that waits | What is in place | How it goes on |
|---|---|---|
| finds the new API server ready | the new manifest | done |
| finds it not ready in time | the old manifest, put back by `undo` | it is waited for, and told whether it serves |
| is interrupted, or killed | what `watchdog` leaves: the old manifest | run again |
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.enable import proof
from decklog.enable.asking_server import ask, readyz
from decklog.enable.container import last_lines, newest
from decklog.enable.looking import LogArrivals, StoreArrivals
from decklog.enable.policy_of import on_host, policy_of
from decklog.enable.processes import runs
from decklog.enable.readiness import POLL_S, State, Watch
from decklog.enable.server_access import by_kubeconfig, by_manifest
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from decklog.access import Access
    from decklog.disk import Disk
    from decklog.enable.looking import Arrivals
    from decklog.enable.manifest import StaticPod
    from decklog.enable.proof import Marked
    from decklog.enable.readiness import Answer, Verdict
    from decklog.enable.server_access import ServerAccess

_LOOK_S: Final = 0.25
_ASK_AGAIN_S: Final = 3.0


class Waited(Struct, frozen=True):
    """How a wait ended."""

    ready: bool
    text: str
    sure: bool = True
    """Whether the new manifest is known to be what runs."""
    output: tuple[str, ...] = ()
    """Where it is not ready: the last lines of the container, behind a line that says whence, or why there are none."""


class Proved(Struct, frozen=True):
    """What became of the marked request."""

    found: bool
    text: str


class Trial:
    """One API server on trial. `tell` of its methods is given a line about the state now and then."""

    def __init__(
        self,
        pod: StaticPod,
        server: ServerAccess,
        root: Path,
        disk: Disk,
        before: Answer,
        clock: Callable[[], float] = time.monotonic,
        poll_s: float = POLL_S,
    ) -> None:
        self._pod = pod
        self.server = server
        self.before = before
        """What the API server answered before anything was written."""
        self.latest = before
        """What it answered last; for who is interrupted."""
        self._root = root
        self._disk = disk
        self._clock = clock
        self._poll_s = poll_s

    def wait(self, pod: StaticPod, timeout_s: float, tell: Callable[[str], None]) -> Waited:
        """Wait until the API server of this manifest serves, or `timeout_s` have passed."""
        verdict = asyncio.run(self._wait(pod, self._pod, timeout_s, tell))
        if verdict.ready:
            return Waited(ready=True, text=verdict.says, sure=verdict.sure)
        return Waited(ready=False, text=verdict.says, output=self._output(pod))

    def wait_or_undo(
        self,
        pod: StaticPod,
        old: StaticPod,
        undo: Callable[[], None],
        timeout_s: float,
        tell: Callable[[str], None],
    ) -> Waited:
        """Wait; if it does not serve, `undo` and wait for the `old` one, and say what came of that.

        Raises DecklogError if `undo` does, with what was waited for in vain.
        """
        waited = self.wait(pod, timeout_s, tell)
        if waited.ready:
            return waited
        try:
            undo()
        except DecklogError as error:
            told = (f"{waited.text}; and the old manifest could not be put back: {error}", *waited.output)
            raise DecklogError("\n".join(told)) from error
        if not self.before.serves:
            text = f"{waited.text}; the old manifest is back (its API server did not serve before, either)"
            return Waited(ready=False, text=text, output=waited.output)
        again = asyncio.run(self._wait(old, pod, timeout_s, tell))
        came = "and serves" if again.ready else f"but is not seen to serve yet ({again.says})"
        return Waited(ready=False, text=f"{waited.text}; the old manifest is back, {came}", output=waited.output)

    def prove(self, pod: StaticPod, timeout_s: float, tell: Callable[[str], None], store: Path | None = None) -> Proved:
        """Make a marked request and look for its event. Raises DecklogError where nothing can be looked at."""
        loaded = policy_of(pod, self._root)
        if loaded is None:
            return Proved(found=False, text="no policy is set (--audit-policy-file): auditing is off")
        token = proof.token()
        request = proof.marked(loaded.policy, self.server.user, token)
        if request is None:
            return Proved(
                found=False,
                text="the policy records none of the requests that could be made: it is enabled, but logs nothing of "
                "them; see what it records: decklog policy check FILE",
            )
        arrivals = self._arrivals(pod, store)
        try:
            return asyncio.run(self._prove(request, arrivals, timeout_s, tell))
        finally:
            arrivals.close()

    # Waiting.

    async def _wait(self, pod: StaticPod, other: StaticPod, timeout_s: float, tell: Callable[[str], None]) -> Verdict:
        async with self.server.open() as access:
            start = self._clock()
            watch = Watch(start, timeout_s, self.latest)
            while True:
                self.latest = await readyz(access)
                now = self._clock()
                verdict = watch.take(now, self.latest, runs(pod.values, other.values, self._root / "proc"))
                if verdict is not None:
                    return verdict
                tell(f"waiting for the API server, {now - start:.0f} s of {timeout_s:.0f}: it {self.latest.says}")
                await asyncio.sleep(self._poll_s)

    def _output(self, pod: StaticPod) -> tuple[str, ...]:
        output = last_lines(self._root, pod.namespace, pod.name, pod.container_name)
        return (output.says, *output.lines)

    # Proving.

    def _arrivals(self, pod: StaticPod, store: Path | None) -> Arrivals:
        try:
            return self._open(pod, store)
        except OSError as error:
            raise DecklogError(
                f"cannot look for the event: {error.filename or store}: {(error.strerror or '').lower()}: run as root "
                "on the node"
            ) from None

    def _open(self, pod: StaticPod, store: Path | None) -> Arrivals:
        refuse_blind(pod, store)
        if store is not None:
            return StoreArrivals(store, self._disk)
        path = pod.value("--audit-log-path")
        if path == "-":
            output = newest(self._root, pod.namespace, pod.name, pod.container_name)
            if output is None:
                raise DecklogError("the log goes to the container's output, and none is in /var/log/pods")
            return LogArrivals(output, f"the container's output {output}", framed=True)
        place = on_host(pod, path, self._root)
        if place is None:
            raise DecklogError(f"{pod.path}: no hostPath volume leads to the log {path}: it cannot be read from here")
        return LogArrivals(place, f"the log {place}")

    async def _prove(
        self, request: Marked, arrivals: Arrivals, timeout_s: float, tell: Callable[[str], None]
    ) -> Proved:
        start = self._clock()
        answer, asked_s = "", 0.0
        async with self.server.open() as access:
            while True:
                took = self._clock() - start
                if not answer or took - asked_s >= _ASK_AGAIN_S:
                    # Again: the first may have met the old API server, or none at all.
                    answer, asked_s = await _asked(access, request), took
                try:
                    found = proof.find(request, arrivals.new_lines())
                except OSError as error:
                    return Proved(found=False, text=f"{arrivals.says} cannot be read: {error.strerror}")
                took = self._clock() - start
                if found is not None:
                    return Proved(found=True, text=_told(request, answer, found[0], arrivals.says, took))
                if took >= timeout_s:
                    return Proved(found=False, text=_missing(request, answer, arrivals.says, timeout_s))
                tell(f"looking for the event of {request} in {arrivals.says}, {took:.0f} s of {timeout_s:.0f}")
                await asyncio.sleep(_LOOK_S)


def refuse_blind(pod: StaticPod, store: Path | None) -> None:
    """Refuse a proof that has nowhere to look, which is known before anything is written. Raises DecklogError."""
    if store is not None and not store.is_dir():
        raise DecklogError(f"the store {store} is not there: give the directory of the receiver's store")
    if store is None and not pod.value("--audit-log-path"):
        raise DecklogError("events go to a webhook only: give --store DIR of the receiver that takes them")


def begin(
    pod: StaticPod,
    *,
    root: Path,
    disk: Disk,
    environ: Mapping[str, str],
    kubeconfig: str = "",
    context: str = "",
    poll_s: float = POLL_S,
) -> Trial:
    """Find the API server and ask it once, before anything is written.

    Raises DecklogError where it could not be told afterwards whether it serves: no CA, an untrusted certificate.
    """
    server = by_kubeconfig(kubeconfig, context, environ) if kubeconfig else by_manifest(pod, root, environ)
    before = asyncio.run(_once(server))
    if before.state is State.UNTRUSTED:
        raise DecklogError(f"{server.says}: it {before.says}: give --kubeconfig FILE with the right CA and address")
    return Trial(pod, server, root, disk, before, poll_s=poll_s)


async def _once(server: ServerAccess) -> Answer:
    async with server.open() as access:
        return await readyz(access)


async def _asked(access: Access, request: Marked) -> str:
    """Make the request; give what came of it, for a sentence."""
    try:
        reply = await ask(access, request.method, request.target, request.headers)
    except TimeoutError:
        return "no answer in time"
    except OSError as error:
        return f"no answer: {error.strerror or error}"[:200]
    return f"answer {reply.status}" if reply.status else "no answer that is HTTP"


def _told(request: Marked, answer: str, event: object, place: str, took_s: float) -> str:
    level = f" at {request.level}" if request.level is not None else ""
    who = getattr(getattr(event, "user", None), "username", "")
    by = f" by {who}" if who else ""
    return f"proved: {request}{by} ({answer}) is recorded{level} in {place}, after {took_s:.1f} s"


def _missing(request: Marked, answer: str, place: str, timeout_s: float) -> str:
    return (
        f"not proved: after {timeout_s:.0f} s the event of {request} ({answer}) is not in {place}: is it "
        "this API server's, and does a webhook batch wait longer (--audit-webhook-batch-max-wait)? Give --timeout more"
    )

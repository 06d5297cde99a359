"""Readiness: from what an API server answers, moment by moment, to whether its new manifest serves. Pure.

kubelet needs a while to notice a changed manifest, and until then the *old* API server answers: its 200 proves nothing.
The new one counts as running when a process with its flags is seen (`processes`), or when the old one was seen to go.
Where neither can be seen, an API server that went on answering for a while is taken for the new one, and that is said.
It then has to stay ready for `steady_s`: one that comes up and dies is not ready.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

POLL_S: Final = 0.5
SETTLE_LIMIT_S: Final = 30.0
"""kubelet looks at its manifests every 20 seconds at the latest."""
STEADY_LIMIT_S: Final = 5.0


class State(StrEnum):
    """What one question to /readyz found."""

    READY = "ready"
    NOT_READY = "not ready"
    STRANGER = "serving strangers nothing"
    """401 or 403: it serves, and does not say to us whether it is ready."""
    DOWN = "down"
    UNTRUSTED = "untrusted"
    """Its certificate is not the one that we were told to trust: whatever it is, nothing is said to it."""


class Answer(Struct, frozen=True):
    """One answer of an API server, or none."""

    state: State
    says: str
    """For a sentence: ``answers 500 to /readyz``, ``refuses connections``."""

    @property
    def serves(self) -> bool:
        """Whether it serves, as far as it tells us."""
        return self.state in {State.READY, State.STRANGER}


class Verdict(Struct, frozen=True):
    """How the wait ended."""

    ready: bool
    says: str
    sure: bool = True
    """Whether it is known that the new manifest is what runs."""


class Watch:
    """Takes answers with their times (seconds of any clock) and says when the wait is over."""

    def __init__(self, start_s: float, timeout_s: float, before: Answer | None = None) -> None:
        self._start_s = start_s
        self._timeout_s = timeout_s
        self._settle_s = min(SETTLE_LIMIT_S, timeout_s / 2)
        self._steady_s = min(STEADY_LIMIT_S, timeout_s / 4)
        self._gone = before is not None and not before.serves
        self._rose = False
        self._serves_since_s: float | None = None

    def take(
        self, now_s: float, answer: Answer, running: bool | None
    ) -> Verdict | None:  # because: None, too, says something
        """Take an answer; `running`: whether a process with the new flags runs, None where nobody can see.

        None: the wait goes on.
        """
        if answer.serves:
            self._serves_since_s = now_s if self._serves_since_s is None else self._serves_since_s
        else:
            self._rose = self._rose or (self._serves_since_s is not None and self._gone)
            self._serves_since_s, self._gone = None, True
        served_s = 0.0 if self._serves_since_s is None else now_s - self._serves_since_s
        if answer.serves and (running or (running is None and self._gone)) and served_s >= self._steady(answer):
            return Verdict(ready=True, says=_serving(answer))
        if answer.serves and running is None and not self._gone and served_s >= self._settle_s:
            return Verdict(ready=True, says=f"{_serving(answer)}, and was never seen to restart", sure=False)
        if now_s - self._start_s >= self._timeout_s:
            return Verdict(ready=False, says=self._too_late(answer, running))
        return None

    def _steady(self, answer: Answer) -> float:
        # Who is told nothing has to wait longer: a server that is still starting answers strangers, too.
        return self._steady_s if answer.state is State.READY else max(self._steady_s, self._timeout_s / 3)

    def _too_late(self, answer: Answer, running: bool | None) -> str:  # because: the same
        if answer.serves and running is False:
            return (
                "the API server still runs with its old flags: kubelet has not taken the manifest; is it in the "
                "directory of kubelet's staticPodPath?"
            )
        again = "it became ready and went down again; " if self._rose else ""
        return f"not ready after {self._timeout_s:.0f} s: {again}the API server {answer.says}"


def _serving(answer: Answer) -> str:
    if answer.state is State.READY:
        return "the API server is ready"
    return f"the API server serves ({answer.says}, so that it does not say whether it is ready)"

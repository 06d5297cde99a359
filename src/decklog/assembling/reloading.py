"""Reloading: the policy in force, the one that may take its place, and the event that says what came of it.

The file is read once, by the supervisor; workers are handed its bytes, so that all decide alike, whatever becomes of
the file meanwhile. Every try is an event of our own in the log, at Metadata, whatever the policy says of requests:

| field | a policy that was taken | one that was refused |
|---|---|---|
| stage, verb, requestURI, user | ResponseComplete, `reload`, `/decklog/policy`, `system:decklog` | the same |
| responseStatus | 200 | 422, with file, line and reason as the message |
| `decklog/policy-sha256` | of the file that is in force now | of the one that stays in force |
| `decklog/refused-policy-sha256` | none | of the file, if it could be read |
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from decklog import __version__
from decklog.audit.event import Event, Level, Stage, Status, User
from decklog.audit.times import microtime
from decklog.policy import reader
from decklog.policy.findings import PolicyError

if TYPE_CHECKING:
    from decklog.policy.findings import Finding
    from decklog.policy.options import PolicyOptions
    from decklog.policy.rules import Policy

SHA256: Final = "decklog/policy-sha256"
"""Annotation: the policy that is in force after the event."""
REFUSED_SHA256: Final = "decklog/refused-policy-sha256"
"""Annotation: the file that was refused."""
URI: Final = "/decklog/policy"
OURSELVES: Final = User("system:decklog")
_SHOWN: Final = 4096
"""Characters of a problem that stand in an event."""


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy with the bytes that it was read from."""

    policy: Policy
    text: bytes = field(repr=False)
    warnings: tuple[Finding, ...] = ()

    @property
    def sha256(self) -> str:
        """Give the SHA-256 of the file, in hex."""
        return hashlib.sha256(self.text).hexdigest()


class RefusedError(Exception):
    """A policy that cannot take the place of the one in force: why, and the SHA-256 of its file (empty: unreadable)."""

    def __init__(self, problem: str, sha256: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.sha256 = sha256


def understood(text: bytes, options: PolicyOptions) -> InForce:
    """Read a policy from the bytes of its file. Raises PolicyError."""
    loaded = reader.parse(text, source=options.file, lenient=options.lenient, kubernetes=options.kubernetes)
    return InForce(loaded.policy, text, loaded.warnings)


def read_again(options: PolicyOptions) -> InForce:
    """Read the file anew. Raises RefusedError."""
    try:
        text = reader.read(options.file)
    except PolicyError as error:
        raise RefusedError(str(error), "") from None
    try:
        return understood(text, options)
    except PolicyError as error:
        raise RefusedError(str(error), hashlib.sha256(text).hexdigest()) from None


def reload_event(audit_id: str, now_ns: int, in_force: str, refused: RefusedError | None = None) -> Event:
    """Make the event of one try; `in_force` is the SHA-256 of the policy after it."""
    now = microtime(now_ns)
    status = Status(code=200)
    annotations = {SHA256: in_force}
    if refused is not None:
        status = Status(status="Failure", message=refused.problem[:_SHOWN], reason="Invalid", code=422)
        if refused.sha256:
            annotations[REFUSED_SHA256] = refused.sha256
    return Event(
        level=Level.METADATA,
        audit_id=audit_id,
        stage=Stage.RESPONSE_COMPLETE,
        request_uri=URI,
        verb="reload",
        user=OURSELVES,
        user_agent=f"decklog/{__version__}",
        response_status=status,
        request_received_timestamp=now,
        stage_timestamp=now,
        annotations=annotations,
    )

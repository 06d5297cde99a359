"""Proof: a request of our own that the policy records, marked so that its event cannot be taken for another.

The request changes nothing: it reads an object that does not exist, or deletes one that does not exist, as a dry run.
Which of them is made is asked of the policy: a policy that records no reads is proved by a (dry) write. The mark stands
in the object's name, in the user agent and in the audit ID, and is found by its bytes.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.attributes import resolve
from decklog.audit.event import Level, Stage
from decklog.audit.wire import WireError, decode_event
from decklog.policy.matching import first_match

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.audit.event import Event, User
    from decklog.policy.rules import Policy

AGENT: Final = "decklog-prove"
_CANDIDATES: Final = (
    ("GET", "/api/v1/namespaces/default/configmaps/{mark}"),
    ("GET", "/api/v1/namespaces/default/secrets/{mark}"),
    ("GET", "/api/v1/namespaces/default/pods/{mark}"),
    ("GET", "/apis/apps/v1/namespaces/default/deployments/{mark}"),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/{mark}"),
    ("DELETE", "/api/v1/namespaces/default/configmaps/{mark}?dryRun=All"),
    ("DELETE", "/api/v1/namespaces/default/pods/{mark}?dryRun=All"),
    ("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterroles/{mark}?dryRun=All"),
    ("GET", "/version?mark={mark}"),
    ("GET", "/livez?mark={mark}"),
)
_ENDS: Final = (Stage.RESPONSE_COMPLETE, Stage.REQUEST_RECEIVED, Stage.RESPONSE_STARTED)


class Marked(Struct, frozen=True):
    """A request that can be told from all others."""

    method: str
    target: str
    mark: str
    level: Level | None
    """At which the policy records it; None: the policy could not be asked."""

    @property
    def headers(self) -> dict[str, str]:
        """Give the headers that bear the mark."""
        return {"User-Agent": f"{AGENT}/{self.mark}", "Audit-ID": self.mark}

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


def token() -> str:
    """Give letters and digits that nobody has used before."""
    return secrets.token_hex(8)


def marked(policy: Policy | None, user: User | None, unused: str) -> Marked | None:
    """Choose a request by `user` (None: nobody is authenticated) that the policy records; None: it records none.

    `unused`: see `token`.
    """
    mark = f"{AGENT}-{unused}"
    for method, path in _CANDIDATES:
        target = path.format(mark=mark)
        if policy is None:
            return Marked(method, target, mark, None)
        decision = first_match(policy, resolve(method, target), user)
        stages = _ENDS[:2] if user is not None else _ENDS[2:]
        if decision.level is not Level.NONE and not decision.omit_stages.issuperset(stages):
            return Marked(method, target, mark, Level(decision.level))
    return None


def find(request: Marked, lines: Iterable[bytes]) -> tuple[Event | None, bytes] | None:
    """Find the request's event among lines; None: it is not there.

    The event is None in the line of another format (legacy, or an envelope).
    """
    needle = request.mark.encode()
    for line in lines:
        if needle in line:
            try:
                return decode_event(line), line
            except WireError:
                return None, line
    return None

"""Deciding on recorded events: what a policy would have said at the start of the request, asked once a kind of request.

The kinds are kept, so that a log of millions of events costs a look-up each. They are what senders choose, so the
memory that they may take is bounded as in `evaluator`: when it is full, all are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.policy.evaluator import KEPT_KEY_LENGTH, Evaluator
from decklog.policy.recorded import attributes_of, place_of, user_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.audit.decision import Decision
    from decklog.policy.recorded import Recorded
    from decklog.policy.rules import Policy

    Decide = Callable[[Recorded], Decision]
    Kind = tuple[str | tuple[str, ...], ...]

KEPT_KINDS: Final = 8192


class Kinds:
    """What was decided of each kind of request, in bounded memory."""

    __slots__ = ("_known", "get")

    def __init__(self) -> None:
        self._known: dict[Kind, Decision] = {}
        self.get = self._known.get

    def keep(self, kind: Kind, decision: Decision) -> Decision:
        """Remember a decision, unless its kind is too long; gives the decision."""
        if sum(map(_length, kind)) <= KEPT_KEY_LENGTH:
            if len(self._known) >= KEPT_KINDS:
                self._known.clear()
            self._known[kind] = decision
        return decision


def _length(part: str | tuple[str, ...]) -> int:
    return len(part) if isinstance(part, str) else sum(map(len, part))


def decide_by(policy: Policy) -> Decide:
    """Give the function that decides on a recorded event as kube-apiserver with this policy would have."""
    return _Remembering(policy).decide


class _Remembering:
    """Asks the evaluator once for each kind of request that the policy can tell apart."""

    __slots__ = ("_asks_names", "_asks_namespaces", "_evaluator", "_keep", "_known")

    def __init__(self, policy: Policy) -> None:
        self._evaluator = Evaluator(policy)
        self._asks_namespaces = any(rule.namespaces for rule in policy.rules)
        self._asks_names = any(entry.resource_names for rule in policy.rules for entry in rule.resources)
        kinds = Kinds()
        self._known, self._keep = kinds.get, kinds.keep

    def decide(self, event: Recorded) -> Decision:
        """Decide on one recorded event."""
        ref, user = event.object_ref, event.user
        kind: Kind
        if ref is None:
            kind = (event.verb, event.request_uri, user.username, user.groups)
        else:
            namespace = name = ""
            if self._asks_namespaces or self._asks_names:
                namespace, name = place_of(event, ref)
            kind = (
                event.verb,
                ref.api_group,
                ref.resource,
                ref.subresource,
                namespace if self._asks_namespaces else "",
                name if self._asks_names else "",
                user.username,
                user.groups,
            )
        return self._known(kind) or self._keep(kind, self._evaluator.decide(attributes_of(event), user_of(event)))

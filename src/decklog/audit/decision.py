"""Decision: what a policy says of one request."""

from __future__ import annotations

from msgspec import Struct

from decklog.audit.event import Level  # noqa: TC001  # because: msgspec reads the annotations


class Decision(Struct, frozen=True):
    """The answer of a policy to one request's attributes (spec §3). Shared between requests: frozen."""

    level: Level
    omit_stages: frozenset[str]
    omit_managed_fields: bool
    rule: int | None = None
    """Index of the rule that matched, from 0; None: no rule did, the level is None."""

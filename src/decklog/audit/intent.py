"""Intent: what a strict door keeps of a request before it lets it through, where the policy omits RequestReceived."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from decklog.audit.event import User  # noqa: TC001  # because: msgspec reads the annotations


class Intent(Struct, frozen=True, rename={"audit_id": "auditID", "request_uri": "requestURI"}):
    """Who is about to do what: enough to ask what became of it. Never written to the audit log itself."""

    audit_id: str
    verb: str
    request_uri: str
    user: User
    time: str
    """When the request was received, as MicroTime; with the audit ID it names the request, as clients reuse IDs."""


class Intents(Protocol):
    """Where intents are kept until their requests are complete."""

    def open(self, intent: Intent) -> None:
        """Keep it, on disk, before the request goes on. Raises DeliveryError: then the request must not."""
        ...

    def close(self, intent: Intent) -> None:
        """Forget it: the request's last event was stored."""
        ...

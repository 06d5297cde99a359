"""Notes: what an application may add to the record of the request that it is serving.

A door that audits puts the request's Notes where the application finds it (ASGI: ``scope["decklog"]``); an application
that knows nothing of it is audited all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from decklog.audit.event import User


class Notes(Protocol):
    """The application's side of one request's recording."""

    def annotate(self, key: str, value: str) -> None:
        """Add an annotation; the first write of a key wins (spec §5.8)."""
        ...

    def impersonated(self, user: User, constraint: str = "") -> None:
        """Tell that the request goes on as `user`; shown from the next stage on (spec §5.7)."""
        ...

"""The certificates of a door's listener, as the door's supervisor holds them: read, warned of, and read again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from decklog.errors import DecklogError
from decklog.listener_tls import Expiry

if TYPE_CHECKING:
    from decklog.listener_tls import Files, Material

CLIENT_CA: Final = "client-ca"
FRONT_PROXY_CA: Final = "requestheader-client-ca"

logger = logging.getLogger(__name__)


class Certificates:
    """What `files` hold now. Raises DecklogError when they cannot be used at the start; later the old ones stay."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.material: Material | None = files.read()
        self.ends = self._ends()
        self._expiry = Expiry()

    @property
    def pem(self) -> bytes:
        """The listener's certificate, for those who are to trust it; empty without TLS."""
        return self.material.pair.certificate_pem if self.material is not None else b""

    def warn(self, now_s: float) -> None:
        """Warn of what runs out soon, each once."""
        if self.files.enabled:
            for warning in self._expiry.warnings(self.ends, now_s):
                logger.warning("%s", warning)

    def follow(self) -> bool:
        """Read the files again if they have changed; whether others are in force now."""
        if not self.files.changed():
            return False
        try:
            self.material = self.files.read()
        except DecklogError as error:
            logger.warning("the certificates stay as they were: %s", error)
            return False
        self.ends = self._ends()
        return True

    def _ends(self) -> dict[str, float]:
        return self.material.ends() if self.material is not None else {}

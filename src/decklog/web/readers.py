"""Readers: the names of those who may look, by bearer token and by client certificate.

A token file has a reader a line, as kube-apiserver's static token file: ``TOKEN,NAME``, of which further fields count
for nothing; a line that is a token alone stands for ``reader-1`` and so on, by its number. A line that begins with
``#`` is a remark, and no token that anybody could guess.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from decklog import certificates
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable

_LIMIT: Final = 64 * 1024
SHORTEST: Final = 16
"""Characters of a token: what is shorter can be guessed."""

logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class Readers:
    """Who may look."""

    def __init__(self, token_file: str = "", *, clock: Callable[[], datetime] = _now) -> None:
        """Read the file; raises DecklogError."""
        self._path = token_file
        self._clock = clock
        self._seen = 0.0
        self._tokens: dict[bytes, str] = {}
        if token_file:
            self._read()

    def of_token(self, token: str) -> str | None:
        """Tell whose token it is; takes as long for every token."""
        self._follow()
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        name = None
        for known, owner in self._tokens.items():
            if hmac.compare_digest(known, digest):
                name = owner
        return name

    def has(self, name: str) -> bool:
        """Tell whether a token of this name is there."""
        self._follow()
        return name in self._tokens.values()

    def of_certificate(self, pem: str | None) -> str | None:
        """Tell who shows a certificate that TLS has verified: its CN, while it lasts."""
        if not pem:
            return None
        try:
            parsed = x509.load_pem_x509_certificate(pem.encode())
            if parsed.not_valid_after_utc < self._clock():
                return None
            return certificates.identity(pem).common_name or None
        except (ValueError, DecklogError):
            return None

    def _follow(self) -> None:
        if not self._path:
            return
        try:
            if Path(self._path).stat().st_mtime != self._seen:
                self._read()
        except (OSError, DecklogError) as error:
            logger.warning("the old tokens stay in force: %s", error)

    def _read(self) -> None:
        path = Path(self._path)
        try:
            seen = path.stat().st_mtime
            with path.open("rb") as file:
                data = file.read(_LIMIT + 1)
        except OSError as error:
            raise DecklogError(
                f"--token-file {path}: {error.strerror}: give a file with TOKEN,NAME on each line"
            ) from None
        found: dict[bytes, str] = {}
        for place, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            try:
                token, name = _fields(line)
            except DecklogError as error:
                raise DecklogError(f"--token-file {path}: line {place}: {error}") from None
            digest = hashlib.sha256(token.encode()).digest()
            if digest in found:
                raise DecklogError(f"--token-file {path}: line {place}: this token is there twice: whose is it?")
            found[digest] = name or f"reader-{len(found) + 1}"
        if not found or len(data) > _LIMIT:
            raise DecklogError(f"--token-file {path}: give a file with at least one token, and 64 KiB at most")
        self._seen, self._tokens = seen, found


def _fields(line: str) -> tuple[str, str]:
    """Read a line: token and name. Each stands alone, so that no quotation mark swallows those after it."""
    try:
        fields = [field.strip() for field in next(csv.reader([line], strict=True))]
    except csv.Error:
        raise DecklogError("its quotation marks do not match: write TOKEN,NAME") from None
    if len(fields[0]) < SHORTEST:
        raise DecklogError(f"the token is too short: take {SHORTEST} characters or more")
    return fields[0], fields[1] if len(fields) > 1 else ""

"""Tee: what a door keeps of a body while it relays it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decklog.recorder.status_probe import StatusProbe


class Tee:
    """The first `limit` bytes of what flows past, and how many there were.

    With a `probe`, the body is kept only as long as the probe does not say that it is none to keep.
    """

    __slots__ = ("_chunks", "_probe", "_room", "kept", "length", "limit")

    def __init__(self, limit: int, probe: StatusProbe | None = None) -> None:
        self.limit = limit
        self.length = 0
        """Bytes that have flowed past."""
        self.kept = limit > 0
        """False: nothing is kept, or no longer."""
        self._room = limit
        self._chunks: list[bytes] = []
        self._probe = probe

    def feed(self, chunk: bytes | bytearray) -> None:
        """Take note of the next chunk."""
        self.length += len(chunk)
        if self._room <= 0 or not chunk:
            return
        if self._probe is not None:
            verdict = self._probe.feed(chunk)
            if verdict is not None:
                self._probe = None
            if verdict is False:
                self._chunks.clear()
                self._room = 0
                self.kept = False
                return
        self._chunks.append(bytes(chunk[: self._room]))
        self._room -= min(len(chunk), self._room)

    def body(self) -> bytes:
        """Give what is kept: the whole body, or as much of it as `limit` allows."""
        return b"".join(self._chunks)

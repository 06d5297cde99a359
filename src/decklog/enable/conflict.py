"""Conflict: what keeps a file from being edited, with its place and what to do; the command line prints it."""

from __future__ import annotations

from decklog.errors import DecklogError


class Conflict(DecklogError):  # noqa: N818  # because: it names what it is, as `Unreadable` does
    """The file says something that an edit must not guess at: ``FILE:LINE: what is wrong: what to do``.

    `line` counts from 1; 0: no line of the file is to blame.
    """

    def __init__(self, source: str, line: int, what: str, do: str) -> None:
        super().__init__(f"{source}:{line}: {what}: {do}" if line else f"{source}: {what}: {do}")
        self.source = source
        self.line = line
        self.what = what
        self.do = do

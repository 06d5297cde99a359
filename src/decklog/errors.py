"""The errors that somebody catches. Lives in the cellar: knows nothing of audit.

An error says what is wrong and what to do next; the helm prints it as ``decklog: what is wrong: what to do``.
"""

from __future__ import annotations


class DecklogError(Exception):
    """What the user can mend: caught by the helm, printed in one line, ends with `exit_code`."""

    exit_code = 2


class DoorError(DecklogError):
    """A door cannot bind its address, or died while serving."""

    exit_code = 3

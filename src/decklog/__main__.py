"""``python -m decklog`` is ``decklog``."""

from __future__ import annotations

from decklog.cli import main

if __name__ == "__main__":
    main()

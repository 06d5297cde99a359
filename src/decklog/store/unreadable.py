"""What is said of a segment that DuckDB cannot read: it is damaged, or was written with other columns than ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from pathlib import Path

_SHOWN: Final = 300
"""Characters of DuckDB's message."""


def words(error: Exception) -> str:
    """Shorten what DuckDB says to its first paragraph, on one line."""
    return " ".join(str(error).split("\n\n")[0].split())[:_SHOWN]


def of_store(store: Path, error: Exception) -> DecklogError:
    """Make the error to raise for a segment of a store that could not be read."""
    said = words(error)
    if _other_columns(error, said):
        return DecklogError(
            f"a segment of {store} has other columns than this decklog gives it ({said}): "
            "it was written by an older one: ask it with that"
        )
    return DecklogError(f"a segment of {store} cannot be read ({said}): decklog store check names the damage")


def _other_columns(error: Exception, said: str) -> bool:
    # By name: DuckDB takes 30 ms to import, and who reports an error of it has it already.
    return type(error).__name__ == "BinderException" or "schema mismatch" in said

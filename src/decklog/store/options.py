"""What can be told to those who look after a store."""

from __future__ import annotations

from dataclasses import dataclass

from decklog.errors import DecklogError
from decklog.options import Seconds, option


@dataclass(frozen=True, slots=True)
class UpkeepOptions:
    """What `decklog serve` does for the stores that its doors write to."""

    every_s: float = option(
        "--upkeep-every",
        Seconds(600),
        "How often journals that are finished are sealed, and days that are over compacted; 0s: never, another process "
        "does it.",
    )
    retention_file: str = option(
        "--retention-file",
        "",
        "Delete what is older than the age that this file gives it, at each upkeep: the file of `decklog store retain "
        "--policy`. Unset: nothing is deleted by age.",
        metavar="FILE",
    )
    retention_max_bytes: int = option(
        "--retention-max-bytes",
        0,
        "Let the oldest go at each upkeep until a store's segments have so many bytes at most; 0: no limit.",
        metavar="BYTES",
    )

    def check(self) -> None:
        """Raise DecklogError for values that cannot be."""
        if self.every_s < 0 or self.retention_max_bytes < 0:
            raise DecklogError("--upkeep-every and --retention-max-bytes cannot be negative: give 0 for none")
        if not self.every_s and (self.retention_file or self.retention_max_bytes):
            raise DecklogError("--upkeep-every 0s deletes nothing: leave it out, or the retention")

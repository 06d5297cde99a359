"""Tally: how many rows of one file held, which did not, which are excused and why."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """The count of one file; `total` leaves out nothing but the excused rows."""

    name: str
    held: int = 0
    fell: list[tuple[str, str]] = field(default_factory=list)
    """(row, why) of each row that did not hold."""
    excuses: list[tuple[str, str]] = field(default_factory=list)
    """(row, why) of each row that cannot be judged by this product, and why."""
    unit: str = ""
    note: str = ""

    def passed(self) -> None:
        """Count a row that held."""
        self.held += 1

    def failed(self, row: str, why: str) -> None:
        """Count a row that did not hold."""
        self.fell.append((row, why))

    def excused(self, row: str, why: str) -> None:
        """Note a row that cannot hold, with the reason; it counts neither way."""
        self.excuses.append((row, why))

    def judged(self, row: str, faults: list[str], reasons: list[str]) -> None:
        """Count a row by what differs: without any reason, on purpose, or not at all."""
        if faults:
            self.failed(row, "; ".join(faults))
        elif reasons:
            self.excused(row, "; ".join(reasons))
        else:
            self.passed()

    @property
    def total(self) -> int:
        """Rows that had to hold."""
        return self.held + len(self.fell)

    def __str__(self) -> str:
        text = f"{self.name} {self.held}/{self.total}"
        if self.excuses:
            text += f", excepted {len(self.excuses)}"
        return text + (f" {self.unit}" if self.unit else "") + (f" ({self.note})" if self.note else "")

"""Configuration: composes the option dataclasses of every floor below into what a door is started with."""

from __future__ import annotations

from dataclasses import dataclass, field

from decklog.backends.log import LogOptions
from decklog.errors import DecklogError
from decklog.policy.options import PolicyOptions
from decklog.recorder.options import RecorderOptions


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """All that auditing is told: what to record, how, and where it goes."""

    policy: PolicyOptions = field(default_factory=PolicyOptions)
    recorder: RecorderOptions = field(default_factory=RecorderOptions)
    log: LogOptions = field(default_factory=LogOptions)

    def check(self) -> None:
        """Raise DecklogError with every option that cannot be."""
        problems = self.log.problems()
        if problems:
            raise DecklogError("; ".join(problems))

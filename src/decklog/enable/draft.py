"""The draft of an edit: what is to change in a manifest, by values; `edit` makes text of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decklog.enable.manifest import FlagAt


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is put in or changed."""

    kind: str
    """flag, mount or volume."""
    what: str
    """In words: ``--audit-log-maxage: 10 becomes 30``."""
    line: int
    """Of the file as it was; 0: it is new."""


@dataclass
class Draft:
    """What is to change, by values."""

    changes: list[Change] = field(default_factory=list)
    flags_set: list[tuple[FlagAt, str]] = field(default_factory=list)
    """The whole text of the item."""
    flags_added: list[str] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    volumes: list[dict[str, Any]] = field(default_factory=list)

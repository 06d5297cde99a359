"""Objects on the command line: ``TYPE/NAME`` between the names of files.

A word is an object if it has a slash and no file bears that name. Not an object, but a file that is missing, is a word
that begins as a path does (``/ ./ ../ ~``), or ends as a log does behind a TYPE that Kubernetes does not have
(``logs/audit.log``). A glob that finds files is files.
"""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from decklog.ask.names import is_known, resource_patterns, split_object
from decklog.audit.query import Pattern
from decklog.sources.families import PACKED, unpacked_name
from decklog.sources.places import LOG_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.audit.query import Query, ResourcePattern

_PATH_STARTS: Final = ("/", "./", "../", "~", "-")


class Thing(Struct, frozen=True):
    """An object, or all of a type."""

    resources: tuple[ResourcePattern, ...]
    names: tuple[Pattern, ...]

    def within(self, query: Query) -> Query:
        """Narrow a filter down to this object."""
        return replace(query, resources=self.resources, names=self.names)


def told_apart(words: Iterable[str]) -> tuple[tuple[str, ...], tuple[Thing, ...]]:
    """Part words into files and objects; DecklogError for an object that is written wrongly."""
    files: list[str] = []
    things: list[Thing] = []
    for word in words:
        if _is_object(word):
            kind, names = split_object((word,))
            things.append(Thing(resource_patterns(kind), tuple(map(Pattern.parse, names))))
        else:
            files.append(word)
    return tuple(files), tuple(things)


def _is_object(word: str) -> bool:
    if "/" not in word or word.startswith(_PATH_STARTS) or os.path.lexists(word):
        return False
    kind = word.partition("/")[0]
    looks_like_log = unpacked_name(word).endswith(LOG_NAMES) or word.endswith(PACKED)
    return (is_known(kind) or not looks_like_log) and not (glob.has_magic(word) and glob.glob(word))  # noqa: PTH207  # because: the same globbing as `sources.places`

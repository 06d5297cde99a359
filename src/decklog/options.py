"""An option's name, default, unit and help stand once, here-style; CLI, config file and docs come from there.

Lives in the cellar. A room that can be tuned has a frozen dataclass beside what it tunes, its fields made by `option`;
`decklog.config` composes them, the helm turns them into flags, `docs/generate.py` into the reference page.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY = "decklog.option"


class Seconds(float):
    """A duration in seconds; as a flag it takes Go's spelling (``30s``, ``1m30s``), as kube-apiserver's do."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One option as users meet it."""

    name: str
    """With its dashes: ``--audit-log-maxsize``."""
    field: str
    """The dataclass field that it fills."""
    type: type[Any]
    """str, int, float, bool, or Seconds: a Go duration."""
    default: Any
    help: str
    """One sentence, with the unit."""
    choices: tuple[str, ...] = ()
    metavar: str = ""


def option(
    name: str,
    default: Any,
    help: str,  # noqa: A002  # because: the word of click and argparse, at every call
    *,
    type: type[Any] | None = None,  # noqa: A002  # because: the same
    choices: tuple[str, ...] = (),
    metavar: str = "",
) -> Any:
    """Make a dataclass field that is also a flag; `type` only where the default (None) does not tell it."""
    kind = type if type is not None else default.__class__
    flag = Flag(name, "", kind, default, help, choices, metavar)
    return dataclasses.field(default=default, metadata={_KEY: flag})


def flags(options: type[Any]) -> Iterator[Flag]:
    """Yield the flags of an options dataclass, in the order of its fields."""
    for field in dataclasses.fields(options):
        flag = field.metadata.get(_KEY)
        if flag is not None:
            yield dataclasses.replace(flag, field=field.name)

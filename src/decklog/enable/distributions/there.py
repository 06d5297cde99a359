"""What a distribution's file says already: the audit flags, which stay unless others are asked for, and the mounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from decklog.enable.manifest import is_within, plain
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from decklog.enable.distributions.tables import Place

_PREFIX: Final = "audit-"


@dataclass(frozen=True, slots=True)
class There:
    """What is there."""

    flags: Mapping[str, str] = field(default_factory=dict)
    """The audit flags, with their dashes."""
    mounts: Sequence[Mapping[str, Any]] = ()

    def lacking(self, wanted: Sequence[dict[str, str]]) -> tuple[dict[str, str], ...]:
        """Leave out what is mounted already, and give the rest names that nobody has.

        One path mounted twice is no pod, and a mount's name that is taken belongs to somebody. Raises DecklogError for
        a log whose directory is mounted read-only.
        """
        names = {str(mount.get("name")) for mount in self.mounts}
        lacking = []
        for each in wanted:
            around = [
                mount for mount in self.mounts if is_within(each["mountPath"], plain(str(mount.get("mountPath"))))
            ]
            if not around:
                lacking.append({**each, "name": _free(each["name"], names)})
                continue
            inmost = max(around, key=lambda mount: len(plain(str(mount.get("mountPath")))))
            if each["readOnly"] == "false" and str(inmost.get("readOnly")).lower() == "true":
                raise DecklogError(
                    f"{each['mountPath']} is mounted read-only ({inmost.get('name')}), and the log is to be written "
                    "there: choose another --audit-log-path, or take readOnly away"
                )
        return tuple(lacking)


def _free(name: str, names: set[str]) -> str:
    return next(each for each in (name, *(f"{name}-{n}" for n in range(2, len(names) + 3))) if each not in names)


def is_object(document: Any) -> bool:
    """Whether a document is an object of some API."""
    return isinstance(document, dict) and {"apiVersion", "kind"} <= document.keys()


def kind_of(documents: Sequence[Any]) -> str:
    """Give the first document's kind, if all are objects of some API; empty: one is none."""
    said = [each for each in documents if each is not None]
    return str(said[0]["kind"]) if said and all(is_object(each) for each in said) else ""


def document_of(documents: Sequence[Any], kind: str) -> Mapping[str, Any]:
    """Find a table's document: of its kind, or without one the one that is no object; empty: there is none."""
    mappings = [each for each in documents if isinstance(each, dict)]
    return next((each for each in mappings if (each.get("kind") == kind if kind else not is_object(each))), {})


def found_in(documents: Sequence[Any], place: Place, kind: str, policy_key: str) -> There:
    """Read what stands at a table's places; of several flags of one name the last counts."""
    document = document_of(documents, kind)
    flags = dict(_pairs(at(document, place.flags)))
    if policy_key and isinstance(document.get(policy_key), str):
        flags["audit-policy-file"] = document[policy_key]
    mounts = at(document, place.mounts) if place.mounts else None
    return There(
        {f"--{name}": value for name, value in flags.items() if name.startswith(_PREFIX) and value},
        [each for each in mounts if isinstance(each, dict)] if isinstance(mounts, list) else (),
    )


def at(document: Any, keys: Sequence[str]) -> Any:
    """Give what stands under keys, one below the other; None: nothing does."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _pairs(listed: Any) -> list[tuple[str, str]]:
    """Read flags in any of their forms: a map, names with values, words."""
    if isinstance(listed, dict):
        return [(str(name), value) for name, value in listed.items() if isinstance(value, str)]
    pairs = []
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict):
            pairs.append((str(item.get("name")), str(item.get("value") or "")))
        else:
            name, _, value = str(item).lstrip("-").partition("=")
            pairs.append((name, value))
    return pairs

"""Reports: what ``decklog policy diff`` prints, as text or JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from decklog.ask.terminal import visible, visible_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from decklog.policy.areas import Area, Some
    from decklog.policy.compare import Comparison, Difference, Recorded
    from decklog.policy.reader import Loaded
    from decklog.policy.rules import Policy
    from decklog.policy.witness import Witness

SHOWN_RULES: Final = 8
"""The text names so many rules that come first, and counts the rest."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two policies."""

    source: str
    """As the user named it."""
    loaded: Loaded

    @property
    def policy(self) -> Policy:
        """The policy."""
        return self.loaded.policy

    def line(self, rule: int) -> int:
        """Give the line that a rule begins on."""
        return self.loaded.positions[f"rules[{rule}]"].line

    def place(self, rule: int | None) -> str:
        """Say where a rule stands."""
        if rule is None:
            return f"{visible(self.source)} (no rule matches)"
        return f"{visible(self.source)}:{self.line(rule)} (rule {rule})"


_TITLES: Final = {
    "gone": "No longer recorded",
    "less": "Recorded less",
    "more": "Recorded more",
    "none": "Decided otherwise, recorded the same",
}
_COUNTED: Final = {
    "gone": "no longer recorded",
    "less": "recorded less",
    "more": "recorded more",
    "none": "decided otherwise without effect",
}


def _write_text(found: Comparison, old: Side, new: Side, *, everything: bool) -> None:
    sys.stdout.writelines(f"{line}\n" for line in _text(found, old, new, everything=everything))


def _text(found: Comparison, old: Side, new: Side, *, everything: bool) -> Iterator[str]:
    for direction, group in groupby(found.differences, key=lambda each: each.direction):
        if direction == "none" and not everything:
            continue
        yield f"{_TITLES[direction]}:"
        for each in group:
            yield from _difference(each, old, new)
        yield ""
    for before, after in found.undecided:
        yield f"Not decided, the search was given up: {old.place(before)} → {new.place(after)}"
    yield _summary(found, everything=everything)


def _difference(each: Difference, old: Side, new: Side) -> Iterator[str]:
    yield f"  {_change(each.old, each.new)}"
    yield f"    {old.place(each.old_rule)} → {new.place(each.new_rule)}"
    yield from (f"    {visible(str(area))}" for area in each.areas)
    exceptions = [
        f"{visible(side.source)} {_rules(side, rules)}"
        for side, rules in ((old, each.old_exceptions), (new, each.new_exceptions))
        if rules
    ]
    if exceptions:
        yield f"      but for what rules before these take: {'; '.join(exceptions)}"
    yield f"    for example: {visible(_request(each.witness))}"


def _change(old: Recorded, new: Recorded) -> str:
    """Say what becomes of the record."""
    if old == new:
        return f"{_level(old)} as before"
    said = [_level(old) if old.level == new.level else f"{_level(old)} → {_level(new)}"]
    if old.stages and new.stages:
        lost = [stage for stage in old.stages if stage not in new.stages]
        won = [stage for stage in new.stages if stage not in old.stages]
        said += [f"without {' and '.join(lost)}"] * bool(lost) + [f"with {' and '.join(won)}"] * bool(won)
    if None not in {old.managed_fields, new.managed_fields} and old.managed_fields != new.managed_fields:
        said.append("with managed fields" if new.managed_fields else "without managed fields")
    return ", ".join(said)


def _level(recorded: Recorded) -> str:
    return "nothing" if recorded.level == "None" else str(recorded.level)


def _rules(side: Side, rules: tuple[int, ...]) -> str:
    lines = [str(side.line(rule)) for rule in rules]
    more = f" and {len(lines) - SHOWN_RULES} more" if len(lines) > SHOWN_RULES else ""
    return f"line{'s' * (len(lines) > 1)} {', '.join(lines[:SHOWN_RULES])}{more}"


def _request(witness: Witness) -> str:
    """Write a request as kubectl's users would."""
    attributes, user = witness.attributes, witness.user
    groups = f" in {', '.join(user.groups)}" if user and user.groups else ""
    who = f"by {user.username or '(none)'}{groups}" if user else "by nobody"
    if not attributes.resource_request:
        return f"{attributes.verb.upper() or '(another method)'} {attributes.path or '(no path)'}, {who}"
    group = f".{attributes.api_group}" if attributes.api_group else ""
    below = f"/{attributes.subresource}" if attributes.subresource else ""
    name = f" {attributes.name}" if attributes.name else ""
    place = f" -n {attributes.namespace}" if attributes.namespace else ""
    return f"{attributes.verb or '(another method)'} {attributes.resource}{group}{below}{name}{place}, {who}"


def _counts(found: Comparison) -> dict[str, int]:
    return {name: sum(1 for each in found.differences if each.direction == name) for name in _COUNTED}


def _summary(found: Comparison, *, everything: bool) -> str:
    counts = {name: number for name, number in _counts(found).items() if number}
    said = [f"{number} {_COUNTED[name]}" for name, number in counts.items()]
    if found.undecided:
        said.append(f"{len(found.undecided)} not decided")
    if not said:
        return "Both policies record the same."
    if "none" in counts and not everything:
        said[list(counts).index("none")] += " (--all shows them)"
    return f"{', '.join(said)}."


def _write_json(found: Comparison, old: Side, new: Side, *, everything: bool) -> None:
    shown = [each for each in found.differences if everything or each.old != each.new]
    answer = {
        "old": old.source,
        "new": new.source,
        "summary": {**_counts(found), "undecided": len(found.undecided)},
        "differences": [_difference_to_json(each, old, new) for each in shown],
        "undecided": [
            {"old": _rule_to_json(old, before), "new": _rule_to_json(new, after)} for before, after in found.undecided
        ],
    }
    sys.stdout.write(f"{visible_json(json.dumps(answer, ensure_ascii=False, indent=2))}\n")


def _difference_to_json(each: Difference, old: Side, new: Side) -> dict[str, Any]:
    return {
        "direction": str(each.direction),
        "old": {**_rule_to_json(old, each.old_rule), **_recorded_to_json(each.old)},
        "new": {**_rule_to_json(new, each.new_rule), **_recorded_to_json(each.new)},
        "requests": [_area_to_json(area) for area in each.areas],
        "except": {"old": list(each.old_exceptions), "new": list(each.new_exceptions)},
        "example": _witness_to_json(each.witness),
    }


def _rule_to_json(side: Side, rule: int | None) -> dict[str, Any]:
    return {"rule": rule, "line": None if rule is None else side.line(rule)}


def _recorded_to_json(recorded: Recorded) -> dict[str, Any]:
    return {
        "level": str(recorded.level),
        "stages": list(recorded.stages),
        "managedFields": recorded.managed_fields,
    }


def _area_to_json(area: Area) -> dict[str, Any]:
    return {
        "text": str(area),
        "users": _some_to_json(area.users),
        "groups": [list(each) for each in area.groups],
        "verbs": _some_to_json(area.verbs),
        "namespaces": _some_to_json(area.namespaces),
        "resources": _some_to_json(area.resources),
        "paths": _some_to_json(area.paths),
    }


def _some_to_json(some: Some | None) -> dict[str, Any] | None:
    return None if some is None else {"notIn" if some.but else "in": list(some.words)}


def _witness_to_json(witness: Witness) -> dict[str, Any]:
    attributes, user = witness.attributes, witness.user
    return {
        "resourceRequest": attributes.resource_request,
        "verb": attributes.verb,
        "path": attributes.path,
        "apiGroup": attributes.api_group,
        "resource": attributes.resource,
        "subresource": attributes.subresource,
        "namespace": attributes.namespace,
        "name": attributes.name,
        "user": None if user is None else {"username": user.username, "groups": list(user.groups)},
    }


WRITERS: Final[dict[str, Callable[..., None]]] = {"text": _write_text, "json": _write_json}

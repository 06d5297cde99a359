"""Keeping: how long each event is kept, as a file in the policy's grammar says.

A document of kind Retention has the rules of an EventFilter, with ``keep`` where that has ``level``::

    apiVersion: decklog.io/v1alpha1
    kind: Retention
    rules:
      - keep: 365d
        verbs: [create, update, patch, delete, deletecollection]
      - keep: forever
        users: ["*@example.com"]
      - keep: 7d

The first rule that matches decides. What no rule matches is kept for ever, so a file that forgets something deletes
nothing of it. An event that cannot be read is kept for ever, too.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from decklog.audit.documents.tree import Unreadable
from decklog.audit.documents.yaml_tree import read_yaml
from decklog.audit.jsontext import WireError
from decklog.policy.advice import tell
from decklog.policy.binding import bind
from decklog.policy.event_filter import VERSION, EventFilter, decide_by_filter
from decklog.policy.findings import Finding, PolicyError, Severity
from decklog.policy.json_tree import is_json, read_json
from decklog.policy.reader import read
from decklog.policy.recorded import read as read_event
from decklog.policy.releases import parse_release
from decklog.policy.rules import policy_from
from decklog.policy.schema import TEXTS, ListOf, Record, Text, policy_schema
from decklog.policy.validate import validate
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.audit.documents.tree import Document, Position
    from decklog.policy.binding import Bound
    from decklog.policy.deciding import Decide

KIND: Final = "Retention"
FOREVER: Final = "forever"
_KUBERNETES: Final = "1.37"
_AGE: Final = re.compile(r"([1-9][0-9]{0,5})([hdwy])", re.ASCII)
_SECONDS: Final = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0, "y": 365 * 86_400.0}
_CODE: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)", re.ASCII)
_NOT_HERE: Final = frozenset({"level", "omitStages", "omitManagedFields"})


@dataclass(frozen=True, slots=True)
class Keeping:
    """A retention file that can be asked."""

    digest: str
    """Of the file's bytes: what was counted by the same rules need not be counted again."""
    ages_s: tuple[float | None, ...]
    """One entry a rule; None: for ever."""
    decide: Decide
    source: str

    def keep(self, line: bytes) -> float | None:
        """Give how long an event is kept, in seconds from its time on; None: for ever."""
        try:
            rule = self.decide(read_event(line)).rule
        except WireError:
            return None
        return None if rule is None else self.ages_s[rule]


def parse_age(text: str) -> float | None:
    """Read ``12h``, ``7d``, ``4w``, ``1y`` (365 days) or ``forever`` (None). ValueError: what to write."""
    if text == FOREVER:
        return None
    found = _AGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{shown(text)} is no age: write one as in 12h, 7d, 4w, 1y or forever")
    return int(found[1]) * _SECONDS[found[2]]


def load(path: str) -> Keeping:
    """Read a retention file. Raises PolicyError with everything that is wrong."""
    return parse(read(path), source=path)


def parse(data: bytes, *, source: str) -> Keeping:
    """Read the bytes of a retention file; `source` is how findings name them."""
    try:
        document = read_json(data) if is_json(data) else read_yaml(data)
    except Unreadable as error:
        line, column = (error.at.line, error.at.column) if error.at else (0, 0)
        raise PolicyError((Finding(source, line, column, "", error.text, Severity.ERROR),)) from None
    bound = bind(document.root, _schema())
    release = parse_release(_KUBERNETES)
    found = [(issue.path, issue.at, tell(issue, release)) for issue in bound.issues]
    wrong = {path for path, _, _ in found}
    found += [each for each in _wrong(bound, document) if each[0] not in wrong]
    if found:
        findings = [Finding(source, at.line, at.column, path, text, Severity.ERROR) for path, at, text in found]
        raise PolicyError(tuple(sorted(findings, key=lambda each: (each.line, each.column))))
    rules = bound.fields["rules"]
    chosen = EventFilter(_policy(bound), tuple(tuple(rule.get("codes") or ()) for rule in rules))
    ages = tuple(parse_age(rule["keep"]) for rule in rules)
    return Keeping(hashlib.sha256(data).hexdigest(), ages, decide_by_filter(chosen), source)


def _schema() -> Record:
    whole = policy_schema()
    rules = whole.fields["rules"]
    rule = rules.item if isinstance(rules, ListOf) else rules
    fields = {name: kind for name, kind in getattr(rule, "fields", {}).items() if name not in _NOT_HERE}
    ours = ListOf(Record("PolicyRule", "RetentionRule", {**fields, "codes": TEXTS, "keep": Text()}), "[]RetentionRule")
    kept = {name: kind for name, kind in whole.fields.items() if name not in _NOT_HERE}
    return Record("Policy", KIND, {**kept, "rules": ours})


def _policy(bound: Bound) -> Any:
    """Give the rules as a policy's, whose level is of no importance here."""
    rules = [{**rule, "level": "Metadata"} for rule in bound.fields.get("rules") or ()]
    return policy_from({**bound.fields, "rules": rules})


def _wrong(bound: Bound, document: Document) -> Iterator[tuple[str, Position, str]]:
    places, fields = bound.positions, bound.fields

    def place(path: str) -> Position:
        while path and path not in places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        found: Position = places.get(path, document.root.at)
        return found

    if fields.get("kind") != KIND or fields.get("apiVersion") != VERSION:
        yield "kind", place("kind"), f"not a retention file: write apiVersion: {VERSION} and kind: {KIND}"
    if not fields.get("rules"):
        yield "rules", place("rules"), "a retention file needs a rule, such as '- keep: 365d'"
    for violation in validate(_policy(bound)):
        yield violation.path, place(violation.path), violation.text
    for index, rule in enumerate(fields.get("rules") or ()):
        path = f"rules[{index}].keep"
        try:
            parse_age(rule.get("keep") or "")
        except ValueError as error:
            yield path, place(path), str(error)
        for number, code in enumerate(rule.get("codes") or ()):
            if not _CODE.fullmatch(code):
                path = f"rules[{index}].codes[{number}]"
                yield path, place(path), f"{shown(code)} is no code: write one as in '403', or a class as in '4xx'"

"""EventFilter: a policy of our own kind, for events that are recorded already.

It has the fields of a Kubernetes policy, and says more where kube-apiserver cannot know more or does not ask:

| Field | More than in a Kubernetes policy |
|---|---|
| users, userGroups, namespaces | ``*`` stands for any text, anywhere in the value: ``system:node:*``, ``*-ci`` |
| codes | of the answer: ``200``, ``4xx``; a rule with codes never matches an event without an answer |

The rest is the same: the first rule that matches decides, where none does the level is None, and the two rules about
managed fields and stages. ``apply`` and ``replay`` take both kinds; kube-apiserver refuses this one, so that nobody
believes that it filters there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from decklog.audit.decision import Decision
from decklog.audit.documents.tree import MAX_BYTES, Clash, Mapping, Scalar, Unreadable
from decklog.audit.documents.yaml_tree import read_yaml
from decklog.audit.event import Level
from decklog.policy.advice import tell
from decklog.policy.binding import Issue, Problem, bind
from decklog.policy.deciding import Kinds, decide_by
from decklog.policy.findings import Finding, PolicyError, Severity
from decklog.policy.json_tree import is_json, read_json
from decklog.policy.matching import matches
from decklog.policy.reader import Loaded, parse, read
from decklog.policy.recorded import attributes_of, place_of, user_of
from decklog.policy.releases import parse_release
from decklog.policy.rules import Policy, policy_from
from decklog.policy.schema import TEXTS, ListOf, Record, policy_schema
from decklog.policy.validate import validate
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.audit.documents.tree import Document, Position
    from decklog.policy.deciding import Decide, Kind
    from decklog.policy.recorded import Recorded
    from decklog.policy.rules import Rule

KIND: Final = "EventFilter"
VERSION: Final = "decklog.io/v1alpha1"
_CODE: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)", re.ASCII)


class EventFilter(Struct, frozen=True):
    """The rules of a filter: those of a policy, each with the codes that it asks for (empty: any)."""

    policy: Policy
    codes: tuple[tuple[str, ...], ...] = ()
    """One entry a rule."""


class LoadedFilter(Struct, frozen=True):
    """A policy or a filter that can be applied to recorded events."""

    policy: Policy
    """Its rules; of an EventFilter with wildcards in them."""
    decide: Any
    """`Decide`: Recorded → Decision."""
    lines: tuple[int, ...]
    """Where each rule stands in the file, from 1."""
    source: str
    warnings: tuple[Finding, ...] = ()


def load(path: str, *, lenient: bool = False, kubernetes: str = "1.37") -> LoadedFilter:
    """Read a policy or an EventFilter, whichever the file is. Raises PolicyError with everything that is wrong."""
    return parse_either(read(path), source=path, lenient=lenient, kubernetes=kubernetes)


def parse_either(data: bytes, *, source: str, lenient: bool = False, kubernetes: str = "1.37") -> LoadedFilter:
    """Read the bytes of a policy or an EventFilter; `source` is how findings name them."""
    if _is_filter(data):
        return _parse_filter(data, source, kubernetes)
    loaded = parse(data, source=source, lenient=lenient, kubernetes=kubernetes)
    return of_policy(loaded, source)


def of_policy(loaded: Loaded, source: str) -> LoadedFilter:
    """Make an ordinary policy ready for recorded events."""
    lines = _lines(loaded.policy, loaded.positions)
    return LoadedFilter(loaded.policy, decide_by(loaded.policy), lines, source, loaded.warnings)


def decide_by_filter(chosen: EventFilter) -> Decide:
    """Give the function that decides on a recorded event as the filter says."""
    return _FilterEvaluator(chosen).decide


# Reading


def _is_filter(data: bytes) -> bool:
    """Whether the document says that it is ours; what cannot be read is the policy reader's to tell."""
    if KIND.encode() not in data or len(data) > MAX_BYTES:
        return False
    try:
        root = _document(data).root
    except Unreadable:
        return False
    entries = root.entries if isinstance(root, Mapping) else ()
    return any(each.key == "kind" and isinstance(each.value, Scalar) and each.value.value == KIND for each in entries)


def _document(data: bytes) -> Document:
    return read_json(data) if is_json(data) else read_yaml(data)


def _parse_filter(data: bytes, source: str, kubernetes: str) -> LoadedFilter:
    release = parse_release(kubernetes)
    document = _document(data)
    bound = bind(document.root, _schema())
    policy = policy_from(bound.fields)
    codes = tuple(tuple(rule.get("codes") or ()) for rule in bound.fields.get("rules") or ())
    issues = [(issue.path, issue.at, tell(issue, release)) for issue in bound.issues if not _is_override(issue)]
    wrong = {path for path, _, _ in issues}
    places = bound.positions
    found = [
        *issues,
        *(each for each in _wrong_values(policy, codes, bound.fields, places, document) if each[0] not in wrong),
    ]
    if found:
        findings = sorted((_finding(source, *each) for each in found), key=lambda each: (each.line, each.column))
        raise PolicyError(tuple(findings))
    return LoadedFilter(policy, decide_by_filter(EventFilter(policy, codes)), _lines(policy, places), source)


def _schema() -> Record:
    whole = policy_schema()
    rules = whole.fields["rules"]
    rule = rules.item if isinstance(rules, ListOf) else rules
    fields = rule.fields if isinstance(rule, Record) else {}
    ours = ListOf(Record("PolicyRule", "FilterRule", {**fields, "codes": TEXTS}), "[]FilterRule")
    return Record("Policy", KIND, {**whole.fields, "rules": ours})


def _wrong_values(
    policy: Policy,
    codes: tuple[tuple[str, ...], ...],
    fields: dict[str, Any],
    places: Any,
    document: Document,
) -> Iterator[tuple[str, Position, str]]:
    start = document.root.at

    def place(path: str) -> Position:
        while path and path not in places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        found: Position = places.get(path, start)
        return found

    if fields.get("apiVersion") != VERSION:
        said = shown(fields.get("apiVersion") or "")
        yield "apiVersion", place("apiVersion"), f"{said} has no {KIND}: write apiVersion: {VERSION}"
    if not policy.rules:
        yield (
            "rules",
            place("rules"),
            "a filter needs a rule; to pass everything on, write one: '- level: RequestResponse'",
        )
    for violation in validate(policy):
        yield violation.path, place(violation.path), violation.text
    for index, asked in enumerate(codes):
        for number, code in enumerate(asked):
            if not _CODE.fullmatch(code):
                path = f"rules[{index}].codes[{number}]"
                yield path, place(path), f"{shown(code)} is no code: write one as in '403', or a class as in '4xx'"


def _is_override(issue: Issue) -> bool:
    return issue.problem is Problem.DUPLICATE and issue.clash is Clash.OVERRIDE


def _finding(source: str, path: str, at: Position, text: str) -> Finding:
    return Finding(source, at.line, at.column, path, text, Severity.ERROR)


def _lines(policy: Policy, positions: Any) -> tuple[int, ...]:
    found = (positions.get(f"rules[{index}]") for index in range(len(policy.rules)))
    return tuple(at.line if at is not None else 0 for at in found)


# Deciding


class _FilterRule:
    """One rule: patterns of its own, and what is left of it for `matching`."""

    def __init__(self, policy: Policy, index: int, codes: tuple[str, ...]) -> None:
        rule = policy.rules[index]
        self._users = _Patterns(rule.users)
        self._groups = _Patterns(rule.user_groups)
        self._namespaces = _Patterns(rule.namespaces)
        self._codes = codes
        self._rest: Rule = structs.replace(rule, users=(), user_groups=(), namespaces=())
        self._about_namespaces = bool(rule.namespaces)
        self.decision = Decision(
            level=Level(rule.level),
            omit_stages=frozenset(policy.omit_stages).union(rule.omit_stages),
            omit_managed_fields=(
                policy.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields
            ),
            rule=index,
        )

    def matches(self, event: Recorded) -> bool:
        attributes, user = attributes_of(event), user_of(event)
        if self._codes and not _has_code(event, self._codes):
            return False
        if self._users and (user is None or not self._users.match(user.username)):
            return False
        if self._groups and (user is None or not any(map(self._groups.match, user.groups))):
            return False
        if self._about_namespaces and not (
            attributes.resource_request and self._namespaces.match(attributes.namespace)
        ):
            return False
        return matches(self._rest, attributes, user)


class _Patterns:
    """Texts in which ``*`` stands for any text; falsy if there are none. Matching takes linear time."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._exact = frozenset(text for text in patterns if "*" not in text)
        self._split = [text.split("*") for text in patterns if "*" in text]

    def __bool__(self) -> bool:
        return bool(self._exact or self._split)

    def match(self, text: str) -> bool:
        return text in self._exact or any(_fits(pieces, text) for pieces in self._split)


def _fits(pieces: list[str], text: str) -> bool:
    first, *middle, last = pieces
    if not text.startswith(first):
        return False
    place = len(first)
    for piece in middle:
        place = text.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    return len(text) - len(last) >= place and text.endswith(last)


def _has_code(event: Recorded, codes: tuple[str, ...]) -> bool:
    code = event.response_status.code if event.response_status is not None else 0
    return bool(code) and (str(code) in codes or f"{code // 100}xx" in codes)


class _FilterEvaluator:
    """Decides by the first rule that matches; a kind of event is asked about once, in bounded memory."""

    def __init__(self, chosen: EventFilter) -> None:
        policy = chosen.policy
        codes = chosen.codes or ((),) * len(policy.rules)
        self._rules = [_FilterRule(policy, index, codes[index]) for index in range(len(policy.rules))]
        self._otherwise = Decision(Level.NONE, frozenset(policy.omit_stages), policy.omit_managed_fields)
        self._kinds = Kinds()

    def decide(self, event: Recorded) -> Decision:
        """Decide on one recorded event."""
        kind = _kind(event)
        known = self._kinds.get(kind)
        return known if known is not None else self._kinds.keep(kind, self._decide(event))

    def _decide(self, event: Recorded) -> Decision:
        return next((rule.decision for rule in self._rules if rule.matches(event)), self._otherwise)


def _kind(event: Recorded) -> Kind:
    ref, user = event.object_ref, event.user
    code = str(event.response_status.code) if event.response_status is not None else ""
    if ref is None:
        return (event.verb, event.request_uri, user.username, user.groups, code)
    namespace, name = place_of(event, ref)
    thing = (ref.api_group, ref.resource, ref.subresource, namespace, name)
    return (event.verb, *thing, user.username, user.groups, code)

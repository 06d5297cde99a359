"""Expect: a table of named requests and what a policy is expected to say of each; reading it and judging by it.

The table is YAML (or JSON), one mapping with ``cases``::

    cases:
    - name: a shell in a pod is seen
      request: create pods/exec web-0 -n shop
      as: alice
      groups: [dev]
      expect: {level: Metadata, rule: 3, stages: [ResponseStarted, ResponseComplete]}

docs/policy/test.md names all keys. What is expected has the names that ``decklog policy explain -o json`` uses, and
only what is named is compared. A table is read whole before anything is judged: every mistake in it is told, with line
and column.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from decklog.audit.attributes import Attributes
from decklog.audit.documents.tree import MAX_BYTES, Mapping, Node, Position, Scalar, Sequence, Unreadable, called
from decklog.audit.documents.yaml_tree import read_yaml
from decklog.audit.event import Level, Stage, User
from decklog.errors import DecklogError
from decklog.policy.explain import Explanation, consider, explain
from decklog.policy.explained import to_json, verdict
from decklog.policy.findings import Finding
from decklog.policy.request_text import caller, read_request
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.policy.kinds import Kinds
    from decklog.policy.reader import Loaded

NO_RULE: Final = "none"
"""As `rule`: no rule matches, and the level is None."""
NEAREST: Final = 3
"""So many rules that would have given what was expected are explained in a failure."""

_LEVELS: Final = tuple(map(str, Level))
_STAGES: Final = tuple(map(str, Stage))
_CASE: Final = ("name", "request", "as", "groups", "unauthenticated", "expect")
_WORDS: Final = ("verb", "path", "apiGroup", "resource", "subresource", "namespace", "name")
_REQUEST: Final = (*_WORDS, "resourceRequest")
_EXPECT: Final = (
    "level",
    "stages",
    "omitStages",
    "rule",
    "line",
    "omitManagedFields",
    "requestBody",
    "responseBody",
)
_TRUTHS: Final = ("omitManagedFields", "requestBody", "responseBody")


class Case(Struct, frozen=True):
    """One request and what is expected of it."""

    name: str
    line: int
    """Of its place in the table, from 1."""
    attributes: Attributes
    user: User | None
    expected: dict[str, Any]
    """By the names of ``explain -o json``: level, stages, omitStages, rule, line, omitManagedFields, requestBody,
    responseBody. Only those that the table names; stages as a list in the order of a request's life."""


class Mismatch(Struct, frozen=True):
    """One thing that is not as expected."""

    field: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.field} is {_said(self.found)}, expected {_said(self.expected)}"


class Outcome(Struct, frozen=True):
    """What came of one case."""

    case: Case
    explanation: Explanation
    mismatches: tuple[Mismatch, ...]
    reasons: tuple[str, ...]
    """Of a failure: which rule matches, and why those that would have been right do not. Empty where it passed."""

    @property
    def passed(self) -> bool:
        """Whether everything is as expected."""
        return not self.mismatches


class ExpectationError(DecklogError):
    """A table that cannot be used. `str()` is one line a mistake, each with its place."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(findings)
        self.findings = findings

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


def read_cases(data: bytes, source: str, kinds: Kinds) -> tuple[Case, ...]:
    """Read a table; `source` is its name in messages. Raises ExpectationError with everything that is wrong."""
    return _Reading(source, kinds).cases(data)


def judge(loaded: Loaded, case: Case, source: str) -> Outcome:
    """Hold a policy, which `source` names in the reasons, to one case."""
    explanation = explain(loaded, case.attributes, case.user)
    found = to_json(explanation, source)
    mismatches = tuple(
        Mismatch(field, wanted, found[field]) for field, wanted in case.expected.items() if found[field] != wanted
    )
    reasons = tuple(_reasons(loaded, case, explanation, source)) if mismatches else ()
    return Outcome(case, explanation, mismatches, reasons)


def _said(value: Any) -> str:
    match value:
        case None:
            return NO_RULE
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(value)}]"
        case _:
            return str(value)


# Why a case fails


def _reasons(loaded: Loaded, case: Case, explanation: Explanation, source: str) -> Iterator[str]:
    """Say which rule decides, and what keeps the expected ones from it."""
    decided = explanation.decision.rule
    if missing := _missing(loaded, case):
        yield missing
    for index in _expected_rules(loaded, case, decided):
        considered = consider(loaded, index, case.attributes, case.user)
        said = verdict(considered, source)
        yield f"{said}, but comes too late" if considered.difference is None else said
    if decided is None:
        yield f"{source}: no rule matches: the level is None"
    else:
        yield verdict(explanation.rules[-1], source)


def _expected_rules(loaded: Loaded, case: Case, decided: int | None) -> list[int]:
    """Find the rules that would have been right: the one that is named, else those of the level, the nearest first."""
    rules = range(len(loaded.policy.rules))
    named = _named(loaded, case)
    if named is not None:
        return [named] if named in rules and named != decided else []
    level = case.expected.get("level")
    if level == _level(loaded, decided):
        return []
    of_level = [index for index in rules if str(loaded.policy.rules[index].level) == level]
    matching = [i for i in of_level if consider(loaded, i, case.attributes, case.user).difference is None]
    return (matching[:1] or of_level)[:NEAREST]


def _named(loaded: Loaded, case: Case) -> int | None:
    """Give the index of the rule that is expected by index or line, which need not exist."""
    named, line = case.expected.get("rule"), case.expected.get("line")
    if named is None and line is not None:
        return next((index for index in range(len(loaded.policy.rules)) if _line(loaded, index) == line), -1)
    return named


def _missing(loaded: Loaded, case: Case) -> str:
    """Say that no such rule is there; empty: it is, or none is named."""
    named = _named(loaded, case)
    if named is None or named in range(len(loaded.policy.rules)):
        return ""
    if named < 0:
        return f"no rule begins on line {case.expected['line']}: the line of a rule is that of its '- '"
    return f"there is no rule {named}: the last one is {len(loaded.policy.rules) - 1}"


def _level(loaded: Loaded, decided: int | None) -> str:
    return str(Level.NONE if decided is None else loaded.policy.rules[decided].level)


def _line(loaded: Loaded, index: int) -> int:
    at = loaded.positions.get(f"rules[{index}]")
    return at.line if at else 0


# Reading a table


class _Wrong(Exception):  # noqa: N818  # because: it ends the reading of one value and is told as a finding
    """A value that cannot be what it should be."""

    def __init__(self, at: Position, text: str) -> None:
        super().__init__(at, text)
        self.at = at
        self.text = text


class _Reading:
    """One table on its way to cases."""

    def __init__(self, source: str, kinds: Kinds) -> None:
        self._source = source
        self._kinds = kinds
        self._found: list[Finding] = []
        self._names: dict[str, int] = {}

    def cases(self, data: bytes) -> tuple[Case, ...]:
        cases = self._attempt(lambda: list(self._cases(data))) or []
        if self._found:
            raise ExpectationError(tuple(sorted(self._found, key=lambda found: (found.line, found.column))))
        return tuple(case for case in cases if case is not None)

    def _cases(self, data: bytes) -> Iterator[Case | None]:
        root, after = self._document(data)
        fields = self._fields(root, ("cases",), "a table of expectations", "")
        if after is not None:
            self._tell(
                after, "", "a second document begins here, and only the first one is read: use one file for each"
            )
        listed = fields.get("cases")
        if not isinstance(listed, Sequence) or not listed.items:
            at = listed.at if listed is not None else root.at
            raise _Wrong(at, "a table needs cases: write 'cases:' and below it '- request: …' and '  expect: …'")
        for index, node in enumerate(listed.items):
            yield self._attempt(lambda node=node, index=index: self._case(node, f"cases[{index}]"))

    def _document(self, data: bytes) -> tuple[Node, Position | None]:
        if len(data) > MAX_BYTES:
            raise _Wrong(Position(0, 0), f"larger than {MAX_BYTES >> 20} MiB: make several files of it")
        try:
            document = read_yaml(data)
        except Unreadable as error:
            raise _Wrong(error.at or Position(0, 0), error.text) from None
        return document.root, document.ignored

    def _case(self, node: Node, path: str) -> Case | None:
        fields = self._fields(node, _CASE, "a case", path)
        missing = [key for key in ("request", "expect") if key not in fields]
        if missing:
            self._tell(node.at, path, f"a case needs {' and '.join(missing)}")
        attributes = self._attempt(lambda: self._request(fields["request"], path)) if "request" in fields else None
        user = self._attempt(lambda: [self._user(fields, node)])
        expected = self._attempt(lambda: self._expected(fields["expect"], path)) if "expect" in fields else None
        name = self._attempt(lambda: self._name(fields, node, path))
        if attributes is None or user is None or expected is None or name is None:
            return None
        return Case(name, node.at.line, attributes, user[0], expected)

    def _name(self, fields: dict[str, Node], node: Node, path: str) -> str:
        """Give a case its name; one without is called by its request."""
        named = fields.get("name", fields.get("request"))
        name = _text(named) if isinstance(named, Scalar) else f"the case on line {node.at.line}"
        if not name:
            raise _Wrong(node.at, "the name is empty: say what the case is about, or leave it out")
        before = self._names.setdefault(name, node.at.line)
        if before != node.at.line:
            self._tell(node.at, path, f"{shown(name)} is a case on line {before}, too: give each its own name")
        return name

    def _request(self, node: Node, path: str) -> Attributes:
        if isinstance(node, Scalar):
            try:
                return read_request(_text(node), self._kinds).attributes
            except DecklogError as error:
                raise _Wrong(node.at, str(error)) from None
        fields = self._fields(node, _REQUEST, "a request", f"{path}.request")
        words = {key: _text(value) for key, value in fields.items() if key in _WORDS}
        if not words.get("verb") or not (words.get("resource") or words.get("path")):
            raise _Wrong(node.at, "a request needs a verb, and a resource or a path: {verb: get, resource: pods}")
        return Attributes(
            verb=words["verb"],
            path=words.get("path", ""),
            resource_request=bool(words.get("resource")),
            api_group=words.get("apiGroup", ""),
            namespace=words.get("namespace", ""),
            resource=words.get("resource", ""),
            subresource=words.get("subresource", ""),
            name=words.get("name", ""),
        )

    def _user(self, fields: dict[str, Node], node: Node) -> User | None:
        name, groups, nobody = fields.get("as"), fields.get("groups"), fields.get("unauthenticated")
        try:
            return caller(
                _text(name) if name else "",
                _texts(groups) if groups else (),
                unauthenticated=_truth(nobody) if nobody else False,
            )
        except DecklogError as error:
            raise _Wrong((name or groups or nobody or node).at, str(error)) from None

    def _expected(self, node: Node, path: str) -> dict[str, Any]:
        if isinstance(node, Scalar):
            return {"level": _one_of(node, _LEVELS, "a level")}
        fields = self._fields(node, _EXPECT, "what is expected", f"{path}.expect")
        if not fields and not self._found:
            raise _Wrong(node.at, f"nothing is expected: name at least one of {', '.join(_EXPECT)}")
        return {key: _expectation(key, value) for key, value in fields.items()}

    def _fields(self, node: Node, known: tuple[str, ...], what: str, path: str) -> dict[str, Node]:
        """Take a mapping apart; keys that are unknown or there twice are told."""
        if not isinstance(node, Mapping):
            raise _Wrong(node.at, f"{what} is a mapping, not {called(node)}; its keys are {', '.join(known)}")
        for twice in node.duplicates:
            self._tell(twice.entry.at, path, f"{shown(twice.entry.key)} stands here twice: keep one")
        for entry in node.entries:
            if entry.key not in known:
                near = get_close_matches(entry.key[:40], known, n=1)
                meant = f"did you mean {near[0]!r}?" if near else f"keys are {', '.join(known)}"
                self._tell(entry.at, path, f"{shown(entry.key)} is not a key of {what}: {meant}")
        return {entry.key: entry.value for entry in node.entries if entry.key in known}

    def _attempt(self, reading: Any) -> Any:
        """Read something; what is wrong is told, and the rest is read on."""
        try:
            return reading()
        except _Wrong as wrong:
            self._tell(wrong.at, "", wrong.text)
            return None

    def _tell(self, at: Position, path: str, text: str) -> None:
        self._found.append(Finding(self._source, at.line, at.column, path, text))


def _expectation(key: str, node: Node) -> Any:
    if key == "level":
        return _one_of(node, _LEVELS, "a level")
    if key in _TRUTHS:
        return _truth(node)
    if key in {"rule", "line"}:
        return _number(key, node)
    if not isinstance(node, Sequence):
        raise _Wrong(node.at, f"{key} is a list of stages, not {called(node)}: write [{', '.join(_STAGES)}]")
    given = [_one_of(item, _STAGES, "a stage") for item in node.items]
    return [stage for stage in _STAGES if stage in given]


def _number(key: str, node: Node) -> int | None:
    if key == "rule" and isinstance(node, Scalar) and node.text.lower() == NO_RULE:
        return None
    value: Any = node.value if isinstance(node, Scalar) else None
    if isinstance(value, int) and not isinstance(value, bool) and value >= (0 if key == "rule" else 1):
        return value
    what = f"its index, from 0, or {NO_RULE}" if key == "rule" else "a line of the policy, from 1"
    raise _Wrong(node.at, f"{key} is {what}, not {shown(node.text) if isinstance(node, Scalar) else called(node)}")


def _one_of(node: Node, known: tuple[str, ...], what: str) -> str:
    text = _text(node)
    if text not in known:
        raise _Wrong(node.at, f"{shown(text)} is not {what}: write one of {', '.join(known)}")
    return text


def _text(node: Node) -> str:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value
    if isinstance(node, Scalar):
        raise _Wrong(node.at, f"{shown(node.text)} is {called(node)} here, and a text is wanted: quote it")
    raise _Wrong(node.at, f"a text is wanted, not {called(node)}")


def _texts(node: Node) -> list[str]:
    return [_text(item) for item in node.items] if isinstance(node, Sequence) else [_text(node)]


def _truth(node: Node) -> bool:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    raise _Wrong(node.at, f"true or false is wanted, not {called(node)}")

"""Label and field selectors: text → a value that matches objects, or the 400 that kube-apiserver answers.

Lives here: both grammars and their matching. Which fields a resource can be selected by is a table here, as it is for
kube-apiserver: everything has ``metadata.name`` and ``metadata.namespace``, a few kinds have more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox.status import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from decklog.sandbox.resources import Resource


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label: ``key in (values)``, ``key notin (values)``, ``key`` or ``!key``, ``key > 1``."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels meet the condition; a missing key meets ``notin`` and ``!``."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case _:
                return value is not None and _compare(value, self.operator, self.values[0])


@dataclass(frozen=True, slots=True)
class Selector:
    """What a list, a watch or a deletecollection is narrowed to."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[tuple[str, str, str], ...] = ()
    """(path, ``=`` or ``!=``, value)."""

    def matches(self, value: Mapping[str, Any]) -> bool:
        """Tell whether an object is meant."""
        labels = value["metadata"].get("labels") or {}
        return all(requirement.matches(labels) for requirement in self.labels) and all(
            (_field(value, path) == wanted) == (operator == "=") for path, operator, wanted in self.fields
        )

    @property
    def empty(self) -> bool:
        """Everything matches."""
        return not (self.labels or self.fields)


FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "replicasets": ("status.replicas",),
    "jobs": ("status.successful",),
    "services": ("spec.clusterIP", "spec.type"),
}
"""Fields beside name and namespace that a resource can be selected by."""


def selector(resource: Resource, labels: str, fields: str) -> Selector:
    """Read both selectors of a request. Raises ApiError (400) for one that does not parse."""
    return Selector(label_requirements(labels), _field_terms(resource, fields))


def from_label_selector(value: Mapping[str, Any]) -> Selector:
    """Read a LabelSelector object (``matchLabels``, ``matchExpressions``), as workloads carry it."""
    equal = [Requirement(key, "in", (wanted,)) for key, wanted in (value.get("matchLabels") or {}).items()]
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    more = [
        Requirement(
            str(term.get("key", "")),
            operators.get(str(term.get("operator")), "absent"),
            tuple(str(wanted) for wanted in term.get("values") or ()),
        )
        for term in value.get("matchExpressions") or ()
    ]
    return Selector(tuple(equal + more))


_TOKEN: Final = re.compile(r"\s*(==|!=|=|!|<|>|,|\(|\)|[^\s=!<>,()]+)")
_KEY: Final = re.compile(r"([a-z0-9A-Z]([-a-z0-9A-Z_.]*[a-z0-9A-Z])?/)?[a-z0-9A-Z]([-a-z0-9A-Z_.]*[a-z0-9A-Z])?")
_END: Final = "end of string"


def label_requirements(text: str) -> tuple[Requirement, ...]:
    """Read a label selector: comma-separated conditions, set-based or by equality. Raises ApiError (400)."""
    tokens = _Tokens(text)
    found = []
    while tokens.peek() != _END:
        found.append(_requirement(tokens))
        following = tokens.take()
        if following == _END:
            break
        if following != ",":
            raise bad_request(f"found '{following}', expected: ',' or 'end of string'")
        if tokens.peek() == _END:
            raise bad_request("found '', expected: identifier after ','")
    return tuple(found)


class _Tokens:
    def __init__(self, text: str) -> None:
        self._tokens = [match.group(1) for match in _TOKEN.finditer(text)]
        self._next = 0

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else _END

    def take(self) -> str:
        token = self.peek()
        self._next += 1
        return token


def _requirement(tokens: _Tokens) -> Requirement:
    first = tokens.take()
    if first == "!":
        return Requirement(_key(tokens.take()), "absent")
    if _KEY.fullmatch(first) is None:
        raise bad_request(f"found '{first}', expected: !, identifier, or 'end of string'")
    key = first
    match tokens.peek():
        case "," | "end of string":
            return Requirement(key, "exists")
        case "=" | "==":
            tokens.take()
            return Requirement(key, "in", (_value(tokens),))
        case "!=":
            tokens.take()
            return Requirement(key, "notin", (_value(tokens),))
        case "<" | ">":
            return Requirement(key, tokens.take(), (_number(tokens.take()),))
        case "in" | "notin":
            return Requirement(key, tokens.take(), _set(tokens))
        case found:
            raise bad_request(f"found '{found}', expected: in, notin, =, ==, !=, gt, lt")


def _key(token: str) -> str:
    if _KEY.fullmatch(token) is None:
        raise bad_request(f"found '{token}', expected: identifier")
    return token


def _value(tokens: _Tokens) -> str:
    # `a=` and `a=,b` select the empty value.
    if tokens.peek() in {",", _END}:
        return ""
    token = tokens.take()
    if token in {"=", "==", "!=", "!", "<", ">", "(", ")"}:
        raise bad_request(f"found '{token}', expected: identifier")
    return token


def _number(token: str) -> str:
    if re.fullmatch(r"-?[0-9]{1,18}", token) is None:
        raise bad_request(f"for 'Gt', 'Lt' operators, the value must be an integer: {token}")
    return token


def _set(tokens: _Tokens) -> tuple[str, ...]:
    if tokens.take() != "(":
        raise bad_request("found no '(' after in or notin, expected: '('")
    values: list[str] = []
    while (word := tokens.take()) != ")":
        if word == _END:
            raise bad_request("found '', expected: ',', or ')'")
        if word != ",":
            values.append(word)
    return tuple(dict.fromkeys(values)) or ("",)


def _compare(value: str, operator: str, bound: str) -> bool:
    if re.fullmatch(r"-?[0-9]{1,18}", value) is None:
        return False
    return int(value) > int(bound) if operator == ">" else int(value) < int(bound)


def _field_terms(resource: Resource, text: str) -> tuple[tuple[str, str, str], ...]:
    terms = (_field_term(term) for term in text.split(",") if term.strip() not in {"", "=", "=="})
    return tuple(_known(resource, *term) for term in terms)


def _field_term(term: str) -> tuple[str, str, str]:
    for operator in ("!=", "==", "="):
        path, found, value = term.partition(operator)
        if found:
            return path, "!=" if operator == "!=" else "=", value
    raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")


def _known(resource: Resource, path: str, operator: str, value: str) -> tuple[str, str, str]:
    more = FIELDS.get(resource.plural, ()) if resource.group in {"", "apps", "batch"} else ()
    if path in {"metadata.name", "metadata.namespace", *more}:
        return path, operator, value
    if more:
        raise bad_request(f"field label not supported: {path}")
    raise bad_request(f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def _field(value: Any, path: str) -> str:
    if path == "source":
        path = "source.component"
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        # Booleans and numbers that are not set have Go's zero, texts the empty one.
        return {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0"}.get(path, "")
    return str(value).lower() if isinstance(value, bool) else str(value)

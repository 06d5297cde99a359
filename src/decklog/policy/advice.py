"""Advice: what does not fit a policy's schema, told to the one who wrote it: what is wrong and what would be right."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from decklog.audit.documents.tree import Clash, Scalar, called
from decklog.policy.binding import Issue, Problem
from decklog.policy.schema import Flag, ListOf, Record, Text, TextMap, Whole
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from decklog.policy.releases import Release

_CALLED: Final = {
    "Policy": "a policy",
    "PolicyRule": "a rule",
    "GroupResources": "an entry of resources",
    "ObjectMeta": "an object's metadata",
}
_RULE: Final = frozenset({"level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs"})
_ENTRY: Final = frozenset({"group", "resourceNames"})
_BELONGS: Final = {
    # The record that has it not, and where the field would be right
    "Policy": ((_RULE, "a rule: indent it below '- level'"),),
    "PolicyRule": ((_ENTRY, "an entry of resources: write resources: [{group: …}]"),),
    "GroupResources": ((_RULE | {"omitStages", "omitManagedFields"}, "the rule: indent it less"),),
}


def tell(issue: Issue, release: Release) -> str:
    """Say what is wrong with a field, and what would be right."""
    match issue.problem:
        case Problem.UNKNOWN:
            return _unknown(issue, release)
        case Problem.DUPLICATE:
            return _duplicate(issue)
        case Problem.TYPE:
            return _wrong_type(issue)
        case Problem.TIME:
            return f"{_value(issue)} is not a time: write it as in 2006-01-02T15:04:05Z, or leave it out"


def _unknown(issue: Issue, release: Release) -> str:
    record = issue.wanted
    fields = list(record.fields) if isinstance(record, Record) else []
    name = record.name if isinstance(record, Record) else ""
    if issue.key == "omitManagedFields" and name in {"Policy", "PolicyRule"}:
        return f"not a field before Kubernetes 1.23, and the target is {release}: remove it"
    said = f"{shown(issue.key)} is not a field of {_CALLED.get(name, name)}"
    for known, place in _BELONGS.get(name, ()):
        if issue.key in known:
            return f"{said}; it belongs to {place}"
    by_case = {field.lower(): field for field in fields}
    close = get_close_matches(issue.key[:40].lower(), by_case, n=1)
    if close:
        return f"{said}: did you mean {by_case[close[0]]!r}?"
    return f"{said}; fields are {', '.join(fields)}"


def _duplicate(issue: Issue) -> str:
    line = issue.first.line if issue.first else 0
    match issue.clash:
        case Clash.OVERRIDE:
            return f"overrides what << brought (line {line}); kube-apiserver does the same and warns"
        case Clash.OVERRIDDEN:
            return f"<< comes after it and brings it, too (line {line}), and kube-apiserver lets << win: put << first"
        case Clash.TWICE:
            return f"{shown(issue.key)} stands here twice, first on line {line}, and only the last one counts: keep one"


def _wrong_type(issue: Issue) -> str:
    node, wanted = issue.node, issue.wanted
    found = called(node)
    match wanted:
        case Text() if isinstance(node, Scalar):
            quoted = '"' + node.text.replace("\\", "\\\\").replace('"', '\\"') + '"'
            return f"{shown(node.text)} is {found} here, and a string is wanted: quote it, {quoted}"
        case Text():
            return f"a string is wanted, not {found}"
        case ListOf() if isinstance(node, Scalar):
            return f"a list is wanted, not {found}: write [{_value(issue)}]"
        case ListOf():
            return f"a list is wanted, not {found}: begin each item with '- '"
        case Flag():
            quotes = ": write it without quotes" if isinstance(node, Scalar) and isinstance(node.value, str) else ""
            return f"true or false is wanted, not {found}{quotes}"
        case Record(fields=fields):
            return f"a mapping is wanted, not {found}; its fields are {', '.join(fields)}"
        case TextMap():
            return f"a mapping is wanted, not {found}"
        case Whole():
            return f"a whole number is wanted, not {_value(issue)}"
        case _:
            return f"{found} does not belong here"


def _value(issue: Issue) -> str:
    return shown(issue.node.text) if isinstance(issue.node, Scalar) else called(issue.node)

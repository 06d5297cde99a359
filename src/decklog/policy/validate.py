"""Validation: what a policy may not say, in kube-apiserver's order and words and in ours (spec §2.3, §2.4).

Not checked, there as here: the texts in users, groups, verbs, namespaces, resources and resource names, and wildcards
that contradict or repeat each other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.event import Level, Stage
from decklog.audit.quoting import quote
from decklog.policy.wording import go_json, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.policy.rules import GroupResources, Policy, Rule

REQUIRED: Final = "FieldValueRequired"
INVALID: Final = "FieldValueInvalid"
NOT_SUPPORTED: Final = "FieldValueNotSupported"

_SAYS: Final = {REQUIRED: "Required value", INVALID: "Invalid value", NOT_SUPPORTED: "Unsupported value"}
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_NOT_A_SUBDOMAIN: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    f" end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_STAGES: Final = tuple(str(stage) for stage in Stage)
_LEVELS: Final = tuple(str(level) for level in Level)


class Violation(Struct, frozen=True):
    """One thing that a policy may not say."""

    type: str
    """`REQUIRED`, `INVALID` or `NOT_SUPPORTED`."""
    field: str
    """As kube-apiserver names it; below ``resources`` without an index."""
    bad_value: str | tuple[str, ...]
    detail: str
    """kube-apiserver's."""
    path: str
    """As we name it, with every index."""
    text: str
    """In our words: what is wrong and what would be right."""

    @property
    def message(self) -> str:
        """kube-apiserver's line."""
        said = f"{self.field}: {_SAYS[self.type]}"
        if self.type != REQUIRED:
            said += f": {quote(self.bad_value) if isinstance(self.bad_value, str) else go_json(self.bad_value)}"
        return f"{said}: {self.detail}" if self.detail else said


def aggregate(violations: Iterable[Violation]) -> str:
    """Give kube-apiserver's error for all of them: equal lines once, one line bare, several in brackets (spec §2.4)."""
    messages = list(dict.fromkeys(violation.message for violation in violations))
    return messages[0] if len(messages) == 1 else f"[{', '.join(messages)}]" if messages else ""


def validate(policy: Policy, *, star_group: bool = True) -> list[Violation]:
    """Find everything that the policy may not say. That it has no rules is not among it: the loader says so.

    `star_group`: whether ``*`` is a group, as since Kubernetes 1.36.
    """
    found = list(_stages(policy.omit_stages, "omitStages"))
    for index, rule in enumerate(policy.rules):
        found.extend(_rule(rule, f"rules[{index}]", star_group=star_group))
    return found


def _rule(rule: Rule, path: str, *, star_group: bool) -> Iterator[Violation]:
    yield from _level(rule.level, f"{path}.level")
    yield from _urls(rule.non_resource_urls, f"{path}.nonResourceURLs")
    for index, entry in enumerate(rule.resources):
        yield from _resources(entry, f"{path}.resources", index, star_group=star_group)
    yield from _stages(rule.omit_stages, f"{path}.omitStages")
    if rule.non_resource_urls and (rule.resources or rule.namespaces):
        field = f"{path}.nonResourceURLs"
        detail = "rules cannot apply to both regular resources and non-resource URLs"
        also = " and ".join(name for name in ("resources", "namespaces") if getattr(rule, name))
        text = f"a rule is about URLs or about resources, and this one has {also}, too: make two rules of it"
        yield Violation(INVALID, field, rule.non_resource_urls, detail, field, text)


def _level(level: str, field: str) -> Iterator[Violation]:
    if not level:
        text = f"missing: a rule needs a level, one of {', '.join(_LEVELS)}"
        yield Violation(REQUIRED, field, "", "", field, text)
    elif level not in _LEVELS:
        detail = f"supported values: {', '.join(map(quote, _LEVELS))}"
        text = f"{shown(level)} is not a level; levels are {', '.join(_LEVELS)}"
        yield Violation(NOT_SUPPORTED, field, str(level), detail, field, text)


def _stages(stages: tuple[str, ...], field: str) -> Iterator[Violation]:
    detail = f"allowed stages are {','.join(_STAGES)}"
    for index, stage in enumerate(stages):
        if stage not in _STAGES:
            path = f"{field}[{index}]"
            text = f"{shown(stage)} is not a stage; stages are {', '.join(_STAGES)}"
            yield Violation(INVALID, path, stage, detail, path, text)


def _urls(urls: tuple[str, ...], field: str) -> Iterator[Violation]:
    for index, url in enumerate(urls):
        path = f"{field}[{index}]"
        if url == "*":
            continue
        if not url.startswith("/"):
            detail = "non-resource URL rules must begin with a '/' character"
            text = f"{shown(url)} does not begin with '/': write the path as in '/healthz', or '*' for every path"
            yield Violation(INVALID, path, url, detail, path, text)
        if "*" in url[:-1]:
            detail = "non-resource URL wildcards '*' must be the final character of the rule"
            text = f"{shown(url)} has a '*' before its end: only the last character can be one, as in '/healthz*'"
            yield Violation(INVALID, path, url, detail, path, text)


def _resources(entry: GroupResources, field: str, index: int, *, star_group: bool) -> Iterator[Violation]:
    path = f"{field}[{index}]"
    if entry.group and not (entry.group == "*" and star_group):
        details = list(_not_a_group(entry.group))
        if details:
            text = f"{shown(entry.group)} is not an API group{_group_advice(entry.group)}"
            yield Violation(INVALID, f"{field}.group", entry.group, ",".join(details), f"{path}.group", text)
    if entry.resource_names and not entry.resources:
        detail = "using resourceNames requires at least one resource"
        text = "resourceNames without resources: say in resources what these are the names of"
        names = f"{path}.resourceNames"
        yield Violation(INVALID, f"{field}.resourceNames", entry.resource_names, detail, names, text)


def _not_a_group(group: str) -> Iterator[str]:
    if len(group.encode(errors="surrogatepass")) > 253:
        yield "must be no more than 253 characters"
    if re.fullmatch(_SUBDOMAIN, group, re.ASCII) is None:
        yield _NOT_A_SUBDOMAIN


def _group_advice(group: str) -> str:
    if group == "*":
        return " before Kubernetes 1.36: name the groups"
    name, slash, _ = group.partition("/")
    if slash and re.fullmatch(_SUBDOMAIN, name):
        return f": without the version it is {shown(name)}"
    if re.fullmatch(_SUBDOMAIN, group.lower()):
        return f": in lower case it is {shown(group.lower())}"
    return ": one looks like 'apps' or 'rbac.authorization.k8s.io', and the core group is ''"

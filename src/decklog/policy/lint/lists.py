"""Lists: verbs, namespaces, URLs and wildcards that do not mean what they look like (DL110, DL111, DL114, DL115)."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from decklog.policy.lint.remarks import listed
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.policy.lint.remarks import Remark, Subject
    from decklog.policy.rules import Rule

RESOURCE_VERBS: Final = (
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "proxy",
)
_URL_VERBS: Final = ("get", "head", "post", "put", "patch", "delete", "options", "connect", "trace")
_PERMISSIONS: Final = frozenset({"bind", "escalate", "impersonate", "use", "approve", "sign", "attest", "nominate"})
"""Verbs of RBAC that no request has."""
_MEANT: Final = {
    "post": "create",
    "put": "update",
    "read": "get, list, watch",
    "write": "create, update, patch, delete, deletecollection",
    "edit": "update, patch",
    "remove": "delete",
    "exec": "create, get on pods/exec",
    "head": "get",
}
_RESOURCE_URL: Final = re.compile(r"/api/[^/*]+/[^*/]|/apis/[^/*]+/[^/*]+/[^*/]")


def check(subject: Subject) -> Iterator[Remark]:
    """Check the lists of every rule."""
    for index, rule in subject.rules:
        path = f"rules[{index}]"
        yield from _verbs(subject, rule, f"{path}.verbs")
        yield from _namespaces(subject, rule, f"{path}.namespaces")
        yield from _urls(subject, rule, f"{path}.nonResourceURLs")
        yield from _wildcards(subject, rule, path)


def _verbs(subject: Subject, rule: Rule, path: str) -> Iterator[Remark]:
    about_urls = bool(rule.non_resource_urls)
    about_both = not (about_urls or rule.resources or rule.namespaces)
    verbs = (*RESOURCE_VERBS, *_URL_VERBS) if about_both else _URL_VERBS if about_urls else RESOURCE_VERBS
    for number, verb in enumerate(rule.verbs):
        if verb not in verbs and "*" not in verb:
            text, instead = _wrong_verb(verb, verbs, about_urls=about_urls)
            yield subject.remark("DL111", f"{path}[{number}]", text, instead)


def _wrong_verb(verb: str, verbs: tuple[str, ...], *, about_urls: bool) -> tuple[str, str]:
    if about_urls and verb in RESOURCE_VERBS:
        said = {"create": "post", "update": "put"}.get(verb, "get")
        return f"requests for URLs have HTTP's methods for verbs, and {shown(verb)} is none", said
    if verb in _PERMISSIONS:
        text = f"{shown(verb)} is a permission of RBAC, and no request has it for a verb"
        return text, "the verb of the request that needs it (create, update, patch)"
    lower = verb.lower()
    if lower in verbs:
        return f"{shown(verb)} is no verb: verbs are in lower case", lower
    if lower in _MEANT:
        return f"{shown(verb)} is no verb", _MEANT[lower]
    near = get_close_matches(lower[:30], verbs, 1)
    return f"{shown(verb)} is no verb", near[0] if near else f"one of {listed(verbs, 10)}"


def _namespaces(subject: Subject, rule: Rule, path: str) -> Iterator[Remark]:
    if "" in rule.namespaces:
        where = f"{path}[{rule.namespaces.index('')}]"
        text = '"" stands for requests without a namespace, not for all namespaces and not for the default one'
        instead = (
            "no namespaces at all for everything; as it is, if cluster-scoped objects and lists over all are meant"
        )
        yield subject.remark("DL110", where, text, instead)


def _urls(subject: Subject, rule: Rule, path: str) -> Iterator[Remark]:
    for number, url in enumerate(rule.non_resource_urls):
        where = f"{path}[{number}]"
        if _RESOURCE_URL.match(url):
            text = f"{shown(url)} is a path of resources: such requests are matched by resources only"
            yield subject.remark("DL115", where, text, "a rule with group and resources")
        elif "?" in url or "#" in url:
            text = f"{shown(url)} has a query, and only the path of a request is compared"
            yield subject.remark("DL115", where, text, url[: min(place for c in "?#" if (place := url.find(c)) > 0)])


def _wildcards(subject: Subject, rule: Rule, path: str) -> Iterator[Remark]:
    lists = {"users": rule.users, "userGroups": rule.user_groups, "verbs": rule.verbs, "namespaces": rule.namespaces}
    for name, values in lists.items():
        for number, value in enumerate(values):
            if "*" in value:
                yield _not_a_wildcard(subject, f"{path}.{name}[{number}]", value, _instead(name, value))
    for number, entry in enumerate(rule.resources):
        for place, value in enumerate(entry.resource_names):
            if "*" in value:
                where = f"{path}.resources[{number}].resourceNames[{place}]"
                yield _not_a_wildcard(subject, where, value, "each name, or no resourceNames at all")
        for place, value in enumerate(entry.resources):
            if not _spec_is_sound(value):
                where = f"{path}.resources[{number}].resources[{place}]"
                instead = "NAME, NAME/SUBRESOURCE, NAME/*, */SUBRESOURCE or *"
                yield _not_a_wildcard(subject, where, value, instead)


def _spec_is_sound(spec: str) -> bool:
    resource, slash, subresource = spec.partition("/")
    if "*" not in spec or spec == "*":
        return True
    halves = (resource, subresource)
    return bool(slash) and spec != "*/*" and all("*" not in half or half == "*" for half in halves)


def _instead(name: str, value: str) -> str:
    if value == "*":
        return f"no {name} at all: an absent list stands for all"
    if name == "users" and value.startswith("system:serviceaccount:") and value.endswith(":*"):
        return f"userGroups: [system:serviceaccounts:{value.split(':')[2]}]"
    if name == "users" and value.startswith("system:node:"):
        return "userGroups: [system:nodes]"
    if name == "users" and value.startswith("system:serviceaccount"):
        return "userGroups: [system:serviceaccounts]"
    return f"each of the {name} in full" + ("" if name == "verbs" else ", or a group that they share")


def _not_a_wildcard(subject: Subject, where: str, value: str, instead: str) -> Remark:
    return subject.remark("DL114", where, f"the * in {shown(value)} is a letter here, not a wildcard", instead)

"""Grants: what RBAC manifests allow a subject, held against what the log shows that was used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml
from msgspec import Struct

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from decklog.ask.rbac import Permission

_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Grant(Struct, frozen=True):
    """One rule that holds for a subject, with where it holds and where it stands."""

    source: str
    """``Role edit of namespace shop, rule 2``."""
    namespace: str
    """Empty: everywhere."""
    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...]
    paths: tuple[str, ...]

    def allows(self, wanted: Permission) -> bool:
        """Tell whether the rule allows a permission, as Kubernetes' authorizer would."""
        if not _has(self.verbs, wanted.verb):
            return False
        if not wanted.resource:
            return not self.namespace and any(_covers(path, wanted.path) for path in self.paths)
        if self.namespace and self.namespace != wanted.namespace:
            return False
        if self.names and wanted.name not in self.names:
            return False
        return _has(self.groups, wanted.group) and any(_is(resource, wanted.resource) for resource in self.resources)


def _has(allowed: tuple[str, ...], wanted: str) -> bool:
    return "*" in allowed or wanted in allowed


def _is(allowed: str, wanted: str) -> bool:
    if allowed in {"*", wanted}:
        return True
    return allowed.startswith("*/") and wanted.partition("/")[2] == allowed[2:]


def _covers(allowed: str, path: str) -> bool:
    return allowed in {"*", path} or (allowed.endswith("*") and path.startswith(allowed[:-1]))


class Unused(Struct, frozen=True):
    """What of a rule was not used."""

    source: str
    namespace: str
    verbs: tuple[str, ...]
    what: str
    never: bool
    """Nothing of the rule was used."""


def read_manifests(texts: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Read RBAC objects from manifests, Lists opened; other kinds are passed over. Raises DecklogError."""
    found: list[dict[str, Any]] = []
    for name, text in texts.items():
        try:
            documents = list(yaml.load_all(text, Loader=_LOADER))  # because: the safe loader, in C where there is one
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise DecklogError(f"{name}: no YAML: {' '.join(str(error).split())[:200]}") from error
        for document in documents:
            found += _objects(document)
    return found


def _objects(document: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(document, dict):
        return
    if isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(item)
    elif document.get("kind") in {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}:
        yield document


def grants(objects: Iterable[dict[str, Any]], subject: str, groups: Iterable[str]) -> list[Grant]:
    """Find the rules that hold for `subject`, a user or a group, who is in `groups`.

    Manifests without any binding are taken as roles that all hold.
    """
    everything = list(objects)
    roles = {_name(one): one for one in everything if one["kind"] in {"Role", "ClusterRole"}}
    bindings = [one for one in everything if one["kind"] not in {"Role", "ClusterRole"}]
    if not bindings:
        return [grant for one in roles.values() for grant in _rules(one, _namespace(one))]
    known = {*groups, *_implied(subject)}
    found: list[Grant] = []
    for binding in bindings:
        reference = _mapping(binding.get("roleRef"))
        within = _namespace(binding) if binding["kind"] == "RoleBinding" else ""
        kind, name = str(reference.get("kind")), str(reference.get("name"))
        role = roles.get((kind, within if kind == "Role" else "", name))
        if role is not None and any(_meant(one, subject, known) for one in _maps(binding.get("subjects"))):
            found += _rules(role, within)
    return found


def _implied(subject: str) -> Iterator[str]:
    if subject.startswith(_SERVICE_ACCOUNT):
        yield "system:serviceaccounts"
        yield f"system:serviceaccounts:{subject.split(':')[2]}"
    if subject != "system:anonymous":
        yield "system:authenticated"


def _meant(one: Mapping[str, Any], subject: str, groups: set[str]) -> bool:
    kind, name = one.get("kind"), str(one.get("name"))
    if kind == "ServiceAccount":
        return subject == f"{_SERVICE_ACCOUNT}{one.get('namespace')}:{name}"
    return name == subject or (kind == "Group" and name in groups) if kind in {"User", "Group"} else False


def _rules(role: dict[str, Any], namespace: str) -> Iterator[Grant]:
    kind, within, name = _name(role)
    place = f" of namespace {within}" if within else f" in namespace {namespace}" if namespace else ""
    for number, rule in enumerate(_maps(role.get("rules")), start=1):
        yield Grant(
            f"{kind} {name}{place}, rule {number}",
            namespace,
            _texts(rule.get("verbs")),
            _texts(rule.get("apiGroups")),
            _texts(rule.get("resources")),
            _texts(rule.get("resourceNames")),
            _texts(rule.get("nonResourceURLs")),
        )


def _name(one: dict[str, Any]) -> tuple[str, str, str]:
    return one["kind"], _namespace(one) if one["kind"] == "Role" else "", str(_mapping(one.get("metadata")).get("name"))


def _namespace(one: dict[str, Any]) -> str:
    return (
        str(_mapping(one.get("metadata")).get("namespace") or "default")
        if not one["kind"].startswith("Cluster")
        else ""
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _maps(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def unused(granted: Iterable[Grant], used: Iterable[Permission]) -> list[Unused]:
    """Say of each rule what nobody used: whole rules, resources, and verbs of resources."""
    everything = list(used)
    found = []
    for grant in granted:
        mine = [permission for permission in everything if grant.allows(permission)]
        if not mine:
            what = ", ".join(grant.paths or grant.resources)
            found.append(Unused(grant.source, grant.namespace, grant.verbs, what, never=True))
            continue
        idle: dict[tuple[str, ...], list[str]] = {}
        for thing in grant.paths or grant.resources:
            done = {one.verb for one in mine if (_covers(thing, one.path) if grant.paths else _is(thing, one.resource))}
            verbs = tuple(verb for verb in grant.verbs if verb != "*" and verb not in done)
            if "*" in grant.verbs:
                verbs = (*verbs, f"* (used: {', '.join(sorted(done)) or 'none'})")
            if verbs:
                idle.setdefault(verbs, []).append(thing)
        found += [
            Unused(grant.source, grant.namespace, verbs, ", ".join(some), never=False) for verbs, some in idle.items()
        ]
    return found


def not_granted(granted: Iterable[Grant], used: Iterable[Permission]) -> list[Permission]:
    """Give what was used although no rule of the manifests allows it: granted elsewhere, or no longer."""
    rules = list(granted)
    return [permission for permission in used if not any(grant.allows(permission) for grant in rules)]

"""RBAC: from what somebody did, the least that roles would have to allow; each permission with what justifies it.

| What was done | What is allowed for it |
|---|---|
| get, update, patch, delete of a named object | the verb, on these names while they are few |
| create, list, watch, deletecollection | the verb on the whole resource: no rule by names can say it |
| a create of a subresource (exec, eviction, token) | the verb, on these names: they stand in the path |
| an update or patch that created the object (code 201) | create, too: the server asks for it |
| acting as somebody else | impersonate on users, groups or service accounts, by name |
| a path that is no resource | nonResourceURLs, in a ClusterRole |

At a create there is no name yet that could be checked (generateName, a body without a name); a list by names allows
only requests that select one name.

A request counts for whom it was authorized: one made as somebody else counts for that other, and for whoever made it
the impersonation alone. What was refused is no use; it is kept apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from decklog.audit.event import ObjectReference
from decklog.audit.query import DECISION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.ask.requests import Request
    from decklog.audit.event import Event, User

MOST_NAMES: Final = 5
"""A rule that would name more objects names none."""

_NAMED: Final = frozenset(("get", "update", "patch", "delete"))
_SELECTING: Final = frozenset(("list", "watch"))
"""These name an object where they select it by metadata.name; the authorizer then asks for that name."""
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_NOTHING: Final = ObjectReference()


class Permission(Struct, frozen=True):
    """One verb on one thing, as RBAC knows it."""

    verb: str
    group: str = ""
    resource: str = ""
    """With its subresource: ``pods/log``; empty: a path."""
    namespace: str = ""
    """Empty: of the cluster, or all namespaces."""
    name: str = ""
    """Empty: cannot be, or need not be, restricted to one."""
    path: str = ""


class Evidence(Struct):
    """What a permission was used for."""

    requests: int = 0
    last: str | None = None
    audit_id: str = ""
    """Of the last request."""
    user: str = ""

    def add(self, event: Event) -> None:
        """Take one more request into account."""
        self.requests += 1
        time = event.request_received_timestamp
        if self.last is None or (time is not None and time >= self.last):
            self.last, self.audit_id, self.user = time, event.audit_id, event.user.username

    def join(self, other: Evidence) -> Evidence:
        """Put two together."""
        newer = max((self, other), key=lambda one: one.last or "")
        return Evidence(self.requests + other.requests, newer.last, newer.audit_id, newer.user)


class Usage(Struct):
    """What somebody did."""

    used: dict[Permission, Evidence] = field(default_factory=dict)
    refused: dict[Permission, Evidence] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    """Which the log shows the user in."""
    starred: dict[Permission, Evidence] = field(default_factory=dict)
    """Used with a literal ``*`` in verb, group, resource or path, as only a made-up request has: in a rule it would
    stand for everything."""
    is_user: bool = False
    """Somebody of this name was there; else it is a group's."""


class RoleRule(Struct, frozen=True):
    """One rule of a role."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    evidence: tuple[tuple[str, Evidence], ...] = ()
    """``get pods`` → what it was used for."""


class Role(Struct, frozen=True):
    """A Role of a namespace, or a ClusterRole."""

    namespace: str
    rules: tuple[RoleRule, ...]


def usage(requests: Iterable[Request], subject: str) -> Usage:
    """Collect what `subject`, a user or a group, was allowed and refused."""
    found = Usage()
    for request in requests:
        event = request.latest.event
        refused = _is_refused(event)
        if not refused and _is_unjudged(event):
            continue
        kept = found.refused if refused else found.used
        for permission in _permissions(event, subject):
            place = found.starred if _is_starred(permission) and not refused else kept
            place.setdefault(permission, Evidence()).add(event)
        acting = event.impersonated_user or event.user
        if acting.username == subject:
            found.groups.update(acting.groups)
            found.is_user = True
    return found


def _is_starred(one: Permission) -> bool:
    return "*" in f"{one.verb} {one.group} {one.resource} {one.path}"


def _is_refused(event: Event) -> bool:
    decision = event.annotations.get(DECISION)
    return decision == "forbid" if decision else bool(event.response_status and event.response_status.code == 403)


def _is_unjudged(event: Event) -> bool:
    """Whether the request never came to authorization, as far as one can tell."""
    return event.annotations.get(DECISION) is None and bool(event.response_status and event.response_status.code == 401)


def _permissions(event: Event, subject: str) -> Iterator[Permission]:
    other = event.impersonated_user
    if _is(event.user, subject) and other is not None:
        yield from _impersonations(other)
    if _is(other or event.user, subject):
        yield from _of_request(event)


def _is(user: User, subject: str) -> bool:
    return user.username == subject or subject in user.groups


def _impersonations(other: User) -> Iterator[Permission]:
    if other.username.startswith(_SERVICE_ACCOUNT):
        namespace, _, name = other.username.removeprefix(_SERVICE_ACCOUNT).partition(":")
        yield Permission("impersonate", "", "serviceaccounts", namespace, name)
        return
    yield Permission("impersonate", "", "users", "", other.username)
    for group in other.groups:
        if group != "system:authenticated":  # added by the server, not asked for
            yield Permission("impersonate", "", "groups", "", group)


def _of_request(event: Event) -> Iterator[Permission]:
    ref = event.object_ref or _NOTHING
    if not ref.resource:
        yield Permission(event.verb, path=event.request_uri.partition("?")[0])
        return
    resource = f"{ref.resource}/{ref.subresource}" if ref.subresource else ref.resource
    checked = event.verb in _NAMED or event.verb in _SELECTING or (event.verb == "create" and ref.subresource != "")
    yield Permission(event.verb, ref.api_group, resource, ref.namespace, ref.name if checked else "")
    code = event.response_status.code if event.response_status else 0
    if event.verb in {"update", "patch"} and code == 201 and not ref.subresource:
        yield Permission("create", ref.api_group, resource, ref.namespace)


def roles(used: dict[Permission, Evidence], *, most_names: int = MOST_NAMES) -> list[Role]:
    """Make the least roles that allow what was used: one a namespace, and one for the cluster if it takes one."""
    namespaces = sorted({permission.namespace for permission in used})
    return [
        Role(
            namespace,
            tuple(_rules({one: seen for one, seen in used.items() if one.namespace == namespace}, most_names)),
        )
        for namespace in namespaces
    ]


def _rules(used: dict[Permission, Evidence], most_names: int) -> Iterator[RoleRule]:
    """Put permissions of one namespace into rules: by resource, those with the same verbs and names together."""
    verbs: dict[tuple[str, str, tuple[str, ...]], dict[str, Evidence]] = {}
    for (group, resource, verb), by_name in _by_verb(used).items():
        restricted = "" not in by_name and len(by_name) <= most_names
        names = tuple(sorted(by_name)) if restricted else ()
        evidence = Evidence()
        for seen in by_name.values():
            evidence = evidence.join(seen)
        verbs.setdefault((group, resource, names), {})[verb] = evidence
    alike: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[tuple[str, dict[str, Evidence]]]] = {}
    for (group, resource, names), some in sorted(verbs.items()):
        alike.setdefault((group, tuple(sorted(some)), names), []).append((resource, some))
    for (group, these, names), members in alike.items():
        resources = tuple(resource for resource, _ in members)
        evidence_of = tuple((f"{verb} {name}", seen) for name, some in members for verb, seen in sorted(some.items()))
        yield RoleRule(these, (group,), resources, names, (), evidence_of)
    yield from _path_rules(used)


def _by_verb(used: dict[Permission, Evidence]) -> dict[tuple[str, str, str], dict[str, Evidence]]:
    found: dict[tuple[str, str, str], dict[str, Evidence]] = {}
    for one, evidence in used.items():
        if one.resource:
            by_name = found.setdefault((one.group, one.resource, one.verb), {})
            name = "" if one.verb in _SELECTING else one.name
            by_name[name] = by_name[name].join(evidence) if name in by_name else evidence
    return found


def _path_rules(used: dict[Permission, Evidence]) -> Iterator[RoleRule]:
    paths: dict[str, dict[str, Evidence]] = {}
    for one, evidence in used.items():
        if not one.resource:
            paths.setdefault(one.path, {})[one.verb] = evidence
    alike: dict[tuple[str, ...], list[str]] = {}
    for path, some in sorted(paths.items()):
        alike.setdefault(tuple(sorted(some)), []).append(path)
    for verbs, members in alike.items():
        evidence_of = tuple((f"{verb} {path}", seen) for path in members for verb, seen in sorted(paths[path].items()))
        yield RoleRule(verbs, paths=tuple(members), evidence=evidence_of)

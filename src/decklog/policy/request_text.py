"""Request text: a request as people write it → the attributes and the caller that a policy is asked about.

Three ways to write one::

    create pods/exec web-0 -n shop          as kubectl and RBAC spell it: VERB TYPE[/SUBRESOURCE] [NAME]
    get deploy/web -n shop                  TYPE/NAME, short names, kinds, deployments.apps
    GET /api/v1/namespaces/shop/pods        METHOD PATH, as it goes over the wire; also ``get /healthz``

The words are made into method and target, and `audit.attributes.resolve` reads these: so the attributes are those that
an API server would ask its policy about, not those that the words suggest. Where the two part, a note says so.

| What kubectl's words hide | What the server sees | Here |
|---|---|---|
| ``get pods`` without a name | a list | list, with a note |
| ``delete pods`` without a name | a deletion of the collection | deletecollection, with a note |
| ``create pods web-0`` | no name: it stands in the body | no name, with a note |
| no ``-n`` | kubectl sends the namespace of its context | default, with a note |
| ``-n`` for what has no namespace | nothing of it | left out, with a note |
"""

from __future__ import annotations

import re
import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from msgspec import Struct

from decklog.audit.attributes import Attributes, ResolveError, resolve
from decklog.audit.event import User
from decklog.audit.impersonation import effective, service_account
from decklog.errors import DecklogError
from decklog.policy.releases import NEWEST
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from decklog.policy.kinds import Kind, Kinds

SOMEBODY: Final = "somebody"
"""The caller where none is named: authenticated, and nobody that a policy mentions."""

_METHODS: Final = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
_HTTP_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_HTTP_VERBS: Final = {"post": "create", "put": "update", "head": "get", "read": "get"}
_KUBECTL: Final = {
    "exec": "create pods/exec NAME (or get: a WebSocket client sends one)",
    "attach": "create pods/attach NAME",
    "port-forward": "create pods/portforward NAME",
    "logs": "get pods/log NAME",
    "log": "get pods/log NAME",
    "cp": "create pods/exec NAME",
    "apply": "patch TYPE NAME",
    "edit": "patch TYPE NAME",
    "label": "patch TYPE NAME",
    "annotate": "patch TYPE NAME",
    "replace": "update TYPE NAME",
    "scale": "patch TYPE/scale NAME",
    "evict": "create pods/eviction NAME",
    "drain": "create pods/eviction NAME",
    "cordon": "patch nodes NAME",
    "describe": "get TYPE NAME",
    "top": "list pods.metrics.k8s.io",
    "run": "create pods",
    "rollout": "patch TYPE NAME",
}
"""What kubectl's own commands send."""
_ANY_KIND: Final = frozenset({"status", "scale"})
"""Subresources that a custom resource can have."""
_VERSION: Final = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")
_GROUP: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NO_WORD: Final = re.compile(r"[\x00-\x20\x7f/]")


class RequestText(Struct, frozen=True):
    """What was understood."""

    attributes: Attributes
    notes: tuple[str, ...] = ()
    """What was added or left out to make a request of the words."""


class _Words(Struct, frozen=True):
    """The parts of a request as they were written."""

    verb: str
    kind: str
    subresource: str
    name: str
    namespace: str | None
    everywhere: bool


def read_request(text: str | Sequence[str], kinds: Kinds) -> RequestText:
    """Read a request, as one text or as words. Raises DecklogError, which says what to write instead.

    `kinds` are the resources that have short names, groups and namespaces: `policy.kinds.built_in()`.
    """
    words = _split(text) if isinstance(text, str) else [part for word in text for part in _parts(word)]
    if not words:
        raise DecklogError("no request is given: write one such as 'create pods/exec web-0 -n shop' or 'GET /healthz'")
    if len(words) > 1 and words[1].startswith("/"):
        return _by_path(words)
    if words[0].upper() == words[0] and words[0] in _HTTP_METHODS:
        raise DecklogError(f"a path has to follow {words[0]}: write it as in '{words[0]} /api/v1/namespaces/shop/pods'")
    return _by_words(_sorted_out(words), kinds)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise DecklogError(f"{shown(text)} has a quote that does not end: close it") from None


def _parts(word: str) -> list[str]:
    """Take a word of a shell; one that holds a whole request is several."""
    return _split(word) if " " in word.strip() else [word]


def attributes_of_request(method: str, target: str) -> Attributes:
    """Resolve method and target. Raises DecklogError for a request that no server takes."""
    try:
        return resolve(method, target)
    except ResolveError as error:
        raise DecklogError(
            f"{method} {shown(target)} is answered {error.status} before it is audited: {error}"
        ) from None


# METHOD PATH


def _by_path(words: list[str]) -> RequestText:
    method, target, *rest = words
    if rest:
        raise DecklogError(f"{shown(rest[0])} does not belong to '{method} PATH': the path says it all")
    lower = method.lower()
    if method in _HTTP_METHODS:
        return RequestText(attributes_of_request(method, target))
    if method.upper() in _HTTP_METHODS:
        return RequestText(attributes_of_request(method.upper(), target))
    if lower in _METHODS:
        raise DecklogError(
            f"{lower} is a verb of resources, and {shown(target)} is a path: write {_METHODS[lower]} PATH"
        )
    raise DecklogError(f"{shown(method)} is no HTTP method: write one such as GET, POST, PUT, PATCH or DELETE")


# VERB TYPE NAME


def _sorted_out(words: list[str]) -> _Words:
    """Tell flags from words, as kubectl does: they may stand anywhere."""
    plain: list[str] = []
    given: dict[str, str] = {}
    everywhere = False
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word in {"-A", "--all-namespaces"}:
            everywhere = True
        elif flag := {"-n": "-n", "--namespace": "-n", "--subresource": "--subresource"}.get(name):
            given[flag] = value if equals else _value(rest, name)
        elif word.startswith("-n") and word[2:3] not in {"", "-"}:
            given["-n"] = word[2:]
        elif word.startswith("-"):
            raise DecklogError(
                f"{shown(word)} is not known in a request: flags are -n NAMESPACE, -A, --subresource NAME"
            )
        else:
            plain.append(word)
    if len(plain) < 2:
        raise DecklogError(f"{shown(' '.join(words))} is not a request: write VERB TYPE [NAME], or METHOD PATH")
    if len(plain) > 3:
        raise DecklogError(f"{shown(plain[3])} is one word too many: write VERB TYPE [NAME]; one request at a time")
    if everywhere and "-n" in given:
        raise DecklogError("-n names one namespace and -A means all: give one of them")
    kind, subresource, name = _object(plain[1:], given.get("--subresource", ""))
    return _Words(_verb(plain[0]), kind, subresource, name, given.get("-n"), everywhere)


def _value(rest: Iterable[str], flag: str) -> str:
    value = next(iter(rest), "")
    if not value:
        raise DecklogError(f"{flag} needs a value behind it")
    return value


def _verb(word: str) -> str:
    verb = word.lower()
    if verb in _METHODS:
        return verb
    if verb in _KUBECTL:
        raise DecklogError(f"{verb} is a command of kubectl, not a verb of the API: write {_KUBECTL[verb]}")
    if verb in _HTTP_VERBS:
        raise DecklogError(f"{verb} is not a verb of resources: write {_HTTP_VERBS[verb]}, or '{verb.upper()} PATH'")
    near = get_close_matches(verb[:40], _METHODS, n=1)
    meant = f": did you mean {near[0]}?" if near else f": verbs are {', '.join(_METHODS)}"
    raise DecklogError(f"{shown(word)} is not a verb that a request can have{meant}")


def _object(words: list[str], subresource: str) -> tuple[str, str, str]:
    """Take ``TYPE``, ``TYPE NAME``, ``TYPE/X``, ``TYPE/SUB NAME`` and ``TYPE/NAME/SUB`` apart: type, subresource, name.

    Of ``TYPE/X`` alone, X comes back as ``/X``: whether it is a name or a subresource depends on the type.
    """
    kind, *parts = words[0].split("/")
    name = words[1] if len(words) > 1 else ""
    if not kind or len(parts) > 2 or (len(parts) == 2 and (name or subresource)) or (parts and not parts[-1]):
        raise DecklogError(
            f"{shown(' '.join(words))} is not an object: write TYPE, TYPE/NAME, TYPE NAME or TYPE/SUB NAME"
        )
    if len(parts) == 2:
        return kind, parts[1], parts[0]
    if not parts:
        return kind, subresource, name
    if name and subresource:
        raise DecklogError(f"{shown(words[0])} and --subresource both name a subresource: give one of them")
    if name:
        return kind, parts[0], name
    return kind, subresource, parts[0] if subresource else f"/{parts[0]}"


def _by_words(words: _Words, kinds: Kinds) -> RequestText:
    notes: list[str] = []
    resource, group, version, known = _resource(words.kind, kinds)
    subresource, name = words.subresource, words.name
    if name.startswith("/"):
        is_subresource = name[1:] in (known.subresources if known else _ANY_KIND)
        subresource, name = (name[1:], "") if is_subresource else ("", name[1:])
    for what, text in (("name", name), ("subresource", subresource), ("namespace", words.namespace or "")):
        if _NO_WORD.search(text):
            raise DecklogError(f"{shown(text)} cannot be a {what}: it has a blank or a slash in it")
    verb, name = _meant(words.verb, resource, subresource, name, notes.append)
    namespace = _namespace(words, known, resource, verb, notes.append)
    target = _target(verb, group, version, namespace, resource, name, subresource)
    return RequestText(attributes_of_request(_METHODS[verb], target), tuple(notes))


def _meant(verb: str, resource: str, subresource: str, name: str, note: Callable[[str], None]) -> tuple[str, str]:
    """Give the verb that goes over the wire, and the name that goes with it."""
    if subresource:
        if not name:
            raise DecklogError(f"whose {subresource}? Name the object: {verb} {resource}/{subresource} NAME")
        if verb in {"list", "watch", "deletecollection"}:
            raise DecklogError(f"{verb} is for whole collections, and {resource}/{subresource} belongs to one object")
        return verb, name
    if verb == "get" and not name:
        note("get without a name is a list: that is what kubectl sends")
        return "list", ""
    if verb == "delete" and not name:
        note("delete without a name deletes the collection: its verb is deletecollection")
        return "deletecollection", ""
    if verb in {"update", "patch"} and not name:
        raise DecklogError(f"{verb} needs the name of an object: {verb} {resource} NAME")
    if verb == "deletecollection" and name:
        raise DecklogError("deletecollection has no name: to delete one object, write delete TYPE NAME")
    if verb == "create" and name:
        note("the name of a new object stands in the body, which a policy does not see: the request has no name")
        return verb, ""
    return verb, name


def _namespace(words: _Words, known: Kind | None, resource: str, verb: str, note: Callable[[str], None]) -> str:
    given = words.namespace
    if known is not None and not known.namespaced:
        if given:
            note(f"{resource} are in no namespace: -n {given} is left out")
        return ""
    if given:
        return given
    if words.everywhere:
        if verb not in {"list", "watch"}:
            raise DecklogError(f"-A is for list and watch, {verb} goes to one namespace: give -n NAMESPACE instead")
        return ""
    if known is None:
        note(f"{resource} is not a built-in resource and is taken as one without namespaces: else give -n NAMESPACE")
        return ""
    note("no namespace is given: -n default, as kubectl without a context would")
    return "default"


def _target(verb: str, group: str, version: str, namespace: str, resource: str, name: str, subresource: str) -> str:
    """Write the target of the request line."""
    parts = ["apis", group, version] if group else ["api", version]
    if namespace:
        parts += ["namespaces", namespace]
    parts.append(resource)
    query = "?watch=1" if verb == "watch" else ""
    if name and verb in {"list", "watch"}:
        query += f"{'&' if query else '?'}fieldSelector=metadata.name%3D{quote(name, safe='')}"
    elif name:
        parts.append(name)
    if subresource:
        parts.append(subresource)
    return "/" + "/".join(quote(part, safe="") for part in parts) + query


# TYPE


def _resource(text: str, kinds: Kinds) -> tuple[str, str, str, Kind | None]:
    """Find resource, group and version of a type as kubectl takes it, and what is known of it."""
    word, dot, rest = text.partition(".")
    version, group = _version_and_group(rest)
    lower = word.lower()
    found = [kind for kind in (*kinds.named(lower), *kinds.spelled(lower)) if not dot or _is_group(kind.group, group)]
    if found:
        # What was served last comes first, of it the exact group, then the order of the table: core, apps …
        best = min(found, key=lambda kind: (-min(kind.last, NEWEST), bool(dot) and kind.group != group))
        return best.resource, best.group, version, best
    if not dot or kinds.of_group(group):
        raise _unknown(text, lower, group, kinds)
    if _GROUP.fullmatch(group) is None or _GROUP.fullmatch(lower) is None:
        raise DecklogError(f"{shown(text)} is not a type: write RESOURCE or RESOURCE.GROUP, such as deployments.apps")
    return lower, group, version, None


def _version_and_group(rest: str) -> tuple[str, str]:
    """Take ``v1.apps`` apart; a version that is not given is v1, for policies do not see it."""
    head, _, group = rest.partition(".")
    return (head, group) if _VERSION.fullmatch(head) else ("v1", rest)


def _is_group(group: str, given: str) -> bool:
    """Tell whether a group is the one given; kubectl takes its beginning, too: ``roles.rbac``."""
    return group == given or (given != "" and group.startswith(f"{given}."))


def _unknown(text: str, word: str, group: str, kinds: Kinds) -> DecklogError:
    near = kinds.near(group, word)
    if not near and not group:
        words = {kind.resource for kind in kinds} | {kind.singular for kind in kinds}
        near = next(iter(get_close_matches(word[:60], sorted(words), 1, 0.8)), "")
    if near:
        return DecklogError(f"{shown(text)} is not a resource: did you mean {near}?")
    if group:
        return DecklogError(f"{shown(word)} is not a resource of the group {group}: see kubectl api-resources")
    return DecklogError(
        f"{shown(text)} is not a built-in resource: write a custom one with its group, {text[:40]}.GROUP"
    )


# Who


def caller(name: str = "", groups: Iterable[str] = (), *, unauthenticated: bool = False) -> User | None:
    """Give the caller of a request; None for one who could not be authenticated at all.

    `groups` may hold commas. To them come those that the authenticators add: a service account's three, a node's, and
    system:authenticated or, for system:anonymous, system:unauthenticated. Without a name it is `SOMEBODY`. Raises
    DecklogError for a caller that cannot be.
    """
    given = [group.strip() for text in groups for group in text.split(",") if group.strip()]
    if unauthenticated:
        if name or given:
            raise DecklogError("who is not authenticated has neither name nor groups: leave out one or the other")
        return None
    if name.startswith("system:serviceaccount:") and service_account(name) is None:
        raise DecklogError(f"{shown(name)} is no service account: write system:serviceaccount:NAMESPACE:NAME")
    return effective(User(name or SOMEBODY, groups=tuple(dict.fromkeys((*_own_groups(name), *given)))))


def _own_groups(name: str) -> tuple[str, ...]:
    """Give the groups that somebody of this name always has."""
    if account := service_account(name):
        return "system:serviceaccounts", f"system:serviceaccounts:{account[0]}"
    if name.startswith("system:node:"):
        return ("system:nodes",)
    return ()

"""RBAC in YAML: roles as manifests, each rule under a comment that names what justifies it, and their bindings.

Every text of the log stands in double quotes, as JSON writes it, which YAML reads as the same text: no name can begin a
key, a comment or another document.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from decklog.ask.moments import readable
from decklog.ask.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.ask.rbac import Evidence, Role, RoleRule

_GROUP: Final = "rbac.authorization.k8s.io"
_SHOWN: Final = 20
"""So many uses of a rule are named."""
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"


def manifests(roles: Iterable[Role], subject: str, *, name: str, is_group: bool) -> Iterator[str]:
    """Yield the lines of a manifest: for each role the role and its binding to `subject`."""
    for role in roles:
        kind = "Role" if role.namespace else "ClusterRole"
        yield "---"
        yield f"apiVersion: {_GROUP}/v1"
        yield f"kind: {kind}"
        yield from _metadata(name, role.namespace)
        yield "rules:"
        for rule in role.rules:
            yield from _rule(rule)
        yield "---"
        yield f"apiVersion: {_GROUP}/v1"
        yield f"kind: {kind}Binding"
        yield from _metadata(name, role.namespace)
        yield "roleRef:"
        yield f"  apiGroup: {_GROUP}"
        yield f"  kind: {kind}"
        yield f"  name: {_text(name)}"
        yield "subjects:"
        yield from _subject(subject, is_group=is_group)


def _metadata(name: str, namespace: str) -> Iterator[str]:
    yield "metadata:"
    yield f"  name: {_text(name)}"
    if namespace:
        yield f"  namespace: {_text(namespace)}"


def _rule(rule: RoleRule) -> Iterator[str]:
    for what, seen in rule.evidence[:_SHOWN]:
        times = f"{seen.requests:,} request{'' if seen.requests == 1 else 's'}"
        yield f"  # {visible(what)}: {times}; the last: {evidence_words(seen)}"
    if len(rule.evidence) > _SHOWN:
        yield f"  # and {len(rule.evidence) - _SHOWN} more"
    if rule.paths:
        yield f"  - nonResourceURLs: {_list(rule.paths)}"
    else:
        yield f"  - apiGroups: {_list(rule.groups)}"
        yield f"    resources: {_list(rule.resources)}"
        if rule.names:
            yield f"    resourceNames: {_list(rule.names)}"
    yield f"    verbs: {_list(rule.verbs)}"


def evidence_words(seen: Evidence) -> str:
    """Say which event justifies a rule; one line, whatever the log holds."""
    return f"{visible(readable(seen.last))}, {visible(seen.user or '-')}, audit ID {visible(seen.audit_id)}"


def _subject(subject: str, *, is_group: bool) -> Iterator[str]:
    if not is_group and subject.startswith(_SERVICE_ACCOUNT) and subject.count(":") == 3:
        namespace, _, name = subject.removeprefix(_SERVICE_ACCOUNT).partition(":")
        yield "  - kind: ServiceAccount"
        yield f"    name: {_text(name)}"
        yield f"    namespace: {_text(namespace)}"
        return
    yield f"  - kind: {'Group' if is_group else 'User'}"
    yield f"    apiGroup: {_GROUP}"
    yield f"    name: {_text(subject)}"


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _text(text: str) -> str:
    return json.dumps(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))

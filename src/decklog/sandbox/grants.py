"""Grants: nobody may hand out a permission that they do not have.

Lives here: the check that stands before every write of a role or a binding. Without it, whoever may write bindings in a
namespace could make themselves its master.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.sandbox import resources as known
from decklog.sandbox.authorization import Question, rules_of
from decklog.sandbox.documents import dig, text
from decklog.sandbox.status import forbidden

if TYPE_CHECKING:
    from decklog.sandbox.authorization import Authorizer
    from decklog.sandbox.http import Request
    from decklog.sandbox.objects import Object
    from decklog.sandbox.resources import Resource

_ROLES: Final = frozenset({known.ROLES, known.CLUSTER_ROLES})
_BINDINGS: Final = frozenset({known.ROLE_BINDINGS, known.CLUSTER_ROLE_BINDINGS})


class Grants:
    """Checks roles and bindings against the permissions of who writes them."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def check(self, request: Request, resource: Resource, value: Object) -> None:
        """Refuse (403) a role or binding that grants more than its writer has; the verbs escalate and bind allow it."""
        user = request.user
        if user is None or resource not in _ROLES | _BINDINGS:
            return
        namespace = text(value, "metadata", "namespace")
        name = text(value, "metadata", "name")
        if resource in _ROLES:
            rules = rules_of(value)
            exempt = Question("escalate", resource.group, resource.plural, namespace=namespace, name=name)
        else:
            reference = dig(value, "roleRef")
            rules = self._authorizer.role_rules(reference, namespace)
            plural = known.CLUSTER_ROLES.plural if text(reference, "kind") == "ClusterRole" else known.ROLES.plural
            exempt = Question("bind", resource.group, plural, namespace=namespace, name=text(reference, "name"))
        if self._authorizer.decide(user, exempt).allowed:
            return
        missing = self._authorizer.missing(user, rules, namespace)
        if missing:
            listed = "\n".join(str(rule.rendered()) for rule in missing[:10])
            groups = " ".join(f'"{group}"' for group in user.groups)
            why = (
                f'user "{user.username}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held'
            )
            raise forbidden(resource, name, f"{why}:\n{listed}")

"""Topics: what people ask about a policy (who reads secrets? who execs?), each with the level that it is recorded at.

A topic is a few requests that clusters really see; the policy is asked about each, by first match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.event import Level
from decklog.policy.lint.probes import ANONYMOUS, KUBELET, OTHER, SOMEBODY, request, service_account
from decklog.policy.matching import first_match

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.audit.event import User
    from decklog.policy.rules import Policy

_CORE: Final = f"/api/v1/namespaces/{OTHER}"
_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_POD: Final = f"{_CORE}/pods/{OTHER}"
_CONTROLLER: Final = service_account("deployment-controller")
_OF_PEOPLE: Final[tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...]] = (
    ("reading secrets", (("get", "GET", f"{_CORE}/secrets/{OTHER}"), ("list", "GET", "/api/v1/secrets"))),
    (
        "changing secrets",
        (("create", "POST", f"{_CORE}/secrets"), ("delete", "DELETE", f"{_CORE}/secrets/{OTHER}")),
    ),
    ("configmaps", (("get", "GET", f"{_CORE}/configmaps/{OTHER}"), ("update", "PUT", f"{_CORE}/configmaps/{OTHER}"))),
    (
        "exec, attach, port-forward",
        tuple(
            (f"{name} ({kind})", method, f"{_POD}/{name}")
            for name in ("exec", "attach", "portforward")
            for kind, method in (("WebSocket", "GET"), ("SPDY", "POST"))
        ),
    ),
    (
        "changes of RBAC",
        (
            ("clusterroles", "PUT", f"{_RBAC}/clusterroles/{OTHER}"),
            ("clusterrolebindings", "POST", f"{_RBAC}/clusterrolebindings"),
            ("rolebindings", "POST", f"{_RBAC}/namespaces/{OTHER}/rolebindings"),
        ),
    ),
    ("tokens of service accounts", (("create", "POST", f"{_CORE}/serviceaccounts/{OTHER}/token"),)),
    (
        "changes of webhooks",
        (
            ("validating", "POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"),
            ("mutating", "POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"),
        ),
    ),
    (
        "changes of workloads",
        (
            ("create pods", "POST", f"{_CORE}/pods"),
            ("delete pods", "DELETE", _POD),
            ("patch deployments", "PATCH", f"/apis/apps/v1/namespaces/{OTHER}/deployments/{OTHER}"),
        ),
    ),
    ("reading the rest", (("get pods", "GET", _POD), ("list nodes", "GET", "/api/v1/nodes"))),
    ("custom resources", (("create", "POST", f"/apis/decklog-other.example/v1/namespaces/{OTHER}/things"),)),
    ("discovery and health", (("/apis", "GET", "/apis"), ("/readyz", "GET", "/readyz"))),
)
_OF_OTHERS: Final[tuple[tuple[str, User | None, tuple[tuple[str, str, str], ...]], ...]] = (
    ("failed logins", None, (("get", "GET", "/api/v1/pods"), ("create", "POST", f"{_CORE}/pods"))),
    ("anonymous requests", ANONYMOUS, (("get", "GET", "/api/v1/pods"), ("/", "GET", "/"))),
    ("kubelets' status", KUBELET, (("patch", "PATCH", f"/api/v1/nodes/{OTHER}/status"),)),
    (
        "controllers' changes",
        _CONTROLLER,
        (("update", "PUT", f"/apis/apps/v1/namespaces/{OTHER}/replicasets/{OTHER}"),),
    ),
)
TOPICS: Final = (*((name, SOMEBODY, asked) for name, asked in _OF_PEOPLE), *_OF_OTHERS)


class Recorded(Struct, frozen=True, rename="camel"):
    """A topic and its level."""

    topic: str
    level: str
    """What all its requests are recorded at; empty: they differ, and `differs` says how."""
    differs: dict[str, str]
    """Level by request, where they differ."""

    @property
    def says(self) -> str:
        """Give the level in words."""
        if self.level:
            return "not at all" if self.level == Level.NONE else self.level
        return ", ".join(f"{name}: {_spoken(level)}" for name, level in self.differs.items())


def topics(policy: Policy) -> tuple[Recorded, ...]:
    """Say for each topic at which level it is recorded."""
    return tuple(_topic(policy, *topic) for topic in TOPICS)


def _topic(policy: Policy, name: str, user: User | None, asked: Iterable[tuple[str, str, str]]) -> Recorded:
    levels = {
        says: str(first_match(policy, request(says, method, path).attributes, user).level)
        for says, method, path in asked
    }
    same = set(levels.values())
    return Recorded(name, same.pop(), {}) if len(same) == 1 else Recorded(name, "", levels)


def _spoken(level: str) -> str:
    return "not at all" if level == Level.NONE else level

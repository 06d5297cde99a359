"""A little cluster's morning, as a log: what screenshots and journeys look at. Made anew the same each time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from decklog.audit.event import Event, ObjectReference, Stage, Status, User
from decklog.audit.wire import encode_line

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
MINUTES = 180
_MACHINES = (
    ("system:serviceaccount:kube-system:deployment-controller", "kube-controller-manager/v1.36.2"),
    ("system:serviceaccount:kube-system:replicaset-controller", "kube-controller-manager/v1.36.2"),
    ("system:node:worker-1", "kubelet/v1.36.2"),
    ("system:node:worker-2", "kubelet/v1.36.2"),
    ("system:kube-scheduler", "kube-scheduler/v1.36.2"),
    ("system:serviceaccount:argocd:argocd-application-controller", "argocd-application-controller/v2.14.2"),
)
_PEOPLE = (
    ("alice@example.com", "kubectl/v1.36.1 (linux/amd64)", "203.0.113.24"),
    ("bob@example.com", "kubectl/v1.35.4 (darwin/arm64)", "198.51.100.7"),
    ("carol@example.com", "k9s/v0.40.5", "203.0.113.31"),
    ("ci-deployer", "helm/v3.17.1", "192.0.2.80"),
)
_NAMESPACES = ("shop", "payments", "search", "monitoring")
_KINDS = (("deployments", "apps"), ("pods", ""), ("configmaps", ""), ("services", ""), ("secrets", ""))
_NAMES = ("web", "cart", "catalog", "checkout", "ledger", "gateway")
ALLOWED = {
    "authorization.k8s.io/decision": "allow",
    "authorization.k8s.io/reason": 'RBAC: allowed by RoleBinding "edit/shop" of Role "edit" to Group "developers"',
}
FORBIDDEN = {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""}


def _micro(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Morning:
    def __init__(self) -> None:
        self._chance = random.Random(7)
        self.events: list[Event] = []

    def event(self, when: datetime, verb: str, ref: ObjectReference, user: str, **changes: Any) -> Event:
        number = len(self.events) + 1
        group = f"s/{ref.api_group}/v1" if ref.api_group else "/v1"
        parts = ["/api" + group, f"namespaces/{ref.namespace}" if ref.namespace else "", ref.resource, ref.name]
        made = Event(
            level="Metadata",
            audit_id=f"{number:08x}-7d1c-4c4e-9a55-{self._chance.getrandbits(48):012x}",
            stage=Stage.RESPONSE_COMPLETE,
            request_uri="/".join([*filter(None, parts), *filter(None, [ref.subresource])]),
            verb=verb,
            user=User(
                user, groups=("developers", "system:authenticated") if "@" in user else ("system:authenticated",)
            ),
            source_ips=("10.0.0.12",),
            user_agent="kubectl/v1.36.1",
            object_ref=ref,
            response_status=Status(code=201 if verb == "create" else 200),
            request_received_timestamp=_micro(when),
            stage_timestamp=_micro(when + timedelta(milliseconds=self._chance.randint(2, 90))),
            annotations=ALLOWED,
        )
        made = replace(made, **changes)
        self.events.append(made)
        return made

    def machines(self) -> None:
        for minute in range(MINUTES):
            for _ in range(self._chance.randint(2, 7) + (12 if 88 <= minute <= 104 else 0)):
                user, agent = self._chance.choice(_MACHINES)
                kind, group = self._chance.choice(_KINDS[:4])
                verb = self._chance.choice(("get", "list", "watch", "update", "patch", "get"))
                name = "" if verb in {"list", "watch"} else self._chance.choice(_NAMES[1:])
                when = START + timedelta(minutes=minute, seconds=self._chance.random() * 60)
                ref = ObjectReference(kind, self._chance.choice(_NAMESPACES), name, api_group=group, api_version="v1")
                failed = self._chance.random() < 0.015
                self.event(
                    when,
                    verb,
                    ref,
                    user,
                    user_agent=agent,
                    source_ips=(f"10.0.0.{self._chance.randint(2, 9)}",),
                    **({"response_status": Status(code=409, reason="Conflict")} if failed and verb == "update" else {}),
                )

    def people(self) -> None:
        for minute in range(5, MINUTES, 2):
            user, agent, address = self._chance.choice(_PEOPLE)
            kind, group = self._chance.choice(_KINDS)
            verb = self._chance.choice(("get", "list", "get", "patch", "create", "delete"))
            name = "" if verb == "list" else f"{self._chance.choice(_NAMES)}-{self._chance.randint(1, 4)}"
            refused = kind == "secrets" and user.startswith(("bob", "carol"))
            ref = ObjectReference(kind, self._chance.choice(_NAMESPACES), name, api_group=group, api_version="v1")
            message = f'{kind} "{name}" is forbidden: User "{user}" cannot {verb} resource "{kind}"'
            self.event(
                START + timedelta(minutes=minute, seconds=self._chance.random() * 60),
                verb,
                ref,
                user,
                user_agent=agent,
                source_ips=(address, "10.0.0.12"),
                **(
                    {
                        "annotations": FORBIDDEN,
                        "response_status": Status(code=403, reason="Forbidden", message=message, status="Failure"),
                    }
                    if refused
                    else {}
                ),
            )

    def story(self) -> None:
        """Tell the life of shop/web: made, scaled, a bad image, mended, and deleted by accident."""
        alice, bob = _PEOPLE[0], _PEOPLE[1]
        steps: tuple[tuple[int, str, tuple[str, str, str], dict[str, Any]], ...] = (
            (12, "create", alice, {"replicas": 2, "image": "registry.example/web:1.27.0", "memory": "256Mi"}),
            (41, "update", alice, {"replicas": 4, "image": "registry.example/web:1.27.0", "memory": "256Mi"}),
            (88, "patch", bob, {"replicas": 4, "image": "registry.example/web:1.28.0-rc1", "memory": "256Mi"}),
            (103, "patch", alice, {"replicas": 4, "image": "registry.example/web:1.27.1", "memory": "512Mi"}),
        )
        ref = ObjectReference("deployments", "shop", "web", api_group="apps", api_version="v1")
        for minute, verb, (user, agent, address), spec in steps:
            self.event(
                START + timedelta(minutes=minute),
                verb,
                ref,
                user,
                level="RequestResponse",
                user_agent=agent,
                source_ips=(address, "10.0.0.12"),
                response_object=_deployment(**spec),
                request_object=_deployment(**spec) if verb != "patch" else Raw(b""),
            )
        self.event(
            START + timedelta(minutes=96),
            "create",
            ObjectReference("pods", "shop", "web-6c9f7", api_version="v1", subresource="exec"),
            bob[0],
            user_agent=bob[1],
            source_ips=(bob[2], "10.0.0.12"),
            request_uri="/api/v1/namespaces/shop/pods/web-6c9f7/exec?command=sh&command=-c&command=env&container=web&stdin=true",
            response_status=Status(code=101),
            stage_timestamp=_micro(START + timedelta(minutes=99)),
        )
        self.event(
            START + timedelta(minutes=171, seconds=14),
            "delete",
            ref,
            bob[0],
            user_agent=bob[1],
            source_ips=(bob[2], "10.0.0.12"),
            impersonated_user=User("system:serviceaccount:shop:deployer", groups=("system:serviceaccounts",)),
        )


def _deployment(*, replicas: int, image: str, memory: str) -> Raw:
    return Raw(
        msgspec.json.encode(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": {"app": "web"}},
                    "template": {
                        "metadata": {"labels": {"app": "web"}},
                        "spec": {
                            "containers": [
                                {"name": "web", "image": image, "resources": {"limits": {"memory": memory}}},
                            ]
                        },
                    },
                },
            }
        )
    )


def morning() -> list[Event]:
    """Give the events, in order."""
    made = _Morning()
    made.machines()
    made.people()
    made.story()
    return sorted(made.events, key=lambda event: event.stage_timestamp or "")


def write_morning(path: Path) -> Path:
    """Write the log."""
    path.write_bytes(b"".join(map(encode_line, morning())))
    return path

"""Realistic audit logs of any size, for measuring: ``python -m benchmarks.logs --events 1000000 --out audit.log``.

What a cluster of a hundred nodes writes under a policy that omits RequestReceived: the heartbeats of kubelets and
leader elections, watches (two events each), controllers at work, probes, refused requests, and a few people with
kubectl among them. One event in ten has bodies; a line is 1.8 KB on average. Every byte follows from the seed, and
lines are encoded by `decklog.audit.wire`, hence as kube-apiserver writes them.

A few requests are planted at known places of the stream, for questions to find: the constants named PLANTED.
"""

from __future__ import annotations

import argparse
import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.bodies import deployment, node_status, pod, pod_status
from decklog.audit.event import NO_OBJECT, Event, ObjectReference, Status, User
from decklog.audit.wire import encode_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEED = 20260131
NODES = 100
PLANTED_NAMESPACE = "shop"
PLANTED_NAME = "storefront"
PLANTED_USER = "mallory"
PLANTED_TEXT = "curl/8.5.0 (sold-out-probe)"
"""A user agent that three requests bear."""
PLANTED_ID = "5ca1ab1e-0b57-4ac1-9e1d-decade0ff1ce"
"""The audit ID of the deletion of ``deploy/storefront``."""

_BEGIN = datetime(2026, 1, 31, tzinfo=UTC)
_ALLOWED = {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""}
_FORBIDDEN = {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""}
_OK, _CREATED = Status(code=200), Status(code=201)
_WATCHED = ("pods", "services", "configmaps", "secrets", "nodes", "endpointslices", "deployments", "replicasets")
_GROUPS = {
    "deployments": "apps",
    "replicasets": "apps",
    "leases": "coordination.k8s.io",
    "endpointslices": "discovery.k8s.io",
    "subjectaccessreviews": "authorization.k8s.io",
    "tokenreviews": "authentication.k8s.io",
    "rolebindings": "rbac.authorization.k8s.io",
}
_APPS = ("web", "cart", "payments", "search", "catalog", "mailer", "ledger", "gateway", "session-store", "exporter")
_PEOPLE = ("alice", "bob", "carol", "dave@example.com", "erin", "frank", "grace", "heidi")
_KUBECTL = "kubectl/v1.33.2 (linux/amd64) kubernetes/a57b6f7"


@dataclass(frozen=True)
class Request:
    """What is asked, before it has a time and an ID."""

    user: User
    agent: str
    verb: str
    uri: str
    ref: ObjectReference | None
    address: str
    seconds: float = 0.004
    status: Status = _OK
    sent: bytes = b""
    answered: bytes = b""
    annotations: dict[str, str] = field(default_factory=lambda: _ALLOWED)
    audit_id: str = ""


def _path(resource: str, namespace: str, name: str = "", subresource: str = "") -> str:
    group = _GROUPS.get(resource, "")
    root = f"/apis/{group}/v1" if group else "/api/v1"
    parts = (root, f"namespaces/{namespace}" if namespace else "", resource, name, subresource)
    return "/".join(filter(None, parts))


def _ref(resource: str, namespace: str = "", name: str = "", subresource: str = "", uid: str = "") -> ObjectReference:
    return ObjectReference(resource, namespace, name, uid, _GROUPS.get(resource, ""), "v1", "", subresource)


def service_account(namespace: str, name: str, node: str, rng: random.Random) -> User:
    """Give a service account as a bound token names it."""
    return User(
        f"system:serviceaccount:{namespace}:{name}",
        _uuid(rng),
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
        {
            "authentication.kubernetes.io/credential-id": (f"JTI={_uuid(rng)}",),
            "authentication.kubernetes.io/node-name": (node,),
            "authentication.kubernetes.io/node-uid": (_uuid(rng),),
            "authentication.kubernetes.io/pod-name": (f"{name}-{rng.getrandbits(40):x}",),
            "authentication.kubernetes.io/pod-uid": (_uuid(rng),),
        },
    )


def _certified(name: str, group: str, rng: random.Random) -> User:
    digest = f"X509SHA256={rng.getrandbits(256):064x}"
    return User(name, "", (group, "system:authenticated"), {"authentication.kubernetes.io/credential-id": (digest,)})


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


class Cluster:
    """Who is there, and what they ask."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._nodes = [f"ip-10-0-{n // 250}-{n % 250 + 4}.eu-central-1.compute.internal" for n in range(NODES)]
        self._kubelets = [_certified(f"system:node:{node}", "system:nodes", rng) for node in self._nodes]
        self._people = [_certified(name, "developers", rng) for name in _PEOPLE]
        self._scheduler = _certified("system:kube-scheduler", "system:authenticated", rng)
        self._manager = _certified("system:kube-controller-manager", "system:authenticated", rng)
        self._namespaces = [PLANTED_NAMESPACE, *(f"team-{n:02d}" for n in range(39))]
        self._controllers = [
            service_account("kube-system", name, rng.choice(self._nodes), rng)
            for name in ("replicaset-controller", "deployment-controller", "endpointslice-controller", "coredns")
        ]
        self._workers = [
            service_account(rng.choice(self._namespaces), rng.choice(_APPS), rng.choice(self._nodes), rng)
            for _ in range(60)
        ]
        self._bodies: dict[Callable[[random.Random], bytes], list[bytes]] = {
            make: [make(rng) for _ in range(40)] for make in (deployment, pod, pod_status, node_status)
        }
        self._kinds: list[Callable[[], Request]] = [
            kind for kind, weight in self._traffic().items() for _ in range(weight)
        ]

    def _traffic(self) -> dict[Callable[[], Request], int]:
        """Weights in thousandths of requests; those of watches count twice in events."""
        return {
            self._node_lease: 270,
            self._leader_lease: 160,
            self._watch: 110,
            self._read: 140,
            self._list: 50,
            self._review: 70,
            self._probe: 45,
            self._discovery: 15,
            self._pod_status: 50,
            self._node_status: 22,
            self._controller_write: 44,
            self._person: 16,
            self._refused: 10,
        }

    def request(self) -> Request:
        """Give the next request that reaches the API server."""
        return self._rng.choice(self._kinds)()

    def planted(self, number: int) -> Request:
        """Give one of the requests that questions are about."""
        person = _certified(PLANTED_USER, "developers", random.Random(number))
        uri = _path("deployments", PLANTED_NAMESPACE, PLANTED_NAME)
        ref = _ref("deployments", PLANTED_NAMESPACE, PLANTED_NAME)
        if number == 0:
            return Request(person, _KUBECTL, "delete", uri, ref, "203.0.113.9", audit_id=PLANTED_ID)
        return Request(person, PLANTED_TEXT, "get", uri, ref, "203.0.113.9")

    def _address(self) -> str:
        return f"10.0.{self._rng.randrange(4)}.{self._rng.randrange(4, 250)}"

    def _node(self) -> tuple[str, User]:
        place = self._rng.randrange(NODES)
        return self._nodes[place], self._kubelets[place]

    def _node_lease(self) -> Request:
        node, user = self._node()
        uri = _path("leases", "kube-node-lease", node) + "?timeout=10s"
        ref = _ref("leases", "kube-node-lease", node, uid=_uuid(self._rng))
        return Request(user, "kubelet/v1.33.2 (linux/amd64) kubernetes/a57b6f7", "update", uri, ref, self._address())

    def _leader_lease(self) -> Request:
        name, user = self._rng.choice((("kube-scheduler", self._scheduler), ("kube-controller-manager", self._manager)))
        verb = self._rng.choice(("get", "update"))
        agent = f"{name}/v1.33.2 (linux/amd64) kubernetes/a57b6f7/leader-election"
        uri = _path("leases", "kube-system", name) + "?timeout=5s"
        return Request(user, agent, verb, uri, _ref("leases", "kube-system", name), self._address())

    def _watch(self) -> Request:
        resource = self._rng.choice(_WATCHED)
        user = self._rng.choice((*self._workers, *self._controllers))
        version = self._rng.randrange(10**8, 10**9)
        uri = (
            f"{_path(resource, '')}?allowWatchBookmarks=true&resourceVersion={version}"
            f"&timeoutSeconds={self._rng.randrange(300, 600)}&watch=true"
        )
        agent = f"{user.username.rpartition(':')[2]}/v0.0.0 (linux/amd64) kubernetes/$Format"
        seconds = self._rng.uniform(300, 600)
        return Request(user, agent, "watch", uri, _ref(resource), self._address(), seconds)

    def _read(self) -> Request:
        user, namespace = self._rng.choice(self._workers), self._rng.choice(self._namespaces)
        resource = self._rng.choice(("configmaps", "secrets", "pods", "endpointslices"))
        name = f"{self._rng.choice(_APPS)}-{self._rng.randrange(60)}"
        uri = _path(resource, namespace, name)
        return Request(user, "operator/v1.12.0", "get", uri, _ref(resource, namespace, name), self._address())

    def _list(self) -> Request:
        user, namespace = self._rng.choice(self._workers), self._rng.choice(self._namespaces)
        uri = _path("pods", namespace) + f"?labelSelector=app%3D{self._rng.choice(_APPS)}&limit=500"
        return Request(user, "operator/v1.12.0", "list", uri, _ref("pods", namespace), self._address(), 0.03)

    def _review(self) -> Request:
        resource = self._rng.choice(("tokenreviews", "subjectaccessreviews"))
        _, user = self._node()
        return Request(
            user, "kubelet/v1.33.2", "create", _path(resource, ""), _ref(resource), self._address(), 0.002, _CREATED
        )

    def _probe(self) -> Request:
        nobody = User("system:anonymous", "", ("system:unauthenticated",))
        path = self._rng.choice(("/livez", "/readyz", "/healthz?exclude=kms"))
        return Request(nobody, "kube-probe/1.33", "get", path, None, "127.0.0.1", 0.001)

    def _discovery(self) -> Request:
        user = self._rng.choice(self._workers)
        path = self._rng.choice(("/apis", "/api", "/openapi/v2?timeout=32s", "/openapi/v3", "/version"))
        return Request(user, "operator/v1.12.0", "get", path, None, self._address(), 0.02)

    def _pod_status(self) -> Request:
        _, user = self._node()
        namespace, name = self._rng.choice(self._namespaces), self._pod_name()
        uri = _path("pods", namespace, name, "status")
        body = self._body(pod_status, namespace, name)
        answer = self._body(pod, namespace, name)
        ref = _ref("pods", namespace, name, "status")
        return Request(user, "kubelet/v1.33.2", "patch", uri, ref, self._address(), sent=body, answered=answer)

    def _node_status(self) -> Request:
        node, user = self._node()
        body = self._body(node_status, "", node)
        uri = _path("nodes", "", node, "status") + "?timeout=10s"
        return Request(user, "kubelet/v1.33.2", "patch", uri, _ref("nodes", "", node, "status"), "10.0.0.9", sent=body)

    def _controller_write(self) -> Request:
        user, namespace = self._rng.choice(self._controllers), self._rng.choice(self._namespaces)
        verb = self._rng.choice(("create", "update", "delete"))
        resource, make = self._rng.choice((("pods", pod), ("deployments", deployment)))
        name = self._pod_name()
        body = self._body(make, namespace, name)
        agent = "kube-controller-manager/v1.33.2 (linux/amd64) kubernetes/a57b6f7/system:serviceaccount:kube-system"
        if verb == "delete":
            return Request(
                user, agent, verb, _path(resource, namespace, name), _ref(resource, namespace, name), self._address()
            )
        uri = _path(resource, namespace, name if verb == "update" else "")
        status = _OK if verb == "update" else _CREATED
        return Request(
            user, agent, verb, uri, _ref(resource, namespace, name), self._address(), 0.01, status, body, body
        )

    def _person(self) -> Request:
        user, namespace = self._rng.choice(self._people), self._rng.choice(self._namespaces)
        verb = self._rng.choice(("get", "get", "list", "patch", "delete", "create"))
        name = self._rng.choice(_APPS)
        address = f"203.0.113.{self._rng.randrange(20, 40)}"
        if verb == "create":  # kubectl exec
            pod_name = self._pod_name()
            uri = _path("pods", namespace, pod_name, "exec") + "?command=sh&container=main&stdin=true&tty=true"
            ref = _ref("pods", namespace, pod_name, "exec")
            switching = Status(code=101)
            return Request(user, _KUBECTL, verb, uri, ref, address, self._rng.uniform(5, 300), switching)
        body = self._body(deployment, namespace, name) if verb == "patch" else b""
        target = "" if verb == "list" else name
        uri, ref = _path("deployments", namespace, target), _ref("deployments", namespace, target)
        return Request(user, _KUBECTL, verb, uri, ref, address, 0.01, sent=body, answered=body)

    def _refused(self) -> Request:
        user, namespace = self._rng.choice((*self._people, *self._workers)), self._rng.choice(self._namespaces)
        message = f'secrets is forbidden: User "{user.username}" cannot list resource "secrets" in API group ""'
        status = Status(status="Failure", message=message, reason="Forbidden", code=403)
        uri, ref = _path("secrets", namespace), _ref("secrets", namespace)
        return Request(user, _KUBECTL, "list", uri, ref, self._address(), 0.001, status, annotations=_FORBIDDEN)

    def _pod_name(self) -> str:
        return f"{self._rng.choice(_APPS)}-{self._rng.getrandbits(36):09x}-{self._rng.getrandbits(20):05x}"

    def _body(self, make: Callable[[random.Random], bytes], namespace: str, name: str) -> bytes:
        return (
            self._rng.choice(self._bodies[make])
            .replace(b"@NAMESPACE@", namespace.encode())
            .replace(b"@NAME@", name.encode())
        )


def lines(events: int, seed: int = SEED) -> Iterator[bytes]:
    """Yield the lines of a log of `events` events, in the order in which a server would have written them."""
    rng = random.Random(seed)
    cluster = Cluster(rng)
    planted = {events * percent // 100: number for number, percent in enumerate((37, 61, 62, 80))}
    waiting: list[tuple[datetime, int, bytes]] = []
    now, number = _BEGIN, 0
    for count in range(events):
        if waiting and waiting[0][0] <= now and count not in planted:
            yield heappop(waiting)[2]
            continue
        request = cluster.planted(planted[count]) if count in planted else cluster.request()
        audit_id = request.audit_id or _uuid(rng)
        end = now + timedelta(seconds=request.seconds)
        if request.seconds > 1:
            heappush(waiting, (end, number, _line(request, audit_id, "ResponseComplete", now, end)))
            yield _line(request, audit_id, "ResponseStarted", now, now + timedelta(milliseconds=2))
        else:
            yield _line(request, audit_id, "ResponseComplete", now, end)
        number += 1
        now += timedelta(microseconds=rng.randrange(200, 7000))


def _line(request: Request, audit_id: str, stage: str, received: datetime, at: datetime) -> bytes:
    bodies = request.sent != b"" or request.answered != b""
    level = "Metadata" if not bodies else "RequestResponse" if request.answered else "Request"
    return encode_line(
        Event(
            level=level,
            audit_id=audit_id,
            stage=stage,
            request_uri=request.uri,
            verb=request.verb,
            user=request.user,
            source_ips=(request.address,),
            user_agent=request.agent,
            object_ref=request.ref,
            response_status=request.status,
            request_object=msgspec.Raw(request.sent) if request.sent else NO_OBJECT,
            response_object=msgspec.Raw(request.answered) if request.answered else NO_OBJECT,
            request_received_timestamp=_time(received),
            stage_timestamp=_time(at),
            annotations=request.annotations,
        )
    )


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"


def write(path: Path, events: int, seed: int = SEED) -> dict[str, Any]:
    """Write a log; give what is in it."""
    size = bodies = 0
    with path.open("wb") as file:
        for line in lines(events, seed):
            size += len(line)
            bodies += b'"requestObject":' in line
            file.write(line)
    return {"events": events, "bytes": size, "average": size // max(events, 1), "bodies": bodies / max(events, 1)}


def main() -> None:
    """Write a log and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    print(write(arguments.out, arguments.events, arguments.seed))


if __name__ == "__main__":
    main()

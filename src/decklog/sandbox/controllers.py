"""Controllers: what a control plane and a kubelet would make of the objects, invented.

Lives here: one reconciler a kind. Each looks at what is there and makes it what it should be, as real ones do; but at
once, inside the write that caused it, and without requests of its own: so it leaves no trace in the audit log. Nothing
runs: a pod is Running because its status says so.

=====================================  ===============================================================================
What a user sees                       What is behind it
=====================================  ===============================================================================
pods run, and are gone when deleted    a status is written; the grace period is not waited for
deployments, replica sets, stateful    their pods are made and removed, at most `POD_LIMIT` for each; status is counted
sets and daemon sets have pods         from them
jobs complete at once                  one pod for each completion, Succeeded from the start
cron jobs, autoscalers, budgets        are kept, and nothing comes of them
a namespace takes its content along    at once; objects with finalizers hold it up, as on a real server
owned objects go with their owner      at once (propagation Orphan cuts the tie instead)
=====================================  ===============================================================================
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from decklog.sandbox import resources as known
from decklog.sandbox.documents import copied, count, dicts, dig, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from decklog.sandbox.cluster import Cluster
    from decklog.sandbox.objects import Object
    from decklog.sandbox.resources import Resource

POD_LIMIT: Final = 100
"""How many pods a workload gets, whatever it asks for."""
NODE: Final = "sandbox-node"
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_HASH: Final = "pod-template-hash"
_REVISION_HASH: Final = "controller-revision-hash"
_REVISION: Final = "deployment.kubernetes.io/revision"


class Controllers:
    """Reconciles one object at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._addresses = 0
        self._reconcilers: dict[Resource, Callable[[Object], None]] = {
            known.NAMESPACES: self._namespace,
            known.PODS: self._pod,
            known.DEPLOYMENTS: self._deployment,
            known.REPLICA_SETS: self._replica_set,
            known.STATEFUL_SETS: self._stateful_set,
            known.DAEMON_SETS: self._daemon_set,
            known.JOBS: self._job,
        }

    def reconcile(self, resource: Resource, namespace: str, name: str) -> None:
        """Make what belongs to an object what it should be; nothing, if the object is gone or going."""
        reconciler = self._reconcilers.get(resource)
        value = self._store.get(resource, namespace, name)
        going = dig(value, "metadata", "deletionTimestamp") and resource is not known.NAMESPACES
        if reconciler is not None and value is not None and not going:
            reconciler(value)

    # -- reconcilers

    def _namespace(self, home: Object) -> None:
        name = _name(home)
        if not dig(home, "metadata", "deletionTimestamp"):
            if self._store.get(known.SERVICE_ACCOUNTS, name, "default") is None:
                self._cluster.create(known.SERVICE_ACCOUNTS, blank(known.SERVICE_ACCOUNTS, "default", name))
            return
        for value in self._content(name):
            self._cluster.delete(known.BY_KIND[value["apiVersion"], value["kind"]], value)
        if not self._content(name) and not dig(home, "metadata", "finalizers"):
            self._cluster.remove(known.NAMESPACES, home)

    def _content(self, namespace: str) -> list[Object]:
        return [value for value in self._store.everything() if text(value, "metadata", "namespace") == namespace]

    def _pod(self, pod: Object) -> None:
        if text(pod, "status", "phase") == "Pending":
            spec = {**pod["spec"], "nodeName": text(pod, "spec", "nodeName") or NODE}
            self._cluster.write(known.PODS, {**pod, "spec": spec, "status": self._running(pod)})

    def _running(self, pod: Object) -> dict[str, Any]:
        done = any(owner.get("kind") == "Job" for owner in dicts(pod, "metadata", "ownerReferences"))
        now = self._cluster.now()
        self._addresses += 1
        address = f"10.244.{self._addresses >> 8 & 255}.{self._addresses & 255}"
        ready = "False" if done else "True"
        words = {"Initialized": "True", "Ready": ready, "ContainersReady": ready, "PodScheduled": "True"}
        return {
            "phase": "Succeeded" if done else "Running",
            "conditions": [_condition(kind, status, now) for kind, status in words.items()],
            "hostIP": "192.0.2.1",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "containerStatuses": [_container_status(item, now, done=done) for item in dicts(pod, "spec", "containers")],
            "qosClass": text(pod, "status", "qosClass"),
        }

    def _deployment(self, deployment: Object) -> None:
        template = copied(deployment["spec"].get("template") or {})
        digest = _digest(template)
        older = self._owned(known.REPLICA_SETS, deployment)
        current = next((rs for rs in older if text(rs, "metadata", "labels", _HASH) == digest), None)
        revision = 1 + max((_revision(rs) for rs in older if rs is not current), default=0)
        if current is None:
            current = self._new_replica_set(deployment, template, digest, revision)
        elif _revision(current) < revision:
            # An old template is wanted again (rollout undo): its replica set becomes the latest revision.
            current = self._annotated(current, revision)
        wanted = count(deployment, "spec", "replicas")
        for replica_set in self._owned(known.REPLICA_SETS, deployment):
            self._scale(replica_set, wanted if _name(replica_set) == _name(current) else 0)
        running = sum(len(self._owned(known.PODS, rs)) for rs in self._owned(known.REPLICA_SETS, deployment))
        self._deployment_status(deployment, running, str(_revision(current)))

    def _new_replica_set(
        self,
        deployment: Object,
        template: dict[str, Any],
        digest: str,
        revision: int,
    ) -> Object:
        labels = {**(dig(template, "metadata", "labels") or {}), _HASH: digest}
        template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
        selector = copied(deployment["spec"].get("selector") or {})
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), _HASH: digest}
        value = blank(known.REPLICA_SETS, f"{_name(deployment)}-{digest}", text(deployment, "metadata", "namespace"))
        value["metadata"] |= {
            "labels": labels,
            "annotations": {_REVISION: str(revision)},
            "ownerReferences": [_owner(known.DEPLOYMENTS, deployment)],
        }
        replicas = count(deployment, "spec", "replicas")
        value["spec"] = {"replicas": replicas, "selector": selector, "template": template}
        return self._cluster.create(known.REPLICA_SETS, value)

    def _annotated(self, replica_set: Object, revision: int) -> Object:
        annotations = {**(replica_set["metadata"].get("annotations") or {}), _REVISION: str(revision)}
        metadata = {**replica_set["metadata"], "annotations": annotations}
        return self._cluster.write(known.REPLICA_SETS, {**replica_set, "metadata": metadata})

    def _scale(self, replica_set: Object, replicas: int) -> None:
        if count(replica_set, "spec", "replicas") != replicas:
            generation = count(replica_set, "metadata", "generation") + 1
            metadata = {**replica_set["metadata"], "generation": generation}
            spec = {**replica_set["spec"], "replicas": replicas}
            self._cluster.write(known.REPLICA_SETS, {**replica_set, "metadata": metadata, "spec": spec})

    def _deployment_status(self, deployment: Object, running: int, revision: str) -> None:
        enough = running >= min(count(deployment, "spec", "replicas"), POD_LIMIT)
        since = text(deployment, "metadata", "creationTimestamp")
        available = _condition("Available", "True" if enough else "False", since)
        status = {
            "observedGeneration": count(deployment, "metadata", "generation"),
            **_nonzero(running, "replicas updatedReplicas readyReplicas availableReplicas"),
            "conditions": [
                _condition("Progressing", "True", since) | {"reason": "NewReplicaSetAvailable"},
                available | {"reason": "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"},
            ],
        }
        annotations = {**(deployment["metadata"].get("annotations") or {}), _REVISION: revision}
        metadata = {**deployment["metadata"], "annotations": annotations}
        self._write_if_changed(known.DEPLOYMENTS, deployment, {**deployment, "metadata": metadata, "status": status})

    def _replica_set(self, replica_set: Object) -> None:
        names = self._random_names(replica_set)
        running = self._match_pods(known.REPLICA_SETS, replica_set, count(replica_set, "spec", "replicas"), names)
        status = {
            "replicas": running,
            **_nonzero(running, "fullyLabeledReplicas readyReplicas availableReplicas"),
            "observedGeneration": count(replica_set, "metadata", "generation"),
        }
        self._write_status(known.REPLICA_SETS, replica_set, status)

    def _stateful_set(self, stateful_set: Object) -> None:
        wanted = count(stateful_set, "spec", "replicas")
        names = (f"{_name(stateful_set)}-{ordinal}" for ordinal in range(POD_LIMIT))
        digest = _digest(stateful_set["spec"].get("template"))
        running = self._match_pods(known.STATEFUL_SETS, stateful_set, wanted, names, digest)
        status = {
            "observedGeneration": count(stateful_set, "metadata", "generation"),
            "replicas": running,
            **_nonzero(running, "readyReplicas currentReplicas updatedReplicas availableReplicas"),
            "currentRevision": f"{_name(stateful_set)}-{digest}",
            "updateRevision": f"{_name(stateful_set)}-{digest}",
        }
        self._write_status(known.STATEFUL_SETS, stateful_set, status)

    def _daemon_set(self, daemon_set: Object) -> None:
        digest = _digest(daemon_set["spec"].get("template"))
        running = self._match_pods(known.DAEMON_SETS, daemon_set, 1, self._random_names(daemon_set), digest)
        counted = "currentNumberScheduled desiredNumberScheduled numberReady updatedNumberScheduled numberAvailable"
        status = {
            **dict.fromkeys(counted.split(), running),
            "numberMisscheduled": 0,
            "observedGeneration": count(daemon_set, "metadata", "generation"),
        }
        self._write_status(known.DAEMON_SETS, daemon_set, status)

    def _job(self, job: Object) -> None:
        if text(job, "status", "completionTime") or dig(job, "spec", "suspend") is True:
            return
        done = self._match_pods(known.JOBS, job, count(job, "spec", "completions"), self._random_names(job))
        now = self._cluster.now()
        conditions = [_condition(kind, "True", now) for kind in ("SuccessCriteriaMet", "Complete")]
        status = {"conditions": conditions, "startTime": now, "completionTime": now, "succeeded": done, "ready": 0}
        self._write_status(known.JOBS, job, status)

    # -- what reconcilers do

    def _match_pods(
        self,
        resource: Resource,
        owner: Object,
        wanted: int,
        names: Iterator[str],
        digest: str = "",
    ) -> int:
        """Make or remove pods until there are as many as wanted, all of the revision `digest`; answers their number."""
        pods = self._owned(known.PODS, owner)
        kept = [pod for pod in pods if not digest or text(pod, "metadata", "labels", _REVISION_HASH) == digest]
        kept = sorted(kept, key=_ordinal)[: max(0, min(wanted, POD_LIMIT))]
        staying = {_name(pod) for pod in kept}
        for pod in pods:
            if _name(pod) not in staying:
                self._cluster.delete(known.PODS, pod)
        missing = max(0, min(wanted, POD_LIMIT)) - len(kept)
        free = (name for name in names if name not in staying)
        for name, _ in zip(free, range(missing), strict=False):
            self._new_pod(resource, owner, name, digest)
        return len(self._owned(known.PODS, owner))

    def _new_pod(self, resource: Resource, owner: Object, name: str, digest: str) -> None:
        namespace = text(owner, "metadata", "namespace")
        if self._store.get(known.PODS, namespace, name) is not None:
            return
        template = copied(owner["spec"].get("template") or {})
        given = template.get("metadata") or {}
        labels = {**(given.get("labels") or {}), **({_REVISION_HASH: digest} if digest else {})}
        pod = blank(known.PODS, name, namespace)
        pod["metadata"] |= {
            **({} if resource is known.STATEFUL_SETS else {"generateName": f"{_name(owner)}-"}),
            "labels": labels,
            **({"annotations": given["annotations"]} if "annotations" in given else {}),
            "ownerReferences": [_owner(resource, owner)],
        }
        self._cluster.create(known.PODS, {**pod, "spec": template.get("spec") or {}})

    def _random_names(self, owner: Object) -> Iterator[str]:
        while True:
            yield f"{_name(owner)}-{self._cluster.suffix()}"

    def _owned(self, resource: Resource, owner: Object) -> list[Object]:
        uid, namespace = owner["metadata"]["uid"], text(owner, "metadata", "namespace")
        return [
            value
            for value in self._store.objects(resource, namespace)
            if any(reference.get("uid") == uid for reference in dicts(value, "metadata", "ownerReferences"))
            and not dig(value, "metadata", "deletionTimestamp")
        ]

    def _write_status(self, resource: Resource, read: Object, status: dict[str, Any]) -> None:
        value = self._store.get(resource, text(read, "metadata", "namespace"), _name(read))
        if value is not None:
            self._write_if_changed(resource, value, {**value, "status": status})

    def _write_if_changed(self, resource: Resource, old: Object, new: Object) -> None:
        if old != new:
            self._cluster.write(resource, new)


def letters(source: str, length: int) -> str:
    """Make a text of the alphabet of generated names, which spells no words."""
    number = int.from_bytes(hashlib.sha256(source.encode()).digest(), "big")
    return "".join(_ALPHABET[number // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(length))


def blank(resource: Resource, name: str, namespace: str = "") -> Object:
    """Begin an object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"kind": resource.kind, "apiVersion": resource.group_version, "metadata": metadata}


def _digest(template: Any) -> str:
    return letters(msgspec.json.encode(template, order="sorted").decode(), 10)


def _revision(replica_set: Object) -> int:
    written = text(replica_set, "metadata", "annotations", _REVISION)
    return int(written) if written.isascii() and written.isdecimal() and len(written) < 10 else 0


def _ordinal(pod: Object) -> tuple[int, str]:
    last = _name(pod).rpartition("-")[2]
    return (int(last) if last.isascii() and last.isdecimal() and len(last) < 6 else 0, _name(pod))


def _container_status(container: dict[str, Any], now: str, *, done: bool) -> dict[str, Any]:
    finished = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
    return {
        "name": text(container, "name"),
        "state": {"terminated": finished} if done else {"running": {"startedAt": now}},
        "lastState": {},
        "ready": not done,
        "restartCount": 0,
        "image": text(container, "image"),
        "imageID": "",
        "started": not done,
    }


def _owner(resource: Resource, value: Object) -> dict[str, Any]:
    return {
        "apiVersion": resource.group_version,
        "kind": resource.kind,
        "name": _name(value),
        "uid": value["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _name(value: Object) -> str:
    return text(value, "metadata", "name")


def _condition(kind: str, status: str, since: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastTransitionTime": since}


def _nonzero(number: int, fields: str) -> dict[str, int]:
    return dict.fromkeys(fields.split(), number) if number else {}

"""Bodies of objects as they stand in audit logs, made from a seed; the caller puts in `@NAME@` and `@NAMESPACE@`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import random

_TIME = "2026-01-31T00:00:00Z"


def deployment(rng: random.Random) -> bytes:
    """Make a Deployment that kubectl applied, with its last applied configuration and managed fields."""
    template = {"metadata": {"labels": {"app": "@NAME@"}}, "spec": _pod_spec(rng)}
    spec = {
        "replicas": rng.randrange(1, 9),
        "selector": {"matchLabels": {"app": "@NAME@"}},
        "template": template,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }
    applied = msgspec.json.encode({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}).decode()
    metadata = _metadata(rng, {"kubectl.kubernetes.io/last-applied-configuration": applied + "\n"})
    return _encoded({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": metadata, "spec": spec})


def pod(rng: random.Random) -> bytes:
    """Make a running Pod."""
    return _encoded(
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": _metadata(rng, {}),
            "spec": _pod_spec(rng),
            "status": _pod_status(rng),
        }
    )


def pod_status(rng: random.Random) -> bytes:
    """Make the patch by which a kubelet reports a Pod."""
    return _encoded({"metadata": {"uid": _uid(rng)}, "status": _pod_status(rng)})


def node_status(rng: random.Random) -> bytes:
    """Make the patch by which a kubelet reports its Node, with the images it holds."""
    kinds = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    images = [
        {
            "names": [f"registry.example/{_word(rng)}@sha256:{rng.getrandbits(256):064x}"],
            "sizeBytes": rng.getrandbits(28),
        }
        for _ in range(rng.randrange(10, 40))
    ]
    return _encoded({"status": {"conditions": [_condition(kind) for kind in kinds], "images": images}})


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


def _metadata(rng: random.Random, annotations: dict[str, str]) -> dict[str, Any]:
    return {
        "name": "@NAME@",
        "namespace": "@NAMESPACE@",
        "uid": _uid(rng),
        "resourceVersion": str(rng.getrandbits(30)),
        "generation": rng.randrange(1, 40),
        "creationTimestamp": _TIME,
        "labels": {"app": "@NAME@", "app.kubernetes.io/part-of": _word(rng)},
        "annotations": {**annotations, "deployment.kubernetes.io/revision": str(rng.randrange(1, 40))},
        "managedFields": [
            {
                "manager": manager,
                "operation": "Update",
                "apiVersion": "v1",
                "time": _TIME,
                "fieldsType": "FieldsV1",
                "fieldsV1": {f"f:{_word(rng)}": {f"f:{_word(rng)}": {}} for _ in range(rng.randrange(6, 18))},
            }
            for manager in ("kubectl-client-side-apply", "kube-controller-manager")
        ],
    }


def _pod_spec(rng: random.Random) -> dict[str, Any]:
    return {
        "containers": [
            {
                "name": name,
                "image": f"registry.example/{_word(rng)}:{rng.randrange(1, 20)}.{rng.randrange(40)}",
                "command": ["/bin/sh", "-c", f"test -s /etc/{_word(rng)} && exec /app >/dev/stdout 2>&1"],
                "env": [{"name": _word(rng).upper(), "value": f"{rng.getrandbits(64):x}"} for _ in range(8)],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                "volumeMounts": [{"name": _word(rng), "mountPath": f"/var/run/{_word(rng)}", "readOnly": True}],
                "terminationMessagePath": "/dev/termination-log",
                "imagePullPolicy": "IfNotPresent",
            }
            for name in ("main", "sidecar")[: rng.randrange(1, 3)]
        ],
        "restartPolicy": "Always",
        "serviceAccountName": _word(rng),
        "tolerations": [
            {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("not-ready", "unreachable")
        ],
    }


def _pod_status(rng: random.Random) -> dict[str, Any]:
    return {
        "phase": "Running",
        "conditions": [_condition(kind) for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
        "podIP": f"10.244.{rng.randrange(250)}.{rng.randrange(250)}",
        "containerStatuses": [
            {
                "name": "main",
                "ready": True,
                "restartCount": rng.randrange(5),
                "imageID": f"registry.example/{_word(rng)}@sha256:{rng.getrandbits(256):064x}",
                "containerID": f"containerd://{rng.getrandbits(256):064x}",
            }
        ],
    }


def _condition(kind: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "lastProbeTime": _TIME, "lastTransitionTime": _TIME, "reason": "KubeletOK"}


def _uid(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("bcdfglmnprstv") + rng.choice("aeiou") for _ in range(4))

"""Defaults: what the API server adds to an object that is created or changed.

Lives here: one function a kind, over a copy that is theirs to change. The values are Kubernetes' own. Addresses of
services are invented: there is no network behind them.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox.documents import Malformed, count, dicts, dig, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from decklog.sandbox.objects import Object
    from decklog.sandbox.resources import Resource

    Default = Callable[[Object, Object | None], None]

_SERVICE_NETWORK: Final = ipaddress.ip_network("10.96.0.0/12")
_FIRST_NODE_PORT: Final = 30000
_NODE_PORTS: Final = 2768


def complete(resource: Resource, new: Object, old: Object | None) -> None:
    """Add the defaults of its kind to `new`; `old` is what it replaces, None for a new object.

    Raises Malformed for a Secret whose data is not base64.
    """
    default = _DEFAULTS.get((resource.group, resource.plural))
    if default is not None:
        default(new, old)


def _set(target: dict[str, Any], **values: Any) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _spec(value: Object) -> dict[str, Any]:
    spec: dict[str, Any] = value.setdefault("spec", {})
    return spec


def _pod_spec(spec: dict[str, Any]) -> None:
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for container in dicts(spec, field):
            _container(container)
    _set(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )


def _container(container: dict[str, Any]) -> None:
    for port in dicts(container, "ports"):
        _set(port, protocol="TCP")
    image = text(container, "image")
    tag = image.rpartition("/")[2].partition(":")[2]
    moving = "@" not in image and tag in {"", "latest"}
    _set(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if moving else "IfNotPresent",
    )


def _pod(new: Object, old: Object | None) -> None:
    spec = _spec(new)
    _pod_spec(spec)
    for container in dicts(spec, "containers"):
        _requests(container)
    _set(spec, serviceAccountName="default", enableServiceLinks=True)
    _set(spec, serviceAccount=spec["serviceAccountName"])
    if old is None:
        new["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def _quality(spec: dict[str, Any]) -> str:
    pairs = [
        (dig(item, "resources", "requests"), dig(item, "resources", "limits")) for item in dicts(spec, "containers")
    ]
    if not any(requests or limits for requests, limits in pairs):
        return "BestEffort"
    bound = all(isinstance(limits, dict) and {"cpu", "memory"} <= limits.keys() for _, limits in pairs)
    return "Guaranteed" if bound and all(requests == limits for requests, limits in pairs) else "Burstable"


def _requests(container: dict[str, Any]) -> None:
    resources = container["resources"]
    limits, requests = dig(resources, "limits"), dig(resources, "requests") or {}
    if isinstance(limits, dict) and limits and isinstance(requests, dict):
        container["resources"] = {**resources, "requests": {**limits, **requests}}


def _template(spec: dict[str, Any]) -> None:
    template = spec.get("template")
    if isinstance(template, dict):
        _pod_spec(template.setdefault("spec", {}))


def _deployment(new: Object, _old: Object | None) -> None:
    spec = _spec(new)
    _set(spec, replicas=1, strategy={}, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    _set(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        _set(spec["strategy"], rollingUpdate={})
        _set(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    _template(spec)


def _replica_set(new: Object, _old: Object | None) -> None:
    _set(_spec(new), replicas=1)
    _template(new["spec"])


def _stateful_set(new: Object, _old: Object | None) -> None:
    spec = _spec(new)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    _set(spec, replicas=1, podManagementPolicy="OrderedReady", updateStrategy=strategy, revisionHistoryLimit=10)
    _template(spec)


def _daemon_set(new: Object, _old: Object | None) -> None:
    spec = _spec(new)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    _set(spec, updateStrategy=strategy, revisionHistoryLimit=10)
    _template(spec)


def _job(new: Object, old: Object | None) -> None:
    spec = _spec(new)
    _job_spec(spec)
    if old is None and spec.get("manualSelector") is not True and "selector" not in spec:
        _job_labels(new, spec)
    elif old is not None:
        # The selector and its labels were given by the server; a client that leaves them out means them unchanged.
        _set(spec, selector=dig(old, "spec", "selector") or {})
        given = dig(old, "spec", "template", "metadata", "labels")
        metadata = spec.setdefault("template", {}).setdefault("metadata", {})
        metadata["labels"] = {**(given or {}), **(metadata.get("labels") or {})}


def _job_spec(spec: dict[str, Any]) -> None:
    _set(spec, parallelism=1, completions=1, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    _template(spec)


def _job_labels(new: Object, spec: dict[str, Any]) -> None:
    uid, name = new["metadata"]["uid"], new["metadata"]["name"]
    labels = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    metadata = spec.setdefault("template", {}).setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}


def _cron_job(new: Object, _old: Object | None) -> None:
    spec = _spec(new)
    _set(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    job = dig(spec, "jobTemplate", "spec")
    if isinstance(job, dict):
        _template(job)


def _service(new: Object, old: Object | None) -> None:
    spec = _spec(new)
    for port in dicts(spec, "ports"):
        _set(port, protocol="TCP", targetPort=port.get("port"))
    _set(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] != "ExternalName":
        given = text(old, "spec", "clusterIP") or _service_address(new["metadata"]["uid"])
        _set(spec, clusterIP=given, ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack", internalTrafficPolicy="Cluster")
        _set(spec, clusterIPs=[spec["clusterIP"]])
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        _node_ports(new, spec, old)
    new.setdefault("status", {"loadBalancer": {}})


def _service_address(uid: str) -> str:
    return str(_SERVICE_NETWORK[_number(uid) % (_SERVICE_NETWORK.num_addresses - 12) + 11])


def _node_ports(new: Object, spec: dict[str, Any], old: Object | None) -> None:
    _set(spec, externalTrafficPolicy="Cluster")
    known = {port.get("port"): count(port, "nodePort") for port in dicts(old, "spec", "ports")}
    for place, port in enumerate(dicts(spec, "ports")):
        invented = _FIRST_NODE_PORT + (_number(new["metadata"]["uid"]) + place) % _NODE_PORTS
        _set(port, nodePort=known.get(port.get("port")) or invented)


def _number(uid: str) -> int:
    return int.from_bytes(uid.encode()[-8:], "big")


def _secret(new: Object, _old: Object | None) -> None:
    _set(new, type="Opaque")
    written = new.pop("stringData", None) or {}
    encoded = {key: base64.b64encode(value.encode("utf-8", "replace")).decode() for key, value in written.items()}
    if encoded:
        new["data"] = {**(new.get("data") or {}), **encoded}
    for value in (new.get("data") or {}).values():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise Malformed("illegal base64 data at input byte 0") from None


def _namespace(new: Object, old: Object | None) -> None:
    metadata = new["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
    if old is None:
        new["spec"] = {"finalizers": ["kubernetes"]}
        new["status"] = {"phase": "Active"}


def _claim(new: Object, old: Object | None) -> None:
    _set(_spec(new), volumeMode="Filesystem")
    if old is None:
        new["status"] = {"phase": "Pending"}


def _volume(new: Object, old: Object | None) -> None:
    _set(_spec(new), volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")
    if old is None:
        new["status"] = {"phase": "Available"}


def _storage_class(new: Object, _old: Object | None) -> None:
    _set(new, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _binding(new: Object, _old: Object | None) -> None:
    reference = new.get("roleRef")
    if isinstance(reference, dict):
        _set(reference, apiGroup="rbac.authorization.k8s.io")
    for subject in dicts(new, "subjects"):
        if subject.get("kind") in {"User", "Group"}:
            _set(subject, apiGroup="rbac.authorization.k8s.io")


_RBAC: Final = "rbac.authorization.k8s.io"
_DEFAULTS: Final[Mapping[tuple[str, str], Default]] = {
    ("", "pods"): _pod,
    ("", "services"): _service,
    ("", "secrets"): _secret,
    ("", "namespaces"): _namespace,
    ("", "persistentvolumeclaims"): _claim,
    ("", "persistentvolumes"): _volume,
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _replica_set,
    ("apps", "statefulsets"): _stateful_set,
    ("apps", "daemonsets"): _daemon_set,
    ("batch", "jobs"): _job,
    ("batch", "cronjobs"): _cron_job,
    ("storage.k8s.io", "storageclasses"): _storage_class,
    (_RBAC, "rolebindings"): _binding,
    (_RBAC, "clusterrolebindings"): _binding,
}

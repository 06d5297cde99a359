"""Columns: how each kind shows itself in a table.

Lives here: one row a kind, as `kubectl get` prints it; columns that are `wide` are shown by ``-o wide``. Cells are made
from whatever an object holds: a strange object makes strange cells, never an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox import times
from decklog.sandbox.documents import count, dicts, dig, text, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from decklog.sandbox.objects import Object
    from decklog.sandbox.resources import Resource

NONE: Final = "<none>"
UNSET: Final = "<unset>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how it is titled, and how its cell is read from an object at a time."""

    name: str
    cell: Callable[[Object, datetime], Any]
    wide: bool = False
    type: str = "string"

    def definition(self) -> dict[str, Any]:
        """Render the column as Table's columnDefinitions have it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": "name" if self.name == "Name" else "",
            "description": "",
            "priority": int(self.wide),
        }


def _path(*path: str, default: Any = NONE) -> Callable[[Object, datetime], Any]:
    def cell(item: Object, _now: datetime) -> Any:
        found = dig(item, *path)
        return found if isinstance(found, str | int | float) and found != "" else default

    return cell


def _number(*path: str) -> Callable[[Object, datetime], int]:
    return lambda item, _now: count(item, *path)


def _size(*fields: str) -> Callable[[Object, datetime], int]:
    def cell(item: Object, _now: datetime) -> int:
        found = (dig(item, field) for field in fields)
        return sum(len(value) for value in found if isinstance(value, dict | list))

    return cell


def _age(item: Object, now: datetime) -> str:
    return times.age(dig(item, "metadata", "creationTimestamp"), now)


def _containers(field: str, *path: str) -> Callable[[Object, datetime], str]:
    def cell(item: Object, _now: datetime) -> str:
        return ",".join(text(container, field) for container in dicts(item, *path, "containers")) or NONE

    return cell


def _selector(*path: str) -> Callable[[Object, datetime], str]:
    def cell(item: Object, _now: datetime) -> str:
        found = dig(item, *path)
        return ",".join(f"{key}={value}" for key, value in found.items()) if isinstance(found, dict) and found else NONE

    return cell


def _fraction(done: tuple[str, ...], wanted: tuple[str, ...]) -> Callable[[Object, datetime], str]:
    return lambda item, _now: f"{count(item, *done)}/{count(item, *wanted)}"


def _pod_ready(item: Object, _now: datetime) -> str:
    ready = sum(1 for status in dicts(item, "status", "containerStatuses") if status.get("ready") is True)
    return f"{ready}/{len(dicts(item, 'spec', 'containers'))}"


def _pod_status(item: Object, _now: datetime) -> str:
    if dig(item, "metadata", "deletionTimestamp"):
        return "Terminating"
    phase = text(item, "status", "reason") or text(item, "status", "phase") or "Unknown"
    return "Completed" if phase == "Succeeded" else phase


def _pod_restarts(item: Object, _now: datetime) -> str:
    return str(sum(count(status, "restartCount") for status in dicts(item, "status", "containerStatuses")))


def _service_ports(item: Object, _now: datetime) -> str:
    shown = []
    for port in dicts(item, "spec", "ports"):
        node_port = f":{port['nodePort']}" if count(port, "nodePort") else ""
        shown.append(f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) or NONE


def _external_ip(item: Object, _now: datetime) -> str:
    match text(item, "spec", "type"):
        case "LoadBalancer":
            return "<pending>"
        case "ExternalName":
            return text(item, "spec", "externalName")
        case _:
            return ",".join(texts(item, "spec", "externalIPs")) or NONE


def _node_status(item: Object, _now: datetime) -> str:
    ready = [c for c in dicts(item, "status", "conditions") if c.get("type") == "Ready"]
    word = ("Ready" if ready[0].get("status") == "True" else "NotReady") if ready else "Unknown"
    return f"{word},SchedulingDisabled" if dig(item, "spec", "unschedulable") is True else word


def _node_roles(item: Object, _now: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = dig(item, "metadata", "labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or NONE


def _node_address(kind: str) -> Callable[[Object, datetime], str]:
    def cell(item: Object, _now: datetime) -> str:
        found = (text(a, "address") for a in dicts(item, "status", "addresses") if a.get("type") == kind)
        return next(found, NONE)

    return cell


def _job_status(item: Object, _now: datetime) -> str:
    conditions = {text(c, "type") for c in dicts(item, "status", "conditions") if c.get("status") == "True"}
    return next((word for word in ("Complete", "Failed", "Suspended") if word in conditions), "Running")


def _job_duration(item: Object, now: datetime) -> str:
    if not text(item, "status", "startTime"):
        return ""
    end = times.parse(text(item, "status", "completionTime")) or now
    return times.age(text(item, "status", "startTime"), end)


def _subjects(kind: str) -> Callable[[Object, datetime], str]:
    def cell(item: Object, _now: datetime) -> str:
        found = [subject for subject in dicts(item, "subjects") if subject.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{text(subject, 'namespace')}/{text(subject, 'name')}" for subject in found)
        return ", ".join(text(subject, "name") for subject in found)

    return cell


def _role(item: Object, _now: datetime) -> str:
    return f"{text(item, 'roleRef', 'kind')}/{text(item, 'roleRef', 'name')}"


def _event_object(item: Object, _now: datetime) -> str:
    return f"{text(item, 'involvedObject', 'kind').lower()}/{text(item, 'involvedObject', 'name')}"


def _event_seen(item: Object, now: datetime) -> str:
    return times.age(dig(item, "lastTimestamp") or dig(item, "eventTime"), now)


def _hosts(item: Object, _now: datetime) -> str:
    return ",".join(text(rule, "host") for rule in dicts(item, "spec", "rules") if text(rule, "host")) or "*"


def _ingress_ports(item: Object, _now: datetime) -> str:
    return "80, 443" if dicts(item, "spec", "tls") else "80"


def _hpa_reference(item: Object, _now: datetime) -> str:
    return f"{text(item, 'spec', 'scaleTargetRef', 'kind')}/{text(item, 'spec', 'scaleTargetRef', 'name')}"


def _created(item: Object, _now: datetime) -> str:
    return text(item, "metadata", "creationTimestamp")


def _boolean(*path: str) -> Callable[[Object, datetime], bool]:
    return lambda item, _now: dig(item, *path) is True


_NAME: Final = Column("Name", lambda item, _now: text(item, "metadata", "name"))
_AGE: Final = Column("Age", _age)
_PLAIN: Final = (_NAME, Column("Created At", _created, type="date"))


def _template(*, selector: bool = True, path: tuple[str, ...] = ("spec",)) -> tuple[Column, ...]:
    where = (*path, "template", "spec")
    columns = (
        Column("Containers", _containers("name", *where), wide=True),
        Column("Images", _containers("image", *where), wide=True),
    )
    return (
        (*columns, Column("Selector", _selector(*path, "selector", "matchLabels"), wide=True)) if selector else columns
    )


_BINDING: Final = (
    _NAME,
    Column("Role", _role),
    _AGE,
    Column("Users", _subjects("User"), wide=True),
    Column("Groups", _subjects("Group"), wide=True),
    Column("ServiceAccounts", _subjects("ServiceAccount"), wide=True),
)

COLUMNS: Final[Mapping[tuple[str, str], tuple[Column, ...]]] = {
    ("", "pods"): (
        _NAME,
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _pod_restarts),
        _AGE,
        Column("IP", _path("status", "podIP"), wide=True),
        Column("Node", _path("spec", "nodeName"), wide=True),
        Column("Nominated Node", _path("status", "nominatedNodeName"), wide=True),
        Column("Readiness Gates", lambda _item, _now: NONE, wide=True),
    ),
    ("", "services"): (
        _NAME,
        Column("Type", _path("spec", "type")),
        Column("Cluster-IP", _path("spec", "clusterIP")),
        Column("External-IP", _external_ip),
        Column("Port(s)", _service_ports),
        _AGE,
        Column("Selector", _selector("spec", "selector"), wide=True),
    ),
    ("", "namespaces"): (_NAME, Column("Status", _path("status", "phase")), _AGE),
    ("", "nodes"): (
        _NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        _AGE,
        Column("Version", _path("status", "nodeInfo", "kubeletVersion")),
        Column("Internal-IP", _node_address("InternalIP"), wide=True),
        Column("External-IP", _node_address("ExternalIP"), wide=True),
        Column("OS-Image", _path("status", "nodeInfo", "osImage"), wide=True),
        Column("Kernel-Version", _path("status", "nodeInfo", "kernelVersion"), wide=True),
        Column("Container-Runtime", _path("status", "nodeInfo", "containerRuntimeVersion"), wide=True),
    ),
    ("", "configmaps"): (_NAME, Column("Data", _size("data", "binaryData"), type="integer"), _AGE),
    ("", "secrets"): (
        _NAME,
        Column("Type", _path("type")),
        Column("Data", _size("data"), type="integer"),
        _AGE,
    ),
    ("", "serviceaccounts"): (_NAME, Column("Secrets", _size("secrets"), type="integer"), _AGE),
    ("", "events"): (
        Column("Last Seen", _event_seen),
        Column("Type", _path("type", default="")),
        Column("Reason", _path("reason", default="")),
        Column("Object", _event_object),
        Column("Source", _path("source", "component", default=""), wide=True),
        Column("Message", _path("message", default="")),
        Column("Count", _number("count"), wide=True, type="integer"),
        Column("Name", _NAME.cell, wide=True),
    ),
    ("", "persistentvolumeclaims"): (
        _NAME,
        Column("Status", _path("status", "phase")),
        Column("Volume", _path("spec", "volumeName", default="")),
        Column("Capacity", _path("status", "capacity", "storage", default="")),
        Column("Access Modes", lambda item, _now: ",".join(texts(item, "status", "accessModes"))),
        Column("StorageClass", _path("spec", "storageClassName", default="")),
        _AGE,
    ),
    ("", "persistentvolumes"): (
        _NAME,
        Column("Capacity", _path("spec", "capacity", "storage", default="")),
        Column("Access Modes", lambda item, _now: ",".join(texts(item, "spec", "accessModes"))),
        Column("Reclaim Policy", _path("spec", "persistentVolumeReclaimPolicy", default="")),
        Column("Status", _path("status", "phase")),
        Column("StorageClass", _path("spec", "storageClassName", default="")),
        _AGE,
    ),
    ("apps", "deployments"): (
        _NAME,
        Column("Ready", _fraction(("status", "readyReplicas"), ("spec", "replicas"))),
        Column("Up-to-date", _number("status", "updatedReplicas"), type="integer"),
        Column("Available", _number("status", "availableReplicas"), type="integer"),
        _AGE,
        *_template(),
    ),
    ("apps", "replicasets"): (
        _NAME,
        Column("Desired", _number("spec", "replicas"), type="integer"),
        Column("Current", _number("status", "replicas"), type="integer"),
        Column("Ready", _number("status", "readyReplicas"), type="integer"),
        _AGE,
        *_template(),
    ),
    ("apps", "statefulsets"): (
        _NAME,
        Column("Ready", _fraction(("status", "readyReplicas"), ("spec", "replicas"))),
        _AGE,
        *_template(selector=False),
    ),
    ("apps", "daemonsets"): (
        _NAME,
        Column("Desired", _number("status", "desiredNumberScheduled"), type="integer"),
        Column("Current", _number("status", "currentNumberScheduled"), type="integer"),
        Column("Ready", _number("status", "numberReady"), type="integer"),
        Column("Up-to-date", _number("status", "updatedNumberScheduled"), type="integer"),
        Column("Available", _number("status", "numberAvailable"), type="integer"),
        Column("Node Selector", _selector("spec", "template", "spec", "nodeSelector")),
        _AGE,
        *_template(),
    ),
    ("batch", "jobs"): (
        _NAME,
        Column("Status", _job_status),
        Column("Completions", _fraction(("status", "succeeded"), ("spec", "completions"))),
        Column("Duration", _job_duration),
        _AGE,
        *_template(),
    ),
    ("batch", "cronjobs"): (
        _NAME,
        Column("Schedule", _path("spec", "schedule")),
        Column("Timezone", _path("spec", "timeZone")),
        Column("Suspend", lambda item, _now: str(dig(item, "spec", "suspend") is True)),
        Column("Active", lambda item, _now: len(dicts(item, "status", "active")), type="integer"),
        Column("Last Schedule", lambda _item, _now: NONE),
        _AGE,
        *_template(path=("spec", "jobTemplate", "spec"), selector=False),
    ),
    ("autoscaling", "horizontalpodautoscalers"): (
        _NAME,
        Column("Reference", _hpa_reference),
        Column("Targets", lambda _item, _now: "<unknown>"),
        Column("MinPods", _path("spec", "minReplicas", default=UNSET)),
        Column("MaxPods", _number("spec", "maxReplicas"), type="integer"),
        Column("Replicas", _number("status", "currentReplicas"), type="integer"),
        _AGE,
    ),
    ("networking.k8s.io", "ingresses"): (
        _NAME,
        Column("Class", _path("spec", "ingressClassName")),
        Column("Hosts", _hosts),
        Column("Address", lambda _item, _now: ""),
        Column("Ports", _ingress_ports),
        _AGE,
    ),
    ("networking.k8s.io", "networkpolicies"): (
        _NAME,
        Column("Pod-Selector", _selector("spec", "podSelector", "matchLabels")),
        _AGE,
    ),
    ("policy", "poddisruptionbudgets"): (
        _NAME,
        Column("Min Available", _path("spec", "minAvailable", default="N/A")),
        Column("Max Unavailable", _path("spec", "maxUnavailable", default="N/A")),
        Column("Allowed Disruptions", _number("status", "disruptionsAllowed"), type="integer"),
        _AGE,
    ),
    ("rbac.authorization.k8s.io", "rolebindings"): _BINDING,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _BINDING,
    ("coordination.k8s.io", "leases"): (
        _NAME,
        Column("Holder", _path("spec", "holderIdentity", default="")),
        _AGE,
    ),
    ("storage.k8s.io", "storageclasses"): (
        _NAME,
        Column("Provisioner", _path("provisioner")),
        Column("ReclaimPolicy", _path("reclaimPolicy", default="Delete")),
        Column("VolumeBindingMode", _path("volumeBindingMode", default="Immediate")),
        Column("AllowVolumeExpansion", _boolean("allowVolumeExpansion"), type="boolean"),
        _AGE,
    ),
    ("scheduling.k8s.io", "priorityclasses"): (
        _NAME,
        Column("Value", _number("value"), type="integer"),
        Column("Global-Default", _boolean("globalDefault"), type="boolean"),
        _AGE,
    ),
}
"""Columns by (group, resource); what is not here has its name and the time of its creation."""


def columns_of(resource: Resource) -> tuple[Column, ...]:
    """Tell a resource's columns."""
    return COLUMNS.get((resource.group, resource.plural), _PLAIN)

"""What a value must look like for its kind: known fields and their types, as far as the sandbox knows them.

Lives here: a small notation for types, the table of kinds, and `conform`, which checks a submitted object. A wrong type
is a 400 in the words of Go's decoder. An unknown field is dropped, and told: as an error (``fieldValidation=Strict``,
which `kubectl` asks for), as a warning, or not at all.

The notation: ``str``, ``int``, ``bool``; ``ANY`` for what the sandbox does not look into; ``[shape]`` for a list;
``MapOf(shape)`` for free keys; a dict of fields for a struct whose fields are all known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from decklog.sandbox.documents import Malformed, go_type

Shape = Any


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with free keys, whose values all have one shape."""

    value: Shape


class Any_:  # noqa: N801  # because: its one value is ANY
    """Whatever stands there is kept."""


ANY: Final = Any_()
STRINGS: Final = MapOf(str)
STRUCT: Final = MapOf(ANY)


def _fields(names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split(), ANY)


METADATA: Final[dict[str, Shape]] = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "selfLink": str,
    "uid": str,
    "resourceVersion": str,
    "generation": int,
    "creationTimestamp": str,
    "deletionTimestamp": str,
    "deletionGracePeriodSeconds": int,
    "labels": STRINGS,
    "annotations": STRINGS,
    "ownerReferences": [
        {
            "apiVersion": str,
            "kind": str,
            "name": str,
            "uid": str,
            "controller": bool,
            "blockOwnerDeletion": bool,
        },
    ],
    "finalizers": [str],
    "managedFields": [
        {
            "manager": str,
            "operation": str,
            "apiVersion": str,
            "time": str,
            "fieldsType": str,
            "fieldsV1": STRUCT,
            "subresource": str,
        },
    ],
}
_ENV: Final = {"name": str, "value": str, "valueFrom": STRUCT}
_PORT: Final = {"name": str, "hostPort": int, "containerPort": int, "protocol": str, "hostIP": str}
_CONTAINER: Final = {
    **_fields("envFrom resources resizePolicy volumeDevices livenessProbe readinessProbe startupProbe lifecycle"),
    **_fields("securityContext restartPolicy restartPolicyRules targetContainerName"),
    "name": str,
    "image": str,
    "command": [str],
    "args": [str],
    "workingDir": str,
    "ports": [_PORT],
    "env": [_ENV],
    "volumeMounts": [_fields("name readOnly recursiveReadOnly mountPath subPath mountPropagation subPathExpr")],
    "terminationMessagePath": str,
    "terminationMessagePolicy": str,
    "imagePullPolicy": str,
    "stdin": bool,
    "stdinOnce": bool,
    "tty": bool,
}
_POD_SPEC: Final = {
    **_fields("affinity dnsConfig hostAliases os overhead readinessGates resourceClaims resources schedulingGates"),
    **_fields("securityContext tolerations topologySpreadConstraints workloadRef hostnameOverride"),
    "activeDeadlineSeconds": int,
    "automountServiceAccountToken": bool,
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "ephemeralContainers": [_CONTAINER],
    "dnsPolicy": str,
    "enableServiceLinks": bool,
    "hostIPC": bool,
    "hostNetwork": bool,
    "hostPID": bool,
    "hostUsers": bool,
    "hostname": str,
    "imagePullSecrets": [{"name": str}],
    "nodeName": str,
    "nodeSelector": STRINGS,
    "preemptionPolicy": str,
    "priority": int,
    "priorityClassName": str,
    "restartPolicy": str,
    "runtimeClassName": str,
    "schedulerName": str,
    "serviceAccount": str,
    "serviceAccountName": str,
    "setHostnameAsFQDN": bool,
    "shareProcessNamespace": bool,
    "subdomain": str,
    "terminationGracePeriodSeconds": int,
    "volumes": [STRUCT],
}
_SELECTOR: Final = {
    "matchLabels": STRINGS,
    "matchExpressions": [{"key": str, "operator": str, "values": [str]}],
}
_TEMPLATE: Final = {"metadata": METADATA, "spec": _POD_SPEC}
_STRATEGY: Final = {"type": str, "rollingUpdate": STRUCT}
_JOB_SPEC: Final = {
    **_fields("podFailurePolicy successPolicy"),
    "activeDeadlineSeconds": int,
    "backoffLimit": int,
    "backoffLimitPerIndex": int,
    "completionMode": str,
    "completions": int,
    "managedBy": str,
    "manualSelector": bool,
    "maxFailedIndexes": int,
    "parallelism": int,
    "podReplacementPolicy": str,
    "selector": _SELECTOR,
    "suspend": bool,
    "template": _TEMPLATE,
    "ttlSecondsAfterFinished": int,
}
_POLICY_RULE: Final = {
    "verbs": [str],
    "apiGroups": [str],
    "resources": [str],
    "resourceNames": [str],
    "nonResourceURLs": [str],
}
_BINDING: Final = {
    "roleRef": {"apiGroup": str, "kind": str, "name": str},
    "subjects": [{"apiGroup": str, "kind": str, "name": str, "namespace": str}],
}
_SERVICE_PORT: Final = {
    "name": str,
    "port": int,
    "protocol": str,
    "targetPort": ANY,
    "nodePort": int,
    "appProtocol": str,
}
_SERVICE_SPEC: Final = {
    **_fields("sessionAffinityConfig trafficDistribution internalTrafficPolicy externalTrafficPolicy"),
    "allocateLoadBalancerNodePorts": bool,
    "clusterIP": str,
    "clusterIPs": [str],
    "externalIPs": [str],
    "externalName": str,
    "healthCheckNodePort": int,
    "ipFamilies": [str],
    "ipFamilyPolicy": str,
    "loadBalancerClass": str,
    "loadBalancerIP": str,
    "loadBalancerSourceRanges": [str],
    "ports": [_SERVICE_PORT],
    "publishNotReadyAddresses": bool,
    "selector": STRINGS,
    "sessionAffinity": str,
    "type": str,
}
_REPLICATED: Final = {"replicas": int, "minReadySeconds": int, "selector": _SELECTOR, "template": _TEMPLATE}
_REFERENCE: Final = _fields("kind namespace name uid apiVersion resourceVersion fieldPath")
_ACCESS: Final = {
    "resourceAttributes": {
        **dict.fromkeys(("namespace", "verb", "group", "version", "resource", "subresource", "name"), str),
        "fieldSelector": STRUCT,
        "labelSelector": STRUCT,
    },
    "nonResourceAttributes": {"path": str, "verb": str},
}
_SUBJECT: Final = {**_ACCESS, "user": str, "groups": [str], "extra": MapOf([str]), "uid": str}

_SPEC_AND_STATUS: Final = {"spec": STRUCT, "status": STRUCT}
KINDS: Final[dict[str, dict[str, Shape]]] = {
    "ConfigMap": {"data": STRINGS, "binaryData": STRINGS, "immutable": bool},
    "Secret": {"data": STRINGS, "stringData": STRINGS, "type": str, "immutable": bool},
    "Namespace": {"spec": {"finalizers": [str]}, "status": STRUCT},
    "Pod": {"spec": _POD_SPEC, "status": STRUCT},
    "Service": {"spec": _SERVICE_SPEC, "status": STRUCT},
    "ServiceAccount": {
        "secrets": [_REFERENCE],
        "imagePullSecrets": [{"name": str}],
        "automountServiceAccountToken": bool,
    },
    "Endpoints": {"subsets": [_fields("addresses notReadyAddresses ports")]},
    "EndpointSlice": {"addressType": str, "endpoints": [STRUCT], "ports": [STRUCT]},
    "Event": {
        **_fields("firstTimestamp lastTimestamp eventTime series related"),
        "involvedObject": _REFERENCE,
        "reason": str,
        "message": str,
        "source": {"component": str, "host": str},
        "count": int,
        "type": str,
        "action": str,
        "reportingComponent": str,
        "reportingInstance": str,
    },
    "Deployment": {
        "spec": {
            **_REPLICATED,
            "strategy": _STRATEGY,
            "revisionHistoryLimit": int,
            "paused": bool,
            "progressDeadlineSeconds": int,
        },
        "status": STRUCT,
    },
    "ReplicaSet": {"spec": _REPLICATED, "status": STRUCT},
    "StatefulSet": {
        "spec": {
            **_REPLICATED,
            **_fields("persistentVolumeClaimRetentionPolicy ordinals"),
            "serviceName": str,
            "podManagementPolicy": str,
            "revisionHistoryLimit": int,
            "updateStrategy": _STRATEGY,
            "volumeClaimTemplates": [STRUCT],
        },
        "status": STRUCT,
    },
    "DaemonSet": {
        "spec": {
            "minReadySeconds": int,
            "selector": _SELECTOR,
            "template": _TEMPLATE,
            "updateStrategy": _STRATEGY,
            "revisionHistoryLimit": int,
        },
        "status": STRUCT,
    },
    "Job": {"spec": _JOB_SPEC, "status": STRUCT},
    "CronJob": {
        "spec": {
            "concurrencyPolicy": str,
            "failedJobsHistoryLimit": int,
            "jobTemplate": {"metadata": METADATA, "spec": _JOB_SPEC},
            "schedule": str,
            "startingDeadlineSeconds": int,
            "successfulJobsHistoryLimit": int,
            "suspend": bool,
            "timeZone": str,
        },
        "status": STRUCT,
    },
    "Role": {"rules": [_POLICY_RULE]},
    "ClusterRole": {"rules": [_POLICY_RULE], "aggregationRule": STRUCT},
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "PriorityClass": {"value": int, "globalDefault": bool, "description": str, "preemptionPolicy": str},
    "StorageClass": {
        **_fields("allowedTopologies mountOptions"),
        "provisioner": str,
        "parameters": STRINGS,
        "reclaimPolicy": str,
        "allowVolumeExpansion": bool,
        "volumeBindingMode": str,
    },
    "Scale": {"spec": {"replicas": int}, "status": STRUCT},
    "Binding": {"target": _REFERENCE},
    "Eviction": {"deleteOptions": STRUCT},
    "TokenRequest": {
        "spec": {"audiences": [str], "expirationSeconds": int, "boundObjectRef": _REFERENCE},
        "status": STRUCT,
    },
    "DeleteOptions": {
        "gracePeriodSeconds": int,
        "orphanDependents": bool,
        "propagationPolicy": str,
        "preconditions": {"uid": str, "resourceVersion": str},
        "dryRun": [str],
        "ignoreStoreReadErrorWithClusterBreakingPotential": bool,
    },
    "TokenReview": {"spec": {"token": str, "audiences": [str]}, "status": STRUCT},
    "SelfSubjectReview": {"status": STRUCT},
    "SelfSubjectAccessReview": {"spec": _ACCESS, "status": STRUCT},
    "SelfSubjectRulesReview": {"spec": {"namespace": str}, "status": STRUCT},
    "SubjectAccessReview": {"spec": _SUBJECT, "status": STRUCT},
    "LocalSubjectAccessReview": {"spec": _SUBJECT, "status": STRUCT},
}
"""Fields beside apiVersion, kind and metadata; a kind that is not here has ``spec`` and ``status``, unseen."""


def conform(value: Any, kind: str) -> tuple[dict[str, Any], list[str]]:
    """Check an object against its kind: the object without its unknown and null fields, and those unknown fields.

    Raises Malformed for a wrong type. The text is Go's, as far as the sandbox knows Go's type.
    """
    value = _insist(value, dict, kind, "struct")
    shape = {"apiVersion": str, "kind": str, "metadata": METADATA, **KINDS.get(kind, _SPEC_AND_STATUS)}
    unknown: list[str] = []
    return _conform(value, shape, kind, "", unknown), unknown


def _conform(value: Any, shape: Shape, field: str, path: str, unknown: list[str]) -> Any:
    match shape:
        case Any_():
            return value
        case MapOf(value=inner):
            found = _insist(value, dict, field, "string" if inner is str else "struct")
            # A null among free keys is the zero of their type: the empty text, or an empty struct.
            free = {key: "" if item is None and inner is str else item for key, item in found.items()}
            return {key: _conform(item, inner, field, f"{path}.{key}", unknown) for key, item in free.items()}
        case list():
            items = _insist(value, list, field, "slice")
            return [_conform(item, shape[0], field, f"{path}[{i}]", unknown) for i, item in enumerate(items)]
        case dict():
            return _struct(value, shape, field, path, unknown)
        case _:
            return _scalar(value, shape, field)


def _struct(value: Any, shape: dict[str, Shape], field: str, path: str, unknown: list[str]) -> dict[str, Any]:
    found = _insist(value, dict, field, "struct")
    kept = {}
    for key, item in found.items():
        where = f"{path}.{key}" if path else key
        if key not in shape:
            unknown.append(where)
        elif item is not None:
            kept[key] = _conform(item, shape[key], f"{field}.{key}", where, unknown)
    return kept


_GO_NAMES: Final = {str: "string", int: "int64", bool: "bool"}
_INT64: Final = 1 << 63


def _scalar(value: Any, shape: type, field: str) -> Any:
    fits = type(value) is shape  # a bool is an int for Python, but not for JSON
    if not fits or (isinstance(value, int) and not -_INT64 <= value < _INT64):
        raise _mismatch(value, field, _GO_NAMES[shape])
    return value


def _insist(value: Any, wanted: type, field: str, go_name: str) -> Any:
    if not isinstance(value, wanted):
        raise _mismatch(value, field, go_name)
    return value


def _mismatch(value: Any, field: str, go_name: str) -> Malformed:
    found = "null" if value is None else go_type(value)
    return Malformed(f"json: cannot unmarshal {found} into Go struct field {field} of type {go_name}")

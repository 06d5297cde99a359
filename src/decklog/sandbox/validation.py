r"""Validation: what is wrong with an object, every problem at once, in Kubernetes' words.

Lives here: the rules for names, labels and sizes that hold for everything, and those of the kinds that people make by
hand. A real server knows hundreds more; an object that passes here may still be refused there.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from decklog.sandbox.documents import count, dicts, dig, text
from decklog.sandbox.selectors import from_label_selector
from decklog.sandbox.status import Cause, forbidden_value, invalid_value, required, unsupported_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from decklog.sandbox.objects import Object
    from decklog.sandbox.resources import Resource

    Rule = Callable[[Object, Object | None], Iterator[Cause]]

DATA_LIMIT_BYTES: Final = 1 << 20
ANNOTATION_LIMIT_BYTES: Final = 256 << 10

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_LABEL_VALUE: Final = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_NAME_PART: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"

SUBDOMAIN_TEXT: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
LABEL_TEXT: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
LABEL_1035_TEXT: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_LABEL_1035}')"
)
LABEL_VALUE_TEXT: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_LABEL_VALUE}')"
)
NAME_PART_TEXT: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_NAME_PART}')"
)
CONFIG_KEY_TEXT: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    f"or 'key-name', regex used for validation is '{_CONFIG_KEY}')"
)
POD_UPDATE_TEXT: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def problems(resource: Resource, new: Object, old: Object | None) -> list[Cause]:
    """List what is wrong with `new`; `old` is what it replaces, None for a new object."""
    found = list(_metadata(resource, new))
    rule = _RULES.get((resource.group, resource.plural))
    if rule is not None:
        found.extend(rule(new, old))
    return found


def quoted(value: Any) -> str:
    """Show a value as Go prints it in these messages."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _metadata(resource: Resource, value: Object) -> Iterator[Cause]:
    metadata = value["metadata"]
    if not metadata.get("name"):
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from _name(resource, metadata["name"])
    yield from labels(metadata.get("labels") or {}, "metadata.labels")
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from _qualified(key.lower(), "metadata.annotations", key)
    size = sum(len(key) + len(value) for key, value in annotations.items())
    if size > ANNOTATION_LIMIT_BYTES:
        yield Cause(
            "metadata.annotations",
            "FieldValueTooLong",
            f"Too long: may not be more than {ANNOTATION_LIMIT_BYTES} bytes",
        )


def _name(resource: Resource, name: str) -> Iterator[Cause]:
    if resource.group == "rbac.authorization.k8s.io":
        if name in {".", ".."} or "/" in name or "%" in name:
            yield invalid_value("metadata.name", quoted(name), "may not contain '/', '%', or be '.' or '..'")
        return
    pattern, why, limit = _NAMES.get(resource.qualified, (_SUBDOMAIN, SUBDOMAIN_TEXT, 253))
    if len(name) > limit:
        yield invalid_value("metadata.name", quoted(name), f"must be no more than {limit} characters")
    elif re.fullmatch(pattern, name) is None:
        yield invalid_value("metadata.name", quoted(name), why)


_NAMES: Final = {
    "namespaces": (_LABEL, LABEL_TEXT, 63),
    "services": (_LABEL_1035, LABEL_1035_TEXT, 63),
}


def labels(value: Mapping[str, str], field: str) -> Iterator[Cause]:
    """List what is wrong with a map of labels."""
    for key, word in value.items():
        yield from _qualified(key, field, key)
        if len(word) > 63:
            yield invalid_value(field, quoted(word), "must be no more than 63 characters")
        elif re.fullmatch(_LABEL_VALUE, word) is None:
            yield invalid_value(field, quoted(word), LABEL_VALUE_TEXT)


def _qualified(key: str, field: str, shown: str) -> Iterator[Cause]:
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or re.fullmatch(_SUBDOMAIN, prefix) is None):
        yield invalid_value(field, quoted(shown), f"prefix part {SUBDOMAIN_TEXT}")
    if not name:
        yield invalid_value(field, quoted(shown), "name part must be non-empty")
    elif len(name) > 63:
        yield invalid_value(field, quoted(shown), "name part must be no more than 63 characters")
    elif re.fullmatch(_NAME_PART, name) is None:
        yield invalid_value(field, quoted(shown), NAME_PART_TEXT)


def _config_map(new: Object, old: Object | None) -> Iterator[Cause]:
    for field in ("data", "binaryData"):
        yield from _keys(new.get(field) or {}, field)
    yield from _immutable(new, old, ("data", "binaryData"))


def _secret(new: Object, old: Object | None) -> Iterator[Cause]:
    yield from _keys(new.get("data") or {}, "data")
    yield from _immutable(new, old, ("data",))
    if old is not None and old.get("type") != new.get("type"):
        yield invalid_value("type", quoted(new.get("type")), "field is immutable")


def _keys(data: Mapping[str, str], field: str) -> Iterator[Cause]:
    for key in data:
        if re.fullmatch(_CONFIG_KEY, key) is None:
            yield invalid_value(f"{field}[{key}]", quoted(key), CONFIG_KEY_TEXT)
    if sum(len(value.encode("utf-8", "replace")) for value in data.values()) > DATA_LIMIT_BYTES:
        yield Cause("[]", "FieldValueTooLong", f"Too long: may not be more than {DATA_LIMIT_BYTES} bytes")


def _immutable(new: Object, old: Object | None, fields: tuple[str, ...]) -> Iterator[Cause]:
    if old is None or old.get("immutable") is not True:
        return
    for field in fields:
        if (old.get(field) or {}) != (new.get(field) or {}):
            yield forbidden_value(field, "field is immutable when `immutable` is set")
    if new.get("immutable") is not True:
        yield forbidden_value("immutable", "field is immutable when `immutable` is set")


def _pod(new: Object, old: Object | None) -> Iterator[Cause]:
    yield from _pod_spec(new["spec"], "spec")
    if old is not None and _fixed(new["spec"]) != _fixed(old["spec"]):
        yield forbidden_value("spec", POD_UPDATE_TEXT)


def _fixed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what an update of a pod may change."""
    free = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"}
    kept = {key: value for key, value in spec.items() if key not in free}
    for field in ("containers", "initContainers"):
        items = dicts(spec, field)
        kept[field] = [{key: value for key, value in item.items() if key != "image"} for item in items]
    return kept


def _pod_spec(spec: Mapping[str, Any], field: str, claimed: set[str] | None = None) -> Iterator[Cause]:
    """Check a pod's spec; `claimed`: volumes that it gets from elsewhere, a StatefulSet's claim templates."""
    if not dicts(spec, "containers"):
        yield required(f"{field}.containers")
    volumes = {text(volume, "name") for volume in dicts(spec, "volumes")} | (claimed or set())
    seen: set[str] = set()
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for place, container in enumerate(dicts(spec, kind)):
            yield from _container(container, f"{field}.{kind}[{place}]", volumes, seen)
    if spec.get("restartPolicy") not in {"Always", "OnFailure", "Never"}:
        yield unsupported_value(
            f"{field}.restartPolicy", quoted(spec.get("restartPolicy")), ("Always", "OnFailure", "Never")
        )


def _container(container: Mapping[str, Any], field: str, volumes: set[str], seen: set[str]) -> Iterator[Cause]:
    name = text(container, "name")
    if not name:
        yield required(f"{field}.name")
    elif re.fullmatch(_LABEL, name) is None or len(name) > 63:
        yield invalid_value(f"{field}.name", quoted(name), LABEL_TEXT)
    elif name in seen:
        yield Cause(f"{field}.name", "FieldValueDuplicate", f"Duplicate value: {quoted(name)}")
    seen.add(name)
    if not text(container, "image"):
        yield required(f"{field}.image")
    for place, mount in enumerate(dicts(container, "volumeMounts")):
        if text(mount, "name") not in volumes:
            shown = quoted(text(mount, "name"))
            yield Cause(f"{field}.volumeMounts[{place}].name", "FieldValueNotFound", f"Not found: {shown}")
    for place, port in enumerate(dicts(container, "ports")):
        yield from _port(port, "containerPort", f"{field}.ports[{place}]")


def _port(port: Mapping[str, Any], key: str, field: str) -> Iterator[Cause]:
    if key not in port:
        yield required(f"{field}.{key}")
    elif not 1 <= count(port, key) <= 65535:
        yield invalid_value(f"{field}.{key}", quoted(port[key]), "must be between 1 and 65535, inclusive")
    if port.get("protocol") not in {"TCP", "UDP", "SCTP"}:
        yield unsupported_value(f"{field}.protocol", quoted(port.get("protocol")), ("SCTP", "TCP", "UDP"))


def _workload(new: Object, old: Object | None) -> Iterator[Cause]:
    spec = new["spec"]
    yield from _replicas(spec)
    template = dig(spec, "template") or {}
    given = dig(template, "metadata", "labels") or {}
    yield from labels(given, "spec.template.metadata.labels")
    selector = spec.get("selector")
    if not selector:
        yield required("spec.selector")
    elif not from_label_selector(selector).matches({"metadata": {"labels": given}}):
        yield invalid_value(
            "spec.template.metadata.labels", quoted(given), "`selector` does not match template `labels`"
        )
    claimed = {text(claim, "metadata", "name") for claim in dicts(spec, "volumeClaimTemplates")}
    yield from _pod_spec(template.get("spec") or {}, "spec.template.spec", claimed)
    policy = dig(template, "spec", "restartPolicy")
    if policy in {"OnFailure", "Never"}:
        yield unsupported_value("spec.template.spec.restartPolicy", quoted(policy), ("Always",))
    if old is not None and dig(old, "spec", "selector") != selector:
        yield invalid_value("spec.selector", quoted(selector), "field is immutable")


def _replicas(spec: Mapping[str, Any]) -> Iterator[Cause]:
    if count(spec, "replicas") < 0:
        detail = "must be greater than or equal to 0"
        yield invalid_value("spec.replicas", quoted(spec["replicas"]), detail)


def _job(new: Object, old: Object | None) -> Iterator[Cause]:
    yield from _job_spec(new["spec"], "spec")
    if old is not None and dig(old, "spec", "template") != dig(new, "spec", "template"):
        yield invalid_value("spec.template", quoted(dig(new, "spec", "template")), "field is immutable")


def _cron_job(new: Object, _old: Object | None) -> Iterator[Cause]:
    if not text(new, "spec", "schedule"):
        yield required("spec.schedule")
    yield from _job_spec(dig(new, "spec", "jobTemplate", "spec") or {}, "spec.jobTemplate.spec")


def _job_spec(spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    template = dig(spec, "template", "spec") or {}
    yield from _pod_spec(template, f"{field}.template.spec")
    if template.get("restartPolicy") not in {"OnFailure", "Never"}:
        yield required(f"{field}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')


def _service(new: Object, _old: Object | None) -> Iterator[Cause]:
    spec = new["spec"]
    ports = dicts(spec, "ports")
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    for place, port in enumerate(ports):
        yield from _port(port, "port", f"spec.ports[{place}]")
        if len(ports) > 1 and not text(port, "name"):
            yield required(f"spec.ports[{place}].name")
    kinds = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    if spec.get("type") not in kinds:
        yield unsupported_value("spec.type", quoted(spec.get("type")), kinds)


def _role(new: Object, _old: Object | None) -> Iterator[Cause]:
    for place, rule in enumerate(dicts(new, "rules")):
        if not rule.get("verbs"):
            yield required(f"rules[{place}].verbs", "verbs must contain at least one value")


def _binding(new: Object, old: Object | None) -> Iterator[Cause]:
    if not text(new, "roleRef", "name"):
        yield required("roleRef.name")
    if text(new, "roleRef", "kind") not in {"Role", "ClusterRole"}:
        yield unsupported_value("roleRef.kind", quoted(text(new, "roleRef", "kind")), ("Role", "ClusterRole"))
    if old is not None and old.get("roleRef") != new.get("roleRef"):
        yield invalid_value("roleRef", quoted(new.get("roleRef")), "cannot change roleRef")


_RBAC: Final = "rbac.authorization.k8s.io"
_RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("", "configmaps"): _config_map,
    ("", "secrets"): _secret,
    ("", "pods"): _pod,
    ("", "services"): _service,
    ("apps", "deployments"): _workload,
    ("apps", "replicasets"): _workload,
    ("apps", "statefulsets"): _workload,
    ("apps", "daemonsets"): _workload,
    ("batch", "jobs"): _job,
    ("batch", "cronjobs"): _cron_job,
    (_RBAC, "roles"): _role,
    (_RBAC, "clusterroles"): _role,
    (_RBAC, "rolebindings"): _binding,
    (_RBAC, "clusterrolebindings"): _binding,
}

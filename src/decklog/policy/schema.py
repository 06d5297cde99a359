"""The schema of a policy file: every field in Kubernetes' spelling, with its type and Go's name for that type.

`binding` walks a tree along these. Go's type names are part of kube-apiserver's messages (``… of type []v1.Stage``).

A file without a version, or with the version ``__internal``, is decoded into Kubernetes' internal type (spec §2.2),
whose fields are spelled as in Go, with the metadata's fields among them; that such a file never loads does not spare it
the warnings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Text:
    """A string; null leaves it as it was."""

    go: str = "string"


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean; null leaves it as it was, or unsets it if it can be unset."""

    unset: bool = False
    go: str = "bool"


@dataclass(frozen=True, slots=True)
class Whole:
    """A 64-bit integer."""

    unset: bool = False
    go: str = "int64"


@dataclass(frozen=True, slots=True)
class Time:
    """A time of RFC 3339, kept to the second."""

    go: str = "string"


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever stands there."""

    go: str = "v1.FieldsV1"


@dataclass(frozen=True, slots=True)
class TextMap:
    """A mapping of strings to strings."""

    go: str = "map[string]string"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list."""

    item: Kind
    go: str


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with known keys; `name` is Go's of the struct."""

    name: str
    go: str
    fields: dict[str, Kind] = field(hash=False)


Kind = Text | Flag | Whole | Time | Anything | TextMap | ListOf | Record

_TEXT: Final = Text()
TEXTS: Final = ListOf(_TEXT, "[]string")

_OWNER: Final = Record(
    "OwnerReference",
    "v1.OwnerReference",
    {
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "name": _TEXT,
        "uid": Text("types.UID"),
        "controller": Flag(unset=True),
        "blockOwnerDeletion": Flag(unset=True),
    },
)
_MANAGED_FIELDS: Final = Record(
    "ManagedFieldsEntry",
    "v1.ManagedFieldsEntry",
    {
        "manager": _TEXT,
        "operation": Text("v1.ManagedFieldsOperationType"),
        "apiVersion": _TEXT,
        "time": Time(),
        "fieldsType": _TEXT,
        "fieldsV1": Anything(),
        "subresource": _TEXT,
    },
)
_METADATA: Final = Record(
    "ObjectMeta",
    "v1.ObjectMeta",
    {
        "name": _TEXT,
        "generateName": _TEXT,
        "namespace": _TEXT,
        "selfLink": _TEXT,
        "uid": Text("types.UID"),
        "resourceVersion": _TEXT,
        "generation": Whole(),
        "creationTimestamp": Time(),
        "deletionTimestamp": Time(),
        "deletionGracePeriodSeconds": Whole(unset=True),
        "labels": TextMap(),
        "annotations": TextMap(),
        "ownerReferences": ListOf(_OWNER, "[]v1.OwnerReference"),
        "finalizers": TEXTS,
        "managedFields": ListOf(_MANAGED_FIELDS, "[]v1.ManagedFieldsEntry"),
    },
)


def policy_schema(version: str = "v1", *, omit_managed_fields: bool = True) -> Record:
    """Give the schema of `audit.k8s.io/<version>` Policy; the versions differ in nothing but Go's type names.

    Without `omit_managed_fields`: as before Kubernetes 1.23.
    """
    resources = Record(
        "GroupResources", f"{version}.GroupResources", {"group": _TEXT, "resources": TEXTS, "resourceNames": TEXTS}
    )
    stages = ListOf(Text(f"{version}.Stage"), f"[]{version}.Stage")
    rule = Record(
        "PolicyRule",
        f"{version}.PolicyRule",
        {
            "level": Text(f"{version}.Level"),
            "users": TEXTS,
            "userGroups": TEXTS,
            "verbs": TEXTS,
            "resources": ListOf(resources, f"[]{version}.GroupResources"),
            "namespaces": TEXTS,
            "nonResourceURLs": TEXTS,
            "omitStages": stages,
            **({"omitManagedFields": Flag(unset=True)} if omit_managed_fields else {}),
        },
    )
    return Record(
        "Policy",
        f"{version}.Policy",
        {
            "kind": _TEXT,
            "apiVersion": _TEXT,
            "metadata": _METADATA,
            "rules": ListOf(rule, f"[]{version}.PolicyRule"),
            "omitStages": stages,
            **({"omitManagedFields": Flag()} if omit_managed_fields else {}),
        },
    )


def internal_schema() -> Record:
    """Give the schema of the internal Policy type."""
    spelled = policy_schema("audit")
    plain = {"kind": _TEXT, "apiVersion": _TEXT, **_METADATA.fields}
    own = {key: kind for key, kind in spelled.fields.items() if key not in {"kind", "apiVersion", "metadata"}}
    return Record(spelled.name, spelled.go, {**plain, **_go_spelling(own)})


def _go_spelling(fields: dict[str, Kind]) -> dict[str, Kind]:
    return {key[0].upper() + key[1:]: _go_fields(kind) for key, kind in fields.items()}


def _go_fields(kind: Kind) -> Kind:
    match kind:
        case Record(name, go, fields):
            return Record(name, go, _go_spelling(fields))
        case ListOf(item, go):
            return ListOf(_go_fields(item), go)
        case _:
            return kind

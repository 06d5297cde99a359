"""Identity: which kind of object a file holds, by its `apiVersion` and `kind`, as kube-apiserver makes it out.

The two keys are looked for without regard to case (spec §2.2: ``apiversion`` does; the decoder then calls it an unknown
field). A missing `kind` is Policy. A missing `apiVersion` is Kubernetes' internal version, whose objects can be decoded
but are no policy file. All that can be wrong with the two is told here, in kube-apiserver's words and in ours.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.documents.tree import Mapping, Node, Scalar, called, kind_of
from decklog.audit.quoting import quote
from decklog.policy.schema import Record, internal_schema, policy_schema
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from decklog.audit.documents.tree import Position
    from decklog.policy.releases import Release

GROUP: Final = "audit.k8s.io"
_INTERNAL: Final = "__internal"
_SCHEME: Final = '"k8s.io/apiserver/pkg/audit/scheme.go:30"'
_OTHER_KINDS: Final = frozenset({"Event", "EventList", "PolicyList"})
_META_KINDS: Final = frozenset(
    {"WatchEvent", "ListOptions", "GetOptions", "DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions"}
)
_UNVERSIONED_KINDS: Final = frozenset({"Status", "APIVersions", "APIGroupList", "APIGroup", "APIResourceList"})


class Fault(Struct, frozen=True):
    """What is wrong with `apiVersion` or `kind`."""

    path: str
    at: Position
    text: str


class Identity(Struct, frozen=True):
    """What a document says that it is."""

    schema: Record | None
    """What kube-apiserver decodes it by; None: it does not get so far."""
    stops: str = ""
    """kube-apiserver's error before decoding (`schema` is None) or after it; empty: there is none."""
    faults: tuple[Fault, ...] = ()
    """The same in our words."""
    old_version: str = ""
    """A version that this release still reads and 1.24 does not."""
    other_kind: bool = False
    """It is something else altogether, so that its fields are no policy's."""


class _Sniffed(Struct):
    api_version: str = ""
    kind: str = ""
    version_at: Position | None = None
    kind_at: Position | None = None
    problem: str = ""
    faults: tuple[Fault, ...] = ()


def identify(root: Node, release: Release, text: str) -> Identity:
    """Make out what `root` is; `text` is the file, which one of kube-apiserver's errors quotes whole."""
    found = _sniff(root)
    if found.problem:
        stops = f"failed decoding: couldn't get version/kind; json parse error: {found.problem}"
        return Identity(None, stops, found.faults, other_kind=not isinstance(root, Mapping))
    at = found.version_at or root.at
    if found.api_version.count("/") > 1:
        return _not_a_version(found, at, release, f"unexpected GroupVersion string: {found.api_version}")
    group, version = _split(found.api_version)
    kind = found.kind or "Policy"
    if not version and group in {"", GROUP}:
        group, version = GROUP, _INTERNAL
    if not version:
        return _not_a_version(found, at, release, f"Object 'apiVersion' is missing in '{text}'")
    if kind == "Policy" and group == GROUP and version in release.versions:
        schema = policy_schema(version, omit_managed_fields=release.omit_managed_fields)
        return Identity(schema, old_version="" if version == "v1" else found.api_version)
    if kind == "Policy" and (group, version) == (GROUP, _INTERNAL):
        stops = f"unknown group version field {GROUP}/{_INTERNAL}, Kind=Policy in policy"
        return Identity(internal_schema(), stops, (_version_fault(found, at, release),))
    return _refused(found, group, version, kind, release, root)


def _sniff(root: Node) -> _Sniffed:
    found = _Sniffed()
    if isinstance(root, Scalar) and root.value is None:
        return found
    if not isinstance(root, Mapping):
        fields = (
            'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
        )
        found.problem = f"json: cannot unmarshal {kind_of(root)} into Go value of type {fields}"
        text = f"a policy is a mapping with apiVersion, kind and rules, not {called(root)}"
        found.faults = (Fault("", root.at, text),)
        return found
    for entry in root.entries:
        name = {"apiversion": "apiVersion", "kind": "kind"}.get(entry.key.casefold())
        if name and isinstance(entry.value, Scalar):
            _take(found, name, entry.value)
        elif name:
            _refuse(found, name, entry.value)
    return found


def _take(found: _Sniffed, name: str, value: Scalar) -> None:
    if isinstance(value.value, str):
        if name == "apiVersion":
            found.api_version, found.version_at = value.value, value.at
        else:
            found.kind, found.kind_at = value.value, value.at
    elif value.value is None:
        found.version_at = found.version_at or (value.at if name == "apiVersion" else None)
    else:
        _refuse(found, name, value)


def _refuse(found: _Sniffed, name: str, value: Node) -> None:
    if not found.problem:  # the first one is told
        found.problem = f"json: cannot unmarshal {kind_of(value)} into Go struct field .{name} of type string"
        example = f"{GROUP}/v1" if name == "apiVersion" else "Policy"
        found.faults = (Fault(name, value.at, f"a string is wanted, not {called(value)}: write {example}"),)


def _split(api_version: str) -> tuple[str, str]:
    group, slash, version = api_version.partition("/")
    return (group, version) if slash else ("", group)


def _not_a_version(found: _Sniffed, at: Position, release: Release, problem: str) -> Identity:
    return Identity(None, f"failed decoding: {problem}", (_version_fault(found, at, release),))


def _version_fault(found: _Sniffed, at: Position, release: Release) -> Fault:
    wanted = f"{GROUP}/v1"
    if not found.api_version:
        return Fault("apiVersion", at, f"missing: write apiVersion: {wanted}")
    if found.api_version in {f"{GROUP}/v1beta1", f"{GROUP}/v1alpha1"}:
        text = f"{shown(found.api_version)} is refused since Kubernetes 1.24 (the target is {release}): write {wanted}"
        return Fault("apiVersion", at, f"{text}; the rules can stay as they are")
    return Fault("apiVersion", at, f"{shown(found.api_version)} is not a version of audit policies: write {wanted}")


def _refused(found: _Sniffed, group: str, version: str, kind: str, release: Release, root: Node) -> Identity:
    """Tell of a kind that is no Policy, or of a version that is not registered, or of both."""
    faults = []
    if kind != "Policy":
        faults.append(Fault("kind", found.kind_at or root.at, f"{shown(kind)} is not a policy: write kind: Policy"))
    package = _package(group, version, kind, release)
    other_kind = bool(package) or not get_close_matches(kind.lower(), ["policy"])
    if not other_kind and not (group == GROUP and version in release.versions):
        faults.append(_version_fault(found, found.version_at or root.at, release))
    if package:
        stops = f"converting ({package}.{kind}) to (audit.Policy): unknown conversion"
    else:
        written = quote(f"{group}/{version}" if group else version)
        registered = f"version {written}"
        if version == _INTERNAL:
            registered = f"the internal version of group {quote(group)}"
        stops = f"no kind {quote(kind)} is registered for {registered} in scheme {_SCHEME}"
    return Identity(None, f"failed decoding: {stops}", tuple(faults), other_kind=other_kind)


def _package(group: str, version: str, kind: str, release: Release) -> str:
    """Name the Go package of a kind that is registered, but is no Policy."""
    if kind in _UNVERSIONED_KINDS:
        return "v1"
    if group == GROUP and kind in _OTHER_KINDS:
        return "audit" if version == _INTERNAL else version if version in release.versions else ""
    if kind in _META_KINDS and ((group == GROUP and version in release.versions) or (group, version) == ("", "v1")):
        return "v1"
    return ""

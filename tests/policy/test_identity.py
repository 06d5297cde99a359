from __future__ import annotations

import json
from typing import Any

import pytest

from decklog.policy.identity import Identity, identify
from decklog.policy.json_tree import read_json
from decklog.policy.releases import parse_release


def identity(written: Any, kubernetes: str = "1.37") -> Identity:
    text = written if isinstance(written, str) else json.dumps(written)
    return identify(read_json(text.encode()).root, parse_release(kubernetes), text)


def of(api_version: Any = "audit.k8s.io/v1", kind: Any = "Policy", kubernetes: str = "1.37") -> Identity:
    return identity({"apiVersion": api_version, "kind": kind}, kubernetes)


SCHEME = 'in scheme "k8s.io/apiserver/pkg/audit/scheme.go:30"'
UNVERSIONED = "unknown group version field audit.k8s.io/__internal, Kind=Policy in policy"
SNIFFED = "failed decoding: couldn't get version/kind; json parse error: json: cannot unmarshal"


@pytest.mark.parametrize(
    "written", ["{}", '{"kind":null}', '{"apiVersion":"/"}', "null", '{"apiVersion":"audit.k8s.io/"}']
)
def test_without_a_version(written: str) -> None:
    """Without a version, it is the internal Policy, which can be decoded and is then refused."""
    found = identity(written)
    assert found.stops == UNVERSIONED
    assert found.schema is not None
    assert found.schema.go == "audit.Policy"


@pytest.mark.parametrize(
    "written",
    [
        '{"apiVersion":"audit.k8s.io/v1"}',
        '{"apiVersion":"audit.k8s.io/v1","kind":null}',
        '{"APIVERSION":"audit.k8s.io/v1","Kind":"Policy"}',
        '{"apiVersion":"x","apiVersion":"audit.k8s.io/v1"}',
        '{"apiVersion":"audit.k8s.io/v1","apiversion":null}',
    ],
)
def test_policies(written: str) -> None:
    """Kind may be missing, case does not matter, the last of several counts, null counts for nothing."""
    found = identity(written)
    assert (found.stops, found.faults) == ("", ())
    assert found.schema is not None
    assert found.schema.go == "v1.Policy"


@pytest.mark.parametrize(
    ("api_version", "kind", "stops"),
    [
        ("audit.k8s.io/v2", "Policy", f'no kind "Policy" is registered for version "audit.k8s.io/v2" {SCHEME}'),
        (
            "audit.k8s.io/v1beta1",
            "Policy",
            f'no kind "Policy" is registered for version "audit.k8s.io/v1beta1" {SCHEME}',
        ),
        ("v1", "Policy", f'no kind "Policy" is registered for version "v1" {SCHEME}'),
        ("/v1", "Pod", f'no kind "Pod" is registered for version "v1" {SCHEME}'),
        ("audit.k8s.io/v1", "policy", f'no kind "policy" is registered for version "audit.k8s.io/v1" {SCHEME}'),
        (
            "x/__internal",
            "Policy",
            f'no kind "Policy" is registered for the internal version of group "x" {SCHEME}',
        ),
        ("audit.k8s.io/v1", "EventList", "converting (v1.EventList) to (audit.Policy): unknown conversion"),
        (None, "Event", "converting (audit.Event) to (audit.Policy): unknown conversion"),
        ("v1", "DeleteOptions", "converting (v1.DeleteOptions) to (audit.Policy): unknown conversion"),
        ("x/v9", "Status", "converting (v1.Status) to (audit.Policy): unknown conversion"),
        ("a/b/c", "Policy", "unexpected GroupVersion string: a/b/c"),
        ("apps/", "Policy", 'Object \'apiVersion\' is missing in \'{"apiVersion": "apps/", "kind": "Policy"}\''),
    ],
)
def test_refused(api_version: str | None, kind: str, stops: str) -> None:
    """Another version or kind is refused in kube-apiserver's words, and in ours."""
    found = of(api_version, kind)
    assert found.stops == f"failed decoding: {stops}"
    assert found.schema is None
    assert found.faults


@pytest.mark.parametrize(
    ("written", "stops"),
    [
        ('{"apiVersion":1,"kind":2}', f"{SNIFFED} number into Go struct field .apiVersion of type string"),
        ('{"kind":{},"apiVersion":1}', f"{SNIFFED} object into Go struct field .kind of type string"),
        ('{"kind":true}', f"{SNIFFED} bool into Go struct field .kind of type string"),
    ],
)
def test_wrong_types(written: str, stops: str) -> None:
    """A version or kind that is no string is refused; the first one is told."""
    assert identity(written).stops == stops


@pytest.mark.parametrize("root", ["[]", '"x"', "1", "true"])
def test_no_mapping(root: str) -> None:
    """A document that is no mapping is none of ours, and its fields are not looked at."""
    found = identity(root)
    assert found.stops.startswith(SNIFFED)
    assert found.other_kind


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha1"])
def test_old_versions(version: str) -> None:
    """Before 1.24 the beta versions are read."""
    found = of(f"audit.k8s.io/{version}", kubernetes="1.23")
    assert found.schema is not None
    assert (found.schema.go, found.old_version, found.faults) == (f"{version}.Policy", f"audit.k8s.io/{version}", ())


def test_whose_fields_are_looked_at() -> None:
    """A typing error in the kind leaves a policy a policy; a Pod is something else altogether."""
    assert not of(kind="Polciy").other_kind
    assert of(kind="Pod").other_kind
    assert [fault.path for fault in of("audit/v1", "policy").faults] == ["kind", "apiVersion"]
    assert [fault.path for fault in of("v1", "Pod").faults] == ["kind"]

from __future__ import annotations

from typing import Any

import pytest

from decklog.sandbox.documents import Malformed
from decklog.sandbox.shapes import conform


@pytest.mark.parametrize(
    ("kind", "value", "kept", "unknown"),
    [
        ("ConfigMap", {"data": {"a": "b"}, "bogus": 1}, {"data": {"a": "b"}}, ["bogus"]),
        ("ConfigMap", {"data": {"a": None}, "immutable": None}, {"data": {"a": ""}}, []),
        ("ConfigMap", {"metadata": {"lables": {}, "name": "x"}}, {"metadata": {"name": "x"}}, ["metadata.lables"]),
        (
            "Pod",
            {"spec": {"containers": [{"name": "c", "imag": "x"}, {"name": "d"}]}},
            {"spec": {"containers": [{"name": "c"}, {"name": "d"}]}},
            ["spec.containers[0].imag"],
        ),
        ("Lease", {"spec": {"anything": [1]}}, {"spec": {"anything": [1]}}, []),
        ("Pod", {"status": {"anything": {"goes": 1}}}, {"status": {"anything": {"goes": 1}}}, []),
    ],
)
def test_unknown_fields_are_dropped_and_told(
    kind: str, value: dict[str, Any], kept: dict[str, Any], unknown: list[str]
) -> None:
    """Fields that a kind does not have go, with their path; what the sandbox does not look into stays."""
    assert conform(value, kind) == (kept, unknown)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("ConfigMap", {"data": {"a": 1}}, "cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        ("ConfigMap", {"data": []}, "cannot unmarshal array into Go struct field ConfigMap.data of type string"),
        (
            "Deployment",
            {"spec": {"replicas": True}},
            "cannot unmarshal bool into Go struct field Deployment.spec.replicas",
        ),
        (
            "Deployment",
            {"spec": {"replicas": 1 << 63}},
            "cannot unmarshal number into Go struct field Deployment.spec.rep",
        ),
        ("Pod", {"spec": {"containers": [None]}}, "cannot unmarshal null into Go struct field Pod.spec.containers"),
        ("Pod", {"metadata": {"labels": "x"}}, "cannot unmarshal string into Go struct field Pod.metadata.labels"),
        ("Pod", 7, "cannot unmarshal number into Go struct field Pod of type struct"),
    ],
)
def test_wrong_types_are_told_as_go_tells_them(kind: str, value: Any, message: str) -> None:
    """A value of another type is refused with the words of Go's decoder."""
    with pytest.raises(Malformed) as caught:
        conform(value, kind)
    assert message in str(caught.value)

from __future__ import annotations

import json
from typing import Any

import pytest

from decklog.errors import DecklogError
from decklog.policy.discovery import parse
from decklog.policy.kinds import Kinds

LIST = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": "shop.example/v1",
    "resources": [
        {"name": "carts", "singularName": "cart", "namespaced": True, "kind": "Cart", "shortNames": ["ct"]},
        {"name": "carts/status", "singularName": "", "namespaced": True, "kind": "Cart"},
    ],
}
AGGREGATED = {
    "kind": "APIGroupDiscoveryList",
    "apiVersion": "apidiscovery.k8s.io/v2",
    "items": [
        {
            "metadata": {"name": "shop.example"},
            "versions": [
                {
                    "version": "v1",
                    "resources": [
                        {
                            "resource": "carts",
                            "responseKind": {"kind": "Cart"},
                            "scope": "Namespaced",
                            "singularResource": "cart",
                            "shortNames": ["ct"],
                            "subresources": [{"subresource": "status"}],
                        }
                    ],
                },
                {"version": "v1beta1", "resources": []},
            ],
        }
    ],
}
CORE = {"kind": "APIResourceList", "groupVersion": "v1", "resources": [{"name": "pods", "kind": "Pod"}]}


def bytes_of(*documents: Any) -> bytes:
    return "\n".join(json.dumps(document, indent=1) for document in documents).encode()


@pytest.mark.parametrize("document", [LIST, AGGREGATED], ids=["list", "aggregated"])
def test_both_forms_say_the_same(document: dict[str, Any]) -> None:
    """A resource with its subresources is read from a list of one group as from the aggregated document."""
    (found,) = parse(bytes_of(document), source="d")
    assert (found.group, found.resource, found.kind, found.singular) == ("shop.example", "carts", "Cart", "cart")
    assert (found.namespaced, found.subresources, found.short_names) == (True, ("status",), ("ct",))


@pytest.mark.parametrize(
    "data",
    [bytes_of(LIST, CORE), bytes_of([LIST, CORE]), bytes_of({"kind": "List", "items": [LIST, CORE]})],
    ids=["one after another", "array", "List"],
)
def test_several_documents_stand_in_one_file(data: bytes) -> None:
    """Documents may follow each other, or be in an array or a List; the core group has no name."""
    assert [kind.qualified for kind in parse(data, source="d")] == ["carts.shop.example", "pods"]


def test_a_group_whose_server_is_down_is_known_to_be_there() -> None:
    """Aggregated discovery lists it without resources: then nothing is said of what it has."""
    stale = {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]}
    (found,) = parse(bytes_of({"kind": "APIGroupDiscoveryList", "items": [stale]}), source="d")
    assert (found.group, found.resource) == ("metrics.k8s.io", "")
    kinds = Kinds([found])
    assert kinds.is_open("metrics.k8s.io")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "lists no resource"),
        (b"{", "d:1: no JSON"),
        (b"[1]", "is an object"),
        (b'{"kind":"Pod"}', "kind 'Pod' lists no resources"),
        (b'{"kind":"APIResourceList","resources":[{}]}', "not in the form of APIResourceList"),
        (b'{"kind":"APIGroupDiscoveryList","items":[3]}', "not in the form of APIGroupDiscoveryList"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_other_documents_are_refused(data: bytes, says: str) -> None:
    """What is no discovery document is told with its file, and what to give."""
    with pytest.raises(DecklogError, match="d") as raised:
        parse(data, source="d")
    assert says in str(raised.value)

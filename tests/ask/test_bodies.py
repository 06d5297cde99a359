from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw
from msgspec.json import encode

from ask.logs import event, ref
from ask.workloads import asking, body
from decklog.ask.bodies import parsed, wholes
from decklog.audit.event import Status
from decklog.audit.query import Query

WEB = {"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": 3}}
LIST = {"kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {}, "items": [{"metadata": WEB["metadata"]}]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"verb": "update", "request_object": body(WEB)}, ["request"]),
        ({"verb": "update", "request_object": body(WEB), "response_object": body(WEB)}, ["response", "request"]),
        ({"verb": "patch", "request_object": body(WEB)}, []),
        ({"verb": "get", "response_object": body(WEB)}, ["response"]),
        ({"verb": "delete", "response_object": body(WEB)}, ["response"]),
        ({"verb": "delete", "response_object": body({"kind": "Status", "metadata": {}})}, []),
        ({"verb": "get", "response_object": body({**WEB, "kind": "PartialObjectMetadata"})}, []),
        ({"verb": "get", "response_object": body({"kind": "Table", "metadata": {}, "rows": []})}, []),
        ({"verb": "list", "object_ref": ref("deployments", group="apps"), "response_object": body(LIST)}, ["response"]),
        ({"verb": "list", "object_ref": ref("deployments", "lab"), "response_object": body({"items": [1, {}]})}, []),
        ({"verb": "get", "response_object": body({**WEB, "metadata": {"name": "other"}})}, []),
        (
            {
                "verb": "update",
                "object_ref": ref("deployments", name="web", group="apps", subresource="scale"),
                "response_object": body({"kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 0}}),
            },
            [],
        ),
        ({"verb": "update", "request_object": body(WEB), "response_status": Status(code=409)}, []),
        ({"verb": "update", "request_object": body(WEB), "response_status": None}, []),
        ({"verb": "update", "request_object": Raw(b'{"kind":')}, []),
        ({"verb": "update", "request_object": Raw(b"[1]")}, []),
    ],
)
def test_only_the_object_itself_is_whole(changes: dict[str, Any], expected: list[str]) -> None:
    """Bodies that speak of an object, of another one, or of a request that failed show none."""
    (request,) = asking([event(**changes)])((Query(),))
    assert [whole.body for whole in wholes(request, "web", "shop")] == expected


def test_an_item_of_a_list_gets_its_type() -> None:
    """Items carry no kind; it is the list's."""
    (request,) = asking([event(verb="list", object_ref=ref("deployments"), response_object=body(LIST))])((Query(),))
    (whole,) = wholes(request, "web", "shop")
    assert (whole.document["kind"], whole.document["apiVersion"]) == ("Deployment", "apps/v1")
    assert not list(wholes(request, "web", "lab"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", None),
        (b'{"a":1}', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":1e400}', {"a": "inf"}),
        (b'{"a":1' + b"0" * 30 + b"}", {"a": "1" + "0" * 30}),
        (b'{"a":1' + b"0" * 5000 + b"}", None),
        (b'{"a":"\\ud800"}', {"a": "\ufffd"}),
        (b'{"a":"\xff"}', None),
        (b"[" * 9000 + b"]" * 9000, None),
        (b"[" * 150 + b"]" * 150, None),
        (b'{"\\ud83d\\ude00":true}', {"\U0001f600": True}),
    ],
)
def test_whatever_is_parsed_can_be_written_again(text: bytes, expected: Any) -> None:
    """Poison becomes harmless or is no body."""
    found = parsed(Raw(text))
    assert found == expected
    encode(found)

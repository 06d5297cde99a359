from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from ask.logs import ref
from ask.workloads import asking, at, body
from decklog.ask.secret_uses import SecretUse, queries, secret_uses
from decklog.audit.event import Event, Status
from decklog.audit.query import Pattern

ALL = at(1, "spy", "list", ref("secrets", ""))
ROOM = at(2, "kubelet", "watch", ref("secrets"))
ONE = at(3, "alice", "get", ref("secrets", name="db"))
OTHER = at(4, "alice", "get", ref("secrets", "lab", "db"))
TOKEN = at(5, "ci", "create", ref("serviceaccounts", name="robot", subresource="token"))
CONFIG = at(6, "alice", "get", ref("configmaps", name="db"))
STORY = (CONFIG, TOKEN, OTHER, ONE, ROOM, ALL)


def uses(*events: Event, **asked: Any) -> list[SecretUse]:
    return secret_uses(asking(events)(queries(**asked)))


def test_what_reaches_most_comes_first_and_is_told_in_words() -> None:
    """Lists over all namespaces, then of one, then single secrets; tokens are credentials, too."""
    assert [(use.who, use.did, use.what) for use in uses(*STORY)] == [
        ("spy", "listed", "all of all namespaces"),
        ("kubelet", "watched", "all of namespace shop"),
        ("alice", "read", "shop/db"),
        ("alice", "read", "lab/db"),
        ("ci", "minted a token for", "shop/robot"),
    ]


def test_of_one_secret_also_lists_are_found_that_reach_it() -> None:
    """Who lists a namespace reads every secret in it."""
    found = uses(*STORY, names=("db",), namespaces=("shop",))
    assert [use.who for use in found] == ["spy", "kubelet", "alice"]
    assert [use.who for use in uses(*STORY, verbs=(Pattern("get"),))] == ["alice", "alice"]


def test_uses_are_counted_with_failures() -> None:
    """Refusals and what has no known end count, apart."""
    refused = replace(ONE, response_status=Status(code=403), request_uri="/2")
    unknown = replace(ONE, response_status=None, request_uri="/3", source_ips=("192.0.2.1",))
    (use,) = uses(ONE, refused, unknown)
    assert (use.count, use.denied, use.source_ips) == (3, 2, ("10.0.0.7", "192.0.2.1"))


def test_creations_without_a_name_are_not_collections() -> None:
    """A secret made with generateName whose answer is not in the log has no known name."""
    (use,) = uses(at(1, "a", "create", ref("secrets")))
    assert use.what == "shop/?"


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({}, 0),
        ({"response_object": body({"kind": "Secret", "metadata": {}, "data": {"a": "x"}})}, 1),
        ({"response_object": body({"kind": "SecretList", "items": [{"data": {"a": "x"}}]})}, 1),
        ({"request_object": body({"stringData": {"a": "x"}})}, 1),
        ({"request_object": body([{"op": "add", "path": "/data/a", "value": "x"}])}, 1),
        ({"request_object": body([{"op": "add", "path": "/metadata/labels/a", "value": "x"}])}, 0),
        (
            {
                "request_object": body(
                    {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": ""}}}
                )
            },
            1,
        ),
        ({"response_object": body({"kind": "TokenRequest", "status": {"token": "x"}})}, 1),
        ({"response_object": body({"kind": "Status", "status": "Failure"})}, 0),
        ({"response_object": Raw(b'{"data":')}, 1),
    ],
)
def test_values_in_the_log_are_noticed(changes: dict[str, Any], held: int) -> None:
    """A log with the values of secrets is itself a secret; what cannot be read may hold some."""
    (use,) = uses(replace(ONE, **changes))
    assert use.values_recorded == held

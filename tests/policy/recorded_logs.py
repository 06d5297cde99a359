"""Builds recorded events with bodies, and policies for them, for the tests of what happens after recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw

from decklog.audit.event import ObjectReference, Stage, Status, User
from decklog.audit.wire import encode_event
from decklog.policy.deciding import decide_by
from decklog.policy.rules import GroupResources, Policy, Rule
from decklog.testing import event

if TYPE_CHECKING:
    from decklog.audit.event import Event
    from decklog.policy.deciding import Decide

REQUEST = Raw(b'{"kind":"Pod","spec":{"hostNetwork":true}}')
RESPONSE = Raw(b'{"kind":"Pod","metadata":{"uid":"7","managedFields":[{"manager":"kubectl"}]},"status":{}}')


def full(**changes: Any) -> Event:
    """Give an event at RequestResponse: alice created the pod web-0, with both bodies."""
    whole: dict[str, Any] = {
        "level": "RequestResponse",
        "verb": "create",
        "request_uri": "/api/v1/namespaces/shop/pods",
        "response_status": Status(code=201),
        "request_object": REQUEST,
        "response_object": RESPONSE,
        **changes,
    }
    return event(**whole)


def line(**changes: Any) -> bytes:
    """Give its line."""
    return encode_event(full(**changes))


def at(level: str, **fields: Any) -> Policy:
    """Give a policy of one rule."""
    return Policy((Rule(level, **fields),))


def decide(level: str, **fields: Any) -> Decide:
    """Decide by one rule."""
    return decide_by(at(level, **fields))


def ref(resource: str, name: str = "", group: str = "", subresource: str = "", namespace: str = "") -> ObjectReference:
    """Give what an event is about."""
    return ObjectReference(resource, namespace, name, api_group=group, api_version="v1", subresource=subresource)


def component(name: str, *groups: str) -> User:
    """Give a component of the cluster."""
    return User(f"system:{name}", groups=(*groups, "system:authenticated"))


SECRETS_FIRST = Policy(
    (
        Rule("Metadata", resources=(GroupResources("", ("secrets",)),)),
        Rule("None", user_groups=("system:nodes",)),
        Rule("Request", verbs=("create", "delete")),
        Rule("Metadata", non_resource_urls=("/apis*",)),
    ),
    omit_stages=(Stage.REQUEST_RECEIVED.value,),
)

"""Witnessing: the request that proves a rule reachable, in words and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from decklog.policy.lint.remarks import listed
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from decklog.audit.attributes import Attributes
    from decklog.policy.lint.reach import Reached


def told(reached: Reached) -> str:
    """Say which request a rule decides: ``decides: create pods/exec …, by 'alice' in the groups 'dev'``."""
    if reached.witness is None:
        if reached.covered_by is None:
            return "is not decided: the search for a request was given up, and nothing is claimed"
        return "decides no request"
    attributes, user = reached.witness.attributes, reached.witness.user
    who = "by nobody authenticated"
    if user is not None:
        groups = f" in {listed([shown(group) for group in user.groups])}" if user.groups else ""
        who = f"by {shown(user.username)}{groups}"
    return f"decides: {_request(attributes)}, {who}"


def _request(attributes: Attributes) -> str:
    if not attributes.resource_request:
        return f"{attributes.verb} {attributes.path}"
    below = f"/{attributes.subresource}" if attributes.subresource else ""
    group = f".{attributes.api_group}" if attributes.api_group else ""
    name = f" {attributes.name}" if attributes.name else ""
    space = f" -n {attributes.namespace}" if attributes.namespace else ""
    return f"{attributes.verb} {attributes.resource}{group}{below}{name}{space}"


def to_json(reached: Reached) -> dict[str, Any]:
    """Give what was found out about a rule, its witness with it."""
    witness = reached.witness
    found: dict[str, Any] = {
        "rule": reached.index,
        "line": reached.line,
        "reachable": None if witness is None and reached.covered_by is None else witness is not None,
        "coveredBy": list(reached.covered_by or ()),
        "witness": None,
    }
    if witness is not None:
        attributes, user = witness.attributes, witness.user
        found["witness"] = {
            "resourceRequest": attributes.resource_request,
            "verb": attributes.verb,
            "path": attributes.path,
            "apiGroup": attributes.api_group,
            "resource": attributes.resource,
            "subresource": attributes.subresource,
            "namespace": attributes.namespace,
            "name": attributes.name,
            "user": None if user is None else {"username": user.username, "groups": list(user.groups)},
        }
    return found

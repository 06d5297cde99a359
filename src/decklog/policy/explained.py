"""Explained: an explanation in words and as JSON. What comes from a request or a policy is quoted: one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from decklog.audit.event import Level
from decklog.policy.explain import Body, listed
from decklog.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.audit.attributes import Attributes
    from decklog.audit.event import User
    from decklog.policy.explain import Considered, Explanation


def asked(attributes: Attributes) -> str:
    """Write a request as `request_text` reads it: ``create pods/exec web-0 -n shop``, ``get /healthz``."""
    if not attributes.resource_request:
        return f"{_bare(attributes.verb)} {_bare(attributes.path)}"
    group = f".{attributes.api_group}" if attributes.api_group else ""
    below = f"/{attributes.subresource}" if attributes.subresource else ""
    words = [attributes.verb, f"{attributes.resource}{group}{below}", attributes.name]
    space = f" -n {_bare(attributes.namespace)}" if attributes.namespace else ""
    return " ".join(_bare(word) for word in words if word) + space


def _bare(text: str) -> str:
    """Leave a plain word as it is, and quote what is none, or what is very long."""
    return text if text.isascii() and text.isprintable() and " " not in text and len(text) <= 200 else shown(text, 200)


def by(user: User | None) -> str:
    """Say who asks."""
    if user is None:
        return "nobody authenticated"
    return f"{shown(user.username)} in {listed(user.groups)}" if user.groups else f"{shown(user.username)} in no group"


def verdict(considered: Considered, source: str) -> str:
    """Say of one rule, with its place, whether it matches: ``policy.yaml:8: rule 2 (None) does not match: …``."""
    place = f"{source}:{considered.line}" if considered.line else source
    rule = f"{place}: rule {considered.index} ({considered.level})"
    if considered.difference is None:
        return f"{rule} matches"
    return f"{rule} does not match: {considered.difference.field}: {considered.difference.text}"


def lines(explanation: Explanation, source: str) -> Iterator[str]:
    """Write an explanation for people."""
    yield asked(explanation.attributes)
    yield f"  by {by(explanation.user)}"
    yield ""
    yield from (verdict(considered, source) for considered in explanation.rules)
    if explanation.decision.rule is None:
        yield f"{source}: no rule matches: the level is None"
    yield ""
    yield from (f"{label:<16}{text}" for label, text in answers(explanation))


def answers(explanation: Explanation) -> Iterator[tuple[str, str]]:
    """Say what is written: a label and a sentence each."""
    level = explanation.decision.level
    if level is Level.NONE:
        yield "level", "None: nothing is written"
        return
    yield "level", str(level)
    yield "stages", _stages(explanation)
    yield "request body", _body(explanation.request_body, level, Level.REQUEST)
    yield "response body", _body(explanation.response_body, level, Level.REQUEST_RESPONSE)
    yield "managed fields", _managed_fields(explanation)


def _stages(explanation: Explanation) -> str:
    written = ", ".join(explanation.stages) or "none: nothing is written"
    if explanation.panic:
        written += "; Panic, if the handler panics"
    left_out = [f"{stage} by the {who}" for stage, who in explanation.omitted]
    return f"{written} (omitted: {', '.join(left_out)})" if left_out else written


def _body(body: Body, level: Level, needed: Level) -> str:
    match body:
        case Body.KEPT:
            return "kept"
        case Body.LEFT_OUT:
            return f"left out: {level} is below {needed}"
        case Body.NONE:
            return "none that the server would record"


def _managed_fields(explanation: Explanation) -> str:
    said = {"rule": "as the rule says", "policy": "as the policy says", "default": "which is the default"}
    if Body.KEPT not in {explanation.request_body, explanation.response_body}:
        return "no body is kept that could have them"
    what = "omitted" if explanation.decision.omit_managed_fields else "kept"
    return f"{what}, {said[explanation.managed_fields_by]}"


def to_json(explanation: Explanation, source: str) -> dict[str, Any]:
    """Give an explanation for programs; docs/policy/explain.md names the keys."""
    decision = explanation.decision
    matching = explanation.rules[-1] if decision.rule is not None else None
    return {
        "policy": source,
        "request": request_to_json(explanation.attributes),
        "user": user_to_json(explanation.user),
        "rules": [_rule_to_json(considered) for considered in explanation.rules],
        "rule": decision.rule,
        "line": matching.line if matching else None,
        "level": str(decision.level),
        "stages": list(explanation.stages),
        "panic": explanation.panic,
        "omitStages": [stage for stage, _ in explanation.omitted],
        "omitManagedFields": decision.omit_managed_fields,
        "requestBody": explanation.request_body is Body.KEPT,
        "responseBody": explanation.response_body is Body.KEPT,
    }


def request_to_json(attributes: Attributes) -> dict[str, Any]:
    """Give what a policy sees of a request."""
    return {
        "resourceRequest": attributes.resource_request,
        "verb": attributes.verb,
        "path": attributes.path,
        "apiGroup": attributes.api_group,
        "resource": attributes.resource,
        "subresource": attributes.subresource,
        "namespace": attributes.namespace,
        "name": attributes.name,
    }


def user_to_json(user: User | None) -> dict[str, Any] | None:
    """Give what a policy sees of the caller."""
    return None if user is None else {"username": user.username, "groups": list(user.groups)}


def _rule_to_json(considered: Considered) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rule": considered.index,
        "line": considered.line,
        "column": considered.column,
        "level": considered.level,
        "matches": considered.difference is None,
    }
    if considered.difference is not None:
        differs = considered.difference
        value = list(differs.value) if isinstance(differs.value, tuple) else differs.value
        found |= {"field": differs.field, "value": value, "wants": list(differs.wants), "text": differs.text}
    return found

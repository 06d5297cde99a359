from __future__ import annotations

import pytest

from decklog.sandbox import resources as known
from decklog.sandbox.selectors import from_label_selector, label_requirements, selector
from decklog.sandbox.status import ApiError

LABELS = {"app": "web", "tier": "front", "n": "5", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=api", False),
        ("app!=api", True),
        ("nope!=x", True),
        ("app in (web, api)", True),
        ("app notin (web)", False),
        ("nope notin (web)", True),
        ("app", True),
        ("!app", False),
        ("!nope", True),
        ("n>4", True),
        ("n<5", False),
        ("app>4", False),
        ("empty=", True),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("example.com/x!=y,app", True),
    ],
)
def test_label_selectors(text: str, matches: bool) -> None:
    """Each form of a label selector matches what it should."""
    assert selector(known.PODS, text, "").matches({"metadata": {"labels": LABELS}}) is matches


@pytest.mark.parametrize("text", ["===", "a=b=c", "a in b", "a in (b", "a b", "!", "!=x", "a,", "-a=b", "n>x", "a=(b)"])
def test_label_selectors_that_do_not_parse(text: str) -> None:
    """A label selector that does not parse is a 400 that says what was expected."""
    with pytest.raises(ApiError) as caught:
        label_requirements(text)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("metadata.name=p", True),
        ("metadata.name!=p", False),
        ("status.phase=Running", True),
        ("status.phase=Running,spec.nodeName=n", True),
        ("spec.nodeName=other", False),
        ("spec.hostNetwork=false", True),
        ("=", True),
    ],
)
def test_field_selectors(text: str, matches: bool) -> None:
    """Field selectors look at the fields that a kind may be selected by; what is not set has its zero."""
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    assert selector(known.PODS, "", text).matches(pod) is matches


@pytest.mark.parametrize(
    ("resource", "text", "message"),
    [
        (
            known.CONFIG_MAPS,
            "spec.x=1",
            '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (known.PODS, "spec.x=1", "field label not supported: spec.x"),
        (known.PODS, "metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
    ],
)
def test_field_selectors_that_are_refused(resource: known.Resource, text: str, message: str) -> None:
    """Fields that a kind cannot be selected by are refused in the server's words."""
    with pytest.raises(ApiError) as caught:
        selector(resource, "", text)
    assert caught.value.message == message


def test_selectors_of_workloads() -> None:
    """A LabelSelector object asks for all its labels and expressions."""
    value = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["front"]},
            {"key": "nope", "operator": "DoesNotExist"},
        ],
    }
    assert from_label_selector(value).matches({"metadata": {"labels": LABELS}})
    assert not from_label_selector(value).matches({"metadata": {"labels": {"app": "web"}}})

from __future__ import annotations

from typing import Any

import pytest

from ask.logs import event, ref
from decklog.ask.questions import who_did
from decklog.audit.query import Pattern
from decklog.errors import DecklogError

SHOP = (Pattern("shop"),)
EVICTED = event(verb="create", object_ref=ref("pods", name="web-0", subresource="eviction"))
EXEC = event(verb="create", object_ref=ref("pods", name="web-0", subresource="exec"))


def found(words: str, seen: Any, **filters: Any) -> bool:
    return any(query.matches(seen) for query in who_did(tuple(words.split()), **filters))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("delete deploy/web", True),
        ("deleted deployment web", True),
        ("has deleted the deployments.apps/web", True),
        ("removed deploy", True),
        ("deleted deployments.v1.apps we*", True),
        ("touched deploy/web", True),
        ("changed deploy/web", True),
        ("created deploy/web", False),
        ("read deploy/web", False),
        ("deleted deploy/api", False),
        ("deleted deployments.extensions/web", False),
        ("deleted pods", False),
        ("deleted /apis/apps/v1/namespaces/shop/deployments/web", True),
        ("deleted /healthz", False),
    ],
)
def test_who_did_what_to_an_object(words: str, expected: bool) -> None:
    """The question finds the deletion of a deployment in each of its spellings, and only by the right verb."""
    assert found(words, event(), namespaces=SHOP) is expected
    assert not found(words, event(), users=(Pattern("bob"),))


@pytest.mark.parametrize(
    ("words", "seen", "expected"),
    [
        ("deleted pod/web-0", EVICTED, True),
        ("evicted pod/web-0", EVICTED, True),
        ("created pod/web-0", EVICTED, False),
        ("exec'd into pod/web-0", EXEC, True),
        ("changed pod/web-0", EXEC, False),
        ("touched pod/web-0", EXEC, True),
        ("create pods/web-0/exec", EXEC, True),
        ("deleted pod/web-0", EXEC, False),
    ],
)
def test_subresources_belong_to_the_right_deed(words: str, seen: Any, expected: bool) -> None:
    """An eviction deletes a pod, a session in it changes nothing."""
    assert found(words, seen) is expected


def test_a_collective_deletion_reaches_the_object() -> None:
    """Who empties a namespace deletes what is in it, unless only exact namings are asked for."""
    emptied = event(verb="deletecollection", object_ref=ref("deployments", group="apps"))
    assert found("deleted deploy/web", emptied, namespaces=SHOP, reach=True)
    assert not found("deleted deploy/web", emptied, namespaces=SHOP, reach=False)
    assert not found("deleted deploy/web", emptied, namespaces=(Pattern("other"),), reach=True)


def test_a_question_needs_an_object() -> None:
    """A verb alone is answered with how the question goes."""
    with pytest.raises(DecklogError, match=r"who deleted deploy/web"):
        who_did(("deleted",))

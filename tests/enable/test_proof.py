from __future__ import annotations

import pytest

from decklog.audit.event import Level, User
from decklog.enable.proof import Marked, find, marked, token
from decklog.policy.reader import parse

JANE = User(username="jane", groups=("system:authenticated",))
RULES = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"

CHOSEN: dict[str, tuple[str, User | None, str, Level | None]] = {
    "everything": ("rules: [{level: Metadata}]", JANE, "GET /api/v1/namespaces/default/configmaps/", Level.METADATA),
    "bodies of secrets": (
        "rules: [{level: Request, resources: [{group: '', resources: [secrets]}]}]",
        JANE,
        "GET /api/v1/namespaces/default/secrets/",
        Level.REQUEST,
    ),
    "writes": (
        "rules: [{level: None, verbs: [get]}, {level: Metadata}]",
        JANE,
        "DELETE /api/v1/",
        Level.METADATA,
    ),
    "health alone": ("rules: [{level: Metadata, nonResourceURLs: [/livez]}]", JANE, "GET /livez?mark=", Level.METADATA),
    "nobody's, of which one stage is left": (
        "omitStages: [RequestReceived]\nrules: [{level: Metadata}]",
        None,
        "GET /api/v1/namespaces/default/configmaps/",
        Level.METADATA,
    ),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_a_request_is_chosen_that_the_policy_records(case: str) -> None:
    """The first of some harmless requests that the policy records; its mark stands in it."""
    policy, user, begins, level = CHOSEN[case]
    request = marked(parse((RULES + policy).encode(), source="p").policy, user, "0a1b")
    assert request is not None
    assert str(request).startswith(begins)
    assert "decklog-prove-0a1b" in request.target
    assert request.level is level


@pytest.mark.parametrize(
    ("policy", "user"),
    [
        ("rules: [{level: None}]", JANE),
        ("omitStages: [RequestReceived, ResponseComplete]\nrules: [{level: Metadata}]", JANE),
        ("omitStages: [ResponseStarted]\nrules: [{level: Metadata}]", None),
        ("rules: [{level: Metadata, users: [bob]}]", JANE),
    ],
)
def test_a_policy_that_records_none_of_them_is_told(policy: str, user: User | None) -> None:
    """Level None, omitted stages or another's rules: then there is nothing to ask."""
    assert marked(parse((RULES + policy).encode(), source="p").policy, user, token()) is None


def test_the_event_is_found_in_any_format() -> None:
    """The mark is looked for as bytes; what is no event in JSON is found, too, without its fields."""
    request = Marked("GET", "/x", "decklog-prove-1", None)
    event = b'{"kind":"Event","level":"Metadata","stage":"Panic","auditID":"decklog-prove-1","user":{"username":"a"}}'
    found = find(request, [b"{}", event])
    assert found is not None
    assert found[0] is not None
    assert found[0].user.username == "a"
    assert find(request, [b'2026 AUDIT: id="decklog-prove-1" stage="Panic"']) is not None
    assert find(request, [b"decklog-prove-2"]) is None

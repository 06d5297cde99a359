from __future__ import annotations

import pytest

from decklog.ask.absence import Verdict, absence
from decklog.ask.foresight import Foreseen, foreseen
from decklog.ask.names import resource_patterns
from decklog.audit.event import Level
from decklog.audit.query import Pattern, Query
from decklog.policy.reader import parse
from decklog.sources.record import Coverage

FIRST, LAST = "2026-03-01T09:00:00.000000Z", "2026-03-01T12:00:00.000000Z"
YES = Foreseen(((Level.METADATA, 0),), "")
NO = Foreseen(((Level.NONE, 0),), "")
PERHAPS = Foreseen(((Level.NONE, 0), (Level.METADATA, 1)), "")
INSIDE = Query(since="2026-03-01T10:00:00.000000Z", until="2026-03-01T11:00:00.000000Z")


def typed(word: str) -> Query:
    return Query(resources=resource_patterns(word))


@pytest.mark.parametrize(
    ("query", "policy", "verdict", "says"),
    [
        (Query(since="2026-03-02T00:00:00.000000Z"), YES, Verdict.OUTSIDE, "the log ends before"),
        (Query(after="2026-03-02T00:00:00.000000Z"), None, Verdict.OUTSIDE, "the log ends before"),
        (Query(until="2026-03-01T00:00:00.000000Z"), YES, Verdict.OUTSIDE, "the log begins after"),
        (INSIDE, NO, Verdict.NOT_RECORDED, "it would not be recorded"),
        (INSIDE, YES, Verdict.DID_NOT_HAPPEN, "it did not happen in that window, if that policy was in force"),
        (Query(), YES, Verdict.DID_NOT_HAPPEN, "which is what the log covers"),
        (INSIDE, PERHAPS, Verdict.UNTOLD, "unless it was one of those that the policy leaves out"),
        (INSIDE, None, Verdict.UNTOLD, "--policy FILE tells"),
        (
            typed("deplyoment"),
            YES,
            Verdict.UNTOLD,
            "if deplyoment is a type (Kubernetes has none of that name: did you mean",
        ),
        (typed("gizmos"), YES, Verdict.UNTOLD, "of a custom one, write the plural"),
        (typed("deploy"), YES, Verdict.DID_NOT_HAPPEN, "it did not happen"),
        (typed("gizmos.example.org"), YES, Verdict.DID_NOT_HAPPEN, "it did not happen"),
        (typed("-gizmos"), YES, Verdict.DID_NOT_HAPPEN, "it did not happen"),
    ],
)
def test_an_empty_answer_says_what_it_tells(query: Query, policy: Foreseen | None, verdict: Verdict, says: str) -> None:
    """Outside the window, not recorded, did not happen: only what can be told, and with its condition."""
    told = absence(Coverage(first=FIRST, last=LAST), [query], policy)
    assert told.verdict == verdict
    assert says in told.text


def test_what_could_not_be_read_is_a_doubt() -> None:
    """With broken lines, or without any, nothing is claimed."""
    broken = absence(Coverage(first=FIRST, last=LAST, bad_lines=1), [INSIDE], YES)
    assert (broken.verdict, "could not be read" in broken.text) == (Verdict.UNTOLD, True)
    assert absence(Coverage(), [INSIDE], YES).verdict == Verdict.UNTOLD


POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:kube-proxy"], verbs: [watch]}
- {level: None, userGroups: ["system:nodes"], verbs: [get]}
- {level: None, nonResourceURLs: ["/healthz*"]}
- {level: RequestResponse, resources: [{group: "", resources: [secrets], resourceNames: [db]}]}
- {level: Metadata, resources: [{group: "", resources: [secrets, pods/log]}]}
- {level: Request, namespaces: [shop]}
- {level: None, verbs: [get, list]}
- {level: Metadata}
"""


def of(texts: str) -> tuple[Pattern, ...]:
    return tuple(map(Pattern.parse, texts.split()))


@pytest.mark.parametrize(
    ("query", "levels"),
    [
        (Query(users=of("system:kube-proxy"), verbs=of("watch")), [("None", 0)]),
        (Query(users=of("system:node:n1"), verbs=of("get")), [("None", 1)]),
        (Query(users=of("system:serviceaccount:shop:x"), verbs=of("get"), paths=of("/version")), [("None", 6)]),
        (Query(paths=of("/healthz")), [("None", 0)]),
        (Query(users=of("alice"), paths=of("/healthz")), [("None", 1)]),
        (
            Query(users=of("system:serviceaccount:a:b"), resources=resource_patterns("secret"), names=of("db")),
            [("RequestResponse", 3)],
        ),
        (
            Query(users=of("system:serviceaccount:a:b"), resources=resource_patterns("secret"), names=of("x")),
            [("Metadata", 4)],
        ),
        (
            Query(users=of("system:serviceaccount:a:b"), resources=resource_patterns("secret")),
            [("RequestResponse", 3), ("Metadata", 4)],
        ),
        (
            Query(users=of("system:serviceaccount:a:b"), namespaces=of("shop"), resources=resource_patterns("cm")),
            [("Request", 5)],
        ),
        (
            Query(
                users=of("system:serviceaccount:a:b"),
                namespaces=of("x"),
                resources=resource_patterns("cm"),
                verbs=of("delete"),
            ),
            [("Metadata", 7)],
        ),
        (
            Query(
                users=of("system:serviceaccount:a:b"),
                namespaces=of("x"),
                resources=resource_patterns("cm"),
                verbs=of("list"),
            ),
            [("None", 6)],
        ),
        (
            Query(
                users=of("system:serviceaccount:a:b"),
                namespaces=of("x"),
                resources=resource_patterns("pods"),
                verbs=of("get"),
            ),
            [("Metadata", 4), ("None", 6)],
        ),
        (
            Query(
                users=of("system:serviceaccount:a:b"),
                namespaces=of("x"),
                resources=resource_patterns("pods/log"),
                verbs=of("get"),
            ),
            [("Metadata", 4)],
        ),
        (
            Query(users=of("system:serviceaccount:a:b"), resources=resource_patterns("widgets"), verbs=of("delete")),
            [("Request", 5), ("Metadata", 7)],
        ),
        (Query(stages=of("RequestReceived")), [("None", None)]),
    ],
)
def test_a_policy_is_asked_about_a_question(query: Query, levels: list[tuple[str, int | None]]) -> None:
    """What the question leaves open may be anything; the levels that remain are named with their rules."""
    found = foreseen(parse(POLICY.encode(), source="p"), [query], "p")
    assert [(str(level), rule) for level, rule in found.levels] == levels

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from decklog.policy.expect import Case, ExpectationError, Outcome, judge, read_cases
from decklog.policy.junit import junit
from decklog.policy.kinds import built_in
from policy.reading import HEAD, read

POLICY = f"""\
{HEAD}omitStages: [RequestReceived]
rules:
- level: None
  users: [bob]
- level: Metadata
  resources: [{{group: "", resources: [secrets]}}]
- level: Request
  verbs: [create]
- level: Metadata
"""


NO_SECRET = "the resource is 'pods', the rule wants 'secrets'"


def cases(text: str) -> tuple[Case, ...]:
    return read_cases(text.encode(), "e.yaml", built_in())


def mistakes(text: str) -> list[str]:
    with pytest.raises(ExpectationError) as raised:
        cases(text)
    return str(raised.value).split("\n")


def outcome(case: str, policy: str = POLICY) -> Outcome:
    (read_case,) = cases(f"cases: [{{{case}}}]")
    return judge(read(policy), read_case, "p.yaml")


@pytest.mark.parametrize(
    "expected",
    [
        "Metadata",
        "{level: Metadata}",
        "{stages: [ResponseComplete]}",
        "{omitStages: [RequestReceived]}",
        "{rule: 3}",
        "{line: 11}",
        "{omitManagedFields: false, requestBody: false, responseBody: false}",
    ],
)
def test_what_is_as_expected_passes(expected: str) -> None:
    """Each thing that can be expected, of a read that the last rule decides."""
    assert outcome(f"request: list pods -A, as: alice, expect: {expected}").passed


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        ("Request", "level is Metadata, expected Request"),
        ("{stages: []}", "stages is [ResponseComplete], expected []"),
        (
            "{stages: [Panic, ResponseComplete]}",
            "stages is [ResponseComplete], expected [ResponseComplete, Panic]",
        ),
        ("{omitStages: []}", "omitStages is [RequestReceived], expected []"),
        ("{rule: 2}", "rule is 3, expected 2"),
        ("{rule: none}", "rule is 3, expected none"),
        ("{line: 9}", "line is 11, expected 9"),
        ("{omitManagedFields: true}", "omitManagedFields is false, expected true"),
        ("{requestBody: true}", "requestBody is false, expected true"),
    ],
)
def test_what_is_not_as_expected_is_said(expected: str, says: str) -> None:
    """Found and expected stand side by side."""
    assert list(map(str, outcome(f"request: list pods -A, expect: {expected}").mismatches)) == [says]


@pytest.mark.parametrize(
    ("case", "reasons"),
    [
        (
            "request: list pods -A, expect: {rule: 1}",
            [
                f"p.yaml:7: rule 1 (Metadata) does not match: resources[0].resources: {NO_SECRET}",
                "p.yaml:11: rule 3 (Metadata) matches",
            ],
        ),
        (
            "request: create secrets -n a, expect: Request",
            [
                "p.yaml:9: rule 2 (Request) matches, but comes too late",
                "p.yaml:7: rule 1 (Metadata) matches",
            ],
        ),
        (
            "request: list pods -A, as: bob, expect: {line: 11}",
            ["p.yaml:11: rule 3 (Metadata) matches, but comes too late", "p.yaml:5: rule 0 (None) matches"],
        ),
        (
            "request: list pods -A, expect: {rule: 12}",
            ["there is no rule 12: the last one is 3", "p.yaml:11: rule 3 (Metadata) matches"],
        ),
        (
            "request: list pods -A, expect: {line: 10}",
            [
                "no rule begins on line 10: the line of a rule is that of its '- '",
                "p.yaml:11: rule 3 (Metadata) matches",
            ],
        ),
        ("request: list pods -A, expect: {stages: []}", ["p.yaml:11: rule 3 (Metadata) matches"]),
    ],
)
def test_a_failure_says_which_rule_decides_and_why_not_the_expected(case: str, reasons: list[str]) -> None:
    """The named rule, or those of the expected level, say what keeps them from it."""
    assert list(outcome(case).reasons) == reasons


def test_where_no_rule_matches_it_is_said() -> None:
    """Falling through is level None by no rule, and can be expected."""
    policy = f"{HEAD}rules:\n- level: Metadata\n  users: [bob]\n"
    assert outcome("request: list pods -A, expect: {level: None, rule: none}", policy).passed
    assert outcome("request: list pods -A, expect: Metadata", policy).reasons == (
        "p.yaml:4: rule 0 (Metadata) does not match: users: the user is 'somebody', the rule wants 'bob'",
        "p.yaml: no rule matches: the level is None",
    )


def test_a_request_may_be_its_attributes() -> None:
    """As explain -o json prints them; the caller is completed as on the command line."""
    (first, second, third) = cases(
        """\
cases:
- name: resource
  request: {resourceRequest: true, verb: list, path: /api/v1/pods, apiGroup: "", resource: pods, namespace: shop}
  as: system:serviceaccount:shop:web
  groups: dev,ops
  expect: None
- request: {verb: get, path: /healthz}
  unauthenticated: true
  expect: None
- request: get /livez
  groups: [dev]
  expect: None
"""
    )
    assert (first.name, first.line, first.attributes.resource, first.attributes.namespace) == (
        "resource",
        2,
        "pods",
        "shop",
    )
    assert first.user is not None
    assert first.user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:shop",
        "dev",
        "ops",
        "system:authenticated",
    )
    assert (second.user, second.attributes.resource_request, second.attributes.path) == (None, False, "/healthz")
    assert third.name == "get /livez"
    assert second.name == "the case on line 7"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "e.yaml:1:1: a table of expectations is a mapping, not null; its keys are cases"),
        ("[]", "e.yaml:1:1: a table of expectations is a mapping, not a list; its keys are cases"),
        ("cases: []", "e.yaml:1:8: a table needs cases: write 'cases:' and below it '- request: …' and '  expect: …'"),
        ("case: []", "e.yaml:1:1: 'case' is not a key of a table of expectations: did you mean 'cases'?"),
        ("cases:\n- x", "e.yaml:2:3: a case is a mapping, not a string; its keys are name, request, as, groups,"),
        ("cases:\n- name: a", "e.yaml:2:3: cases[0]: a case needs request and expect"),
        ("cases:\n- request: get pods\n  expct: None", "e.yaml:3:3: cases[0]: 'expct' is not a key of a case: did you"),
        ("cases:\n- request: get podz\n  expect: None", "e.yaml:2:12: 'podz' is not a resource: did you mean pod"),
        ("cases:\n- request: 5\n  expect: None", "e.yaml:2:12: '5' is a number here, and a text is wanted: quote it"),
        ("cases:\n- request: {verb: get}\n  expect: None", "e.yaml:2:12: a request needs a verb, and a resource or a"),
        ("cases:\n- request: {vreb: get}\n  expect: None", "e.yaml:2:13: cases[0].request: 'vreb' is not a key of a"),
        ("cases:\n- request: get pods\n  expect: none", "e.yaml:3:11: 'none' is not a level: write one of None,"),
        ("cases:\n- request: get pods\n  expect: {}", "e.yaml:3:11: nothing is expected: name at least one of level,"),
        ("cases:\n- request: get pods\n  expect: []", "e.yaml:3:11: what is expected is a mapping, not a list"),
        ("cases:\n- request: get pods\n  expect: {stages: Panic}", "e.yaml:3:20: stages is a list of stages, not a"),
        ("cases:\n- request: get pods\n  expect: {stages: [panic]}", "e.yaml:3:21: 'panic' is not a stage: write one"),
        ("cases:\n- request: get pods\n  expect: {rule: -1}", "e.yaml:3:18: rule is its index, from 0, or none, not"),
        ("cases:\n- request: get pods\n  expect: {rule: yes}", "e.yaml:3:18: rule is its index, from 0, or none, not"),
        (
            "cases:\n- request: get pods\n  expect: {line: [1]}",
            "e.yaml:3:18: line is a line of the policy, from 1, not",
        ),
        ("cases:\n- request: get pods\n  expect: {requestBody: 1}", "e.yaml:3:25: true or false is wanted, not a"),
        ("cases:\n- request: get pods\n  groups: {}\n  expect: None", "e.yaml:3:11: a text is wanted, not a mapping"),
        (
            "cases:\n- request: get pods\n  as: a\n  unauthenticated: true\n  expect: None",
            "e.yaml:3:7: who is not authenticated has neither name nor groups",
        ),
        (
            "cases:\n- {name: a, request: get pods, expect: None}\n- {name: a, request: get svc, expect: None}",
            "e.yaml:3:3: cases[1]: 'a' is a case on line 2, too: give each its own name",
        ),
        ("cases:\n- {name: '', request: get pods, expect: None}", "e.yaml:2:3: the name is empty"),
        (
            "cases:\n- request: get pods\n  request: get svc\n  expect: None",
            "e.yaml:3:3: cases[0]: 'request' stands here twice: keep one",
        ),
        ("cases:\n- {request: get pods, expect: None}\n---\na: b", "e.yaml:4:1: a second document begins here"),
        ("cases: [", "e.yaml:2:1: not YAML: "),
        ("#" * (1 << 20) + "##", "e.yaml: larger than 1 MiB"),
    ],
)
def test_a_mistake_in_a_table_is_told_with_its_place(text: str, says: str) -> None:
    """Line and column, and what would be right."""
    assert any(mistake.startswith(says) for mistake in mistakes(text)), mistakes(text)


def test_every_mistake_is_told_at_once() -> None:
    """In the order of the file."""
    text = (
        "cases:\n- request: get podz\n  expect: {level: Al, rule: x}\n- name: b\n- request: gte pods\n  expect: None\n"
    )
    assert [mistake.split(": ")[0] for mistake in mistakes(text)] == [
        "e.yaml:2:12",
        "e.yaml:3:19",
        "e.yaml:4:3",
        "e.yaml:5:12",
    ]


def test_junit_counts_and_names_failures() -> None:
    """A suite a table, a case each, failures with message and reasons; what XML cannot hold is spelled."""
    outcomes = [
        outcome("name: good, request: list pods -A, expect: Metadata"),
        outcome('name: "bad <&\\u0007", request: list pods -A, as: bob, expect: Metadata'),
    ]
    root = ET.fromstring(junit([("e.yaml", outcomes), ("empty.yaml", [])], "p.yaml"))
    assert (root.tag, root.attrib["tests"], root.attrib["failures"]) == ("testsuites", "2", "1")
    suite, empty = root
    assert (suite.attrib["name"], suite.attrib["tests"], suite.attrib["failures"]) == ("e.yaml", "2", "1")
    assert empty.attrib["tests"] == "0"
    good, bad = suite
    assert (good.attrib["name"], len(good)) == ("good", 0)
    assert bad.attrib["name"] == "bad <&\\u0007"
    assert bad[0].attrib["message"] == "level is None, expected Metadata"
    assert (bad[0].text or "").split("\n") == [
        "list pods, by 'bob' in 'system:authenticated'",
        "p.yaml:11: rule 3 (Metadata) matches, but comes too late",
        "p.yaml:5: rule 0 (None) matches",
    ]

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from decklog.audit.attributes import Attributes
from decklog.audit.event import User
from decklog.policy.evaluator import Evaluator
from decklog.policy.explain import Body, Explanation, consider, difference, explain
from decklog.policy.explained import answers, lines, to_json
from decklog.policy.kinds import built_in
from decklog.policy.matching import matches
from decklog.policy.reader import Loaded
from decklog.policy.request_text import caller, read_request
from decklog.policy.rules import GroupResources, Policy, Rule
from policy.reading import HEAD, read

if TYPE_CHECKING:
    from collections.abc import Sequence

POLICY = f"""\
{HEAD}omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  users: ["system:kube-proxy"]
- level: Request
  userGroups: [dev]
  verbs: [create, delete]
  namespaces: [shop]
  omitManagedFields: false
  omitStages: [ResponseStarted]
- level: Metadata
  resources:
  - group: apps
  - group: ""
    resources: [pods, "pods/exec"]
    resourceNames: [web-0]
- level: RequestResponse
  nonResourceURLs: ["/api*"]
"""


def explained(request: str, name: str = "alice", groups: Sequence[str] = (), policy: str = POLICY) -> Explanation:
    attributes = read_request(request, built_in()).attributes
    return explain(read(policy), attributes, caller(name, groups))


def differences(explanation: Explanation) -> list[str]:
    """The field and sentence of each rule."""
    return [f"{r.difference.field}: {r.difference.text}" if r.difference else "matches" for r in explanation.rules]


def test_each_earlier_rule_says_its_first_differing_field() -> None:
    """In the order in which a server compares: user, groups, verb, then what the request is about."""
    found = explained("get pods/exec web-0 -n shop", groups=["dev"])
    assert differences(found) == [
        "users: the user is 'alice', the rule wants 'system:kube-proxy'",
        "verbs: the verb is 'get', the rule wants one of 'create', 'delete'",
        "matches",
    ]
    assert (found.decision.rule, found.decision.level) == (2, "Metadata")
    assert [(rule.index, rule.line, rule.level) for rule in found.rules] == [
        (0, 6, "None"),
        (1, 8, "Request"),
        (2, 14, "Metadata"),
    ]


@pytest.mark.parametrize(
    ("request_text", "rule", "says"),
    [
        ("get pods web-1 -n shop", 2, "resources[1].resourceNames: the name is 'web-1', the rule wants 'web-0'"),
        (
            "list pods -n shop",
            2,
            "resources[1].resourceNames: the request names no object, the rule wants 'web-0'",
        ),
        (
            "get pods/log web-0 -n shop",
            2,
            "resources[1].resources: the resource is 'pods/log', the rule wants one of 'pods', 'pods/exec'",
        ),
        (
            "get jobs a -n shop",
            2,
            "resources[0].group: the API group is 'batch', the rule wants one of 'apps', '' (the core group)",
        ),
        ("get /version", 2, "resources: '/version' is no resource, and the rule is about resources"),
        ("get /version", 3, "nonResourceURLs: the path is '/version', the rule wants '/api*'"),
        (
            "get jobs a -n shop",
            3,
            "nonResourceURLs: the request is about a resource, and the rule is about other paths",
        ),
        ("delete pods web-0 -n other", 1, "namespaces: the namespace is 'other', the rule wants 'shop'"),
        ("delete nodes n1", 1, "namespaces: the request is in no namespace, the rule wants 'shop'"),
        ("POST /version", 1, "verbs: the verb is 'post', the rule wants one of 'create', 'delete'"),
    ],
)
def test_what_a_request_is_about(request_text: str, rule: int, says: str) -> None:
    """Of several entries of resources the nearest is named, with what it wants."""
    attributes = read_request(request_text, built_in()).attributes
    found = consider(read(POLICY), rule, attributes, User("alice", groups=("dev",))).difference
    assert found is not None
    assert f"{found.field}: {found.text}" == says


def test_nobody_and_no_group() -> None:
    """Who is not authenticated, or in no group, is said to be so."""
    attributes = read_request("list pods -A", built_in()).attributes
    users, groups = Rule("None", users=("a",)), Rule("None", user_groups=("dev",))
    said = [difference(rule, attributes, user) for rule in (users, groups) for user in (None, User("b"))]
    assert [found.text for found in said if found] == [
        "nobody is authenticated, the rule wants 'a'",
        "the user is 'b', the rule wants 'a'",
        "nobody is authenticated, the rule wants 'dev'",
        "the user is in no group, the rule wants 'dev'",
    ]


def test_long_lists_are_cut_short() -> None:
    """The sentence has a few of many, `wants` has all."""
    attributes = read_request("list pods -A", built_in()).attributes
    found = difference(Rule("None", users=tuple(map(str, range(20)))), attributes, User("b"))
    assert found is not None
    assert found.text.endswith("one of '0', '1', '2', '3', '4', '5', '6', '7' and 12 more")
    assert len(found.wants) == 20


ALL = f"{HEAD}rules:\n- level: "


@pytest.mark.parametrize(
    ("level", "request_text", "stages", "request_body", "response_body"),
    [
        ("None", "create pods -n a", (), Body.LEFT_OUT, Body.LEFT_OUT),
        ("Metadata", "create pods -n a", ("RequestReceived", "ResponseComplete"), Body.LEFT_OUT, Body.LEFT_OUT),
        ("Request", "create pods -n a", ("RequestReceived", "ResponseComplete"), Body.KEPT, Body.LEFT_OUT),
        ("RequestResponse", "create pods -n a", ("RequestReceived", "ResponseComplete"), Body.KEPT, Body.KEPT),
        ("RequestResponse", "get pods -A", ("RequestReceived", "ResponseComplete"), Body.NONE, Body.KEPT),
        ("RequestResponse", "get /version", ("RequestReceived", "ResponseComplete"), Body.NONE, Body.KEPT),
        (
            "RequestResponse",
            "watch pods -A",
            ("RequestReceived", "ResponseStarted", "ResponseComplete"),
            Body.NONE,
            Body.NONE,
        ),
        (
            "RequestResponse",
            "create pods/exec w -n a",
            ("RequestReceived", "ResponseStarted", "ResponseComplete"),
            Body.NONE,
            Body.NONE,
        ),
    ],
)
def test_what_is_written(
    level: str, request_text: str, stages: tuple[str, ...], request_body: Body, response_body: Body
) -> None:
    """Stages by the kind of request, bodies by kind and level."""
    found = explained(request_text, policy=f"{ALL}{level}\n")
    assert (found.stages, found.request_body, found.response_body) == (stages, request_body, response_body)
    assert found.panic is (level != "None")


def test_a_failed_login_is_one_stage() -> None:
    """Who cannot be authenticated leaves ResponseStarted alone; where it is omitted, nothing."""
    attributes = read_request("watch pods -A", built_in()).attributes
    assert explain(read(f"{ALL}Metadata\n"), attributes, None).stages == ("ResponseStarted",)
    silent = explain(read(f"{ALL}Metadata\n  omitStages: [ResponseStarted]\n"), attributes, None)
    assert (silent.stages, silent.panic) == ((), False)
    assert ("stages", "none: nothing is written (omitted: ResponseStarted by the rule)") in answers(silent)


def test_a_recorded_watch_lasts() -> None:
    """Attributes that nothing resolved are looked at for what makes a request long-running."""
    attributes = structs.replace(read_request("watch pods -A", built_in()).attributes, long_running=False)
    assert "ResponseStarted" in explain(read(f"{ALL}Metadata\n"), attributes, User("a")).stages


def test_omissions_and_managed_fields_say_by_whom() -> None:
    """The policy's omissions and the rule's, and who decided on managed fields."""
    ours = explained("delete pods web-0 -n shop", groups=["dev"])
    assert ours.omitted == (("RequestReceived", "policy"), ("ResponseStarted", "rule"))
    assert dict(answers(ours)) == {
        "level": "Request",
        "stages": "ResponseComplete; Panic, if the handler panics"
        " (omitted: RequestReceived by the policy, ResponseStarted by the rule)",
        "request body": "kept",
        "response body": "left out: Request is below RequestResponse",
        "managed fields": "kept, as the rule says",
    }
    assert dict(answers(explained("get /apis")))["managed fields"] == "omitted, as the policy says"
    bare = explained("create pods -n a", policy=f"{ALL}Request\n")
    assert dict(answers(bare))["managed fields"] == "kept, which is the default"


def test_without_a_match_every_rule_is_named() -> None:
    """What falls through all rules is not written, and it is said."""
    found = explained("get /version")
    assert len(found.rules) == 4
    told = list(lines(found, "p.yaml"))
    assert "p.yaml: no rule matches: the level is None" in told
    assert told[-1] == "level           None: nothing is written"
    shown = to_json(found, "p.yaml")
    assert (shown["rule"], shown["line"], shown["level"], shown["stages"]) == (None, None, "None", [])


NOT_DEV = "the user is in 'system:authenticated', the rule wants 'dev'"


def test_in_words_and_as_json() -> None:
    """The text reads from request to result; JSON has the same and the values."""
    found = explained("create deploy -n shop")
    assert list(lines(found, "p.yaml"))[:6] == [
        "create deployments.apps -n shop",
        "  by 'alice' in 'system:authenticated'",
        "",
        "p.yaml:6: rule 0 (None) does not match: users: the user is 'alice', the rule wants 'system:kube-proxy'",
        f"p.yaml:8: rule 1 (Request) does not match: userGroups: {NOT_DEV}",
        "p.yaml:14: rule 2 (Metadata) matches",
    ]
    shown = to_json(found, "p.yaml")
    assert shown["rules"][1] == {
        "rule": 1,
        "line": 8,
        "column": 3,
        "level": "Request",
        "matches": False,
        "field": "userGroups",
        "value": ["system:authenticated"],
        "wants": ["dev"],
        "text": NOT_DEV,
    }
    assert shown["rules"][2] == {"rule": 2, "line": 14, "column": 3, "level": "Metadata", "matches": True}
    assert shown["request"]["resource"] == "deployments"
    assert (shown["omitStages"], shown["omitManagedFields"]) == (["RequestReceived"], True)


WORDS = st.sampled_from(["", "a", "b", "a/b", "*", "*/b", "a/*"])
LISTS = st.lists(st.sampled_from(["a", "b", ""]), max_size=2).map(tuple)
ENTRIES = st.builds(GroupResources, st.sampled_from(["", "a", "*"]), st.lists(WORDS, max_size=2).map(tuple), LISTS)
RULES = st.one_of(
    st.builds(
        Rule, st.sampled_from(["None", "Request"]), LISTS, LISTS, LISTS, st.lists(ENTRIES, max_size=2).map(tuple), LISTS
    ),
    st.builds(
        Rule, st.just("Metadata"), LISTS, LISTS, LISTS, non_resource_urls=st.just(("/a*",)) | st.just(("*", "/b"))
    ),
)
ATTRIBUTES = st.one_of(
    st.builds(
        Attributes,
        verb=WORDS,
        path=st.just(""),
        resource_request=st.sampled_from([True]),
        api_group=WORDS,
        namespace=WORDS,
        resource=WORDS,
        subresource=st.sampled_from(["", "b"]),
        name=WORDS,
    ),
    st.builds(Attributes, verb=WORDS, path=st.sampled_from(["/a", "/b", "/c"])),
)
USERS = st.none() | st.builds(User, WORDS, groups=LISTS)


@given(st.lists(RULES, max_size=5).map(tuple), ATTRIBUTES, USERS)
def test_an_explanation_agrees_with_the_decision(
    rules: tuple[Rule, ...], attributes: Attributes, user: User | None
) -> None:
    """The explained decision is the evaluator's, and a rule has a difference just when it does not match."""
    policy = Policy(rules)
    found = explain(Loaded(policy), attributes, user)
    assert found.decision == Evaluator(policy).decide(attributes, user)
    assert [rule.difference is None for rule in found.rules] == [
        matches(rule, attributes, user) for rule in rules[: len(found.rules)]
    ]
    assert all(line.isprintable() for line in lines(found, "p"))

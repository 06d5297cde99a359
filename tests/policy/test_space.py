from __future__ import annotations

import random
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from decklog.audit.event import User
from decklog.policy.matching import first_match, matches, matching_rule
from decklog.policy.rules import GroupResources, Policy, Rule
from decklog.policy.space import Covered, Redundant, Space, Undecided, Witness, first_match_witness, redundant
from policy.random_policies import random_policy, random_request

if TYPE_CHECKING:
    from decklog.audit.attributes import Attributes


def core(*resources: str, names: tuple[str, ...] = ()) -> tuple[GroupResources, ...]:
    return (GroupResources("", resources, names),)


def rules(*rules: dict[str, Any]) -> Policy:
    return Policy(tuple(Rule(**{"level": "Metadata", **rule}) for rule in rules))


POD = {"resources": core("pods")}
SHADOWED: dict[str, tuple[Policy, Covered | None]] = {
    "the first rule": (rules({}), None),
    "below a catch-all": (rules({}, POD), Covered((0,))),
    "a rule of its own": (rules(POD, {"resources": core("services")}), None),
    "plain pods below pods/*": (rules({"resources": core("pods/*")}, POD), Covered((0,))),
    "a subresource below pods/*": (
        rules({"resources": core("pods/*")}, {"resources": core("pods/log")}),
        Covered((0,)),
    ),
    "a subresource below the plain resource": (rules(POD, {"resources": core("pods/log")}), None),
    "a subresource below */log": (rules({"resources": core("*/log")}, {"resources": core("pods/log")}), Covered((0,))),
    "a resource below its whole group": (
        rules({"resources": core()}, {"resources": core("pods", "pods/x")}),
        Covered((0,)),
    ),
    "a whole group below all that it names": (rules(POD, {"resources": core("*")}), None),
    "two rules together": (
        rules({"verbs": ("get",), **POD}, {"verbs": ("list",), **POD}, {"verbs": ("list", "get"), **POD}),
        Covered((0, 1)),
    ),
    "two rules that leave a verb": (
        rules({"verbs": ("get",), **POD}, {"verbs": ("list",), **POD}, POD),
        None,
    ),
    "parts in two dimensions": (
        rules(
            {"verbs": ("get",), "namespaces": ("a",)},
            {"verbs": ("get",), "namespaces": ("b",)},
            {"verbs": ("list",)},
            {"verbs": ("get", "list"), "namespaces": ("a", "b")},
        ),
        Covered((0, 1, 2)),
    ),
    "a user in a group": (rules({"user_groups": ("dev",)}, {"users": ("jane",)}), None),
    "the same group, one of several": (
        rules({"user_groups": ("dev", "ops")}, {"user_groups": ("ops",)}),
        Covered((0,)),
    ),
    "another group": (rules({"user_groups": ("dev",)}, {"user_groups": ("ops",)}), None),
    "a group in two parts": (
        rules(
            {"user_groups": ("dev",), "verbs": ("get",)},
            {"user_groups": ("ops",), "verbs": ("get",)},
            {"user_groups": ("dev", "ops"), "verbs": ("get",)},
        ),
        Covered((0, 1)),
    ),
    "a name below its resource": (rules(POD, {"resources": core("pods", names=("web",))}), Covered((0,))),
    "a resource below one name": (rules({"resources": core("pods", names=("web",))}, POD), None),
    "a path below its prefix": (
        rules({"non_resource_urls": ("/api*",)}, {"non_resource_urls": ("/api/v1",)}),
        Covered((0,)),
    ),
    "a prefix below one path": (rules({"non_resource_urls": ("/api",)}, {"non_resource_urls": ("/api*",)}), None),
    "a prefix below a shorter one": (
        rules({"non_resource_urls": ("/a*",)}, {"non_resource_urls": ("/ab*",)}),
        Covered((0,)),
    ),
    "paths and resources make everything": (
        rules({"non_resource_urls": ("*",)}, {"resources": (GroupResources("*"),)}, {}),
        Covered((0, 1)),
    ),
    "a request without a path is below no /*": (
        rules({"non_resource_urls": ("/*",)}, {"non_resource_urls": ("*",)}),
        None,
    ),
    "namespaces exclude paths": (rules({"namespaces": ("a",)}, {"non_resource_urls": ("/a",)}), None),
    "the group * and another group": (
        rules({"resources": (GroupResources("*", ("pods",)),)}, {"resources": (GroupResources("apps", ("pods",)),)}),
        Covered((0,)),
    ),
    "what no request has": (rules({"resources": core("a/b/c")}), Covered(())),
    "a namespace that no request has": (rules({"namespaces": ("a/b",)}), Covered(())),
}


@pytest.mark.parametrize("name", SHADOWED)
def test_whether_the_last_rule_is_reached(name: str) -> None:
    """A rule is covered by the earlier rules together, and those needed are named; else a request comes to it."""
    policy, expected = SHADOWED[name]
    last = len(policy.rules) - 1
    found = first_match_witness(policy, last)
    if expected is not None:
        assert found == expected
    else:
        assert isinstance(found, Witness)
        assert matching_rule(policy, found.attributes, found.user) == last


NONE = {"level": "None"}
REDUNDANT: dict[str, tuple[Policy, Redundant | None]] = {
    "a catch-all says the same": (rules(POD, {}), Redundant((1,))),
    "a catch-all says otherwise": (rules(POD, NONE), None),
    "a rule between says otherwise": (rules(POD, {"level": "None", "verbs": ("get",)}, {}), None),
    "a rule between is about something else": (
        rules(POD, {"level": "None", "resources": core("nodes")}, {}),
        Redundant((2,)),
    ),
    "two later rules": (
        rules({"verbs": ("get", "list")}, {"verbs": ("get",)}, {"verbs": ("list",)}, NONE),
        Redundant((1, 2)),
    ),
    "None, which is what no rule gives": (rules({**NONE, **POD}), Redundant((), falls_through=True)),
    "None with stages of its own": (rules({**NONE, "omit_stages": ("Panic",)}), None),
    "another stage": (rules({**POD, "omit_stages": ("Panic",)}, {}), None),
    "other managed fields": (rules({**POD, "omit_managed_fields": True}, {}), None),
    "the policy's managed fields, said again": (rules({**POD, "omit_managed_fields": False}, {}), Redundant((1,))),
    "two groups of one user": (
        rules({"user_groups": ("dev",)}, {"level": "None", "user_groups": ("ops",)}, {}),
        None,
    ),
    "an exception that the rule makes": (rules({"users": ("jane",)}, {"level": "None", "users": ("jane",)}, {}), None),
    "an exception that an earlier rule has made": (
        rules({"level": "None", "users": ("jane",)}, POD, {"level": "None", "users": ("jane",), **POD}, {}),
        None,
    ),
}


@pytest.mark.parametrize("name", REDUNDANT)
def test_whether_a_rule_is_redundant(name: str) -> None:
    """A rule is redundant if what comes later decides all its requests as it does."""
    policy, expected = REDUNDANT[name]
    index = 1 if name == "an exception that an earlier rule has made" else 0
    wanted = Redundant((3,)) if index else expected
    assert redundant(policy, index) == wanted


def test_a_witness_is_a_request_of_a_server() -> None:
    """The example has a path, a verb and names as a server would see them, and only words that the rules allow."""
    policy = rules(
        {"users": ("alice",), "resources": core("secrets")},
        {
            "user_groups": ("dev",),
            "verbs": ("get",),
            "namespaces": ("shop",),
            "resources": core("pods/log", names=("web",)),
        },
    )
    found = first_match_witness(policy, 1)
    assert isinstance(found, Witness)
    assert found.user == User("bob", groups=("dev",))
    assert found.attributes.path == "/api/v1/namespaces/shop/pods/web/log"


def test_too_much_to_search_is_said() -> None:
    """A policy built to be too large to search is undecided, not covered, and soon."""
    names = tuple(f"n{number}" for number in range(400))
    resources = tuple(f"r{number}" for number in range(400))
    policy = rules({"resources": core(*resources, names=names)}, {})
    assert first_match_witness(policy, 1) == Undecided()
    assert redundant(policy, 0) is None


def test_many_groups_are_one_choice() -> None:
    """Groups that no rule tells apart are looked at once."""
    groups = tuple(f"g{number}" for number in range(5000))
    space = Space(rules({"user_groups": groups, **POD}, {"user_groups": groups[:3]}))
    assert len(space.group_classes) == 2
    assert isinstance(space.first_match(1), Witness)


def check(seed: int, number: int) -> None:
    draw = random.Random(seed)
    policy = random_policy(draw)
    reached = {matching_rule(policy, *random_request(draw)) for _ in range(number)}
    without = [
        Policy((*policy.rules[:index], *policy.rules[index + 1 :]), policy.omit_stages, policy.omit_managed_fields)
        for index in range(len(policy.rules))
    ]
    space = Space(policy)
    for index, rule in enumerate(policy.rules):
        found = space.first_match(index)
        assert not isinstance(found, Undecided)
        if isinstance(found, Covered):
            assert index not in reached, f"seed {seed}: rule {index} is reached"
            fewer = Policy((*(policy.rules[one] for one in found.by), rule))
            assert first_match_witness(fewer, len(fewer.rules) - 1) == Covered(tuple(range(len(found.by))))
        else:
            assert matching_rule(policy, found.attributes, found.user) == index, f"seed {seed}: rule {index}"
            assert matches(rule, found.attributes, found.user)
        if space.redundant(index) is not None:
            for request in (random_request(draw) for _ in range(number // 10)):
                assert said(policy, request) == said(without[index], request), f"seed {seed}: rule {index}"


def said(policy: Policy, request: tuple[Attributes, User | None]) -> tuple[Any, ...]:
    decided = first_match(policy, *request)
    return decided.level, decided.omit_stages, decided.omit_managed_fields


@pytest.mark.parametrize("seed", range(100))
def test_random_policies(seed: int) -> None:
    """A rule reported covered is no random request's first match; any other has a witness that it decides first."""
    check(seed, 1000)


@pytest.mark.torture
@pytest.mark.parametrize("hundred", range(100))
def test_many_random_policies(hundred: int) -> None:
    """The same for ten thousand policies."""
    for seed in range(1000 + hundred * 100, 1100 + hundred * 100):
        check(seed, 1000)


def test_random_requests_meet_random_policies() -> None:
    """What the property tests draw comes to rules in every place, and to none: they are not idle."""
    draw = random.Random(0)
    policies = [random_policy(draw) for _ in range(50)]
    reached = set(chain.from_iterable((matching_rule(p, *random_request(draw)) for _ in range(50)) for p in policies))
    assert {None, 0, 1, 2, 3} <= reached

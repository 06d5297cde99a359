from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from decklog.audit.decision import Decision
from decklog.audit.event import Level, Stage
from decklog.policy.compare import Direction, Recorded, compare, direction, recorded
from decklog.policy.matching import first_match
from decklog.policy.rules import GroupResources, Policy, Rule
from decklog.policy.space import said
from policy.random_policies import changed, random_policy, random_request

if TYPE_CHECKING:
    from decklog.audit.attributes import Attributes
    from decklog.audit.event import User
    from decklog.policy.areas import Area, Some


def core(*resources: str, names: tuple[str, ...] = ()) -> tuple[GroupResources, ...]:
    return (GroupResources("", resources, names),)


def policy(*rules: dict[str, Any], **settings: Any) -> Policy:
    return Policy(tuple(Rule(**{"level": "Metadata", **rule}) for rule in rules), **settings)


NONE = {"level": "None"}
SECRETS = {"resources": core("secrets")}
ALL: dict[str, Any] = {}
CASES: dict[str, tuple[Policy, Policy, list[str]]] = {
    "nothing": (policy(SECRETS, ALL), policy(SECRETS, ALL), []),
    "a rule that changes nothing": (policy(ALL), policy(SECRETS, ALL), []),
    "an exception": (
        policy(ALL),
        policy({**NONE, **SECRETS, "verbs": ("get", "list")}, ALL),
        ["gone 0 0: get, list on secrets"],
    ),
    "no catch-all any more": (
        policy(SECRETS, ALL),
        policy(SECRETS),
        ["gone 1 -: every verb on every resource but secrets and every path"],
    ),
    "a catch-all": (
        policy(SECRETS),
        policy(SECRETS, ALL),
        ["more - 1: every verb on every resource but secrets and every path"],
    ),
    "levels both ways": (
        policy({"level": "Request", **SECRETS}, {"resources": core("pods")}),
        policy({"resources": core("secrets")}, {"level": "RequestResponse", "resources": core("pods")}),
        ["less 0 0: every verb on secrets", "more 1 1: every verb on pods"],
    ),
    "a rule moved below another": (
        policy({**NONE, "users": ("bot",)}, SECRETS),
        policy(SECRETS, {**NONE, "users": ("bot",)}),
        ["more 0 0: every verb on secrets by user bot"],
    ),
    "a stage dropped": (
        policy(ALL),
        policy(ALL, omit_stages=("RequestReceived",)),
        ["less 0 0: every verb on every resource and every path"],
    ),
    "stages of nothing": (
        policy({**NONE}),
        policy({**NONE, "omit_stages": ("Panic",)}),
        ["none 0 0: every verb on every resource and every path"],
    ),
    "namespaces": (
        policy({"level": "Request", "namespaces": ("kube-system", "")}, ALL),
        policy({"level": "Request", "namespaces": ("kube-system",)}, ALL),
        ["less 0 1: every verb on every resource in namespace (none)"],
    ),
    "one user's two groups": (
        policy({**NONE, "user_groups": ("dev",)}, {**ALL, "user_groups": ("ops",)}),
        policy({"user_groups": ("ops",)}, {**NONE, "user_groups": ("dev",)}),
        ["more 0 0: every verb on every resource and every path by members of dev + ops"],
    ),
    "subresources": (
        policy({"resources": core("pods/*")}),
        policy({"resources": core("pods")}),
        ["gone 0 -: every verb on pods/* but pods"],
    ),
    "a subresource of everything": (
        policy({"resources": core("*")}),
        policy({**NONE, "resources": core("*/status", "pods")}, {"resources": core("*")}),
        ["gone 0 0: every verb on */status, pods"],
    ),
    "a group's resources": (
        policy({"resources": (GroupResources("apps"),)}),
        policy({"resources": (GroupResources("apps", ("deployments",)),)}),
        ["gone 0 -: every verb on all of apps but deployments"],
    ),
    "every group": (
        policy({"resources": (GroupResources("*", ("events",)), GroupResources("apps", ("scales",)))}),
        policy({"resources": (GroupResources("apps", ("scales",)),)}),
        ["gone 0 -: every verb on events.*"],
    ),
    "names": (
        policy(ALL),
        policy({**NONE, "resources": core("configmaps", names=("leader",))}, ALL),
        ["gone 0 0: every verb on configmaps named leader"],
    ),
    "all names but one": (
        policy(SECRETS),
        policy({"resources": core("secrets", names=("db",))}),
        ["gone 0 -: every verb on secrets not named db"],
    ),
    "paths": (
        policy({"non_resource_urls": ("/api*",)}),
        policy({"non_resource_urls": ("/api/v1",)}),
        ["gone 0 -: every verb on path /api* but /api/v1"],
    ),
    "all paths but one": (
        policy(ALL),
        policy({"resources": core()}, {"non_resource_urls": ("/healthz*",)}, {"resources": (GroupResources("*"),)}),
        ["gone 0 -: every verb on every path but /healthz*"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_changes(name: str) -> None:
    """Each group says what becomes of the record, between which rules, and for which requests."""
    old, new, expected = CASES[name]
    found = compare(old, new)
    shown = [
        f"{each.direction} {_number(each.old_rule)} {_number(each.new_rule)}: {'; '.join(map(str, each.areas))}"
        for each in found.differences
    ]
    assert shown == expected
    assert found.loses == any(each.startswith(("gone", "less")) for each in expected)


def _number(index: int | None) -> str:
    return "-" if index is None else str(index)


def test_requests_of_earlier_rules_are_excepted() -> None:
    """What earlier rules take because of a user's groups is named by these rules."""
    first = {**NONE, "user_groups": ("nodes",)}
    (found,) = compare(policy(first, ALL), policy(first, {**NONE})).differences
    assert (found.old_exceptions, found.new_exceptions) == ((0,), (0,))


def test_what_cannot_be_said_short_is_said_with_exceptions() -> None:
    """A group in many pieces is one area, and the rules that take something from it are named."""
    rules = [
        {"users": (f"u{number}",), "verbs": (f"v{number}",), "namespaces": (f"n{number}",)} for number in range(12)
    ]
    (found,) = compare(policy(*rules, {"level": "Request"}), policy(*rules, NONE)).differences
    assert [str(each) for each in found.areas] == ["every verb on every resource and every path"]
    assert found.old_exceptions == found.new_exceptions == tuple(range(12))


RR = Level.REQUEST_RESPONSE
STAGES = tuple(Stage)
DIRECTIONS: dict[str, tuple[Recorded, Recorded, Direction]] = {
    "nothing before": (Recorded(), Recorded(Level.METADATA, STAGES), Direction.MORE),
    "nothing now": (Recorded(Level.METADATA, STAGES), Recorded(), Direction.GONE),
    "a lower level": (Recorded(RR, STAGES, managed_fields=True), Recorded(Level.METADATA, STAGES), Direction.LESS),
    "a stage less": (
        Recorded(RR, STAGES, managed_fields=True),
        Recorded(RR, STAGES[1:], managed_fields=True),
        Direction.LESS,
    ),
    "a stage for another": (
        Recorded(RR, STAGES[1:], managed_fields=True),
        Recorded(RR, STAGES[:3], managed_fields=True),
        Direction.LESS,
    ),
    "a higher level with a stage less": (
        Recorded(Level.METADATA, STAGES),
        Recorded(RR, STAGES[1:], managed_fields=True),
        Direction.LESS,
    ),
    "managed fields dropped": (
        Recorded(RR, STAGES, managed_fields=True),
        Recorded(RR, STAGES, managed_fields=False),
        Direction.LESS,
    ),
    "managed fields kept": (
        Recorded(RR, STAGES, managed_fields=False),
        Recorded(RR, STAGES, managed_fields=True),
        Direction.MORE,
    ),
    "bodies without managed fields": (
        Recorded(Level.METADATA, STAGES),
        Recorded(RR, STAGES, managed_fields=False),
        Direction.MORE,
    ),
    "the same": (Recorded(RR, STAGES, managed_fields=True), Recorded(RR, STAGES, managed_fields=True), Direction.NONE),
}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions(name: str) -> None:
    """A record that loses anything is less, whatever it gains."""
    old, new, expected = DIRECTIONS[name]
    assert direction(old, new) is expected


def test_what_is_recorded() -> None:
    """A decision without level or without stages records nothing, and managed fields are those of bodies."""
    assert recorded(Decision(Level.NONE, frozenset(), omit_managed_fields=False)) == Recorded()
    assert recorded(Decision(RR, frozenset(Stage), omit_managed_fields=False)) == Recorded()
    assert recorded(Decision(Level.METADATA, frozenset(), omit_managed_fields=False)) == Recorded(
        Level.METADATA, STAGES
    )
    made = Decision(RR, frozenset({"Panic"}), omit_managed_fields=True)
    assert recorded(made) == Recorded(RR, STAGES[:3], managed_fields=False)


def check(seed: int, number: int) -> None:
    draw = random.Random(seed)
    old = random_policy(draw)
    new = changed(draw, old) if seed % 2 else random_policy(draw)
    found = compare(old, new)
    assert not found.undecided
    pairs = {(each.old_rule, each.new_rule): each for each in found.differences}
    assert len(pairs) == len(found.differences)
    for each in found.differences:
        request = (each.witness.attributes, each.witness.user)
        assert each.covers(*request), f"seed {seed}: {each}"
        assert differ(old, new, request), f"seed {seed}: {each}"
        assert each.areas
    for request in (random_request(draw) for _ in range(number)):
        before, after = first_match(old, *request), first_match(new, *request)
        group = pairs.get((before.rule, after.rule))
        assert (group is not None) == differ(old, new, request), f"seed {seed}: {request}"
        if group is not None:
            assert group.covers(*request), f"seed {seed}: {request}"
            assert any(admits(each, *request) for each in group.areas), f"seed {seed}: {request} {group}"


def admits(area: Area, attributes: Attributes, user: User | None) -> bool:
    """Whether an area's words let a request in, as far as they can be read without the resources' notation."""
    known = area.users.but if user is None else holds(area.users, user.username)
    member = not area.groups or (user is not None and any(set(each) <= set(user.groups) for each in area.groups))
    place = area.paths is not None
    if attributes.resource_request:
        place = area.resources is not None and holds(area.namespaces, attributes.namespace)
    return known and member and place and holds(area.verbs, attributes.verb)


def holds(some: Some, word: str) -> bool:
    return (word in some.words) != some.but


def differ(old: Policy, new: Policy, request: tuple[Attributes, User | None]) -> bool:
    return said(first_match(old, *request)) != said(first_match(new, *request))


@pytest.mark.parametrize("seed", range(100))
def test_no_difference_is_missed(seed: int) -> None:
    """Every random request with another decision is in a group; every group has a request that shows it."""
    check(seed, 1000)


@pytest.mark.torture
@pytest.mark.parametrize("hundred", range(100))
def test_no_difference_is_missed_in_many_policies(hundred: int) -> None:
    """The same for ten thousand pairs of policies."""
    for seed in range(1000 + hundred * 100, 1100 + hundred * 100):
        check(seed, 1000)

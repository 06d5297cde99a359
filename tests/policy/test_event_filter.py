from __future__ import annotations

import pytest

from decklog.audit.event import Status, User
from decklog.policy.apply import Applier
from decklog.policy.event_filter import LoadedFilter, parse_either
from decklog.policy.findings import PolicyError
from policy.recorded_logs import full, ref

HEAD = "apiVersion: decklog.io/v1alpha1\nkind: EventFilter\n"


def loaded(rules: str, head: str = HEAD) -> LoadedFilter:
    return parse_either(f"{head}rules:\n{rules}".encode(), source="filter.yaml")


def told(text: str) -> list[str]:
    with pytest.raises(PolicyError) as raised:
        parse_either(text.encode(), source="f")
    return str(raised.value).split("\n")


@pytest.mark.parametrize(
    ("rule", "user", "groups", "matches"),
    [
        ("users: ['system:node:*']", "system:node:n1", (), True),
        ("users: ['system:node:*']", "system:nodes", (), False),
        ("users: ['*-ci']", "build-ci", (), True),
        ("users: ['*-ci']", "build-ci-2", (), False),
        ("users: ['a*b*c']", "aXbYc", (), True),
        ("users: ['a*b*c']", "acb", (), False),
        ("users: ['ab*ba']", "aba", (), False),
        ("users: ['*']", "", ("g",), True),
        ("users: ['a.c']", "abc", (), False),
        ("userGroups: ['oidc:*']", "x", ("dev", "oidc:ops"), True),
        ("userGroups: ['oidc:*']", "x", ("dev",), False),
        ("users: [alice]", "alice", (), True),
    ],
)
def test_wildcards_in_users_and_groups(rule: str, user: str, groups: tuple[str, ...], matches: bool) -> None:
    """A star stands for any text, anywhere in the value; everything else is itself."""
    kept = Applier(loaded(f"- level: Metadata\n  {rule}\n").decide).event(full(user=User(user, groups=groups)))
    assert (kept is not None) == matches


@pytest.mark.parametrize(
    ("namespaces", "namespace", "matches"),
    [("['team-*']", "team-a", True), ("['team-*']", "prod", False), ("['']", "", True), ("['*']", "", True)],
)
def test_wildcards_in_namespaces(namespaces: str, namespace: str, matches: bool) -> None:
    """Namespaces have them, too; a request that is about no resource has no namespace at all."""
    decide = loaded(f"- level: Metadata\n  namespaces: {namespaces}\n").decide
    event = full(verb="get", object_ref=ref("pods", "p", namespace=namespace), request_uri="/")
    assert (Applier(decide).event(event) is not None) == matches
    assert Applier(decide).event(full(object_ref=None)) is None


@pytest.mark.parametrize(
    ("codes", "code", "matches"),
    [("['403']", 403, True), ("['4xx']", 403, True), ("['4xx', '500']", 500, True), ("[2xx]", 403, False)],
)
def test_codes(codes: str, code: int, matches: bool) -> None:
    """A rule may ask for the answer, as a code or as a class."""
    decide = loaded(f"- level: Metadata\n  codes: {codes}\n").decide
    assert (Applier(decide).event(full(response_status=Status(code=code))) is not None) == matches
    assert Applier(decide).event(full(response_status=None)) is None


def test_denials_can_be_kept_of_what_is_dropped() -> None:
    """What no Kubernetes policy can do: drop a component's reads, and keep those that were refused."""
    rules = "- {level: Metadata, codes: ['401', '403']}\n- {level: None, users: ['system:*']}\n- {level: Metadata}\n"
    applier = Applier(loaded(rules).decide)
    assert applier.event(full(user=User("system:x"))) is None
    assert applier.event(full(user=User("system:x"), response_status=Status(code=403))) is not None
    assert applier.event(full()) is not None


def test_a_policy_stays_one() -> None:
    """A Kubernetes policy is read as that: a star is itself, and codes is an unknown key."""
    head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
    assert Applier(loaded("- {level: Metadata, users: ['*']}\n", head).decide).event(full()) is None
    assert "'codes' is not a field" in told(f"{head}rules:\n- {{level: Metadata, codes: ['403']}}\n")[0]


def test_rules_know_their_lines() -> None:
    """Reports name the line of each rule."""
    assert loaded("- level: None\n  codes: ['200']\n- level: Metadata\n").lines == (4, 6)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (f"{HEAD}rules:\n- {{level: Metadata, codes: ['4x']}}\n", 4, "'4x' is no code"),
        (f"{HEAD}rules:\n- {{level: Metadta}}\n", 4, "'Metadta' is not a level"),
        (f"{HEAD}rules:\n- {{level: Metadata, usrs: [a]}}\n", 4, "did you mean 'users'"),
        (f"{HEAD}rules: []\n", 3, "a filter needs a rule"),
        ("apiVersion: v1\nkind: EventFilter\nrules: [{level: None}]\n", 1, "write apiVersion: decklog.io/v1alpha1"),
        (f"{HEAD}rules:\n- {{level: Metadata, codes: [403]}}\n", 4, "quote it"),
    ],
)
def test_mistakes_have_their_place(text: str, line: int, says: str) -> None:
    """A filter is checked as a policy is: what is wrong, where, and what would be right."""
    (finding,) = told(text)
    assert finding.startswith(f"f:{line}:")
    assert says in finding


def test_all_mistakes_are_told_at_once() -> None:
    """Nobody has to start a program three times to learn of three mistakes."""
    assert len(told(f"{HEAD}rules:\n- {{level: X}}\n- {{level: None, codes: ['9']}}\n- {{level: None, a: 1}}\n")) == 3

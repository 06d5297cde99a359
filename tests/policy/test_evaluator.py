from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decklog.audit.attributes import Attributes
from decklog.audit.event import User
from decklog.policy.evaluator import KEPT_KEY_LENGTH, KEPT_KEYS, Evaluator
from decklog.policy.matching import first_match
from decklog.policy.rules import GroupResources, Policy, Rule

# Few words, so that rules and requests meet; among them all that could be taken for a wildcard.
WORDS = ["", "*", "**", "a", "b", "A", "a/b", "a/*", "*/b", "*/*", "*/", "/*", "/", "a*", "*a", "a/b/*", "b/"]
SPECS = ["", "*", "**", "/", "/*", "/a", "/a*", "/a**", "/a/*", "/a*b", "/a/b", "a", "*/a", "/ab*"]
PATHS = ["", "*", "/", "/a", "/a/", "/a/b", "/ab", "/a*", "a", "/a*b", "/abc"]

word = st.sampled_from(WORDS)
words = st.lists(word, max_size=2).map(tuple)
level = st.sampled_from(["None", "Metadata", "Request", "RequestResponse"])
stages = st.lists(st.sampled_from(["RequestReceived", "ResponseStarted", "Panic"]), max_size=2).map(tuple)
entries = st.lists(st.builds(GroupResources, word, words, words), max_size=2).map(tuple)
rules = st.builds(
    Rule,
    level=level,
    users=words,
    user_groups=words,
    verbs=words,
    resources=entries,
    namespaces=words,
    non_resource_urls=st.lists(st.sampled_from(SPECS), max_size=2).map(tuple),
    omit_stages=stages,
    omit_managed_fields=st.none() | st.booleans(),
)
policies = st.builds(Policy, st.lists(rules, max_size=4).map(tuple), stages, st.booleans())
users = st.none() | st.builds(User, username=word, groups=words)
requests = st.builds(
    Attributes,
    verb=word,
    path=st.sampled_from(PATHS),
    resource_request=st.booleans(),
    api_group=word,
    resource=word,
    subresource=word,
    namespace=word,
    name=word,
)


@settings(deadline=None)  # the machine may be busy
@given(policies, st.lists(st.tuples(requests, users), min_size=1, max_size=8))
@example(
    Policy((Rule("Request", resources=(GroupResources("", ("*/*",)),)),)),
    [(Attributes("get", "", resource_request=True, resource="*", subresource="b"), None)],
)
def test_index_equals_reading(policy: Policy, asked: list[tuple[Attributes, User | None]]) -> None:
    """The index decides as the rules do when they are read one after another, also when it is asked again."""
    evaluator = Evaluator(policy)
    for attributes, user in asked * 2:
        assert evaluator.decide(attributes, user) == first_match(policy, attributes, user)


@settings(deadline=None)  # the machine may be busy
@given(policies, requests, users)
def test_policy_is_left_alone(policy: Policy, attributes: Attributes, user: User | None) -> None:
    """An evaluator does not change the policy that it is given, and a second one says the same."""
    before = repr(policy)
    decision = Evaluator(policy).decide(attributes, user)
    assert repr(policy) == before
    assert Evaluator(policy).decide(attributes, user) == decision


def pod(name: str = "web", **about: Any) -> Attributes:
    return Attributes("get", "", resource_request=True, resource="pods", name=name, **about)


def test_decisions_are_shared() -> None:
    """Requests that one rule decides get one object, whatever their names."""
    evaluator = Evaluator(Policy((Rule("Metadata", omit_stages=("Panic",)),)))
    assert evaluator.decide(pod("a"), None) is evaluator.decide(pod("b", api_group="apps"), User("x"))
    assert evaluator.decide(pod(), None) is evaluator.decide(Attributes("get", "/healthz"), None)


def test_unknown_level_is_refused() -> None:
    """A policy that was not validated is refused when it is compiled, not when a request comes in."""
    with pytest.raises(ValueError, match="Everything"):
        Evaluator(Policy((Rule("Everything"),)))


@pytest.mark.parametrize("kind", ["resources", "paths"])
def test_invented_keys_take_bounded_memory(kind: str) -> None:
    """A flood of resources or paths that nobody has heard of fills no memory, and is decided right all the while."""
    policy = Policy((Rule("None", users=("jane",)), Rule("Metadata", resources=(GroupResources("", ("pods",)),))))
    evaluator = Evaluator(policy)
    for number in range(KEPT_KEYS * 2 + 10):
        if kind == "resources":
            asked = Attributes("get", "", resource_request=True, resource=f"r{number}")
        else:
            asked = Attributes("get", f"/r{number}")
        assert evaluator.decide(asked, None).level == "None"
        assert len(evaluator._by_resource) <= KEPT_KEYS
        assert len(evaluator._by_path) <= KEPT_KEYS
    assert evaluator.decide(pod(), None).level == "Metadata"


def test_long_keys_are_not_kept() -> None:
    """A key longer than any real one is decided, and forgotten."""
    evaluator = Evaluator(Policy((Rule("Metadata", non_resource_urls=("/*",)),)))
    assert evaluator.decide(Attributes("get", "/" * (KEPT_KEY_LENGTH + 1)), None).level == "Metadata"
    assert evaluator.decide(Attributes("get", "", resource_request=True, resource="r" * 100_000), None).level == "None"
    assert not evaluator._by_path
    assert not evaluator._by_resource


def test_keys_share_what_is_left_to_ask() -> None:
    """A thousand resources that the policy does not tell apart share the conditions that are kept for them."""
    rules = tuple(Rule("Metadata", users=(f"user-{number}",)) for number in range(100))
    evaluator = Evaluator(Policy(rules))
    for number in range(1000):
        evaluator.decide(Attributes("get", "", resource_request=True, resource=f"r{number}"), None)
    kept = {id(condition) for conditions, _ in evaluator._by_resource.values() for condition in conditions}
    assert len(kept) == 100


def test_threads() -> None:
    """Several threads may ask one evaluator while its index fills and is emptied."""
    policy = Policy((Rule("Request", users=("jane",)), Rule("Metadata", resources=(GroupResources("", ("*",)),))))
    evaluator = Evaluator(policy)
    wrong: list[str] = []

    def ask(start: int) -> None:
        for number in range(start, start + KEPT_KEYS):
            asked = Attributes("get", "", resource_request=True, resource=f"r{number % 5000}")
            for user, expected in ((User("jane"), "Request"), (None, "Metadata")):
                if evaluator.decide(asked, user).level != expected:
                    wrong.append(f"{asked} {user}")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=ask, args=(start,)) for start in (0, 1000, 4000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong

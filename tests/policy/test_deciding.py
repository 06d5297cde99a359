from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.event import User
from decklog.policy.deciding import Kinds, decide_by
from decklog.policy.matching import first_match
from decklog.policy.recorded import attributes_of, of_event, user_of
from decklog.policy.rules import GroupResources, Policy, Rule
from policy.recorded_logs import full, ref

POLICIES = [
    Policy((Rule("Metadata", users=("alice",)), Rule("Request", namespaces=("shop",)))),
    Policy((Rule("Metadata", resources=(GroupResources("", ("pods",), ("a",)),)), Rule("None", verbs=("get",)))),
    Policy((Rule("Request", user_groups=("dev",)), Rule("Metadata", non_resource_urls=("/a*",)))),
]
THINGS = [None, ref("pods", "a", namespace="shop"), ref("pods", "b"), ref("pods", "a", "apps"), ref("nodes", "a")]


@pytest.mark.parametrize("policy", POLICIES)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(THINGS),
            st.sampled_from(["get", "create"]),
            st.sampled_from(["alice", "bob"]),
            st.sampled_from([(), ("dev",)]),
            st.sampled_from(["/a/pods/a", "/b/namespaces/shop/pods"]),
        ),
        max_size=30,
    )
)
def test_remembering_never_changes_a_decision(policy: Policy, kinds: list[tuple[object, ...]]) -> None:
    """Whatever was asked before, each event gets the decision of the rules read one after another."""
    decide = decide_by(policy)
    for thing, verb, name, groups, uri in kinds:
        user = User(str(name), groups=groups)  # type: ignore[arg-type]  # because: a tuple of mixed strategies
        event = of_event(full(object_ref=thing, verb=verb, request_uri=uri, user=user))
        assert decide(event) == first_match(policy, attributes_of(event), user_of(event))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds that senders invent are forgotten, and long ones never kept."""
    monkeypatch.setattr("decklog.policy.deciding.KEPT_KINDS", 3)
    kinds = Kinds()
    decision = first_match(POLICIES[0], attributes_of(of_event(full())), None)
    for number in range(4):
        kinds.keep((str(number),), decision)
    assert [kinds.get((str(number),)) for number in range(4)] == [None, None, None, decision]
    kinds.keep(("x" * 600,), decision)
    assert kinds.get(("x" * 600,)) is None

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ask.logs import ref
from ask.workloads import GARBAGE, at, pod
from decklog.ask.controllers import actor, is_by_controller
from decklog.audit.event import User

POD_GOES = at(3, GARBAGE, "delete", pod())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"user": User(username=GARBAGE)}, True),
        (
            {
                "user": User(username="system:kube-controller-manager"),
                "user_agent": "kube-controller-manager/v1.36 (linux/amd64) kubernetes/1/generic-garbage-collector",
            },
            True,
        ),
        ({"user": User(username="system:kube-controller-manager")}, False),
        ({"user": User(username="system:serviceaccount:kube-system:my-own")}, False),
        ({"user": User(username="system:serviceaccount:shop:generic-garbage-collector")}, False),
    ],
)
def test_controllers_are_known_by_account_or_client(changes: dict[str, Any], expected: bool) -> None:
    """Only the accounts of kube-system count; a shared account is told apart by what the client calls itself."""
    assert is_by_controller(replace(POD_GOES, **changes)) is expected


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (GARBAGE, "the garbage collector"),
        ("system:node:n1", "the kubelet of n1"),
        ("system:kube-scheduler", "the scheduler"),
        ("system:serviceaccount:argocd:app", "system:serviceaccount:argocd:app"),
        ("alice", "alice"),
        ("", "-"),
    ],
)
def test_actors_have_everyday_names(user: str, expected: str) -> None:
    """The cluster's own parts are called as people call them, everybody else by name."""
    assert actor(replace(POD_GOES, user=User(username=user))) == expected
    assert actor(replace(POD_GOES, user=User(username="bob"), impersonated_user=User(username="root"))) == "bob as root"


def test_only_deletions_and_evictions_are_followed() -> None:
    """What else controllers write has no chain."""
    assert not is_by_controller(at(3, GARBAGE, "patch", pod()))
    assert is_by_controller(at(3, "system:kube-scheduler", "create", ref("pods", name="p", subresource="eviction")))

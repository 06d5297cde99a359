from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from ask.logs import ref
from ask.workloads import GARBAGE, POD, SET, asking, at, controller, deployment, owned, pod, replica_set
from decklog.ask.owners import chain, said
from decklog.audit.event import Status
from decklog.audit.query import Query

if TYPE_CHECKING:
    from decklog.audit.event import Event

ALICE_DELETES = at(1, "alice", "delete", deployment())
SET_GOES = at(2, GARBAGE, "delete", replica_set())
POD_GOES = at(3, GARBAGE, "delete", pod())
KUBELET = at(4, "system:node:n1", "delete", pod())
POD_MADE = at(
    0,
    controller("replicaset-controller"),
    "create",
    ref("pods"),
    response_object=owned("Pod", POD, ("ReplicaSet", SET, "apps/v1")),
)
SET_MADE = at(
    0,
    controller("deployment-controller"),
    "create",
    replica_set(),
    request_object=owned("ReplicaSet", SET, ("Deployment", "web", "apps/v1")),
)


def follow(*events: Event) -> str:
    """Follow the last of the events up."""
    find = asking(events)
    *_, last = find((Query(),))
    return said(chain(last, find))


def test_recorded_owners_lead_to_the_person() -> None:
    """With the owners in recorded bodies each step is certain, and the last one is a person's."""
    assert follow(POD_MADE, SET_MADE, ALICE_DELETES, SET_GOES, POD_GOES) == (
        f"pods/{POD} was deleted by the garbage collector, because the garbage collector deleted replicasets/{SET}, "
        "because alice deleted deployments/web at 2026-03-01T10:01:00.000000Z from 10.0.0.7"
    )


def test_without_bodies_owners_are_guessed_from_names_and_it_is_said() -> None:
    """At level Metadata the names lead as far, with the word probably."""
    text = follow(ALICE_DELETES, SET_GOES, POD_GOES)
    assert text.startswith(f"pods/{POD} was deleted by the garbage collector, probably because alice deleted")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((ALICE_DELETES, POD_GOES, KUBELET), "the kubelet of n1, because the garbage collector deleted"),
        ((at(1, "bob", "delete", pod()), KUBELET), f"the kubelet of n1, because bob deleted pods/{POD} at"),
        (
            (at(1, "bob", "create", ref("pods", name=POD, subresource="eviction")), KUBELET),
            f"because bob evicted pods/{POD} at",
        ),
        (
            (
                at(1, "carol", "delete", ref("namespaces", "shop", "shop")),
                at(2, controller("namespace-controller"), "deletecollection", ref("pods")),
                KUBELET,
            ),
            "because the namespace controller deleted a collection of pods/*, because carol deleted namespaces/shop",
        ),
        (
            (
                at(1, "dora", "patch", deployment(subresource="scale")),
                at(2, controller("deployment-controller"), "update", replica_set()),
                at(3, controller("replicaset-controller"), "delete", pod()),
            ),
            f"deployment controller updated replicasets/{SET}, probably because dora scaled deployments/web at",
        ),
        (
            (at(3, controller("ttl-after-finished-controller"), "delete", ref("jobs", name="import", group="batch")),),
            "deleted by the TTL controller: its ttlSecondsAfterFinished had passed",
        ),
        ((at(3, "system:kube-scheduler", "delete", pod()),), "the scheduler: a pod of higher priority needed the room"),
        ((POD_GOES,), "deleted by the garbage collector: what led to that is not in the log"),
        ((at(3, "alice", "delete", pod()),), f"pods/{POD} was deleted by alice"),
    ],
)
def test_a_deletion_by_a_controller_is_followed_up(events: tuple[Event, ...], expected: str) -> None:
    """Each kind of controller has its kind of cause; where the log ends, that is said."""
    assert expected in follow(*events)


@pytest.mark.parametrize(
    "other",
    [
        replace(ALICE_DELETES, response_status=Status(code=403)),
        replace(ALICE_DELETES, request_uri="/x?dryRun=All"),
        at(9, "alice", "delete", deployment()),
        at(1, "alice", "delete", ref("deployments", "lab", "web", "apps")),
        at(1, "alice", "delete", deployment("web2")),
        at(1, "alice", "get", deployment()),
    ],
)
def test_what_cannot_have_led_to_it_is_no_cause(other: Event) -> None:
    """Failures, dry runs, later requests, other objects and reads explain nothing."""
    *_, last = asking([POD_GOES])((Query(),))
    assert len(chain(last, asking([other, POD_GOES]))) == 1


def test_a_change_long_ago_explains_no_deletion() -> None:
    """Who edited the deployment hours before is not blamed for what its controller does now."""
    patched = at(0, "dora", "patch", deployment())
    late = replace(
        at(1, controller("replicaset-controller"), "delete", pod()),
        request_received_timestamp="2026-03-01T11:30:00.000000Z",
    )
    assert "dora" not in follow(patched, late)
    assert "dora" in follow(patched, replace(late, request_received_timestamp="2026-03-01T10:30:00.000000Z"))


def test_a_circle_of_owners_ends() -> None:
    """Owners that own each other make no endless chain."""
    first = at(1, GARBAGE, "delete", replica_set("a"), response_object=owned("X", "a", ("ReplicaSet", "b", "apps/v1")))
    second = at(2, GARBAGE, "delete", replica_set("b"), response_object=owned("X", "b", ("ReplicaSet", "a", "apps/v1")))
    assert follow(first, second).count("because") == 1

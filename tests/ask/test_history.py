from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from ask.logs import ref
from ask.workloads import asking, at, body, deployment
from decklog.ask.history import Asked, Target, history, in_order, telling
from decklog.audit.event import Status
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from msgspec import Raw

    from decklog.ask.history import Entry
    from decklog.audit.event import Event


def web(replicas: int = 3, image: str = "x:1", kind: str = "Deployment", **more: Any) -> Raw:
    containers = [{"name": "app", "image": image}]
    spec = {"replicas": replicas, "template": {"spec": {"containers": containers}}}
    return body({"kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": spec, **more})


def told(*events: Event, words: str = "deploy/web", status: bool = False) -> list[Entry]:
    """Give the history of the object, as the command does."""
    target = Target.parse(tuple(words.split()), None)
    asked = Asked()
    found = list(asked.counting(telling(asking(events)(target.queries(reads=True)))))
    return list(history(found, asked.one(target), status=status))


def changed(entry: Entry) -> list[tuple[str, Any, Any]]:
    return [(change.path, change.old, change.new) for change in entry.changes]


CREATED = at(0, "alice", "create", ref("deployments", group="apps"), response_object=web())
UPDATED = at(1, "bob", "update", deployment(), response_object=web(image="x:2"))
SCALED = at(2, "carol", "patch", deployment(subresource="scale"), request_object=body({"spec": {"replicas": 0}}))
READ = at(3, "dora", "get", deployment(), response_object=web(0, "x:2"))
PATCHED = at(4, "eve", "patch", deployment(), request_object=body({"spec": {"replicas": 5}}))
SILENT = at(5, "finn", "update", deployment())
LATER = at(6, "gus", "update", deployment(), request_object=web(7, "x:3"))
DELETED = at(7, "hal", "delete", deployment(), response_object=body({"kind": "Status", "metadata": {}}))


def test_the_life_of_an_object_is_told_with_what_changed() -> None:
    """Each write says what it changed, by bodies, by its patch, or that the log does not tell."""
    entries = told(CREATED, UPDATED, SCALED, READ, PATCHED, SILENT, LATER, DELETED)
    image = "spec.template.spec.containers[app].image"
    assert [(entry.row.user, entry.deed, entry.told_by, changed(entry)) for entry in entries] == [
        ("alice", "created", "body", []),
        ("bob", "updated", "versions", [(image, "x:1", "x:2")]),
        ("carol", "scaled", "patch", [("spec.replicas", 3, 0)]),
        ("eve", "patched", "patch", [("spec.replicas", 0, 5)]),
        ("finn", "updated", "nothing", []),
        ("gus", "updated", "versions", [("spec.replicas", 0, 7), (image, "x:2", "x:3")]),
        ("hal", "deleted", "nothing", []),
    ]
    assert entries[0].row.name == "web"
    assert entries[3].patch == {"spec": {"replicas": 5}}
    assert entries[5].note.startswith("2 writes before it left no body")
    assert "the answer before with the request body now" in entries[5].note


def test_a_change_without_an_older_version_says_so() -> None:
    """Nothing is compared with nothing."""
    (entry,) = told(UPDATED)
    assert (entry.told_by, entry.note) == ("body", "no older version of the object is in the log")
    (entry,) = told(PATCHED)
    assert [(change.path, change.unknown) for change in entry.changes] == [("spec.replicas", True)]


@pytest.mark.parametrize(
    "changes",
    [{"response_status": Status(code=409)}, {"response_status": None}, {"request_uri": "/x?dryRun=All"}],
)
def test_what_changed_nothing_is_no_version(changes: dict[str, Any]) -> None:
    """Failures and dry runs are told as such, and the next change is not compared with them."""
    entries = told(CREATED, replace(UPDATED, **changes), replace(LATER, request_object=web(7)))
    assert [entry.failed for entry in entries] == [False, True, False]
    assert changed(entries[2]) == [("spec.replicas", 3, 7)]


def test_a_new_object_under_an_old_name_is_not_compared_with_it() -> None:
    """After a deletion a new life begins."""
    again = replace(CREATED, request_received_timestamp="2026-03-01T10:30:00.000000Z", request_uri="/again")
    again = replace(again, stage_timestamp="2026-03-01T10:30:00.000000Z", response_object=web(9))
    assert [(entry.deed, changed(entry)) for entry in told(CREATED, DELETED, again)] == [
        ("created", []),
        ("deleted", []),
        ("created", []),
    ]


def test_collective_deletions_count_if_they_may_have_reached_it() -> None:
    """Where the answer lists what was deleted, only a list with the object counts."""
    emptied = at(8, "ida", "deletecollection", ref("deployments", group="apps"))
    other = replace(emptied, response_object=body({"kind": "DeploymentList", "items": [{"metadata": {"name": "x"}}]}))
    this = replace(emptied, response_object=body({"kind": "DeploymentList", "items": [{"metadata": {"name": "web"}}]}))
    assert [entry.reach for entry in told(CREATED, emptied)] == [False, True]
    assert len(told(CREATED, other)) == 1
    assert [entry.reach for entry in told(CREATED, this)] == [False, False]


def test_status_is_told_only_on_demand() -> None:
    """What controllers report is left out, unless asked for."""
    reported = at(
        2, "kcm", "update", deployment(subresource="status"), response_object=web(status={"readyReplicas": 3})
    )
    assert len(told(CREATED, reported)) == 1
    _, entry = told(CREATED, reported, status=True)
    assert changed(entry) == [("status.readyReplicas", None, 3)]


def test_secrets_show_that_they_changed_but_not_what() -> None:
    """Neither the changes nor the patch of a secret hold a value."""
    reference = ref("secrets", name="db")
    made = at(0, "a", "create", reference, response_object=body({"kind": "Secret", "metadata": {"name": "db"}}))
    patch = at(1, "b", "patch", reference, request_object=body({"data": {"password": "aHVudGVyMg=="}}))
    _, entry = told(made, patch, words="secret db")
    assert [change.path for change in entry.changes] == ["data.password"]
    assert "aHVudGVyMg" not in repr(entry)


def test_reads_that_tell_nothing_new_are_not_kept() -> None:
    """Of equal answers one is kept, of reads without an answer none."""
    same = replace(READ, request_uri="/again", request_received_timestamp="2026-03-01T10:09:00.000000Z")
    bare = at(5, "x", "get", deployment())
    query = Target.parse(("deploy/web",), None).queries(reads=True)
    assert len(list(telling(asking([READ, same, bare, SILENT])(query)))) == 2


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (at(1, "x", "update", ref("deployments", "lab", "web", "apps")), r"several namespaces \(lab, shop\): .* -n"),
        (at(1, "x", "update", ref("deployments", "shop", "web", "extensions")), "of several kinds"),
    ],
)
def test_several_objects_of_one_name_are_not_mixed(other: Event, says: str) -> None:
    """It is said how to choose."""
    with pytest.raises(DecklogError, match=says):
        told(CREATED, other)


@pytest.mark.parametrize("words", ["deploy", "deploy/w*", "deploy/a/b", "deploy a b", "deploy/web/scale"])
def test_a_history_is_of_one_object(words: str) -> None:
    """Types alone, patterns, several names and subresources are refused."""
    with pytest.raises(DecklogError):
        Target.parse(tuple(words.split()), None)


def test_uses_of_an_object_are_no_changes() -> None:
    """Sessions, evictions' kin and logs: only the eviction changes something."""
    pods = [at(n, "x", "create", ref("pods", name="p", subresource=sub)) for n, sub in enumerate(("exec", "eviction"))]
    assert [entry.deed for entry in told(*pods, words="pod/p")] == ["evicted"]
    assert in_order([]) == []


def test_an_object_with_a_generated_name_is_found_from_its_creation_on() -> None:
    """Its reference has no name then; the answer has, and the later requests."""

    def job(image: str) -> Raw:
        metadata = {"generateName": "job-", "name": "job-x1", "namespace": "shop"}
        return body({"kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "c", "image": image}]}})

    entries = told(
        at(0, "alice", "create", ref("pods"), response_object=job("a:1")),
        at(1, "bob", "create", ref("pods"), response_object=body({"metadata": {"name": "job-other"}})),
        at(2, "carol", "update", ref("pods", name="job-x1"), response_object=job("a:2")),
        words="pod/job-x1",
    )
    assert [(entry.row.user, entry.deed, changed(entry)) for entry in entries] == [
        ("alice", "created", []),
        ("carol", "updated", [("spec.containers[c].image", "a:1", "a:2")]),
    ]

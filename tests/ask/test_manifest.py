from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from ask.logs import ref
from ask.workloads import asking, at, body, deployment
from decklog.ask.history import Target
from decklog.ask.manifest import manifest, said
from decklog.audit.event import Status

if TYPE_CHECKING:
    from decklog.ask.manifest import Manifest
    from decklog.audit.event import Event

TARGET = Target.parse(("deploy/web",), "shop")


def web(version: int) -> Any:
    metadata = {"name": "web", "managedFields": [{"manager": "kubectl"}]}
    return body({"kind": "Deployment", "metadata": metadata, "spec": {"replicas": version}})


CREATED = at(0, "alice", "create", deployment(), request_object=web(1))
UPDATED = at(10, "bob", "update", deployment(), request_object=web(2), response_object=web(2))
PATCHED = at(20, "carol", "patch", deployment(), request_object=body({"spec": {"replicas": 9}}))
DELETED = at(30, "dora", "delete", deployment())
EMPTIED = at(40, "eve", "deletecollection", ref("deployments", group="apps"))
STORY = (CREATED, UPDATED, PATCHED, DELETED, EMPTIED)


def known(*events: Event, at: str | None = None) -> Manifest:
    return manifest(asking(events)(TARGET.queries(reads=True)), TARGET, at and f"2026-03-01T10:{at}.000000Z")


@pytest.mark.parametrize(
    ("at", "replicas", "body", "later", "gone"),
    [
        ("00:00", None, None, [], False),
        ("00:01", 1, "request", [], False),
        ("10:00", 1, "request", [], False),
        ("10:01", 2, "response", [], False),
        ("20:01", 2, "response", ["carol"], False),
        ("30:01", 2, "response", ["carol", "dora"], True),
        (None, 2, "response", ["carol", "dora", "eve"], True),
    ],
)
def test_the_manifest_is_the_last_body_at_that_time(
    at: str | None, replicas: int | None, body: str | None, later: list[str], gone: bool
) -> None:
    """A write counts once it was answered; what came later without a body is named."""
    found = known(*STORY, at=at)
    assert (found.document and found.document["spec"]["replicas"]) == replicas
    assert (found.provenance and found.provenance.body) == body
    assert [step.request.user for step in found.later] == later
    assert found.gone is gone


def test_the_sentences_say_where_it_comes_from_and_what_is_missing() -> None:
    """Provenance, deletion and later writes are told; a collective deletion only as a may-be."""
    source, *rest = said(known(*STORY), "web")
    assert source.startswith("From audit.log:2 (ResponseComplete of request 10-update-deployments): bob updated it at ")
    assert source.endswith("2026-03-01 10:10:00 UTC; as the server answered.")
    assert rest == [
        "The object was deleted by then; this is what it was before.",
        "Afterwards: carol patched it at 2026-03-01 10:20:00 UTC (audit.log:3).",
        "Afterwards: dora deleted it at 2026-03-01 10:30:00 UTC (audit.log:4).",
        "Afterwards: eve deleted a collection of its kind, and maybe it, at 2026-03-01 10:40:00 UTC (audit.log:5).",
    ]
    assert said(known(PATCHED), "web")[0] == "No body of web is in the log at that time, only what was done to it:"
    assert said(known(PATCHED), "web")[1].startswith("carol patched it at")
    assert said(known(), "web")[0].startswith("Nothing is known of web at that time")
    assert said(known(CREATED), "web")[0].endswith("as it was sent, without what the server adds.")


def test_managed_fields_are_dropped_unless_asked_for() -> None:
    """Which client set which field is noise for people."""
    requests = list(asking([UPDATED])(TARGET.queries(reads=True)))
    assert "managedFields" not in manifest(requests, TARGET).document["metadata"]  # type: ignore[index]  # because: it is there
    kept = manifest(requests, TARGET, managed_fields=True).document
    assert kept is not None
    assert "managedFields" in kept["metadata"]


@pytest.mark.parametrize(
    "changes", [{"response_status": Status(code=500)}, {"request_uri": "/?dryRun=All"}, {"response_status": None}]
)
def test_what_did_not_happen_is_not_shown(changes: dict[str, Any]) -> None:
    """Failed writes and dry runs leave the manifest as it was."""
    found = known(CREATED, replace(UPDATED, **changes))
    assert found.document is not None
    assert (found.document["spec"]["replicas"], found.later) == (1, ())


def test_a_read_shows_it_as_well_and_a_new_object_is_not_gone() -> None:
    """The answer of a read is a manifest; what was created again is there."""
    read = at(25, "finn", "get", deployment(), response_object=web(9))
    assert known(CREATED, PATCHED, read).later == ()
    again = replace(CREATED, request_received_timestamp="2026-03-01T10:50:00.000000Z", request_uri="/2")
    assert not known(CREATED, DELETED, replace(again, stage_timestamp="2026-03-01T10:50:01.000000Z")).gone


def test_an_eviction_is_a_deletion() -> None:
    """Who evicts a pod ends it."""
    target = Target.parse(("pod/p",), None)
    evicted = at(1, "x", "create", ref("pods", name="p", subresource="eviction"))
    found = manifest(asking([evicted])(target.queries(reads=True)), target)
    assert found.gone

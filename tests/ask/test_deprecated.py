from __future__ import annotations

from io import BytesIO

import pytest

from ask.logs import event, lines
from decklog.ask.deprecated import Use, deprecated, removal
from decklog.ask.requests import merge
from decklog.audit.event import Event, ObjectReference
from decklog.audit.query import Query
from decklog.sources.places import find
from decklog.sources.reader import read
from decklog.sources.record import Coverage


def uses(*events: Event) -> list[Use]:
    return deprecated(merge(read(find(["-"], BytesIO(lines(events))), Coverage()), Query()))


def of(group: str, version: str, resource: str, **changes: object) -> Event:
    return event(object_ref=ObjectReference(resource, "shop", "x", api_group=group, api_version=version), **changes)


@pytest.mark.parametrize(
    ("one", "release", "told_by"),
    [
        (of("batch", "v1beta1", "cronjobs", annotations={}), "1.25", "table"),
        (of("batch", "v1", "cronjobs", annotations={}), None, ""),
        (of("coordination.k8s.io", "v1beta1", "leasecandidates", annotations={}), None, ""),
        (of("apps", "v1beta2", "deployments", annotations={}), "1.16", "table"),
        (
            of("x.io", "v1", "things", annotations={"k8s.io/deprecated": "true", "k8s.io/removed-release": "1.40"}),
            "1.40",
            "annotation",
        ),
        (of("x.io", "v1", "things", annotations={"k8s.io/deprecated": "true"}), "", "annotation"),
        (event(object_ref=None, annotations={}), None, ""),
    ],
)
def test_what_is_deprecated(one: Event, release: str | None, told_by: str) -> None:
    """The server's annotation tells, or the table of what was removed; other resources of the version stay."""
    found = removal(one)
    assert (found[0].release if found else None, found[1] if found else "") == (release, told_by)


def test_clients_are_summed_up() -> None:
    """A row for each API and client: how often, from when to when, what to use instead; the oldest API first."""
    found = uses(
        of("batch", "v1beta1", "cronjobs", audit_id="1"),
        of("batch", "v1beta1", "cronjobs", audit_id="2", verb="list"),
        of("apps", "v1beta1", "deployments", audit_id="3"),
    )
    assert [(use.api, use.requests, use.verbs, use.instead) for use in found] == [
        ("apps/v1beta1/deployments", 1, ("delete",), "apps/v1"),
        ("batch/v1beta1/cronjobs", 2, ("delete", "list"), "batch/v1"),
    ]

from __future__ import annotations

import hashlib

import pytest

from decklog.store.items import identity_of

BARE = b'{"level":"Metadata","auditID":"a","stage":"Panic"}'


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"Panic"}',
        b'{"apiVersion":"audit.k8s.io/v1","kind":"Event","level":"Metadata","auditID":"a","stage":"Panic"}',
        b'{"kind":"Event","level":"Metadata","auditID":"a","stage":"Panic"}',
        b'{"apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a","stage":"Panic"}',
        b'{ "kind" : "Event", "apiVersion": "audit.k8s.io/v1", "level":"Metadata","auditID":"a","stage":"Panic"}',
    ],
)
def test_kind_and_version_in_front_do_not_count(line: bytes) -> None:
    """An item of a webhook's list and the same event's line in a log are one event."""
    assert identity_of("c", line) == identity_of("c", BARE) == hashlib.sha256(b"c\0" + BARE).digest()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(BARE.replace(b"Panic", b"panic"), id="another byte"),
        pytest.param(b'{"kind":"Pod",' + BARE[1:], id="another kind"),
        pytest.param(b'{"apiVersion":"v1",' + BARE[1:], id="another group"),
        pytest.param(BARE[:-1] + b',"kind":"Event"}', id="kind at the end"),
        pytest.param(b'{"level":"Request","requestObject":{"kind":"Event","x":1}}', id="kind inside"),
        pytest.param(b"\xff\xfe", id="no JSON"),
    ],
)
def test_all_other_bytes_count(line: bytes) -> None:
    """Whatever else differs makes another event, whatever its audit ID."""
    assert identity_of("c", line) == hashlib.sha256(b"c\0" + line).digest()
    assert identity_of("c", line) != identity_of("c", BARE)


def test_the_cluster_counts() -> None:
    """The same bytes from two clusters are two events."""
    assert identity_of("a", BARE) != identity_of("b", BARE)

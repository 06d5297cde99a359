from __future__ import annotations

import asyncio
from typing import Any

import pytest

from decklog.sandbox import resources as known
from decklog.sandbox.routing import Route, parts_of, route
from decklog.sandbox.status import ApiError
from decklog.sandbox.store import Store


def value(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "n"}, "data": data}


def test_changes_are_numbered_and_kept_in_order() -> None:
    """Every write takes the next number, and is listed after any earlier one."""
    store = Store()
    begin = store.version
    store.put(known.CONFIG_MAPS, value("a"))
    store.put(known.CONFIG_MAPS, value("a", k="v"))
    store.delete(known.CONFIG_MAPS, value("a"))
    changes = store.changes_after(begin)
    assert [(change.type, change.version - begin) for change in changes] == [
        ("ADDED", 1),
        ("MODIFIED", 2),
        ("DELETED", 3),
    ]
    assert changes[1].previous is changes[0].value
    assert [change.type for change in store.changes_after(begin + 2)] == ["DELETED"]
    assert store.changes_after(store.version) == []


def test_what_was_kept_is_never_changed() -> None:
    """A later write leaves the values of earlier ones alone."""
    store = Store()
    first = store.put(known.CONFIG_MAPS, value("a", k="1"))
    store.put(known.CONFIG_MAPS, value("a", k="2"))
    assert first["data"] == {"k": "1"}


def test_only_the_last_changes_are_remembered() -> None:
    """Past its memory the store says that a version is too old."""
    store = Store(remembered=2)
    for number in range(3):
        store.put(known.CONFIG_MAPS, value(f"c{number}"))
    with pytest.raises(ApiError) as caught:
        store.changes_after(1)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
    assert len(store.changes_after(2)) == 2


def test_a_waiter_wakes_for_the_next_change() -> None:
    """Whoever waits beyond a version wakes with the next write, and at once where it has happened."""

    async def main() -> int:
        store = Store()
        waiting = asyncio.ensure_future(store.beyond(store.version))
        store.put(known.CONFIG_MAPS, value("a"))
        await asyncio.wait_for(waiting, 10)
        await store.beyond(store.version - 1)
        return store.version

    assert asyncio.run(main()) == 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", Route(known.PODS)),
        ("/api/v1/namespaces/n/pods/", Route(known.PODS, "n")),
        ("/api/v1/namespaces/n/pods/p", Route(known.PODS, "n", "p")),
        ("/api/v1/namespaces/n/pods/p/log", Route(known.PODS, "n", "p", "log")),
        ("/api/v1/namespaces/n/pods/p/proxy/a/b", Route(known.PODS, "n", "p", "proxy")),
        ("/api/v1/namespaces/n", Route(known.NAMESPACES, "", "n")),
        ("/api/v1/namespaces/n/status", Route(known.NAMESPACES, "", "n", "status")),
        ("/api/v1/watch/namespaces/n/pods", Route(known.PODS, "n", watch=True)),
        ("/apis/apps/v1/namespaces/n/deployments/d/scale", Route(known.DEPLOYMENTS, "n", "d", "scale")),
        ("/api/v1/nodes/x", Route(known.NODES, "", "x")),
    ],
)
def test_paths_lead_to_routes(path: str, expected: Route) -> None:
    """A path leads to its resource, object and subresource."""
    assert route(parts_of(path)) == expected


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/api/v1/pods/p", False),
        ("/api/v1/foos", False),
        ("/api/v1/namespaces/n/nodes", False),
        ("/api/v1/namespaces/n/pods/p/nope", False),
        ("/api/v1/namespaces/n/pods/p/log/x", False),
        ("/api/v1//namespaces/n/pods", False),
        ("/api/v2/pods", False),
        ("/apis/nope/v1/pods", True),
    ],
)
def test_paths_that_lead_nowhere(path: str, plain: bool) -> None:
    """A path that leads nowhere is a 404: in plain text outside every API group, else as a Status."""
    with pytest.raises(ApiError) as caught:
        route(parts_of(path))
    assert (caught.value.code, caught.value.plain is not None) == (404, plain)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from decklog.sandbox.store import REMEMBERED_CHANGES
from sandbox.client import CONFIG_MAPS, MERGE, PODS, TABLE, config_map, pod, streaming

if TYPE_CHECKING:
    from sandbox.client import Client, Stream

PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def names(reply: Any) -> list[str]:
    return [item["metadata"]["name"] for item in reply.json["items"]]


def test_lists_are_sorted_and_typed(client: Client) -> None:
    """A list is of its kind, sorted by name; its items leave out what the list says for all."""
    for name in ("b", "a"):
        client.post(CONFIG_MAPS, config_map(name))
    reply = client.get(CONFIG_MAPS)
    assert (reply.json["kind"], reply.json["apiVersion"], names(reply)) == ("ConfigMapList", "v1", ["a", "b"])
    assert "kind" not in reply.json["items"][0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("labelSelector=l%3Dx", ["a"]),
        ("labelSelector=l+in+(x,y)", ["a", "b"]),
        ("labelSelector=l!%3Dx", ["b", "c"]),
        ("labelSelector=!l", ["c"]),
        ("fieldSelector=metadata.name%3Db", ["b"]),
        ("fieldSelector=metadata.name!%3Db", ["a", "c"]),
        ("fieldSelector=metadata.namespace%3Dother", []),
        ("labelSelector=l&fieldSelector=metadata.name%3Da", ["a"]),
    ],
)
def test_selectors_narrow_a_list(client: Client, query: str, expected: list[str]) -> None:
    """Label and field selectors narrow a list."""
    for name, labels in (("a", {"l": "x"}), ("b", {"l": "y"}), ("c", {})):
        client.post(CONFIG_MAPS, {"metadata": {"name": name, "labels": labels}})
    assert names(client.get(f"{CONFIG_MAPS}?{query}")) == expected


def test_pages_cover_everything_once(client: Client) -> None:
    """Following `continue` shows every object once, and tells how many are left."""
    for number in range(5):
        client.post(CONFIG_MAPS, config_map(f"c{number}"))
    seen, token, left = [], "", []
    while True:
        reply = client.get(f"{CONFIG_MAPS}?limit=2&continue={token}" if token else f"{CONFIG_MAPS}?limit=2")
        seen += names(reply)
        left.append(reply.json["metadata"].get("remainingItemCount"))
        token = reply.json["metadata"].get("continue", "")
        if not token:
            break
    assert (seen, left) == (["c0", "c1", "c2", "c3", "c4"], [3, 1, None])


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("resourceVersion=999999", 504, "Timeout"),
        ("resourceVersion=2&resourceVersionMatch=Exact", 410, "Expired"),
        ("resourceVersionMatch=Exact", 422, "Invalid"),
        ("resourceVersion=1&resourceVersionMatch=Sideways", 422, "Invalid"),
        ("continue=garbage", 400, "BadRequest"),
        ("fieldSelector=spec.nope%3D1", 400, "BadRequest"),
    ],
)
def test_refused_lists(client: Client, query: str, code: int, reason: str) -> None:
    """Versions from the future, from the past, and options that make no sense are refused."""
    reply = client.get(f"{CONFIG_MAPS}?{query}")
    assert (reply.status, reply.json["reason"]) == (code, reason)


def test_version_that_is_no_number_is_500(client: Client) -> None:
    """A resourceVersion that is no number is a 500 without reason, as on a real server."""
    reply = client.get(f"{CONFIG_MAPS}?resourceVersion=abc")
    assert (reply.status, "reason" in reply.json) == (500, False)


def test_objects_as_tables_and_as_metadata(client: Client) -> None:
    """A client may have a Table, with what it wants of each object, or metadata alone."""
    client.post(CONFIG_MAPS, config_map("a", k="v"))
    client.clock.pass_time(200)
    table = client.get(CONFIG_MAPS, headers={"accept": TABLE}).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"] == ["a", 1, "3m20s"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    whole = client.get(f"{CONFIG_MAPS}/a?includeObject=Object", headers={"accept": TABLE}).json
    assert whole["rows"][0]["object"]["data"] == {"k": "v"}
    none = client.get(f"{CONFIG_MAPS}?includeObject=None", headers={"accept": TABLE}).json
    assert none["rows"][0]["object"] is None
    partial = client.get(CONFIG_MAPS, headers={"accept": PARTIAL}).json
    assert partial["kind"] == "PartialObjectMetadataList"
    assert "data" not in partial["items"][0]


def shown(event: Any) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"]["name"]


def test_watch_begins_with_what_is_there(client: Client) -> None:
    """A watch without a version first shows what is there, then every change."""
    client.post(CONFIG_MAPS, config_map("a"))

    async def main() -> list[tuple[str, str]]:
        async with streaming(client, f"{CONFIG_MAPS}?watch=1") as stream:
            seen = [shown(await stream.event())]
            await client.call_soon("POST", CONFIG_MAPS, config_map("b"))
            await client.call_soon("PATCH", f"{CONFIG_MAPS}/a", {"data": {"k": "v"}}, MERGE)
            await client.call_soon("DELETE", f"{CONFIG_MAPS}/b")
            return seen + [shown(await stream.event()) for _ in range(3)]

    assert client.run(main()) == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]


def test_watch_from_a_version_misses_nothing(client: Client) -> None:
    """A watch from a list's version shows exactly what happened since, of the watched kind and namespace."""
    client.post(CONFIG_MAPS, config_map("a"))
    version = client.get(CONFIG_MAPS).json["metadata"]["resourceVersion"]
    client.post(PODS, pod("p"))
    client.post("/api/v1/namespaces/kube-system/configmaps", config_map("elsewhere"))
    client.post(CONFIG_MAPS, config_map("b"))
    client.delete(f"{CONFIG_MAPS}/a")

    async def main() -> list[tuple[str, str]]:
        async with streaming(client, f"{CONFIG_MAPS}?watch=1&resourceVersion={version}") as stream:
            return [shown(await stream.event()) for _ in range(2)]

    assert client.run(main()) == [("ADDED", "b"), ("DELETED", "a")]


def test_watch_sees_objects_enter_and_leave_its_selector(client: Client) -> None:
    """What begins to match a selector is added, what ceases to is deleted, what never does is not shown."""
    client.post(CONFIG_MAPS, config_map("a"))
    version = client.get(CONFIG_MAPS).json["metadata"]["resourceVersion"]
    for labels in ({"l": "x"}, {"l": "x", "m": "y"}, {"l": None}):
        client.patch(f"{CONFIG_MAPS}/a", {"metadata": {"labels": labels}})

    async def main() -> list[tuple[str, str]]:
        target = f"{CONFIG_MAPS}?watch=1&labelSelector=l%3Dx&resourceVersion={version}"
        async with streaming(client, target) as stream:
            return [shown(await stream.event()) for _ in range(3)]

    assert client.run(main()) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_watch_of_one_object_by_the_old_path(client: Client) -> None:
    """`/api/v1/watch/…/NAME` still watches one object."""
    client.post(CONFIG_MAPS, config_map("a"))
    client.post(CONFIG_MAPS, config_map("b"))

    async def main() -> tuple[str, str]:
        async with streaming(client, "/api/v1/watch/namespaces/default/configmaps/b") as stream:
            return shown(await stream.event())

    assert client.run(main()) == ("ADDED", "b")


def test_bookmark_marks_the_end_of_what_was_there(client: Client) -> None:
    """A watch with sendInitialEvents is told by a bookmark where its list ends."""
    client.post(CONFIG_MAPS, config_map("a"))
    query = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"

    async def main() -> Any:
        async with streaming(client, f"{CONFIG_MAPS}?{query}") as stream:
            await stream.event()
            return await stream.event()

    event = client.run(main())
    assert event["type"] == "BOOKMARK"
    assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_watched_tables_have_their_head_once(client: Client) -> None:
    """A watch of Tables tells the columns with its first event only."""
    for name in ("a", "b"):
        client.post(CONFIG_MAPS, config_map(name))

    async def main() -> list[Any]:
        async with streaming(client, f"{CONFIG_MAPS}?watch=1", accept=TABLE) as stream:
            return [(await stream.event())["object"]["columnDefinitions"] for _ in range(2)]

    first, second = client.run(main())
    assert first is not None
    assert second is None


def test_watch_from_too_long_ago_is_told_so(client: Client) -> None:
    """A watch from a version that is no longer remembered ends with an error event, 410."""
    client.post(CONFIG_MAPS, config_map("a"))
    for number in range(REMEMBERED_CHANGES + 1):
        client.patch(f"{CONFIG_MAPS}/a", {"data": {"k": str(number)}})

    async def main() -> tuple[Any, bool]:
        async with streaming(client, f"{CONFIG_MAPS}?watch=1&resourceVersion=1") as stream:
            event = await stream.event()
            await stream.event()
            return event, stream.ended

    event, ended = client.run(main())
    assert (event["type"], event["object"]["code"], ended) == ("ERROR", 410, True)


def test_stop_ends_watches_in_good_order(client: Client) -> None:
    """When the sandbox stops, a watch gets its last chunk."""

    async def main() -> bool:
        async with streaming(client, f"{CONFIG_MAPS}?watch=1") as stream:
            client.box.stop()
            await stream.event()
            return stream.ended

    assert client.run(main())


def test_watch_ends_at_its_timeout(client: Client) -> None:
    """timeoutSeconds ends a watch by itself."""

    async def main() -> bool:
        async with streaming(client, f"{CONFIG_MAPS}?watch=1&timeoutSeconds=1") as stream:
            await stream.event()
            return stream.ended

    assert client.run(main())


def test_many_watches_see_the_same(client: Client) -> None:
    """Every watch sees every change."""

    async def one(stream: Stream) -> tuple[str, str]:
        return shown(await stream.event())

    async def main() -> list[tuple[str, str]]:
        async with (
            streaming(client, f"{CONFIG_MAPS}?watch=1") as first,
            streaming(client, "/api/v1/configmaps?watch=1", user="carol") as second,
        ):
            await client.call_soon("POST", CONFIG_MAPS, config_map("a"))
            return [await one(first), await one(second)]

    assert client.run(main()) == [("ADDED", "a"), ("ADDED", "a")]

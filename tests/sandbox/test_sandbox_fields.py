from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from decklog.sandbox import fields
from decklog.sandbox.apply import apply


def owner(name: str, operation: str = "Update") -> fields.Owner:
    return fields.Owner(name, operation, "v1", "", "2026-01-02T03:04:05Z", frozenset())


def config(**data: Any) -> dict[str, Any]:
    return {"metadata": {"name": "one"}, "data": data}


def pod(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers)}}


def written(value: dict[str, Any], by: fields.Owner, live: dict[str, Any] | None = None) -> dict[str, Any]:
    return fields.with_owners(value, fields.updated(live, value, by))


def owned(value: dict[str, Any], manager: str) -> Any:
    return next(
        (entry["fieldsV1"] for entry in value["metadata"].get("managedFields", []) if entry["manager"] == manager), None
    )


def test_items_of_lists_are_owned_by_their_keys() -> None:
    """A container is owned as an item, its fields below it; an atomic list is owned as a whole."""
    value = written(pod({"name": "c", "image": "i", "args": ["x"]}), owner("me"))
    item: dict[str, Any] = {".": {}, "f:name": {}, "f:image": {}, "f:args": {}}
    assert owned(value, "me") == {"f:spec": {"f:containers": {'k:{"name":"c"}': item}}}


def test_an_update_takes_what_it_changes() -> None:
    """Who changes a field owns it from then on, and its former owner does not; unchanged fields keep theirs."""
    first = written(config(a="1", b="1"), owner("first"))
    second = {**config(a="1", b="2"), "metadata": first["metadata"]}
    after = written(second, owner("second"), first)
    assert owned(after, "first") == {"f:data": {"f:a": {}}}
    assert owned(after, "second") == {"f:data": {"f:b": {}}}


def test_an_owner_of_nothing_is_forgotten() -> None:
    """Who no longer owns anything has no entry."""
    first = written(config(a="1"), owner("first"))
    after = written({**config(a="2"), "metadata": first["metadata"]}, owner("second"), first)
    assert owned(after, "first") is None


def test_what_the_server_writes_is_owned_by_nobody() -> None:
    """Names, uids and versions are in nobody's fields; labels and finalizers are."""
    metadata = {"name": "x", "uid": "u", "resourceVersion": "1", "labels": {"l": "v"}, "finalizers": ["f"]}
    value = written({"metadata": metadata}, owner("me"))
    assert owned(value, "me") == {"f:metadata": {"f:labels": {"f:l": {}}, "f:finalizers": {'v:"f"': {}}}}


def test_junk_among_the_owners_is_passed_over() -> None:
    """managedFields that make no sense are read as nobody's."""
    junk = [1, {}, {"operation": "Apply"}, {"operation": "Update", "fieldsV1": {"f:a": {}, "f:b": 7}}]
    found = fields.owners_of({"metadata": {"managedFields": junk}})
    assert [entry.paths for entry in found] == [frozenset(), frozenset({("f:a",)})]


def test_apply_merges_containers_and_gives_up_what_it_no_longer_names() -> None:
    """An applied list of containers is merged by name; a container that nobody owns any more goes."""
    live = written(pod({"name": "c", "image": "1"}), owner("creator"))
    one = apply(live, pod({"name": "c", "args": ["x"]}, {"name": "d", "image": "1"}), owner("me", "Apply"), force=False)
    both = fields.with_owners(one.value, one.owners)
    assert both["spec"]["containers"] == [{"name": "c", "image": "1", "args": ["x"]}, {"name": "d", "image": "1"}]
    two = apply(both, pod({"name": "c"}), owner("me", "Apply"), force=False)
    assert two.value["spec"]["containers"] == [{"name": "c", "image": "1"}]


def test_an_emptied_map_goes_with_its_last_field() -> None:
    """When an apply gives up the last label, no empty map of labels stays."""
    first = apply({"metadata": {}}, {"metadata": {"labels": {"l": "v"}}}, owner("me", "Apply"), force=False)
    second = apply(fields.with_owners(first.value, first.owners), config(a="1"), owner("me", "Apply"), force=False)
    assert "labels" not in second.value["metadata"]
    assert second.value["data"] == {"a": "1"}


@given(
    before=st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4),
    after=st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4),
)
def test_every_field_has_an_owner_and_updates_never_share(before: dict[str, str], after: dict[str, str]) -> None:
    """After two updates every field is owned by exactly one of the two."""
    first = written(config(**before), owner("first"))
    second = written({**config(**after), "metadata": first["metadata"]}, owner("second"), first)
    entries = fields.owners_of(second)
    paths = [path for entry in entries for path in entry.paths]
    assert sorted(paths) == sorted(fields.leaves(second))


@given(
    live=st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4),
    wanted=st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4),
)
def test_a_forced_apply_always_gets_its_way(live: dict[str, str], wanted: dict[str, str]) -> None:
    """After a forced apply every applied field has its value, and nothing else was changed."""
    result = apply(written(config(**live), owner("first")), config(**wanted), owner("me", "Apply"), force=True)
    assert result.value["data"] == {**live, **wanted}

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.receiving.scanning import Extent, extents
from decklog.receiving.splitting import Splitter, UnsplitError, line_of
from receiving.poison import POISON, event, event_list, item


def split(body: bytes, size: int = 1 << 20, **limits: int) -> list[bytes]:
    """Feed a body in pieces of `size` bytes."""
    splitter = Splitter(**limits)
    found = [item for at in range(0, len(body), size) for item in splitter.feed(body[at : at + size])]
    return found + splitter.end()


def scanned(body: bytes) -> list[bytes]:
    """Give what lies in the extents of a body."""
    return [body[found.start : found.end] for found in extents(lambda size, at: body[at : at + size], len(body))]


EVENTS = [item(n) for n in range(7)]
NESTED = event(1, requestObject={"rules": [{"level": "None"}, {"level": "Metadata"}, {"auditID": "x"}], "items": [{}]})

SHORT = b'{"auditID":"a","stage":"Panic"}'

BODIES: list[tuple[str, bytes, list[bytes]]] = [
    ("as kube-apiserver writes it", event_list(EVENTS), EVENTS),
    ("one item", event_list(EVENTS[:1]), EVENTS[:1]),
    ("no items", event_list([]), []),
    ("items is null", b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":null}', []),
    ("items are missing", b'{"kind":"EventList"}', []),
    ("an array", b"[" + b",".join(EVENTS) + b"]\n", EVENTS),
    ("an empty array", b" [ ] ", []),
    ("a single event", EVENTS[0] + b"\n", EVENTS[:1]),
    ("a single event with items inside", NESTED, [NESTED]),
    ("objects inside that look like items", event_list([NESTED, *EVENTS, NESTED]), [NESTED, *EVENTS, NESTED]),
    ("items first", b'{"items":[' + b" , ".join(EVENTS) + b' ] , "kind":"EventList"}', EVENTS),
    ("keys in another order", event_list([SHORT, *EVENTS]), [SHORT, *EVENTS]),
    ("on several lines", json.dumps(json.loads(event_list(EVENTS)), indent=1).encode(), EVENTS),
    ("metadata with items of its own", event_list(EVENTS).replace(b"{}", b'{"x":[1]}', 1), EVENTS),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "items"), BODIES, ids=[name for name, *_ in BODIES])
@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_items_come_out_as_they_are(name: str, body: bytes, items: list[bytes], size: int) -> None:
    """Whatever the layout, and wherever the pieces of the body end."""
    assert split(body, size) == items, name


UNSPLIT: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("no JSON", b"hello"),
    ("a number", b"12"),
    ("cut in an item", event_list(EVENTS)[:-20]),
    ("cut behind an item", event_list(EVENTS)[:-3]),
    ("something behind", event_list(EVENTS) + b"x"),
    ("items twice", event_list(EVENTS)[:-2] + b',"items":[]}'),
    ("an item that is no object", event_list([*EVENTS, b"1"])),
    ("an item that is no event", event_list([*EVENTS, b'{"a":1}'])),
    ("a comma too many", event_list([*EVENTS, b""])),
    ("items in capitals", event_list(EVENTS).replace(b'"items"', b'"Items"')),
    ("items under an escaped key", event_list(EVENTS).replace(b'"items"', b'"\\u0069tems"')),
    ("items under an escaped key, then none", b'{"kind":"EventList","\\u0069tems":[' + SHORT + b'],"items":null}'),
    ("items that are an object, then none", b'{"kind":"EventList","items":{"a":' + SHORT + b'},"items":null}'),
    ("items under another name", b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","events":[' + SHORT + b"]}"),
    ("an item too large", event_list([event(1, requestObject="x" * 5000)])),
    *((name, event_list([*EVENTS[:3], bad, *EVENTS[3:]])) for name, bad in POISON),
]


@pytest.mark.parametrize(("name", "body"), UNSPLIT, ids=[name for name, _ in UNSPLIT])
def test_what_is_odd_is_left_to_the_scan(name: str, body: bytes) -> None:
    """Whatever is not certain is not split here."""
    with pytest.raises(UnsplitError):
        split(body, 1000, item_limit=4000)
    with pytest.raises(UnsplitError):
        split(body, item_limit=4000)


@pytest.mark.parametrize(("name", "bad"), POISON, ids=[name for name, _ in POISON])
@pytest.mark.parametrize("place", [0, 3, 7])
def test_the_scan_finds_every_item_beside_a_poisoned_one(name: str, bad: bytes, place: int) -> None:
    """An item that cannot be read hides none of its neighbours."""
    items = [*EVENTS[:place], bad, *EVENTS[place:]]
    assert scanned(event_list(items)) == items, name
    assert scanned(b"[" + b",".join(items) + b"]") == items, name


ODD: list[tuple[str, bytes, list[bytes]]] = [
    ("cut in an item", event_list(EVENTS)[:-20], [*EVENTS[:-1], EVENTS[-1][:-18]]),
    ("scalars between items", b'[1,{"a":1},"x", {}]', [b"1,", b'{"a":1}', b',"x", ', b"{}"]),
    ("no JSON", b"hello", [b"hello"]),
    ("items twice", b'{"items":[{"a":1}],"items":[{"b":2}]}', [b'{"a":1}', b'{"b":2}']),
    ("an object without items", b'{"a":[{"b":1}]}', [b'{"a":[{"b":1}]}']),
    ("a backslash at the end", b'[{"a":"\\', [b'{"a":"\\']),
]


@pytest.mark.parametrize(("name", "body", "parts"), ODD, ids=[name for name, *_ in ODD])
def test_the_scan_leaves_nothing_out(name: str, body: bytes, parts: list[bytes]) -> None:
    """What is no item is told as well."""
    assert scanned(body) == parts, name


@given(st.integers(-80, 80), st.sampled_from(['"', "\\", '\\"', "x"]))
def test_the_scan_does_not_mind_where_its_windows_end(shift: int, filler: str) -> None:
    """Strings, escapes and keys may lie across the border of two windows."""
    long = event(1, requestObject={"x": filler * ((256 * 1024 - 300 + shift) // len(json.dumps(filler)[1:-1]))})
    items = [long, *EVENTS]
    assert scanned(event_list(items)) == items
    assert scanned(b'{"metadata":{"x":' + json.dumps("y" * (256 * 1024 - 40 + shift)).encode() + b'},"items":['
                   + b",".join(EVENTS) + b"]}") == EVENTS  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.sampled_from(["items", "level", "a", '"', "\\"]), JSON, max_size=4), max_size=6),
       st.sampled_from([None, 1]), st.integers(1, 400))  # fmt: skip
def test_both_ways_find_the_same(bodies: list[dict[str, Any]], indent: int | None, size: int) -> None:
    """Of any events, the items that are split off and those that are scanned are the ones that were put in."""
    values = [{"level": "Metadata", "stage": "Panic", "auditID": "x"} | {"requestObject": body} for body in bodies]
    body = json.dumps({"kind": "EventList", "items": values}, indent=indent).encode()
    assert [json.loads(found) for found in split(body, size)] == values
    assert [json.loads(found) for found in scanned(body)] == values


def test_lines_have_no_breaks() -> None:
    """Blanks between tokens go; nothing else is changed."""
    assert line_of(b'{\n "stage": "Panic",\r\n "a": 1.50e0, "a": "\\n"}') == b'{"stage":"Panic","a":1.50e0,"a":"\\n"}'


def test_an_extent_says_what_it_is() -> None:
    """Objects are told from what stands between them."""
    found = list(extents(lambda size, at: b"[{},1]"[at : at + size], 6))
    assert found == [Extent(1, 3), Extent(3, 5, is_object=False)]

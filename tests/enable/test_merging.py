from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from decklog.enable.conflict import Conflict
from decklog.enable.distributions.merging import merge
from decklog.enable.distributions.shapes import Named, Words

NAMES = st.sampled_from(["a", "b", "extraArgs", "apiServer", "kube-apiserver-arg", "audit-log-maxage"])
TEXTS = st.sampled_from(
    ["x", "30", "true", "it's", 'say "so"', "a: b", "# no comment", "", " ", "two\nlines", "ünï", "- x"]
)
DATA = st.recursive(
    TEXTS | st.integers(0, 99) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
FILES = st.dictionaries(NAMES, DATA, max_size=4)
FLOW = st.sampled_from([None, False])
WANTED: dict[str, Any] = {
    "apiServer": {
        "extraArgs": {"audit-log-maxage": "30"},
        "extraVolumes": Named("name", ({"name": "x", "path": "/x"},)),
    },
    "kube-apiserver-arg": Words((("audit-log-maxage", "30"), ("audit-log-path", "/a b"))),
}


@given(FILES, FLOW, st.sampled_from([2, 4]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_is_wanted_comes_in_and_nothing_else_changes(
    data: dict[str, Any], flow: bool | None, indent: int, newline: str, ends: bool
) -> None:
    """What was there is there still, what is wanted is there once, and a second run changes nothing."""
    text = yaml.safe_dump(data, default_flow_style=flow, indent=indent, allow_unicode=True).replace("\n", newline)
    before = (text if ends else text.rstrip("\r\n")).encode()
    try:
        after = merge(before, WANTED, source="f")
    except Conflict:
        return
    assert merge(after, WANTED, source="f") == after
    said = yaml.safe_load(after)
    assert said["apiServer"]["extraArgs"]["audit-log-maxage"] in {"30", 30}
    assert "audit-log-path=/a b" in said["kube-apiserver-arg"]
    assert {key: value for key, value in said.items() if key not in WANTED} == {
        key: value for key, value in data.items() if key not in WANTED
    }
    if not set(data) & set(WANTED) and data:
        assert after.startswith(before)

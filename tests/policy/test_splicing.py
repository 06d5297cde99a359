from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit import jsontext
from decklog.policy import splicing
from decklog.policy.recorded import read
from decklog.policy.splicing import NOTE, Splicer, annotated
from policy.recorded_logs import line


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4))
def test_annotations_keep_their_bytes(old: dict[str, str]) -> None:
    """The others stay as they were, and all are in the order of their keys."""
    raw = jsontext.join((key, json.dumps(text).encode()) for key, text in sorted(old.items()))
    made = annotated(raw if old else b"", "n")
    assert json.loads(made) == {**old, NOTE: "n"}
    assert list(json.loads(made)) == sorted({**old, NOTE: ""})
    for name, value in jsontext.members(raw):
        assert jsontext.join([(name, value)])[1:-1] in made


@pytest.mark.parametrize("level", ["Request", "Metadata"])
def test_both_ways_give_the_same_line(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cutting by offsets and taking apart come to the same bytes."""
    data = line()
    quick = Splicer().lower(data, read(data), level, "n")
    assert Splicer().lowered_size(data, read(data), level) == len(Splicer().lower(data, read(data), level, ""))
    monkeypatch.setattr(splicing, "_places", lambda *_: None)
    assert Splicer().lower(data, read(data), level, "n") == quick
    assert Splicer().lowered_size(data, read(data), level) == len(Splicer().lower(data, read(data), level, ""))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many kinds of annotations a log has, few are kept."""
    monkeypatch.setattr(splicing, "_KEPT_NOTES", 2)
    splicer = Splicer()
    for number in range(5):
        data = line(annotations={"k": str(number)})
        assert f'"k":"{number}"'.encode() in splicer.lower(data, read(data), "Metadata", "n")
    assert len(splicer._notes) <= 2

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from ask.logs import event, log, ref
from cli.running import run
from decklog.ask.csv_cells import FORMULA_STARTS, cell
from decklog.ask.terminal import is_safe
from decklog.audit.event import Status, User
from decklog.cli.json_values import value_of
from decklog.cli.yaml_printing import written

if TYPE_CHECKING:
    from pathlib import Path

BODY = b'{"kind":"Pod","n":0.10,"big":123456789012345678901234567890,"inf":1e400,"t":"2026-03-01","s":"a: b\\u202e"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return log(
        tmp_path / "audit.log",
        event(audit_id="a", user=User("=cmd|' /C calc'!A0", groups=("x", "@y")), request_object=Raw(BODY)),
        event(
            audit_id="b",
            user=User("bob\x1b[2J"),
            response_status=Status(code=403, message='says "no", twice\nand more'),
            object_ref=ref("pods", name="+1"),
        ),
    )


def test_csv_is_read_back_without_a_formula(path: Path) -> None:
    """Each row is a row of texts; a cell that a spreadsheet would calculate begins with an apostrophe."""
    ran = run("query", path, "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [row["user"] for row in rows] == ["'=cmd|' /C calc'!A0", "bob\\x1b[2J"]
    assert [row["name"] for row in rows] == ["web", "'+1"]
    assert rows[0]["groups"] == "x @y"
    assert (rows[1]["code"], rows[1]["message"]) == ("403", 'says "no", twice\\nand more')
    assert not any(text.startswith(FORMULA_STARTS) for row in rows for text in row.values())
    assert ran.out.count("\n") == 3


@given(st.text())
@example("-")
def test_no_cell_acts(text: str) -> None:
    """Whatever the text, its cell begins no formula (a lone - is none), and holds nothing that acts on a terminal."""
    shown = cell(text)
    assert shown.lstrip(" ") == "-" or not shown.lstrip(" ").startswith(FORMULA_STARTS)
    assert all(map(is_safe, shown))


def test_yaml_has_the_values_of_json(path: Path) -> None:
    """Requests and what was searched are the same in both; texts stay texts, whatever they look like."""
    as_json = json.loads(run("query", path, "-o", "json").out)
    assert yaml.safe_load(run("query", path, "-o", "yaml").out) == as_json
    assert yaml.safe_load(run("query", path, "-o", "yaml", "--user", "nobody").out)["requests"] == []


def test_events_in_yaml_keep_their_numbers(path: Path) -> None:
    """--events gives an EventList; numbers stand as they were written, and control characters as escapes."""
    out = run("query", path, "--events", "-o", "yaml").out
    assert "n: 0.10\n" in out
    assert "big: 123456789012345678901234567890\n" in out
    assert "inf: !!float 1e400\n" in out.replace("'", "")
    listed = yaml.safe_load(out)
    assert (listed["kind"], [item["auditID"] for item in listed["items"]]) == ("EventList", ["a", "b"])
    assert listed["items"][0]["requestObject"]["s"] == "a: b\u202e"
    assert listed["items"][0]["requestObject"]["t"] == "2026-03-01"
    assert listed["items"][1]["user"]["username"] == "bob\x1b[2J"
    assert "\u202e" not in out
    assert "\x1b" not in out


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)


@given(values)
def test_yaml_of_any_value_is_read_back(value: Any) -> None:
    """Whatever texts it holds, the document has the same value, and none of its characters acts."""
    text = written({"value": value})
    assert yaml.safe_load(text) == {"value": value}
    assert all(char == "\n" or is_safe(char) for char in text)


def test_a_body_too_deep_is_left_out() -> None:
    """An event whose body cannot be taken apart is still an event: how deep Python goes depends on its version."""
    body = b"[" * 5000 + b"]" * 5000
    try:
        msgspec.json.decode(body)
        is_read = True
    except RecursionError:
        is_read = False
    found = value_of(
        b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"x","stage":"Panic",'
        b'"requestURI":"/","verb":"get","user":{},"requestObject":' + body + b"}"
    )
    assert found["auditID"] == "x"
    assert ("requestObject" in found) is is_read


@pytest.mark.parametrize(
    ("template", "out"),
    [
        ("{.auditID} {.code}", "a 200\nb 403\n"),
        (".auditID", "a\nb\n"),
        ('{.auditID}{"\\n"}', "a\nb\n"),
        ("{.groups[*]}", "x @y\n\n"),
        ("{.user}", "=cmd|' /C calc'!A0\nbob\\x1b[2J\n"),
    ],
)
def test_a_template_is_filled_from_each_request(path: Path, template: str, out: str) -> None:
    """One line a request; what is foreign in it is escaped, what the user wrote is not."""
    assert run("query", path, "-o", f"jsonpath={template}").out == out


def test_a_template_is_filled_from_each_event(path: Path) -> None:
    """With --events, its fields are the event's own."""
    ran = run("query", path, "--events", "-o", "jsonpath={.requestObject.kind}/{.user.groups}/{.requestObject.inf}")
    assert ran.out.splitlines()[0] == 'Pod/["x","@y"]/1e400'

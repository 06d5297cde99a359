from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
import yaml

from decklog.ask.terminal import columns
from decklog.cli.listing import Listing, print_listing
from decklog.cli.searching import FORMATS
from decklog.cli.table import Column, shortened, table

HOSTILE = '=1+1\x1b[2J\u202e"\n'
ITEMS: list[dict[str, Any]] = [
    {"who": "alice", "number": 3, "names": ["a", "b"]},
    {"who": HOSTILE, "number": 12, "names": []},
]
SHOWN = (
    Column("NUMBER", lambda one: f"{one['number']:,}", right=True),
    Column("WHO", lambda one: str(one["who"]), shrinks=True),
    Column("NAMES", lambda one: ",".join(one["names"]) or "-", wide=True),
)


def printed(capsys: pytest.CaptureFixture[str], output: str) -> str:
    listing = Listing("people", ITEMS, SHOWN, ("who", "number", "names"), lambda one: f"people/{one['who']}", dict)
    print_listing(output, listing, {"lines": 7})
    return capsys.readouterr().out


def test_every_format_has_the_same_items(capsys: pytest.CaptureFixture[str]) -> None:
    """What differs is the spelling: table, wide, json, jsonl, yaml, csv, name, template."""
    whole = json.loads(printed(capsys, "json"))
    assert whole == {"people": ITEMS, "searched": {"lines": 7}}
    assert yaml.safe_load(printed(capsys, "yaml")) == whole
    assert [json.loads(line) for line in printed(capsys, "jsonl").splitlines()] == ITEMS
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "csv"))))
    assert [row["number"] for row in rows] == ["3", "12"]
    assert (rows[0]["names"], rows[1]["who"][:2]) == ("a b", "'=")
    assert printed(capsys, "jsonpath={.who}-{.names[*]}").startswith("alice-a b\n")
    assert printed(capsys, "name").startswith("people/alice\n")
    assert printed(capsys, "table").startswith("NUMBER  WHO\n     3  alice\n")
    assert "  NAMES\n" in printed(capsys, "wide")


@pytest.mark.parametrize("output", [*FORMATS[:-1], "jsonpath={.who}"])
def test_nothing_foreign_acts_in_any_format(capsys: pytest.CaptureFixture[str], output: str) -> None:
    """Escape sequences and bidirectional marks come out spelled."""
    assert not {"\x1b", "\u202e"} & set(printed(capsys, output))


def _lines(rows: list[list[str]], width: int | None) -> list[str]:
    shown = [
        Column(title, lambda row, place=place: str(row[place]), shrinks=True)  # type: ignore[misc]  # because: a default binds the place
        for place, title in enumerate(("ONE", "TWO", "THREE"))
    ]
    return list(table(rows, shown, width=width))


def test_lines_are_aligned_and_fitted() -> None:
    """The widest columns are cut first; foreign text is escaped; without a width nothing is cut."""
    rows = [["a", "x" * 80, "end"], ["b\x1b[2J", "漢字" * 30, "e"]]
    lines = _lines(rows, 60)
    assert all(columns(line) <= 60 for line in lines)
    assert "\x1b" not in "".join(lines)
    assert lines[1].count("…") == 1
    assert _lines(rows, None)[1] == f"a         {'x' * 80}{' ' * 40}  end"


def test_a_narrow_terminal_cuts_further() -> None:
    """Where eight columns a cell are too many, four will do."""
    assert all(columns(line) <= 20 for line in _lines([["alice" * 4, "deployments/web", "x" * 9]], 20))


def test_spare_columns_go_before_cells_are_cut_past_reading() -> None:
    """What matters less is left out of a narrow table; what matters most gets more room."""
    rows = [["deployments/web-frontend", "alice-of-the-team", "2026-03-01 10:00:00", "203.0.113.9"]]
    shown = [
        Column("OBJECT", lambda row: str(row[0]), shrinks=True, weight=2),
        Column("USER", lambda row: str(row[1]), shrinks=True),
        Column("TIME", lambda row: str(row[2]), spare=1),
        Column("FROM", lambda row: str(row[3]), spare=2),
    ]
    titles = {width: next(iter(table(rows, shown, width=width))).split() for width in (80, 70, 50, 30)}
    assert titles[80] == ["OBJECT", "USER", "TIME", "FROM"]
    assert titles[50] == ["OBJECT", "USER", "FROM"]
    assert titles[30] == ["OBJECT", "USER"]
    assert all(columns(line) <= width for width in titles for line in table(rows, shown, width=width))


def test_no_rows_are_no_table() -> None:
    """Titles alone say nothing."""
    assert not _lines([], 80)


def test_shortening_keeps_what_fits() -> None:
    """A mark tells that something is missing."""
    assert (shortened("abc", 3), shortened("abcd", 3), shortened("漢字", 3)) == ("abc", "ab…", "漢…")

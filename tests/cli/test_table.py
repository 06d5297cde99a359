from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ask.logs import event
from decklog.ask.requests import Seen
from decklog.ask.rows import Row, event_row
from decklog.ask.terminal import columns
from decklog.audit.event import Status, User
from decklog.cli.table import MEASURED_ROWS, NARROW, WIDE, of_events, table


def row(**changes: Any) -> Row:
    return event_row(Seen(event(**changes), "audit.log", 7))


def lines(rows: list[Row], width: int | None = None, *, colours: bool = False, wide: bool = False) -> list[str]:
    return list(table(rows, WIDE if wide else NARROW, width=width, colours=colours))


def test_a_table_lines_up() -> None:
    """Titles and cells stand one below the other, two spaces apart; there is no space at a line's end."""
    assert lines([row(), row(user=User(username="system:kube-scheduler"), verb="get")]) == [
        "TIME (UTC)           USER                   VERB    NAMESPACE  OBJECT           RESULT  FROM      ID",
        "2026-03-01 10:00:00  alice                  delete  shop       deployments/web  200     10.0.0.7  11111111",
        "2026-03-01 10:00:00  system:kube-scheduler  get     shop       deployments/web  200     10.0.0.7  11111111",
    ]


def test_no_rows_no_table() -> None:
    """An empty answer has no title either."""
    assert lines([]) == []


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4), st.integers(90, 200))
def test_a_table_fits_the_terminal(users: list[str], width: int) -> None:
    """Whatever stands in the cells, no line is wider than the terminal, and every row is one line."""
    shown = lines([row(user=User(username=user)) for user in users], width)
    assert len(shown) == len(users) + 1
    assert all(columns(line) <= width for line in shown)


def test_a_cut_cell_says_so() -> None:
    """The widest columns are cut first, and a mark shows where."""
    (_, line) = lines([row(user=User(username="u" * 200))], 120)
    assert "uuuu… " in line
    assert "deployments/web" in line
    assert columns(line) <= 120


def test_a_narrow_terminal_keeps_something_of_every_column() -> None:
    """Below what can be fitted, columns stay readable and the line is longer than the terminal."""
    (_, line) = lines([row()], 20)
    assert line.split()[:4] == ["2026-03-01", "10:00:00", "ali…", "del…"]


def test_wide_characters_line_up() -> None:
    """Cells are padded by what they take on the terminal, not by their length."""
    shown = lines([row(user=User(username="東京")), row(user=User(username="abcd"))])
    assert [columns(line[: line.index("delete")]) for line in shown[1:]] == [27, 27]


def test_failures_and_dry_runs_are_coloured() -> None:
    """Red is what failed, yellow what was only tried, of others the user cyan; without colours there are none."""
    rows = [row(), row(response_status=Status(code=403)), row(request_uri="/x?dryRun=All")]
    plain, coloured = lines(rows), lines(rows, colours=True)
    assert [line.split("m")[0] for line in coloured] == ["\x1b[1", "2026-03-01 10:00:00  \x1b[36", "\x1b[31", "\x1b[33"]
    assert coloured[1].replace("\x1b[36m", "").replace("\x1b[0m", "") == plain[1]
    assert "\x1b[36malice\x1b[0m  delete" in coloured[1]
    assert not any("\x1b" in line for line in plain)


@pytest.mark.parametrize(
    "cell",
    [
        "dev,system:authenticated",
        "deployments.apps",
        "allow",
        "250 ms",
        "203.0.113.9",
        "kubectl/v1.36.2",
        "audit.log:7",
    ],
)
def test_wide_shows_what_the_table_leaves_out(cell: str) -> None:
    """Groups, API group, decision, duration, claimed addresses, user agent and place are in the wide table."""
    assert cell in lines([row()], wide=True)[1]
    assert cell not in lines([row()])[1]


def test_events_have_a_stage() -> None:
    """A table of single events names their stages, once."""
    assert [column.title for column in of_events(NARROW)][:2] == ["TIME (UTC)", "STAGE"]
    assert of_events(WIDE) == WIDE


def test_rows_stream() -> None:
    """After the rows that are measured, each line comes with its row; longer cells push their line out."""
    endless = (row(user=User(username="u" * (5 if number < MEASURED_ROWS else 30))) for number in range(10**9))
    shown = table(endless, NARROW, width=None, colours=False)
    for _ in range(MEASURED_ROWS + 1):
        next(shown)
    assert "u" * 30 in next(shown)

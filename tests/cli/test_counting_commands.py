from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ask.logs import event, log, ref
from cli.running import run, run_on_terminal
from decklog.audit.event import Status, User

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    """Seven requests of three users in an hour, one of them refused and one with a formula for a name."""
    users = ("alice", "alice", "alice", "bob", "bob", "=1+1", "alice")
    return log(
        tmp_path / "audit.log",
        *(
            event(
                audit_id=f"id-{number}",
                user=User(user),
                verb="get" if number % 2 else "list",
                object_ref=ref("secrets", "shop", "db") if number else None,
                response_status=Status(code=403 if user == "bob" else 200),
                request_received_timestamp=f"2026-03-01T10:{number}0:00.000000Z" if number < 6 else None,
            )
            for number, user in enumerate(users)
        ),
    )


def test_top_counts_requests_and_says_what_was_searched(audit_log: Path) -> None:
    """`top` ranks users by their requests, with shares, and tells the coverage on stderr."""
    ran = run("top", audit_log)
    assert [line.split() for line in ran.out.splitlines()] == [
        ["REQUESTS", "SHARE", "USER"],
        ["4", "57.1", "%", "alice"],
        ["2", "28.6", "%", "bob"],
        ["1", "14.3", "%", "=1+1"],
    ]
    assert "7 lines" in ran.err


def test_top_by_several_fields_as_json(audit_log: Path) -> None:
    """Fields that are named with commas are counted together; filters count before."""
    ran = run("top", audit_log, "--by", "user,verb", "--code", "4xx", "-o", "json")
    answer = json.loads(ran.out)
    assert answer["top"] == [
        {"by": {"user": "bob", "verb": "get"}, "requests": 1},
        {"by": {"user": "bob", "verb": "list"}, "requests": 1},
    ]
    assert answer["requests"] == 2


def test_csv_guards_against_formulas(audit_log: Path) -> None:
    """A name that a spreadsheet would take for a formula gets an apostrophe."""
    assert "'=1+1,1" in run("top", audit_log, "-o", "csv").out.splitlines()


def test_the_rest_is_told(audit_log: Path) -> None:
    """What --limit cuts off is summed up."""
    assert "2 more with 3 requests" in run("top", audit_log, "--limit", "1").err


def test_top_of_nothing_ends_with_one(audit_log: Path) -> None:
    """Nothing found is exit code 1, as everywhere."""
    assert run("top", audit_log, "--user", "carol").code == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("top", "--by", "colour"), "cannot be counted by 'colour'"),
        (("top", "--by", "rule"), "--policy FILE"),
        (("timeline", "--step", "soon"), "no width of time"),
        (("timeline", "--step", "0s"), "no width of time"),
    ],
)
def test_wrong_words_are_refused(audit_log: Path, arguments: tuple[str, ...], complaint: str) -> None:
    """What cannot be counted by is said, with what can."""
    ran = run(*arguments, audit_log)
    assert ran.code == 2
    assert complaint in ran.err


def test_top_by_rule_names_the_policys_lines(audit_log: Path, tmp_path: Path) -> None:
    """Each request is counted under the line of the rule that decides on it."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
        "- level: None\n  users: [bob]\n- level: Metadata\n  verbs: [list]\n"
    )
    answer = json.loads(run("top", audit_log, "--by", "rule", "--policy", policy, "-o", "json").out)
    assert {row["by"]["rule"].rpartition("/")[2]: row["requests"] for row in answer["top"]} == {
        "policy.yaml:4": 2,
        "policy.yaml:6": 3,
        "(no rule)": 2,
    }


def test_timeline_draws_a_bar_a_bucket(audit_log: Path) -> None:
    """The window is cut into equal buckets; a request whose time is not known is told apart."""
    lines = run("timeline", audit_log, "--step", "20m").out.splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [
        ["2026-03-01", "10:00", "2"],
        ["2026-03-01", "10:20", "2"],
        ["2026-03-01", "10:40", "2"],
    ]
    assert lines[3] == "1 requests without a time of receipt"


def test_timeline_fits_the_terminal(audit_log: Path) -> None:
    """No line is wider than the terminal, whatever stands in the log."""
    for arguments in ((), ("--by", "user")):
        lines = run_on_terminal("timeline", audit_log, *arguments, columns=60).out.splitlines()
        assert max(map(len, lines)) <= 60


def test_timeline_split_by_a_field(audit_log: Path) -> None:
    """--by gives the buckets of each value."""
    answer = json.loads(run("timeline", audit_log, "--by", "user", "--step", "30m", "-o", "json").out)
    assert answer["by"] == {"alice": [3, 0], "bob": [0, 2], "=1+1": [0, 1]}
    assert answer["untimed"] == 1
    assert (
        "2026-03-01T10:00:00Z,alice,3" in run("timeline", audit_log, "--by", "user", "--step", "30m", "-o", "csv").out
    )


def test_sql_over_a_log(audit_log: Path) -> None:
    """One SELECT is answered as a table, as JSON and as CSV; no row is exit code 1."""
    sql = 'SELECT "user", count(*) AS n FROM requests GROUP BY 1 ORDER BY 2 DESC, 1'
    assert run("sql", sql, audit_log).out.split() == ["user", "n", "alice", "4", "bob", "2", "=1+1", "1"]
    assert json.loads(run("sql", sql, audit_log, "-o", "json").out)["rows"][0] == {"user": "alice", "n": 4}
    assert run("sql", sql, audit_log, "-o", "csv").out.splitlines()[-1] == "'=1+1,1"
    assert run("sql", "SELECT 1 FROM requests WHERE false", audit_log).code == 1


def test_sql_that_is_no_select_is_refused_before_reading(tmp_path: Path) -> None:
    """Bad SQL is told even where there is no log."""
    ran = run("sql", "DROP TABLE requests", tmp_path / "nothing.log")
    assert (ran.code, "one SELECT" in ran.err) == (2, True)

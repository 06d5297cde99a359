from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from ask.logs import event, life, lines, log, ref
from decklog.audit.event import Event, Stage, Status, User
from decklog.cli import decklog

if TYPE_CHECKING:
    from pathlib import Path

RECEIVED, STARTED, COMPLETE, PANIC = Stage

DAY: list[Event] = [
    *life(RECEIVED, COMPLETE, audit_id="aa-1"),
    *life(
        RECEIVED,
        COMPLETE,
        audit_id="bb-2",
        verb="get",
        user=User(username="system:node:n1", groups=("system:nodes",)),
        object_ref=ref("secrets", name="db"),
        request_uri="/api/v1/namespaces/shop/secrets/db",
        request_received_timestamp="2026-03-01T11:00:00.000000Z",
        stage_timestamp="2026-03-01T11:00:01.000000Z",
    ),
    *life(
        RECEIVED,
        COMPLETE,
        audit_id="cc-3",
        verb="create",
        user=User(username="bob"),
        impersonated_user=User(username="alice"),
        object_ref=ref("pods", "other", "web-0", subresource="exec"),
        request_uri="/api/v1/namespaces/other/pods/web-0/exec?command=sh",
        response_status=Status(code=403, reason="Forbidden"),
        request_received_timestamp="2026-03-01T12:00:00.000000Z",
        stage_timestamp="2026-03-01T12:00:01.000000Z",
    ),
    *life(
        RECEIVED,
        STARTED,
        audit_id="dd-4",
        verb="watch",
        object_ref=ref("pods", ""),
        request_received_timestamp="2026-03-01T09:00:00.000000Z",
        stage_timestamp="2026-03-01T09:00:00.100000Z",
    ),
]


@pytest.fixture
def day(tmp_path: Path) -> Path:
    return log(tmp_path / "audit.log", *DAY)


def call(*args: object, stdin: bytes = b"", environment: dict[str, str] | None = None) -> Any:
    return CliRunner().invoke(decklog, list(map(str, args)), input=stdin, env=environment, catch_exceptions=False)


def ids(*args: object, **environment: str) -> list[str]:
    result = call("query", "-o", "jsonl", *args, environment=environment)
    return [json.loads(line)["auditID"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("", "dd-4 aa-1 bb-2 cc-3"),
        ("--verb delete,get", "aa-1 bb-2"),
        ("--verb delete --verb get", "aa-1 bb-2"),
        ("--verb=-watch", "aa-1 bb-2 cc-3"),
        ("--resource deploy", "aa-1"),
        ("--resource secrets,po", "dd-4 bb-2 cc-3"),
        ("--resource=-po", "aa-1 bb-2"),
        ("--resource deployments.apps", "aa-1"),
        ("--resource pods/exec", "cc-3"),
        ("--subresource exec", "cc-3"),
        ("--subresource=-*", "dd-4 aa-1 bb-2"),
        ("--name we*", "aa-1 cc-3"),
        ("-n shop", "aa-1 bb-2"),
        ("-n shop -n other", "aa-1 bb-2 cc-3"),
        ("-n=-*", "dd-4"),
        ("-n=shop", "aa-1 bb-2"),
        ("-nshop", "aa-1 bb-2"),
        ("-A", "dd-4 aa-1 bb-2 cc-3"),
        ("--user alice", "dd-4 aa-1"),
        ("--user=-system:*", "dd-4 aa-1 cc-3"),
        ("--as alice", "cc-3"),
        ("--as *", "cc-3"),
        ("--group system:nodes", "bb-2"),
        ("--user-agent kubectl/*", "dd-4 aa-1 bb-2 cc-3"),
        ("--path /api/v1/*", "bb-2 cc-3"),
        ("--code 403", "cc-3"),
        ("--code 4xx --code 200", "dd-4 aa-1 bb-2 cc-3"),
        ("--failed-only", "cc-3"),
        ("--failed-only --code 403,429", "cc-3"),
        ("--failed-only --code 404", ""),
        ("--failed-only --code 2xx", ""),
        ("--failed-only --code=-404", "cc-3"),
        ("--failed-only --code=-403", ""),
        ("--uid aa-1", "aa-1"),
        ("--since 2026-03-01T11:30:00Z", "cc-3"),
        ("--since 2026-03-01T11:00:00.5Z", "bb-2 cc-3"),
        ("--until 2026-03-01T11:00:00Z", "dd-4 aa-1"),
        ("--since 2026-03-01 --until 2026-03-02", "dd-4 aa-1 bb-2 cc-3"),
        ("--since 1h", ""),
        ("--verb delete --user bob", ""),
        ("--source-ip 10.0.0.0/8", "dd-4 aa-1 bb-2 cc-3"),
        ("--source-ip 192.0.2.1,203.0.113.9", "dd-4 aa-1 bb-2 cc-3"),
        ("--source-ip=-203.0.113.0/24", ""),
        ("--decision allow", "dd-4 aa-1 bb-2 cc-3"),
        ("--decision forbid", ""),
        ("--level Metadata", "dd-4 aa-1 bb-2 cc-3"),
        ("--level=-Meta*", ""),
        ("--annotation authorization.k8s.io/reason", "dd-4 aa-1 bb-2 cc-3"),
        ("--annotation authorization.k8s.io/decision=allow", "dd-4 aa-1 bb-2 cc-3"),
        ("--annotation=-authorization.k8s.io/*=allow", ""),
        ("--humans", "dd-4 aa-1 cc-3"),
        ("--machines", "bb-2"),
        ("--slower-than 500ms", "bb-2 cc-3"),
        ("--slower-than 1s", ""),
        ("--faster-than 1s --verb=-watch", "aa-1"),
        ("--text command=sh", "cc-3"),
        ("--text exec --text secrets/db", "bb-2 cc-3"),
        ("--http-status-code 403", "cc-3"),
        ("--field-manager=-*", "dd-4 aa-1 bb-2 cc-3"),
        ("--after 2026-03-01T11:00:00Z", "bb-2 cc-3"),
        ("--after 2026-03-01T10:00:00Z --before 2026-03-01T12:00:00Z", "aa-1 bb-2"),
        ("--since-time 2026-03-01T11:30:00Z", "cc-3"),
        ("deploy/web", "aa-1"),
        ("deploy/web secret/db", "aa-1 bb-2"),
        ("deployments.apps/w* --user alice", "aa-1"),
        ("pods/web-0/exec", "cc-3"),
        ("po/", "dd-4 cc-3"),
        ("deploy/web --verify-lines", "aa-1"),
    ],
)
def test_a_filter_finds_its_requests(day: Path, filters: str, expected: str) -> None:
    """Repeated options are "or", different ones "and"; the answer is in time order, one row a request."""
    assert ids("-f", day, *filters.split()) == expected.split()


def test_the_table_names_its_rows_and_the_coverage_goes_to_stderr(day: Path) -> None:
    """The answer is on stdout, what it covers on stderr, in one line."""
    result = call("query", day, "-n", "shop")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "TIME (UTC)           USER            VERB    NAMESPACE  OBJECT           RESULT  FROM      ID",
        "2026-03-01 10:00:00  alice           delete  shop       deployments/web  200     10.0.0.7  aa-1",
        "2026-03-01 11:00:00  system:node:n1  get     shop       secrets/db       200     10.0.0.7  bb-2",
    ]
    size = day.stat().st_size
    assert result.stderr == (
        f"searched all times; 1 file ({day}), {size / 1000:.3g} kB; 8 lines, "
        "from 2026-03-01 09:00:00 to 2026-03-01 12:00:01 UTC\n"
    )


def test_nothing_found_is_exit_code_1_and_says_what_was_searched(day: Path) -> None:
    """An empty answer repeats the question and its coverage; stdout stays empty."""
    result = call("query", day, "--user", "nobody", "--since", "2026-03-01")
    assert (result.exit_code, result.stdout) == (1, "")
    first, told, second = result.stderr.splitlines()
    assert first == "no request matches user nobody"
    assert told.startswith("it did not happen from 2026-03-01 09:00:00 to 2026-03-01 12:00:01 UTC, which is")
    assert second.startswith("searched from 2026-03-01 00:00:00 UTC on; 1 file")


def test_json_is_one_document_that_says_what_it_covers(day: Path) -> None:
    """-o json is requests and coverage, also when there are none."""
    found = json.loads(call("query", day, "-o", "json", "--verb", "delete").stdout)
    assert [request["auditID"] for request in found["requests"]] == ["aa-1"]
    assert found["requests"][0]["stages"] == ["RequestReceived", "ResponseComplete"]
    assert found["searched"]["files"] == [str(day)]
    assert (found["searched"]["lines"], found["searched"]["badLines"]) == (8, 0)
    none = json.loads(call("query", day, "-o", "json", "--verb", "x").stdout)
    assert none["requests"] == []


def test_names_are_what_kubectl_takes(day: Path) -> None:
    """-o name gives TYPE/NAME a line."""
    assert call("query", day, "-o", "name").stdout.split() == [
        "pods",
        "deployments.apps/web",
        "secrets/db",
        "pods/exec/web-0",
    ]


def test_single_events_come_verbatim(day: Path) -> None:
    """--events with jsonl gives the lines of the log byte by byte, with json an EventList of them."""
    assert call("query", day, "--events", "-o", "jsonl").stdout_bytes == day.read_bytes()
    listed = json.loads(call("query", day, "--events", "-o", "json", "--stage", "ResponseComplete").stdout)
    assert listed["kind"] == "EventList"
    assert [item["auditID"] for item in listed["items"]] == ["aa-1", "bb-2", "cc-3"]
    assert json.loads(call("query", day, "--events", "-o", "json", "--verb", "x").stdout)["items"] == []


def test_a_stage_lists_single_events(day: Path) -> None:
    """Also those of requests that went on: every event of that stage, verbatim in jsonl."""
    shown = [
        json.loads(line) for line in call("query", day, "--stage", "RequestReceived", "-o", "jsonl").stdout.splitlines()
    ]
    assert {one["stage"] for one in shown} == {"RequestReceived"}
    assert "aa-1" in [one["auditID"] for one in shown]
    assert " STAGE " in call("query", day, "--stage", "ResponseStarted").stdout


def test_a_table_of_single_events_has_their_stages(day: Path) -> None:
    """--events in a table is a row an event, in the order of the log."""
    rows = call("query", day, "--events", "--uid", "dd-4").stdout.splitlines()
    assert [row.split()[2] for row in rows[1:]] == ["RequestReceived", "ResponseStarted"]
    wide = call("query", day, "--events", "--uid", "dd-4", "-o", "wide").stdout.splitlines()
    assert len(wide) == 3


def test_standard_input_is_a_log(day: Path) -> None:
    """`-` reads stdin, plain or packed."""
    for data in (day.read_bytes(), gzip.compress(day.read_bytes())):
        assert len(call("query", "-", "-o", "jsonl", stdin=data).stdout.splitlines()) == 4


def test_the_source_may_stand_in_the_environment(day: Path, tmp_path: Path) -> None:
    """DECKLOG_SOURCE is where to search if the command line does not say."""
    other = log(tmp_path / "other.log", event(audit_id="zz-9"))
    assert ids(DECKLOG_SOURCE=str(other)) == ["zz-9"]
    assert ids(DECKLOG_SOURCE=f"{other}:{day}") == ["dd-4", "zz-9", "aa-1", "bb-2", "cc-3"]
    assert ids(day, "--verb", "get", DECKLOG_SOURCE=str(other)) == ["bb-2"]
    assert ids("-f", day, "--verb", "get", DECKLOG_SOURCE=str(other)) == ["bb-2"]
    assert ids(day, "-f", other, "--verb", "get,delete") == ["aa-1", "zz-9", "bb-2"]


def test_rotated_parts_are_searched_unless_told_otherwise(tmp_path: Path) -> None:
    """The older parts of a log belong to it; a request whose stages lie in two parts is one row."""
    (tmp_path / "audit-2026-03-01T10-00-00.100.log.gz").write_bytes(gzip.compress(lines(DAY[:1])))
    current = log(tmp_path / "audit.log", *DAY[1:])
    assert len(ids(current)) == 4
    assert json.loads(call("query", current, "-o", "jsonl", "--uid", "aa-1").stdout)["stages"] == [
        "RequestReceived",
        "ResponseComplete",
    ]
    assert json.loads(call("query", current, "-o", "jsonl", "--uid", "aa-1", "--no-rotated").stdout)["stages"] == [
        "ResponseComplete"
    ]


def test_bad_lines_are_named_and_counted(tmp_path: Path) -> None:
    """What could not be read is named by file and line, and the rest is answered."""
    path = tmp_path / "audit.log"
    path.write_bytes(lines(DAY[:1]) + b"{broken\n" + lines(DAY[1:2]) + b"\xff\xfe\n" * 10)
    result = call("query", path)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2
    assert "; 11 lines could not be read: " in result.stderr
    assert f"{path}:2 (" in result.stderr
    assert result.stderr.endswith(", …\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["-n", "a", "-A"], "-n and -A contradict each other"),
        (["--code", "many"], "'many' is not an HTTP code"),
        (["--since", "soon"], "'soon' is not a time"),
        (["--source-ip", "10.0.*"], "'10.0.*' is not an address"),
        (["--slower-than", "long"], "--slower-than: 'long' is not a span of time"),
        (["--text", ""], "--text is empty"),
        (["deploy/web", "--name", "x"], "TYPE/NAME says what --resource and --name say"),
        (["logs/audit.log"], "logs/audit.log is not there"),
        (["./deploy/web"], "./deploy/web is not there"),
        (["--from-start"], "give -F as well"),
        (["-o", "nope"], "'nope' is not one of table, wide, json"),
        (["-o", "csv=x"], "'csv=x' is not one of"),
        (["-o", "jsonpath"], "jsonpath needs a template"),
        (["-o", "jsonpath={.user"], "'}' is missing, at character 7"),
        (["--policy", "missing.yaml"], "missing.yaml"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(day: Path, args: list[str], says: str) -> None:
    """The user's mistakes are exit code 2, before anything is read."""
    result = call("query", day, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("decklog: ")
    assert says in result.stderr


def test_no_source_at_all(day: Path) -> None:
    """Without a source the user is told how to name one."""
    assert call("query").exit_code == 2
    assert "give -f FILE" in call("query").stderr
    assert call("query", day.with_name("missing.log")).exit_code == 2

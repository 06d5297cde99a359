"""What all commands that ask have in common: filters, formats, the line below the answer, a policy, provenance."""

from __future__ import annotations

import csv
import io
import json
import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

import click
import pytest
import yaml
from click.testing import CliRunner
from msgspec import Raw

from ask.logs import event, log, ref
from cli.running import PROGRAM
from decklog.audit.event import Status, User
from decklog.audit.wire import encode_event
from decklog.cli import decklog

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

ASKING: Final[dict[str, tuple[str, ...]]] = {
    "who": ("deleted", "deploy/web"),
    "query": (),
    "show": ("11111111",),
    "history": ("deploy/web",),
    "get": ("deploy/web",),
    "denied": (),
    "exec": (),
    "secrets": (),
    "top": (),
    "timeline": (),
    "deprecated": (),
    "rbac": ("alice",),
    "sql": ("select * from requests",),
    "export": ("--to", "jsonl"),
}
"""Each with words that find something in the log below."""
FILTERED: Final = {
    "query": set[str](),
    "tail": set[str](),
    "top": set[str](),
    "timeline": set[str](),
    "export": set[str](),
    "deprecated": set[str](),
    "denied": {"code", "failed_only"},
    "exec": {"verb", "resource", "subresource", "name"},
    "secrets": {"resource", "subresource", "name"},
    "who": {"verb", "resource", "subresource", "name", "path"},
    "history": {"resource", "subresource", "name", "path", "all_namespaces"},
    "rbac": {"user", "impersonated", "group", "human"},
}
"""Which filters a command lacks, because its question says them."""


@pytest.fixture(scope="module")
def audit_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which each question has an answer."""
    return log(
        tmp_path_factory.mktemp("asking") / "audit.log",
        event(
            verb="create", response_object=Raw(b'{"kind":"Deployment","metadata":{"name":"web","namespace":"shop"}}')
        ),
        event(),
        event(verb="get", object_ref=ref("pods", name="p"), response_status=Status(code=403), audit_id="2"),
        event(verb="create", object_ref=ref("pods", name="p", subresource="exec"), audit_id="3"),
        event(verb="list", object_ref=ref("secrets"), audit_id="4", user=User(username="bob")),
        event(verb="list", object_ref=ref("x"), audit_id="5", annotations={"k8s.io/deprecated": "true"}),
    )


def ask(name: str, *args: object) -> Result:
    return CliRunner().invoke(decklog, [name, *ASKING[name], *map(str, args)], env={"DECKLOG_SOURCE": ""})


def command_of(name: str) -> click.Command:
    command = decklog.get_command(click.Context(decklog), name)
    assert command is not None
    return command


def formats_of(name: str) -> tuple[str, ...]:
    option = next((param for param in command_of(name).params if param.name == "output"), None)
    return tuple(getattr(option.type, "formats", ())) if option is not None else ()


ALL_FILTERS: Final = (
    {param.name or "" for param in command_of("query").params}
    - {param.name for param in command_of("sql").params}
    - {"files", "follow", "checkpoint", "from_start", "events"}
)


@pytest.mark.parametrize("name", FILTERED)
def test_every_question_takes_every_filter(name: str) -> None:
    """But for those that the question itself says."""
    names = {param.name or "" for param in command_of(name).params}
    assert ALL_FILTERS - names == FILTERED[name]
    assert len(ALL_FILTERS) >= 25


@pytest.mark.parametrize("name", [*ASKING, "tail"])
def test_every_question_takes_sources_a_window_and_a_policy(name: str) -> None:
    """``-f``, ``--store``, ``--since``, ``--until``, ``--policy``, ``--verify-lines``, ``--declared``."""
    names = {param.name for param in command_of(name).params}
    assert {"filename", "store", "cluster", "since", "until", "policy", "verify_lines", "declared"} <= names


CASES: Final = [
    (name, template.replace("TEMPLATE", "{}")) for name in ASKING for template in formats_of(name) if template != "text"
]


@pytest.mark.parametrize(("name", "output"), CASES)
def test_every_format_can_be_read(audit_log: Path, name: str, output: str) -> None:
    """JSON is JSON, YAML is YAML, CSV has a title line; and all say on stderr what was searched."""
    shown = output.replace("{}", "{.user}{.time}")
    result = ask(name, "-f", audit_log, "-o", shown)
    assert result.exit_code == 0, result.output
    assert f"searched all times; 1 file ({audit_log})" in result.stderr
    assert result.stdout
    if output == "json":
        assert json.loads(result.stdout)["searched"]["lines"] == 6
    elif output == "jsonl":
        assert all(json.loads(line) for line in result.stdout.splitlines())
    elif output == "yaml":
        assert list(yaml.safe_load_all(result.stdout))
    elif output == "csv":
        rows = list(csv.reader(io.StringIO(result.stdout)))
        assert len({len(row) for row in rows}) == 1
        assert len(rows) > 1


@pytest.mark.parametrize("name", ASKING)
def test_a_policy_says_below_every_answer_what_it_records(audit_log: Path, tmp_path: Path, name: str) -> None:
    """Whether it would have recorded what is asked for."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n", "utf-8")
    result = ask(name, "-f", audit_log, "--policy", policy)
    assert result.exit_code == 0, result.output
    assert "policy.yaml" in result.stderr.splitlines()[-1]
    assert "Metadata" in result.stderr.splitlines()[-1]


EMPTY: Final = {name: (*words, "--since", "2030-01-01") for name, words in ASKING.items() if name not in {"get", "sql"}}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_answer_says_why_it_is_empty(audit_log: Path, name: str) -> None:
    """Of a time that the log does not reach, nothing can be told; exit code 1."""
    result = CliRunner().invoke(decklog, [name, *EMPTY[name], "-f", str(audit_log)])
    assert result.exit_code == 1
    assert "the log ends before that window, at 2026-03-01 10:00:00 UTC" in result.stderr
    assert "searched from 2030-01-01 00:00:00 UTC on" in result.stderr


NARROWED: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    ("denied", "--source-ip", "10.0.0.0/8"): ("alice",),
    ("denied", "--source-ip=-10.0.0.0/8"): (),
    ("exec", "--decision", "allow", "--humans"): ("alice",),
    ("exec", "--machines"): (),
    ("secrets", "--text", '"bob"'): ("bob",),
    ("secrets", "--text", "nobody"): (),
    ("deprecated", "--annotation", "k8s.io/deprecated=true"): ("alice",),
    ("top", "--slower-than", "200ms", "--by", "user"): ("alice", "bob"),
    ("top", "--slower-than", "300ms"): (),
    ("timeline", "--level", "Request"): (),
    ("top", "deploy/web", "pods/p", "--by", "resource"): ("deployments.apps", "pods"),
    ("denied", "pods/p"): ("alice",),
    ("denied", "pods/q"): (),
    ("rbac", "alice", "-n", "other"): (),
    ("rbac", "alice", "--verb", "delete"): ("deployments",),
    ("history", "deploy/web", "--verb", "delete"): ("deleted it",),
    ("history", "deploy/web", "--user", "bob"): (),
    ("history", "deploy/web", "--text", '"kind":"Deployment"'): ("created it",),
    ("who", "deleted", "deploy/web", "--user-agent", "kubectl*"): ("alice",),
    ("who", "deleted", "deploy/web", "--field-manager", "*"): (),
}


@pytest.mark.parametrize(("words", "found"), NARROWED.items())
def test_a_filter_narrows_the_question(audit_log: Path, words: tuple[str, ...], found: tuple[str, ...]) -> None:
    """The newer filters hold for the questions, too."""
    result = CliRunner().invoke(decklog, [*words, "-f", str(audit_log)], env={"DECKLOG_SOURCE": ""})
    assert result.exit_code == (0 if found else 1), result.output
    for word in found:
        assert word in result.stdout


SHIPPED: Final = {"log": "@", "host": "cp-1", "cluster": "blue"}


def shipped(path: Path, **more: Any) -> Path:
    """Write an event in a shipper's envelope that names no origin, unless `more` does."""
    line = encode_event(event()).decode()
    path.write_text(json.dumps({**SHIPPED, **more, "log": line}) + "\n", "utf-8")
    return path


def test_provenance_stands_in_json_and_in_show(tmp_path: Path) -> None:
    """Whose envelope an event came in, and which cluster it names."""
    path = shipped(tmp_path / "shipped.log", tag="kube.audit")
    (row,) = json.loads(ask("query", path, "-o", "json").stdout)["requests"]
    assert (row["carrier"], row["cluster"], row.get("declared")) == ("Fluent Bit", "blue", None)
    text = ask("show", "-f", path).stdout
    assert "Came as" in text
    assert "a record of Fluent Bit, cluster blue (host cp-1, tag kube.audit)." in text
    (request,) = json.loads(ask("show", "-f", path, "-o", "json").stdout)["requests"]
    assert request["stagesSeen"][0]["provenance"]["carrier"] == "Fluent Bit"


@pytest.mark.parametrize("name", ["query", "top", "timeline", "sql", "who", "export", "show"])
def test_an_envelope_without_an_origin_is_read_where_the_user_vouches_for_it(tmp_path: Path, name: str) -> None:
    """Without --declared it is a bad line, and named; with it, the answer says that only the user says so."""
    path = shipped(tmp_path / "shipped.log")
    refused = ask(name, "-f", path)
    assert "1 line could not be read" in refused.stderr
    assert "--declared reads such lines" in refused.stderr
    taken = ask(name, "-f", path, "--declared")
    assert (taken.exit_code, "could not be read" in taken.stderr) == (0, False)
    assert "--declared" not in taken.stderr
    (row,) = json.loads(ask("query", "-f", path, "--declared", "-o", "json").stdout)["requests"]
    assert row["declared"] is True


def test_made_up_fields_are_named(tmp_path: Path) -> None:
    """Of a GKE entry: which fields its event was given."""
    entry = {
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "authenticationInfo": {"principalEmail": "u@example.org"},
            "methodName": "io.k8s.apps.v1.deployments.delete",
            "resourceName": "apps/v1/namespaces/shop/deployments/web",
            "serviceName": "k8s.io",
            "requestMetadata": {"callerIp": "192.0.2.4"},
        },
        "insertId": "i",
        "operation": {"id": "11111111-1"},
        "resource": {"type": "k8s_cluster", "labels": {"cluster_name": "green"}},
        "timestamp": "2026-03-01T10:00:00.000000Z",
        "logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity",
    }
    path = tmp_path / "gke.json"
    path.write_text(json.dumps(entry) + "\n", "utf-8")
    assert "made up: " in ask("show", "-f", path).stdout
    (row,) = json.loads(ask("query", path, "-o", "json").stdout)["requests"]
    assert (row["carrier"], row["cluster"], "level" in row["synthesised"]) == ("GKE", "green", True)


def test_messages_of_other_streams_are_counted_in_the_line(tmp_path: Path) -> None:
    """They are neither lines nor bad ones, but no secret either."""
    path = tmp_path / "aks.json"
    other = {"category": "kube-scheduler", "properties": {"log": "I0301 hello"}, "resourceId": "/x", "time": "t"}
    record = {**other, "category": "kube-audit", "properties": {"log": encode_event(event()).decode()}}
    path.write_text(f"{json.dumps(other)}\n{json.dumps(record)}\n", "utf-8")
    result = ask("query", path, "-o", "json")
    assert "1 message of other streams left aside" in result.stderr
    assert json.loads(result.stdout)["searched"]["otherMessages"] == 1


def test_the_configuration_may_name_the_source(
    audit_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``source:`` of decklog.yaml counts where neither the command line nor the environment names one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "decklog.yaml").write_text(f"source: {audit_log}\n", "utf-8")
    assert "alice" in ask("top").stdout
    (tmp_path / "empty.log").touch()
    assert ask("top", "-f", "empty.log").exit_code == 1
    other = CliRunner().invoke(decklog, ["top"], env={"DECKLOG_SOURCE": "empty.log"})
    assert "(empty.log)" in other.stderr


def test_sources_are_files_directories_globs_and_several(audit_log: Path, tmp_path: Path) -> None:
    """``-f`` is repeatable, and takes a glob that no shell has expanded; the environment parts several by colons."""
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_bytes(audit_log.read_bytes())
    assert "2 files" in ask("top", "-f", tmp_path / "a.log", "-f", tmp_path / "b.log").stderr
    assert "2 files" in ask("top", "-f", tmp_path / "*.log").stderr
    assert "2 files" in ask("top", "-f", tmp_path).stderr
    several = CliRunner().invoke(decklog, ["top"], env={"DECKLOG_SOURCE": f"{tmp_path}/a.log:{tmp_path}/b.log"})
    assert "2 files" in several.stderr
    assert "FILE|DIR|GLOB|-" in ask("top", "--help").stdout


LONG: Final = "select sum(sqrt(a.line * b.line) + length(a.requestURI || b.requestURI)) from events a" + "".join(
    f", events {name}" for name in ("b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m")
)


def test_ctrl_c_ends_a_query_that_is_busy(tmp_path: Path) -> None:
    """At once, with code 130, and what was on disk for it is gone."""
    path = log(tmp_path / "audit.log", *(event(audit_id=str(number)) for number in range(200)))
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [*PROGRAM, "sql", LONG, str(path), "--timeout", "600"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        deadline = time.monotonic() + 30
        while not list(folder.rglob("log.duckdb")) and time.monotonic() < deadline:
            select.select([], [], [], 0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert not list(folder.iterdir())


def test_a_query_is_bounded_in_time_memory_and_rows(tmp_path: Path) -> None:
    """Past a bound it is said which, and how to have more."""
    path = log(tmp_path / "audit.log", *(event(audit_id=str(number)) for number in range(300)))
    late = ask_sql(LONG, path, "--timeout", "0.5")
    assert (late.exit_code, "--timeout" in late.stderr) == (2, True)
    big = ask_sql("select list(a.requestURI) from events a, events b, events c", path, "--memory-mb", "600")
    assert (big.exit_code, "--memory-mb" in big.stderr) == (2, True)
    cut = ask_sql("select auditID from events", path, "--limit", "2", "-o", "json")
    assert (len(json.loads(cut.stdout)["rows"]), "more than 2 rows" in cut.stderr) == (2, True)


def test_columns_of_one_name_are_told_apart_and_false_is_false(tmp_path: Path) -> None:
    """In JSON and CSV each column has a name of its own; a NULL alone is empty."""
    path = log(tmp_path / "audit.log", event())
    sql = "select 1 a, 2 a, false b, null c, -3 d from events"
    (row,) = json.loads(ask_sql(sql, path, "-o", "json").stdout)["rows"]
    assert row == {"a": 1, "a:1": 2, "b": False, "c": None, "d": -3}
    assert ask_sql(sql, path, "-o", "csv").stdout == "a,a:1,b,c,d\n1,2,false,,-3\n"


@pytest.mark.parametrize("name", ["query", "top", "denied"])
def test_a_window_without_room_is_a_mistake(audit_log: Path, name: str) -> None:
    """An end before the start is found before anything is read."""
    result = ask(name, "-f", audit_log, "--since", "2026-03-02", "--until", "2026-03-01")
    assert (result.exit_code, "nothing lies between" in result.stderr) == (2, True)


def ask_sql(sql: str, *args: object) -> Result:
    return CliRunner().invoke(decklog, ["sql", sql, *map(str, args)])

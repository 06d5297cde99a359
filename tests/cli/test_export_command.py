from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import duckdb
import pytest

from ask.logs import event, life, lines, log
from cli.running import PROGRAM, run, until_it_waits
from decklog.audit.event import Stage, User

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    """A watch of two stages by somebody whose name is a formula and moves the cursor."""
    stages = life(Stage.RESPONSE_STARTED, Stage.RESPONSE_COMPLETE, user=User("=cmd()\x1b[2J"), verb="watch")
    return log(tmp_path / "audit.log", *stages)


@pytest.mark.parametrize(("kind", "key"), [("jsonl", "user"), ("ocsf", "class_uid"), ("ecs", "@timestamp")])
def test_lines_of_json(audit_log: Path, kind: str, key: str) -> None:
    """Each event is a line of JSON; with --requests each request."""
    lines = run("export", "--to", kind, audit_log).out.splitlines()
    assert [key in json.loads(line) for line in lines] == [True, True]
    assert len(run("export", "--to", kind, "--requests", audit_log).out.splitlines()) == 1


def test_csv_cells_do_nothing(audit_log: Path) -> None:
    """Neither a spreadsheet nor a terminal acts on a name."""
    rows = list(csv.DictReader(run("export", "--to", "csv", audit_log).out.splitlines()))
    assert [row["user"] for row in rows] == ["'=cmd()\\x1b[2J"] * 2


def test_parquet_has_the_same_rows(audit_log: Path, tmp_path: Path) -> None:
    """A Parquet file has the columns of the tables, and as many rows as are told."""
    out = tmp_path / "audit.parquet"
    ran = run("export", "--to", "parquet", "--out", out, audit_log)
    assert "2 events exported" in ran.err
    found = duckdb.connect().execute(f"SELECT stage, line, groups FROM '{out}' ORDER BY line").fetchall()
    assert found == [("ResponseStarted", 1, []), ("ResponseComplete", 2, [])]


def test_filters_hold(audit_log: Path) -> None:
    """What no filter lets pass is not exported; nothing exported is exit code 1."""
    assert run("export", "--to", "ecs", "--verb", "get", audit_log).code == 1


def test_parquet_needs_a_place(audit_log: Path, tmp_path: Path) -> None:
    """Without --out, or where nothing can be written, it is said in a line."""
    assert run("export", "--to", "parquet", audit_log).code == 2
    for kind in ("parquet", "csv"):
        ran = run("export", "--to", kind, "--out", tmp_path / "no" / "where", audit_log)
        assert (ran.code, "cannot write" in ran.err) == (2, True)


def test_a_file_comes_whole(audit_log: Path, tmp_path: Path) -> None:
    """--out writes a file and leaves nothing else behind."""
    out = tmp_path / "activity.jsonl"
    run("export", "--to", "ocsf", "--out", out, audit_log)
    assert len(out.read_text().splitlines()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["activity.jsonl", "audit.log"]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "ocsf", "ecs"])
def test_the_place_may_be_a_word_where_the_source_is_named_otherwise(
    audit_log: Path, tmp_path: Path, kind: str
) -> None:
    """``decklog export --to KIND FILE -f LOG`` writes FILE, but never over one that is there."""
    out = tmp_path / "exported"
    assert run("export", "--to", kind, out, "-f", audit_log).code == 0
    written = out.read_bytes()
    assert written
    again = run("export", "--to", kind, out, "-f", audit_log)
    assert (again.code, "is there already: --out" in again.err) == (2, True)
    assert out.read_bytes() == written
    assert run("export", "--to", kind, tmp_path / "second", DECKLOG_SOURCE=str(audit_log)).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.log", "exported", "second"]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_an_export_finds_nothing_left(tmp_path: Path, kind: str, sign: signal.Signals) -> None:
    """Neither a torn file nor what was written aside."""
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "audit.log")  # whoever reads it waits
    folder = tmp_path / "out"
    folder.mkdir()
    command = [*PROGRAM, "export", "--to", kind, "--out", str(folder / "x"), "--no-rotated", str(source / "audit.log")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process, (source / "audit.log").open("wb") as pipe:
        pipe.write(lines([event()]))
        pipe.flush()
        until_it_waits(process, pipe)
        assert list(folder.rglob("x"))
        process.send_signal(sign)
        assert process.wait(30) == (130 if sign is signal.SIGINT else 143)
    assert not list(folder.iterdir())

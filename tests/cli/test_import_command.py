from __future__ import annotations

import asyncio
import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from ask.logs import event, life, log
from decklog.audit.event import Stage
from decklog.audit.wire import encode_item, encode_line, encode_list
from decklog.cli import decklog
from decklog.disk import Disk
from decklog.store.journal import Item, Journal, identity_of
from decklog.store.parquet import engine
from decklog.store.reading import lines, segments
from decklog.store.segment import Maintenance, seal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from click.testing import Result

RECEIVED, STARTED, COMPLETE, PANIC = Stage
EVENTS = [stage for number in range(20) for stage in life(RECEIVED, COMPLETE, audit_id=f"id-{number}")]


def bring(store: Path, *args: object, stdin: bytes = b"") -> Result:
    words = ["import", "--store", str(store), *map(str, args)]
    return CliRunner().invoke(decklog, words, input=stdin, catch_exceptions=False)


def counted(result: Result) -> tuple[int, int]:
    found = re.match(r"([\d,]+) events? stored, ([\d,]+) were there already\n", result.stdout)
    assert found is not None, result.output
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


def kept(store: Path) -> list[bytes]:
    return [line for segment in segments(store, Disk()) for _, line in lines(segment, Disk())]


def append(store: Path, writer: str, items: Iterable[bytes], cluster: str = "") -> None:
    async def run() -> None:
        async with Journal(store / "journal" / writer, Disk(), cluster=cluster) as journal:
            await journal.append([Item(line, identity_of(cluster, line)) for line in items])

    asyncio.run(run())


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    return log(tmp_path / "audit.log", *EVENTS)


def test_a_log_is_stored_verbatim(tmp_path: Path, audit_log: Path) -> None:
    """Line by line, byte by byte."""
    result = bring(tmp_path / "store", audit_log)
    assert result.exit_code == 0
    assert counted(result) == (40, 0)
    assert kept(tmp_path / "store") == audit_log.read_bytes().splitlines()


def test_the_same_log_again_adds_nothing(tmp_path: Path, audit_log: Path) -> None:
    """Also packed, as standard input, and grown by one event."""
    store = tmp_path / "store"
    bring(store, audit_log)
    assert counted(bring(store, audit_log)) == (0, 40)
    assert counted(bring(store, "-", stdin=gzip.compress(audit_log.read_bytes()))) == (0, 40)
    with audit_log.open("ab") as file:
        file.write(encode_line(event(audit_id="new")))
    assert counted(bring(store, audit_log)) == (1, 40)
    assert len(kept(store)) == 41


def test_what_the_webhook_brought_is_not_stored_again(tmp_path: Path, audit_log: Path) -> None:
    """Its items lack kind and apiVersion, and are the same events."""
    append(tmp_path / "store", "receive-0", map(encode_item, EVENTS[:15]))
    assert counted(bring(tmp_path / "store", audit_log)) == (25, 15)


def test_what_came_long_ago_is_not_stored_again(tmp_path: Path, audit_log: Path) -> None:
    """The journal remembers an hour; an import looks at all that is stored, also without checksums."""
    store = tmp_path / "store"
    append(store, "receive-0", map(encode_item, EVENTS))
    for sums in store.glob("journal/receive-0/*.sums"):
        sums.unlink()
    assert counted(bring(store, audit_log)) == (0, 40)


def test_an_interrupted_import_goes_on(tmp_path: Path, audit_log: Path) -> None:
    """What was stored before is passed over, the rest is added."""
    half = tmp_path / "half.log"
    half.write_bytes(b"".join(audit_log.read_bytes().splitlines(keepends=True)[:13]))
    bring(tmp_path / "store", half)
    assert counted(bring(tmp_path / "store", audit_log)) == (27, 13)
    assert sorted(kept(tmp_path / "store")) == sorted(audit_log.read_bytes().splitlines())


def test_events_that_come_twice_in_one_log_are_stored_once(tmp_path: Path, audit_log: Path) -> None:
    """Given twice under two names."""
    copy = tmp_path / "copy.log"
    copy.write_bytes(audit_log.read_bytes())
    assert counted(bring(tmp_path / "store", audit_log, copy)) == (40, 40)


def test_documents_over_several_lines_become_lines(tmp_path: Path) -> None:
    """An EventList as `kubectl -o json` would print it, and lines that end in CR LF."""
    pretty = tmp_path / "list.json"
    pretty.write_text(json.dumps(json.loads(encode_list(EVENTS)), indent=2))
    windows = tmp_path / "windows.log"
    windows.write_bytes(encode_line(event(audit_id="crlf"))[:-1] + b"\r\n")
    assert counted(bring(tmp_path / "store", pretty, windows)) == (41, 0)
    assert all(json.loads(line)["stage"] for line in kept(tmp_path / "store"))
    assert counted(bring(tmp_path / "store", pretty, windows)) == (0, 41)


def test_a_poison_line_hurts_only_itself(tmp_path: Path, audit_log: Path) -> None:
    """It is named with its place, and the exit code says that not all could be read."""
    whole = audit_log.read_bytes().splitlines(keepends=True)
    audit_log.write_bytes(b"".join([*whole[:5], b"{poison\n", *whole[5:]]))
    result = bring(tmp_path / "store", audit_log)
    assert result.exit_code == 1
    assert counted(result) == (40, 0)
    assert f"{audit_log}:6" in result.stderr


def test_clusters_are_kept_apart(tmp_path: Path, audit_log: Path) -> None:
    """The same bytes of another cluster are other events; odd names make no odd paths."""
    store = tmp_path / "store"
    names = ["", "prod", "arn:aws:eks:eu-1:1:cluster/a", "arn/aws/eks/eu-1/1/cluster/a", "../../etc"]
    for name in names:
        assert counted(bring(store, "--cluster", name, audit_log)) == (40, 0), name
    assert {segment.cluster for segment in segments(store, Disk())} == set(names)
    assert len(list((store / "journal").iterdir())) == len(names)


def test_the_answer_in_json(tmp_path: Path, audit_log: Path) -> None:
    """Counts, and what was read."""
    found: dict[str, Any] = json.loads(bring(tmp_path / "store", audit_log, "-o", "json").stdout)
    assert (found["stored"], found["alreadyStored"], found["searched"]["lines"]) == (40, 0, 40)


def test_a_second_import_of_a_cluster_at_a_time_is_refused(tmp_path: Path, audit_log: Path) -> None:
    """It says who is in the way; nothing is stored twice."""

    async def run() -> Result:
        async with Journal(tmp_path / "store" / "journal" / "import", Disk(), cluster=""):
            return await asyncio.to_thread(bring, tmp_path / "store", audit_log)

    result = asyncio.run(run())
    assert result.exit_code == 2
    assert "in use by another process" in result.stderr


def test_what_was_sealed_is_not_stored_again(tmp_path: Path, audit_log: Path) -> None:
    """Also when nothing is left of the journals; what came after is added."""
    store = tmp_path / "store"
    bring(store, audit_log)
    with Maintenance(store, Disk(), grace_s=-1) as work, engine(work.aside) as duck:
        assert seal(work, duck).events == 40
        assert work.remove_dead()
    assert not kept(store)
    with audit_log.open("ab") as file:
        file.write(encode_line(event(audit_id="new")))
        file.write(encode_line(event(audit_id="timeless", request_received_timestamp=None, stage_timestamp=None)))
    assert counted(bring(store, audit_log)) == (2, 40)
    assert counted(bring(store, audit_log)) == (0, 42)


def test_an_import_is_asked(tmp_path: Path, audit_log: Path) -> None:
    """By the same questions as the log, with the same answers; also where the environment names the store."""
    store = tmp_path / "store"
    bring(store, "--cluster", "prod", audit_log)

    def said(*words: str, **environment: str) -> Any:
        result = CliRunner().invoke(decklog, [*words], env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    for words in (
        ("who", "deleted", "deploy/web", "--no-chain", "-o", "csv"),
        ("query", "--verb", "delete", "--events", "-o", "jsonl"),
        ("top", "--by", "verb,resource", "-o", "csv"),
        ("timeline", "-o", "csv"),
        ("history", "deploy/web", "-n", "shop"),
        ("sql", "select count(*), min(time) from requests", "-o", "csv"),
        ("export", "--to", "csv", "--requests"),
    ):
        of_log = said(*words, "-f", str(audit_log))
        of_store = said(*words, "--store", str(store), "--cluster", "prod")
        assert without_places(of_store) == without_places(of_log), words
        assert said(*words, DECKLOG_STORE=str(store)) == of_store


def without_places(text: str) -> list[str]:
    return sorted(re.sub(r"[^\s\",]*\.(?:log|ndjson)", "FILE", line) for line in text.splitlines())


WRONG = {
    "both": (("-f", "LOG", "--store", "STORE"), "not both"),
    "a cluster without a store": (("-f", "LOG", "--cluster", "prod"), "give --store DIR"),
    "no store": (("--store", "/nonexistent"), "is no store"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_asked_is_said(tmp_path: Path, audit_log: Path, case: str) -> None:
    """Before anything is read, with exit code 2."""
    bring(tmp_path / "store", audit_log)
    words, text = WRONG[case]
    given = [
        str(audit_log) if word == "LOG" else str(tmp_path / "store") if word == "STORE" else word for word in words
    ]
    result = CliRunner().invoke(decklog, ["query", *given], catch_exceptions=False)
    assert result.exit_code == 2
    assert text in result.stderr


def test_files_on_the_command_line_win_over_the_environment(tmp_path: Path, audit_log: Path) -> None:
    """And a store there over files that the environment names."""
    bring(tmp_path / "store", audit_log)
    other = log(tmp_path / "other.log", event(audit_id="other"))
    for words, environment, count in (
        (["-f", str(other)], {"DECKLOG_STORE": str(tmp_path / "store")}, 1),
        (["--store", str(tmp_path / "store")], {"DECKLOG_SOURCE": str(other)}, 20),
    ):
        result = CliRunner().invoke(decklog, ["query", "-o", "jsonl", *words], env=environment, catch_exceptions=False)
        assert len(result.stdout.splitlines()) == count, result.output


def test_the_configuration_may_name_the_store(tmp_path: Path, audit_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither command line nor environment says what to search."""
    bring(tmp_path / "store", audit_log)
    (tmp_path / "decklog.yaml").write_text(f"store: {tmp_path / 'store'}\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(decklog, ["query", "-o", "jsonl"], catch_exceptions=False)
    assert len(result.stdout.splitlines()) == 20, result.output


def test_a_store_is_not_followed(tmp_path: Path, audit_log: Path) -> None:
    """tail says so, and what to do instead."""
    bring(tmp_path / "store", audit_log)
    result = CliRunner().invoke(decklog, ["tail", "--store", str(tmp_path / "store")], catch_exceptions=False)
    assert result.exit_code == 2
    assert "follow the log with -f FILE" in result.stderr

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli.running import run
from decklog.disk import Disk
from decklog.store.quarantine import Held, Origin, Quarantine
from store.filled_store import fill, numbered

if TYPE_CHECKING:
    from pathlib import Path

RETENTION = """apiVersion: decklog.io/v1alpha1
kind: Retention
rules:
- {keep: forever, verbs: [delete]}
- {keep: 1d}
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    fill(folder, numbered(range(10)), numbered(range(10, 12), verb="delete"))
    return folder


def test_a_store_is_compacted_checked_and_shown(store: Path) -> None:
    """compact seals and compacts, check finds all events, stats counts them."""
    done = run("store", "compact", "--store", store)
    assert done.code == 0, done.err
    assert done.out.splitlines()[:2][0] == "sealed 2 journals: 12 events"
    assert "compacted 1 days: 12 events, 0 doubles" in done.out
    checked = run("store", "check", "--store", store)
    assert (checked.code, checked.out) == (0, "")
    assert checked.err.startswith("12 events are as they were, in 1 segments")
    shown = json.loads(run("store", "stats", "--store", store, "--sent", 12, "-o", "json").out)
    assert (shown["events"], shown["clusters"], shown["gaps"]["distinct"], shown["missing"]) == (
        12,
        {"harbour": 12},
        12,
        0,
    )


@pytest.mark.parametrize("text", ["store: {}", "receive:\n  store: {}", "gateway: {{store: {}}}\nweb:"])
def test_the_store_of_the_configuration(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Every command takes it where none is named: from outside of sections, or the one that doors write to."""
    monkeypatch.delenv("DECKLOG_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run("store", "check").code == 2
    (tmp_path / "decklog.yaml").write_text(text.format(store))
    (tmp_path / "retention.yaml").write_text(RETENTION)
    for words in (("compact",), ("check",), ("stats",), ("retain", "--policy", "retention.yaml"), ("quarantine",)):
        done = run("store", *words)
        assert done.code == 0, (words, done.err)
    (tmp_path / "audit.log").write_bytes(b"")
    assert run("import", "audit.log").out == "0 events stored, 0 were there already\n"
    elsewhere = run("store", "check", "--store", tmp_path / "nowhere")
    assert (elsewhere.code, "nowhere" in elsewhere.err) == (2, True)


def test_fewer_than_were_sent(store: Path) -> None:
    """stats with --sent says how many are missing, and exits 1."""
    done = run("store", "stats", "--store", store, "--sent", 15)
    assert done.code == 1
    assert "sent         15: 3 are missing" in done.out
    assert "not known: the stage RequestReceived is not recorded" in done.out


def test_damage_is_told_with_exit_code_1(store: Path) -> None:
    """check names the damaged file, the offset and the bytes."""
    path = store / "journal" / "one" / "0000000001.ndjson"
    path.write_bytes(path.read_bytes().replace(b"alice", b"mallo", 1))
    done = run("store", "check", "--store", store)
    assert done.code == 1
    assert done.out.startswith(f"damage: {path} at byte 0, ")
    faults = json.loads(run("store", "check", "--store", store, "-o", "json").out)["faults"]
    assert [(fault["file"], fault["damage"]) for fault in faults] == [(str(path), True)]
    left = run("store", "compact", "--store", store)
    assert left.code == 1
    assert "left as it is" in left.err


def test_retention_shows_first_and_deletes_when_told(store: Path, tmp_path: Path) -> None:
    """Without --write nothing goes; a hold keeps; with --write the rest goes."""
    policy = tmp_path / "retention.yaml"
    policy.write_text(RETENTION)
    assert run("store", "compact", "--store", store).code == 0
    common = ("store", "retain", "--store", store, "--policy", policy, "--believe-clock")
    shown = run(*common)
    assert shown.code == 0, shown.err
    assert shown.err.startswith("10 events, about ")
    assert "would be deleted (--write does it)" in shown.err
    held = run("store", "retain", "--store", store, "--hold", "case-17", "--audit-id", "id-3")
    assert held.out.startswith("case-17  {")
    assert run(*common, "--write").err.startswith("9 events, about ")
    assert json.loads(run("store", "stats", "--store", store, "-o", "json").out)["events"] == 3
    assert run("store", "retain", "--store", store, "--release", "case-17").code == 0
    assert run(*common, "--write").err.startswith("1 events, about ")
    assert len((store / "deletions.ndjson").read_bytes().splitlines()) == 2


WRONG = {
    "nothing says what": (("retain",), "nothing says what may go: give --policy or --max-size"),
    "a filter alone": (("retain", "--user", "x"), "give --hold NAME with them"),
    "a hold of everything": (("retain", "--hold", "x"), "--hold without a filter would keep everything"),
    "no such hold": (("retain", "--release", "x"), "there is no legal hold 'x'"),
    "no size": (("retain", "--max-size", "much"), "'much' is no size: write one as in 500GiB"),
    "no such file": (("quarantine", "--show", "x"), "x is not in quarantine"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name: str, store: Path) -> None:
    """The user's mistakes are told in one line, with what to do."""
    (command, *args), told = WRONG[name]
    done = run("store", command, "--store", store, *args)
    assert done.code == 2
    assert told in done.err


@pytest.mark.parametrize("command", ["check", "stats", "compact", "retain"])
def test_a_directory_that_is_no_store(command: str, tmp_path: Path) -> None:
    """A directory that is no store is refused, and nothing is made in it."""
    args = ("--max-size", "1GiB") if command == "retain" else ()
    done = run("store", command, "--store", tmp_path, *args)
    assert done.code == 2
    assert "is no store" in done.err
    assert not list(tmp_path.iterdir())


def test_quarantine_is_listed_and_shown(store: Path) -> None:
    """Files in quarantine are listed with sender, reason and items, and given back byte by byte."""
    quarantine = Quarantine(store / "quarantine" / "w", Disk())
    quarantine.open()
    origin = Origin(1_769_817_600_000_000_000, "10.0.0.1", "harbour", "not JSON")
    body = quarantine.keep([b"poi", b"son\n"], origin)
    with quarantine.hold(body, origin) as writing:
        writing.item(Held(7, 100, 3, "no audit event"), [b"\x1b[0"])
    listed = run("store", "quarantine", "--store", store)
    assert listed.err == "2 files in quarantine\n"
    assert f"w/{body.name}  2026-01-31T00:00:00Z" in listed.out
    assert "item 7, 3 bytes: no audit event" in listed.out
    assert run("store", "quarantine", "--store", store, "--show", f"w/{body.name}").out == "poison\n"
    shown = run("store", "quarantine", "--store", store, "--show", f"w/{body.with_suffix('.held').name}")
    assert shown.out == "\x1b[0\n"


def test_a_lost_catalog_is_told_and_repaired(store: Path) -> None:
    """Without it no question is answered; check names it, check --repair makes it anew, and all events are there."""
    assert run("store", "compact", "--store", store).code == 0
    for path in store.glob("catalog.db*"):
        path.unlink()
    asked = run("query", "--store", store)
    assert (asked.code, asked.out) == (2, "")
    assert "decklog store check --repair" in asked.err
    lost = run("store", "check", "--store", store)
    assert lost.code == 1
    assert lost.out.startswith("damage: ")
    done = run("store", "check", "--repair", "--store", store)
    assert done.code == 0, done.err
    assert "the new one has" in done.err
    assert len(run("query", "--store", store, "-o", "jsonl").out.splitlines()) == 12
    assert "nothing was repaired" in run("store", "check", "--repair", "--store", store).err

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from cli.running import run, run_on_terminal
from decklog.audit.event import User
from policy.recorded_logs import line

if TYPE_CHECKING:
    from pathlib import Path

METADATA = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: Metadata, verbs: [create]}\n"
EVERYTHING = METADATA.replace("Metadata, verbs: [create]", "RequestResponse")
FILTER = "apiVersion: decklog.io/v1alpha1\nkind: EventFilter\nrules:\n- {level: RequestResponse, codes: [2xx]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("metadata", METADATA), ("everything", EVERYTHING), ("filter", FILTER)):
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "audit.log").write_bytes(b"\n".join([line(), line(verb="get"), b"torn", b""]))
    return tmp_path


def test_the_log_becomes_smaller(folder: Path) -> None:
    """Kept events go to stdout as lines of a log, the account of it to stderr."""
    done = run("policy", "apply", folder / "metadata.yaml", folder / "audit.log")
    event, torn = done.out.splitlines()
    assert json.loads(event)["annotations"]["decklog/lowered"] == "RequestResponse to Metadata"
    assert (done.code, torn) == (0, "torn")
    assert done.err.startswith("kept 1 of 2 events (50 %), 1 of them lowered;")
    assert "1 lines could not be read and were passed on as they are: not JSON" in done.err


def test_what_stays_whole_stays_the_same_file(folder: Path) -> None:
    """A policy that takes nothing gives the input, byte by byte."""
    done = run("policy", "apply", folder / "everything.yaml", folder / "audit.log")
    assert done.out.encode() == (folder / "audit.log").read_bytes()


def test_a_filter_of_our_own_kind(folder: Path) -> None:
    """An EventFilter asks for response codes."""
    assert run("policy", "apply", folder / "filter.yaml", folder / "audit.log").out.count("\n") == 3
    other = (folder / "filter.yaml").read_text().replace("2xx", "5xx")
    (folder / "filter.yaml").write_text(other)
    assert run("policy", "apply", folder / "filter.yaml", folder / "audit.log").out == "torn\n"


def test_options(folder: Path) -> None:
    """Torn lines can be dropped, the annotation left out, and the account be JSON."""
    flags = ("--drop-unreadable", "--no-annotation", "-o", "json")
    done = run("policy", "apply", folder / "metadata.yaml", folder / "audit.log", *flags)
    (kept,) = done.out.splitlines()
    assert "decklog/lowered" not in kept
    account = json.loads(done.err)
    assert (account["before"]["events"], account["after"]["events"], account["lowered"]) == (2, 1, 1)
    assert account["after"]["bytes"] == len(kept) + 1
    assert account["unreadable"] == 1


def test_a_log_that_is_cut_off_is_not_done(folder: Path) -> None:
    """What could not be read is missing in the output, so the exit code is not 0."""
    (folder / "old.log.gz").write_bytes(gzip.compress(line() + b"\n")[:-9])
    done = run("policy", "apply", folder / "everything.yaml", folder / "old.log.gz")
    assert done.code == 1
    assert "not all was read: " in done.err


def test_a_terminal_obeys_no_event(folder: Path) -> None:
    """Control characters that stand raw in a line are spelled out on a terminal."""
    (folder / "audit.log").write_bytes(line(user=User("\u202eeve")) + b"\n")
    shown = run_on_terminal("policy", "apply", folder / "everything.yaml", folder / "audit.log")
    assert "\u202e" not in shown.out
    assert "\\u202e" in shown.out

from __future__ import annotations

import gzip
import json
from io import BytesIO
from typing import TYPE_CHECKING

from decklog.audit.wire import decode_event, encode_event, encode_list
from decklog.sources.places import find
from decklog.sources.record import Coverage
from decklog.sources.verbatim import read_lines
from decklog.testing import event as made
from sources.carried import GKE_ENTRY

if TYPE_CHECKING:
    from pathlib import Path


def lines(*paths: Path | str, stdin: bytes = b"", limit: int = 100) -> tuple[list[bytes], Coverage]:
    coverage = Coverage()
    places = find(map(str, paths), BytesIO(stdin))
    return list(read_lines(places, coverage, max_line_bytes=limit)), coverage


def test_a_family_comes_in_order_byte_by_byte(tmp_path: Path) -> None:
    """Older parts, packed ones too, come first; nothing is decoded or changed."""
    (tmp_path / "audit.log").write_bytes(b"\xff{} \nlast")
    (tmp_path / "audit-2026-01-02T03-04-05.678.log.gz").write_bytes(gzip.compress(b"first\n"))
    found, coverage = lines(tmp_path / "audit.log")
    assert found == [b"first", b"\xff{} ", b"last"]
    assert (coverage.lines, coverage.bad_lines, len(coverage.files)) == (3, 0, 2)


def test_standard_input_blank_lines_and_a_byte_order_mark() -> None:
    """Blank lines and the mark in front of a file are no part of any event."""
    assert lines("-", stdin=b"\xef\xbb\xbfa\n\n \nb")[0] == [b"a", b"b"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A line that is too long and a file that is cut off are told; their neighbours are read."""
    (tmp_path / "a.log").write_bytes(b"x\n" + b"y" * 101 + b"\nz\n")
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(b"packed\n" * 9)[:-9])
    found, coverage = lines(tmp_path / "a.log", tmp_path / "b.log.gz")
    assert found[:2] == [b"x", b"z"]
    assert [(bad.number, bad.problem) for bad in coverage.bad_examples] == [(2, "longer than 0 MiB")]
    assert "cut off" in coverage.problems[0]


def test_envelopes_are_opened() -> None:
    """An event that a carrier wrapped comes out as the line that the API server wrote."""
    event = encode_event(made())
    entry = json.dumps(
        {"logStream": "kube-apiserver-audit-x", "logGroup": "/aws/eks/c/cluster", "message": event.decode()}
    )
    assert lines("-", stdin=entry.encode() + b"\n" + event, limit=10_000)[0] == [event, event]


def test_documents_are_cut() -> None:
    """An EventList that is printed over many lines is taken apart into its events."""
    listed = json.dumps(json.loads(encode_list([made(), made(verb="list")])), indent=1)
    found, coverage = lines("-", stdin=listed.encode(), limit=100_000)
    assert [decode_event(each).verb for each in found] == ["get", "list"]
    assert coverage.lines == 2


def test_an_account_of_an_event_becomes_one() -> None:
    """GKE keeps no event: the one that is made of its entry is a line like any other."""
    (found,) = lines("-", stdin=json.dumps(GKE_ENTRY).encode(), limit=100_000)[0]
    assert decode_event(found).verb == "delete"

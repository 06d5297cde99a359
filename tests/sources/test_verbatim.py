from __future__ import annotations

import gzip
from io import BytesIO
from typing import TYPE_CHECKING

from decklog.sources.places import find
from decklog.sources.record import Coverage
from decklog.sources.verbatim import read_lines

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

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from ask.logs import event, lines
from decklog.ask.parts import Sizes, survey
from decklog.sources.places import find

if TYPE_CHECKING:
    from pathlib import Path


def pieces(path: Path, sizes: Sizes) -> list[list[bytes]]:
    """Give the pieces of each part of a log."""
    places = find([str(path)], BytesIO(), rotated=False)
    try:
        logs = survey(places, sizes)
        assert logs is not None
        return [list(part.pieces()) for log in logs for part in log.parts()]
    finally:
        for place in places:
            place.close()


@pytest.mark.parametrize("part", [100, 5_000, 1 << 20])
@pytest.mark.parametrize("piece", [10, 1_000, 1 << 20])
def test_parts_have_each_line_once(tmp_path: Path, part: int, piece: int) -> None:
    """However a log is cut, its parts are its bytes in their order, and whole lines; also if some are very long."""
    events = [event(audit_id=f"id-{number}", user_agent="x" * (40_000 * (number % 3 == 0))) for number in range(9)]
    path = tmp_path / "audit.log"
    path.write_bytes(lines(events))
    parts = [b"".join(some) for some in pieces(path, Sizes(smallest=0, part=part, piece=piece))]
    assert b"".join(parts) == path.read_bytes()
    assert all(text.endswith(b"\n") for text in parts if text)


def test_pieces_end_with_lines(tmp_path: Path) -> None:
    """Where lines are of a usual length, a piece is whole lines: nobody has to cut and join."""
    path = tmp_path / "audit.log"
    path.write_bytes(lines([event(audit_id=f"id-{number}") for number in range(50)]))
    ((*found,),) = pieces(path, Sizes(smallest=0, piece=3_000))
    assert len(found) > 1
    assert all(piece.endswith(b"\n") for piece in found)

from __future__ import annotations

import pytest

from decklog.audit.event import Level


@pytest.mark.parametrize(
    ("level", "other", "expected"),
    [
        (Level.NONE, Level.METADATA, False),
        (Level.METADATA, Level.METADATA, True),
        (Level.REQUEST, Level.REQUEST_RESPONSE, False),
        (Level.REQUEST_RESPONSE, Level.NONE, True),
    ],
)
def test_levels_are_ordered(level: Level, other: Level, expected: bool) -> None:
    """None < Metadata < Request < RequestResponse."""
    assert level.at_least(other) is expected

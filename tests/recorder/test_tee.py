from __future__ import annotations

import pytest

from decklog.recorder.status_probe import StatusProbe
from decklog.recorder.tee import Tee

PODS = [b'{"ki', b'nd":"PodList",', b'"items":[]}']
STATUS = [b'{"ki', b'nd":"Status",', b'"code":200}']

# limit, probed, chunks → kept, body, length
TEES = {
    "whole": (100, False, PODS, True, b"".join(PODS), 29),
    "cut": (6, False, PODS, True, b'{"kind', 29),
    "nothing asked": (0, False, PODS, False, b"", 29),
    "a Status": (100, True, STATUS, True, b"".join(STATUS), 28),
    "no Status": (100, True, PODS, False, b"", 29),
    "undecided": (100, True, PODS[:1], True, b'{"ki', 4),
    "empty": (100, True, [b"", b""], True, b"", 0),
}


@pytest.mark.parametrize("name", TEES)
def test_a_tee_keeps_what_is_asked_for(name: str) -> None:
    """The first bytes up to the limit; with a probe only what can be a Status; the length always."""
    limit, probed, chunks, kept, body, length = TEES[name]
    tee = Tee(limit, StatusProbe("application/json") if probed else None)
    for chunk in chunks:
        tee.feed(chunk)
    assert (tee.kept, tee.body(), tee.length) == (kept, body, length)


def test_chunks_that_are_reused_are_copied() -> None:
    """A door may read into one buffer again and again."""
    tee = Tee(100, StatusProbe("application/json"))
    buffer = bytearray(b'{"kind":"Status"')
    tee.feed(buffer)
    buffer[:] = b"x" * len(buffer)
    assert tee.body() == b'{"kind":"Status"'

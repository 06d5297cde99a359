from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from ask.logs import life, log, ref
from decklog.ask.parts import Sizes
from decklog.ask.requests import merge
from decklog.ask.scan import scan
from decklog.audit.event import Stage, User
from decklog.audit.networks import NetworkPattern
from decklog.audit.query import AnnotationPattern, Pattern, Query
from decklog.sources.places import find
from decklog.sources.reader import read
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.audit.event import Event

RECEIVED, _, COMPLETE, _ = Stage
TINY = Sizes(smallest=0, part=400, piece=64)
LOG: list[Event] = [
    *life(RECEIVED, COMPLETE, audit_id="plain"),
    *life(RECEIVED, COMPLETE, audit_id="addressed", source_ips=("192.0.2.1", "fd00::1")),
    *life(RECEIVED, COMPLETE, audit_id="denied", annotations={"authorization.k8s.io/decision": "forbid"}),
    *life(
        RECEIVED, COMPLETE, audit_id="old", annotations={"k8s.io/deprecated": "true", "k8s.io/removed-release": "1.25"}
    ),
    *life(RECEIVED, COMPLETE, audit_id="detailed", level="Request"),
    *life(RECEIVED, COMPLETE, audit_id="managed", request_uri="/api/v1/pods?fieldManager=helm"),
    *life(RECEIVED, COMPLETE, audit_id="machine", user=User("system:node:n1")),
    *life(RECEIVED, COMPLETE, audit_id="odd", user_agent='say "a<b" & go', object_ref=ref("pods", name="é")),
]
QUESTIONS: dict[str, tuple[Query, list[str]]] = {
    "an address": (Query(source_ips=(NetworkPattern.parse("192.0.2.1"),)), ["addressed"]),
    "a network": (Query(source_ips=(NetworkPattern.parse("192.0.2.0/24"),)), ["addressed"]),
    "an address of IPv6": (Query(source_ips=(NetworkPattern.parse("FD00:0::1"),)), ["addressed"]),
    "a decision": (Query(decisions=(Pattern("forbid"),)), ["denied"]),
    "an annotation": (Query(annotations=(AnnotationPattern.parse("k8s.io/deprecated"),)), ["old"]),
    "its value": (Query(annotations=(AnnotationPattern.parse("k8s.io/removed*=1.2*"),)), ["old"]),
    "a level": (Query(levels=(Pattern("Request"),)), ["detailed"]),
    "a field manager": (Query(field_managers=(Pattern("helm"),)), ["managed"]),
    "machines": (Query(human=False), ["machine"]),
    "a text": (Query(texts=("fieldManager=helm",)), ["managed"]),
    "a text as it was meant": (Query(texts=('"a<b" & go',)), ["odd"]),
    "a text as it is written": (Query(texts=("a\\u003cb",)), ["odd"]),
    "a text of several": (Query(texts=("é", "fd00::1")), ["addressed", "odd"]),
    "a text over lines": (Query(texts=("a\nb",)), []),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_scan_finds_what_the_reader_finds(name: str, tmp_path: Path) -> None:
    """Looking for needles first never changes the answer, whatever field is asked for."""
    query, expected = QUESTIONS[name]
    path = log(tmp_path / "audit.log", *LOG)

    slow = list(merge(read(find([str(path)], BytesIO()), Coverage()), query))
    fast = list(merge(scan(find([str(path)], BytesIO()), Coverage(), [query], sizes=TINY), query))
    assert [request.latest.event.audit_id for request in slow] == expected
    assert fast == slow

from __future__ import annotations

import pytest

from decklog.ask.covering import asked, covered
from decklog.ask.names import resource_patterns
from decklog.audit.query import CodePattern, Pattern, Query
from decklog.sources.record import BadLine, Coverage


def test_an_answer_says_what_it_covers() -> None:
    """One line: window, files, size, lines, span, and what could not be read."""
    coverage = Coverage(
        files=["a-1.log", "a.log"],
        size_bytes=12_345_678,
        lines=15_578,
        bad_lines=2,
        bad_examples=[BadLine("a.log", 17, "not JSON")],
        problems=["a-0.log.gz: cut off"],
        first="2026-03-01T10:00:00.000000Z",
        last="2026-03-01T11:00:00.000000Z",
    )
    assert covered(coverage, None, None) == (
        "searched all times; 2 files, 12.3 MB; 15,578 lines, from 2026-03-01 10:00:00 to 2026-03-01 11:00:00 UTC; "
        "2 lines could not be read: a.log:17 (not JSON), …; a-0.log.gz: cut off"
    )


@pytest.mark.parametrize(
    ("since", "until", "window"),
    [
        ("2026-03-01T10:00:00.000000Z", None, "from 2026-03-01 10:00:00 UTC on"),
        (None, "2026-03-01T10:00:00.000000Z", "until 2026-03-01 10:00:00 UTC"),
        (
            "2026-03-01T09:00:00.000000Z",
            "2026-03-01T10:00:00.000000Z",
            "from 2026-03-01 09:00:00 until 2026-03-01 10:00:00 UTC",
        ),
    ],
)
def test_the_window_is_named(since: str | None, until: str | None, window: str) -> None:
    """Both ends, one end, and the single file by its name."""
    assert (
        covered(Coverage(files=["a.log"], size_bytes=1), since, until)
        == f"searched {window}; 1 file (a.log), 1 byte; 0 lines"
    )


def test_a_filter_in_words() -> None:
    """An empty answer repeats what was asked for."""
    query = Query(
        verbs=(Pattern.parse("-get"), Pattern.parse("patch*")),
        resources=resource_patterns("-deploy.apps/scale"),
        namespaces=(Pattern.parse("-*"),),
        names=(Pattern.parse("*"),),
        codes=(CodePattern.parse("-4xx"), CodePattern.parse("200")),
    )
    assert asked(query) == (
        "verb not get or patch*, resource not deployments.apps/scale, name any, namespace none, code not 400-499 or 200"
    )
    assert asked(Query()) == "anything"

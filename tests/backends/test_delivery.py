from __future__ import annotations

import pytest

from decklog.backends.delivery import PostError, refused


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, True), (413, True), (None, False), (302, False), (401, False), (404, False), (429, False), (500, False)],
)
def test_only_two_answers_are_about_the_body(status: int | None, expected: bool) -> None:
    """400 and 413 say that the body is wrong; everything else may pass, and the body with it."""
    assert refused(PostError(status, None, "why")) == expected


def test_its_text_is_the_cause() -> None:
    """What is shown of a failure is its cause alone."""
    assert str(PostError(503, 2.0, "the receiver answered 503")) == "the receiver answered 503"

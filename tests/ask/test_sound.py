from __future__ import annotations

import json

import pytest
from msgspec import Raw

from decklog.ask.sound import sound, sound_body

BODIES = {
    b'{"a":"x"}': b'{"a":"x"}',
    b'{"a":"\xff"}': '{"a":"\ufffd"}'.encode(),
    b'{"a":"\\ud800"}': b'{"a":"\\ufffd"}',
    b'{"\\uDfff":1}': b'{"\\ufffd":1}',
    b'{"a":"\\ud83d\\ude00"}': b'{"a":"\\ud83d\\ude00"}',
    b'{"a":"\\ud800\\ud83d\\ude00"}': b'{"a":"\\ufffd\\ud83d\\ude00"}',
    b'{"a":"\\\\ud800"}': b'{"a":"\\\\ud800"}',
    b'{"a":"\\\\\\ud800"}': b'{"a":"\\\\\\ufffd"}',
    b'{"a":1e400,"a":2}': b'{"a":1e400,"a":2}',
}


@pytest.mark.parametrize(("body", "made"), BODIES.items())
def test_a_body_comes_out_so_that_anybody_can_read_it(body: bytes, made: bytes) -> None:
    """Only what no reader takes is replaced; an escaped backslash is no escape of what follows."""
    assert bytes(sound_body(Raw(body))) == made
    json.loads(made.decode()) and made.decode().encode()
    json.dumps(json.loads(made), ensure_ascii=False).encode()


def test_what_is_sound_is_not_copied() -> None:
    """The usual body costs a look, no copy."""
    body = Raw(b'{"a":"\\u003c"}')
    assert sound_body(body) is body


def test_values_lose_their_lone_surrogates() -> None:
    """At any depth, in keys as well; pairs stay."""
    assert sound({"\ud800": ["a\udfff", ("\U0001f600", 1)]}) == {"\ufffd": ["a\ufffd", ("\U0001f600", 1)]}

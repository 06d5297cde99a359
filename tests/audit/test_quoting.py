from __future__ import annotations

import pytest

from decklog.audit.jsontext import text
from decklog.audit.quoting import internal_error, quote, quote_go_time


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("", '""'),
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\x00\x01\x1f\x7f", '"\\x00\\x01\\x1f\\x7f"'),
        ("\x80\xa0", '"\\u0080\\u00a0"'),
        ("é ☃ 😀", '"é ☃ 😀"'),
        ("\u200b\u2028\ufeff\u3000", '"\\u200b\\u2028\\ufeff\\u3000"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("\ufffd", '"\ufffd"'),
        (text(b"a\xff\xc3b"), '"a\\xff\\xc3b"'),
        ("\ud800", '"\\xed\\xa0\\x80"'),
        ("`$'", '"`$\'"'),
    ],
)
def test_quotes_as_go(value: str, quoted: str) -> None:
    """Printable Unicode stays, the rest is escaped the way %q does, bytes that are no UTF-8 as bytes."""
    assert quote(value) == quoted


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("foo", '"foo"'),
        ('a"\\', '"a\\"\\\\"'),
        ("1\u00b5x", '"1\\xc2\\xb5x"'),
        ("\n\x7f", '"\\x0a\x7f"'),
        (text(b"\xff"), '"\\xff"'),
    ],
)
def test_quotes_as_gos_time(value: str, quoted: str) -> None:
    """Durations in errors are shown byte for byte."""
    assert quote_go_time(value) == quoted


def test_an_internal_error_is_escaped_for_html() -> None:
    """The plain 500 quotes the target, and neutralises markup."""
    shown = internal_error('/a?<b>&"', "failed to store audit event")
    assert shown == 'Internal Server Error: "/a?&lt;b&gt;&amp;\\"": failed to store audit event'

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.selectors import SelectorError, check_labels, field_terms, is_int64, is_qualified_name, required_name


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ("", ""),
        (",", ""),
        ("metadata.name=a", "a"),
        ("metadata.name==a", "a"),
        ("metadata.name!=a", ""),
        ("metadata.name=b,metadata.name=a", "a"),
        ("metadata.name=b,metadata.name==a", "a"),
        ("metadata.namespace=x,metadata.name=a,", "a"),
        ("metadata.name = a", ""),
        (" metadata.name=a", ""),
        ("metadata.name= a", " a"),
        (r"metadata.name=a\,b", "a,b"),
        (r"metadata.name=a\=b\\", "a=b\\"),
        ("metadata.name=", ""),
        ("=a", ""),
        ("a.metadata.name=b", ""),
        ("metadata.name=a#b", "a#b"),
        ("metadata.name=\udcff", "\udcff"),
        ("metadata.name=\udcff\\=", "\ufffd="),
    ],
)
def test_a_field_selector_may_demand_a_name(selector: str, name: str) -> None:
    """The first term, in sorted order, that demands metadata.name exactly gives it."""
    assert required_name(selector) == name


@pytest.mark.parametrize(
    "selector",
    ["metadata.name", "metadata.name=a,foo", "metadata.name=a=b", r"metadata.name=a\b", "metadata.name=a\\", r"a\,b"],
)
def test_a_broken_field_selector_is_refused(selector: str) -> None:
    """A term without operator, a bare = in a value, an unknown escape and a lone backslash are errors."""
    with pytest.raises(SelectorError):
        required_name(selector)


def test_terms_are_taken_apart_at_their_first_operator() -> None:
    """The left side is literal, the right side is unescaped, the terms are sorted."""
    assert field_terms(r"b!=x,a==y,c=\\\,") == [("a", "==", "y"), ("b", "!=", "x"), ("c", "=", "\\,")]


_LONG = "x" * 63


@pytest.mark.parametrize(
    "selector",
    [
        "",
        "  ",
        "a",
        "!a",
        "! a",
        "a,!b",
        "a=b",
        "a==b",
        "a!=b",
        "a=",
        "a!=,b",
        "a = b , c",
        "a in (b)",
        "a in(b,c)",
        "a notin (b, c,)",
        "a in (,)",
        "a in (,b)",
        "a in (,,b)",
        "a in (a,,b)",
        "a in (in,notin)",
        "in in (in)",
        "notin",
        "a=in",
        "a>1",
        "a<1,b",
        "a>007",
        "example.com/a=b",
        f"{_LONG}={_LONG}",
        "a=1.2_3-4",
        "a\t=\r\nb",
        "a=b\0",
        "a\0=b",
        "\0 anything",
    ],
)
def test_a_label_selector_parses(selector: str) -> None:
    """Keys alone or with a value, lists that may hold empty values, comparisons with integers."""
    check_labels(selector)


@pytest.mark.parametrize(
    "selector",
    [
        ",",
        "a,",
        ",a",
        "a,,b",
        "a===b",
        "===",
        "=b",
        "!",
        "!!a",
        "!a=b",
        "a b",
        "a b c",
        "a=b c",
        "a!b",
        "a=(b)",
        "a in",
        "a in b",
        "a in ()",
        "a in (",
        "a in (b",
        "a in (b c)",
        "a in (b=c)",
        "a in (,,)",
        "a in (a,,)",
        "a in (a,=)",
        "a notin ((b))",
        "a IN (b)",
        "a>",
        "a>b",
        "a<-1",
        "a>9223372036854775808",
        "a>=1",
        "a=-b",
        "a=b-",
        "a=b/c",
        "-a",
        "a/b/c",
        "/a",
        "a/",
        "A.b/c",
        "é",
        f"{_LONG}x",
        f"a={_LONG}x",
        f"{'a.' * 127}/b",
        "a in (b),",
        "a in (b)c",
    ],
)
def test_a_broken_label_selector_is_refused(selector: str) -> None:
    """Operators, keys, values and commas have to be in their places."""
    with pytest.raises(SelectorError):
        check_labels(selector)


@given(st.text(alphabet="ab1-./ =!<>(),in\0\t", max_size=16))
def test_any_text_is_a_selector_or_a_selector_error(text: str) -> None:
    """Nothing that a client asks for raises anything else."""
    for read in (check_labels, field_terms):
        try:
            read(text)
        except SelectorError:
            continue


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", True),
        ("-5", True),
        ("+5", True),
        ("007", True),
        ("9223372036854775807", True),
        ("-9223372036854775808", True),
        ("9223372036854775808", False),
        ("-9223372036854775809", False),
        ("", False),
        ("-", False),
        ("1e3", False),
        ("1_0", False),
        (" 1", False),
        ("1\n", False),
        ("\u0661", False),
        ("0" * 9000 + "1", True),
        ("1" * 9000, False),
    ],
)
def test_integers_of_64_bits(text: str, expected: bool) -> None:
    """Go's ParseInt in base 10: a sign, ASCII digits, nothing else, within 64 bits."""
    assert is_int64(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", True), ("A_b.c-9", True), ("x.y/z", True), ("a\n", False), ("", False), ("x_y/z", False), ("a/b/c", False)],
)
def test_qualified_names(text: str, expected: bool) -> None:
    """A name, or a DNS subdomain, a slash and a name."""
    assert is_qualified_name(text) is expected

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.headers import audit_id, authentication_attempts, first, user_agent


def _new() -> str:
    return "new"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "new"),
        ([b""], "new"),
        ([b"   "], "new"),
        ([b"given"], "given"),
        ([b" given\t"], "given"),
        ([b"one", b"two"], "one"),
        ([b"", b"two"], "new"),
        ([b"x" * 5000], "x" * 5000),
        (['hello "world" <é>'.encode()], 'hello "world" <é>'),
        ([b"\xff"], "\udcff"),
    ],
)
def test_the_clients_audit_id_counts(values: list[bytes], expected: str) -> None:
    """The first header line is taken verbatim, however long; without one an ID is made."""
    assert audit_id([(b"accept", b"x"), *[(b"audit-id", value) for value in values]], _new) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"kubectl/1", "kubectl/1"),
        (b"  padded  ", "padded"),
        (b"tab\there", "tab\there"),
        (b"a" * 1024, "a" * 1024),
        (b"a" * 1025, "a" * 1024 + "...TRUNCATED"),
        (("x" + "é" * 600).encode(), "x" + "é" * 511 + "\udcc3...TRUNCATED"),
        (b"bad \xff\xfe", "bad \udcff\udcfe"),
    ],
)
def test_a_user_agent_is_cut_after_1024_bytes(value: bytes, expected: str) -> None:
    """A longer one is marked, and may end in half a character."""
    assert user_agent([(b"user-agent", value), (b"user-agent", b"second")]) == expected
    assert user_agent([(b"accept", b"x")]) == ""


def test_the_first_line_of_a_name_counts() -> None:
    """Names are lower case, values trimmed."""
    headers = [(b"a", b" 1\t"), (b"b", b"2"), (b"a", b"3")]
    assert (first(headers, b"a"), first(headers, b"b"), first(headers, b"c")) == (b"1", b"2", b"")


_BASIC = b"dXNlcjpwYXNz"


@pytest.mark.parametrize(
    ("authorization", "target", "certificate", "tried"),
    [
        (b"", "/", False, ""),
        (b"Basic " + _BASIC, "/", False, "basic"),
        (b"basic " + _BASIC, b"/", False, "basic"),
        (b"Basic dXNlcg==", "/", False, ""),
        (b"Basic ???", "/", False, ""),
        (b"Bearer token", "/", False, "bearer"),
        (b"bearer a b", "/", False, "bearer"),
        (b"Bearer", "/", False, ""),
        (b"Bearertoken", "/", False, ""),
        (b"Negotiate x", "/", False, ""),
        (b"", "/?access_token=x", False, "access_token"),
        (b"", b"/?access_token=%20", False, ""),
        (b"", b"?access_token=x", False, ""),
        (b"", "/", True, "x509"),
        (b"Bearer x", "/?access_token=y", True, "bearer, access_token, x509"),
    ],
)
def test_a_failed_authentication_tells_what_was_tried(
    authorization: bytes, target: str | bytes, certificate: bool, tried: str
) -> None:
    """The methods stand in the server's order; without any the message says so."""
    headers = [(b"authorization", authorization)] if authorization else []
    message = authentication_attempts(headers, target, certificate=certificate)
    expected = f"attempted: {tried}" if tried else "no credentials provided"
    assert message == f"Authentication failed, {expected}"


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_no_header_makes_it_fail(authorization: bytes, target: bytes) -> None:
    """Whatever a client sends, there is a message."""
    for scheme in (b"", b"Basic ", b"Bearer "):
        headers = [(b"authorization", scheme + authorization)]
        assert authentication_attempts(headers, b"/?" + target, certificate=False).startswith("Authentication failed, ")

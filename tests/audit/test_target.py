from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.jsontext import text
from decklog.audit.target import ResolveError, first_values, parse

_TARGETS = {
    "plain": (b"/api/v1/pods", "/api/v1/pods", "", "/api/v1/pods"),
    "a query": (b"/a?b=c&d", "/a", "b=c&d", "/a?b=c&d"),
    "a bare question mark": (b"/a?", "/a", "", "/a?"),
    "two question marks": (b"/a??b", "/a", "?b", "/a??b"),
    "root": (b"/", "/", "", "/"),
    "nothing": (b"", "", "", "/"),
    "an asterisk": (b"*", "*", "", "*"),
    "needless escapes stay": (b"/%76ersion/cm%2Da", "/version/cm-a", "", "/%76ersion/cm%2Da"),
    "an escaped slash": (b"/a%2fb", "/a/b", "", "/a%2fb"),
    "sub-delimiters stay": (b"/a!'()*[];,=b", "/a!'()*[];,=b", "", "/a!'()*[];,=b"),
    "escaped Unicode stays": (b"/caf%C3%A9", "/café", "", "/caf%C3%A9"),
    "a quote re-encodes the whole path": (b'/a"!/%7euser/%2f', '/a"!/~user//', "", "/a%22%21/~user//"),
    "raw Unicode": ("/é?q=é<>".encode(), "/é", "q=é<>", "/%C3%A9?q=é<>"),
    "a hash in the path": (b"/a#b", "/a#b", "", "/a%23b"),
    "a hash in the query": (b"/a?x=#frag", "/a", "x=#frag", "/a?x=#frag"),
    "a space": (b"/a b?c d", "/a b", "c d", "/a%20b?c d"),
    "bytes that are no UTF-8": (b"/a%ff\xfe?\xfd", text(b"/a\xff\xfe"), text(b"\xfd"), text(b"/a%FF%FE?\xfd")),
    "escaped control characters": (b"/a%00%0a", "/a\0\n", "", "/a%00%0a"),
    "malformed escapes in the query stay": (b"/a?%zz&%", "/a", "%zz&%", "/a?%zz&%"),
    "two slashes": (b"//host/path", "//host/path", "", "//host/path"),
    "dots stay": (b"/a/../b/./c", "/a/../b/./c", "", "/a/../b/./c"),
    "absolute": (b"http://other:80/api?x=1#f", "/api", "x=1#f", "/api?x=1#f"),
    "absolute, without path": (b"HTTPS://u:p@host", "", "", "/"),
    "absolute, query alone": (b"https://[::1]:6443?x", "", "x", "/?x"),
    "absolute, without host": (b"http:/path", "/path", "", "/path"),
    "absolute, not plain": (b'http://h/"', '/"', "", "/%22"),
    "opaque": (b"foo:bar?x", "", "x", "bar?x"),
    "opaque, empty": (b"foo:?x", "", "x", "/?x"),
    "a colon later on": (b"/a:b", "/a:b", "", "/a:b"),
}


@pytest.mark.parametrize(("target", "path", "query", "uri"), _TARGETS.values(), ids=_TARGETS)
def test_targets_are_parsed_and_rendered_as_go_does(target: bytes, path: str, query: str, uri: str) -> None:
    """The path is decoded, the query is not; what is shown is a valid encoding."""
    parsed = parse(target)
    assert (parsed.path, parsed.query, parsed.request_uri) == (path, query, uri)


@pytest.mark.parametrize(
    ("target", "origin"),
    [(b"HTTP://Other:80/x", "http://Other:80"), (b"/x", ""), (b"http:/x", "http:")],
)
def test_the_origin_of_an_absolute_target_is_kept_apart(target: bytes, origin: str) -> None:
    """Only errors show it."""
    scheme = parse(target)
    assert scheme.origin == origin


@pytest.mark.parametrize(
    ("target", "path", "uri"),
    [(b"host:443", "", "/"), (b"/healthz", "/healthz", "/healthz"), (b"host:443/x", "/x", "/x")],
)
def test_a_tunnels_target_is_an_authority(target: bytes, path: str, uri: str) -> None:
    """CONNECT names a host and a port, unless it names a path."""
    parsed = parse(target, "CONNECT")
    assert (parsed.path, parsed.request_uri) == (path, uri)


@pytest.mark.parametrize(
    "target",
    [
        b"/a\x00",
        b"/a?\n",
        b"/a\x7f",
        b"/%",
        b"/%4",
        b"/%zz",
        b"no-slash",
        b"?x",
        b"*?x",
        b":80/x",
        b"1http://host/",
        b"http://host:port/",
        b"http://[::1/",
        b"http://[::1]x/",
        b"http://a b/",
        b"http://%41/",
        b"http://us er@host/",
        b"http://host/%",
    ],
)
def test_what_gos_server_refuses_is_a_bad_request(target: bytes) -> None:
    """Such a request never reaches an API server's filters: 400."""
    with pytest.raises(ResolveError) as caught:
        parse(target)
    assert caught.value.status == 400


@given(st.binary(max_size=60), st.sampled_from(["GET", "CONNECT"]))
def test_any_bytes_are_a_target_or_a_resolve_error(target: bytes, method: str) -> None:
    """What is parsed can be parsed again, and then stays."""
    try:
        parsed = parse(target, method)
    except ResolveError:
        return
    if parsed.request_uri.startswith("/"):
        again = parse(parsed.request_uri.encode("utf-8", "surrogateescape"))
        assert (again.path or "/", again.request_uri) == (parsed.path or "/", parsed.request_uri)


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=1&a=2", {"a": "1"}),
        ("a&b=&=c", {"a": "", "b": "", "": "c"}),
        ("a=b=c", {"a": "b=c"}),
        ("a+b=c+d%20%2B", {"a b": "c d +"}),
        ("%61=%62", {"a": "b"}),
        ("a=1;b=2&c=3", {"c": "3"}),
        ("a=%zz&b=%4&%=c&d=1", {"d": "1"}),
        ("a=%zz&a=2", {"a": "2"}),
        ("&&a=1&", {"a": "1"}),
        ("A=1&a=2", {"A": "1", "a": "2"}),
        ("a=%C3%A9&b=%ff", {"a": "é", "b": "\udcff"}),
    ],
)
def test_queries_are_read_as_go_reads_them(query: str, values: dict[str, str]) -> None:
    """Pairs with a semicolon or a malformed escape are dropped one by one; of a name the first value counts."""
    assert first_values(query) == values

import pytest

from decklog.gateway.forwarding import Forwarding, check_target
from decklog.gateway.towards import is_identity_header
from decklog.http1 import HeadError, Heads, RequestHead

OURS = b"x-remote-user: alice\r\n"


def head(*lines: bytes, method: bytes = b"GET", target: bytes = b"/api") -> RequestHead:
    """Read a head."""
    text = b"".join(line + b"\r\n" for line in (b"Host: here:8443", *lines))
    return Heads().request(b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, text))


def forwarded(read: RequestHead, *, authorization: bool = True, impersonation: bool = True) -> list[bytes]:
    """Give the lines that go on."""
    written = Forwarding(b"api:6443", is_identity_header).request(
        read, b"id-1", b"10.0.0.9", OURS, keep_authorization=authorization, keep_impersonation=impersonation
    )
    assert written.endswith(b"\r\n" + OURS + b"\r\n")
    return written.removesuffix(OURS + b"\r\n").split(b"\r\n")[1:-1]


CASES: dict[str, tuple[bytes, list[bytes]]] = {
    "what belongs to one hop stays": (
        b"Connection: keep-alive, X-A\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-A: 1",
        [b"x-a: 1"],
    ),
    "Connection removes nothing of ours": (b"Connection: audit-id, x-remote-user", []),
    "no method overrides the recorded one": (b"X-HTTP-Method-Override: DELETE\r\nX-Method-Override: PUT", []),
    "an identity never passes": (b"X-Remote-User: eve\r\nx_remote_group: system:masters\r\nX-Remote-Extra-a: b", []),
    "impersonation passes as it is spelled": (b"Impersonate-User: bob", [b"impersonate-user: bob"]),
    "and in no other spelling": (b"Impersonate_User: bob\r\nImpersonate-Groups: x", []),
    "the client's own audit ID is replaced by what is recorded": (b"Audit-ID: mine", []),
    "a token passes where it is the caller's way": (b"Authorization: Bearer t", [b"authorization: Bearer t"]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_request_goes_on_without_what_is_not_the_client_s_to_say(name: str) -> None:
    """Everything else of the head passes; ours comes last."""
    lines, kept = CASES[name]
    told = [b"Host: api:6443", *kept, b"x-forwarded-for: 10.0.0.9", b"audit-id: id-1"]
    assert forwarded(head(*lines.split(b"\r\n"))) == told


def test_a_caller_s_credentials_stay_where_the_gateway_speaks_for_it() -> None:
    """Neither the token nor the headers that would impersonate reach the upstream, nor a WebSocket's token."""
    read = head(
        b"Authorization: Bearer t",
        b"Impersonate-User: bob",
        b"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.dA, v5.channel.k8s.io",
    )
    lines = forwarded(read, authorization=False, impersonation=False)
    assert lines[1:-2] == [b"sec-websocket-protocol: v5.channel.k8s.io"]


def test_the_chain_of_addresses_grows_by_the_peer() -> None:
    """All lines become one, as kube-apiserver reads only the first."""
    lines = forwarded(head(b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-For: 2.2.2.2"))
    assert b"x-forwarded-for: 1.1.1.1, 2.2.2.2, 10.0.0.9" in lines


def test_the_framing_is_written_anew() -> None:
    """By what was read: a length, chunks, an upgrade."""
    assert b"content-length: 5" in forwarded(head(b"Content-Length: 5", method=b"POST"))
    assert b"content-length: 0" in forwarded(head(method=b"POST"))
    assert b"transfer-encoding: chunked" in forwarded(head(b"Transfer-Encoding: Chunked", method=b"POST"))
    upgrade = forwarded(head(b"Connection: x, Upgrade", b"Upgrade: SPDY/3.1", method=b"POST"))
    assert upgrade[-3:-1] == [b"connection: Upgrade", b"upgrade: SPDY/3.1"]


def test_an_absolute_target_loses_its_front_and_goes_nowhere_else() -> None:
    """It has to be this host's."""
    read = head(target=b"https://HERE:8443/api?x=1")
    check_target(read)
    assert Forwarding(b"api:6443", is_identity_header).target(read) == b"/api?x=1"
    assert Forwarding(b"api:6443", is_identity_header).target(head(target=b"/a#b?c=#d")) == b"/a%23b?c=%23d"
    for target in (b"https://elsewhere/api", b"ftp://here:8443/", b"api"):
        with pytest.raises(HeadError):
            check_target(head(target=target))


OUTSIDE = ("/../c-2/api", "/a/..", "/./a", "/%2e%2E/c-2", "/a/.%2e/b", "/a%2f..%2fb", "/..\\b", "/a/..;x/b", "/..#")
INSIDE = ("/api/v1/namespaces/a..b/pods/.c", "/api?x=/../y", "/...", "/.well-known/jwks", "/a.%2eb")


@pytest.mark.parametrize("target", [*OUTSIDE, *INSIDE])
def test_no_path_leads_out_of_the_upstream_s_own(target: str) -> None:
    """Segments of dots are refused where the upstream stands beneath a path, and pass where it has its own host."""
    read = head(target=target.encode())
    check_target(read)
    if target in INSIDE:
        check_target(read, b"/clusters/c-1")
    else:
        with pytest.raises(HeadError, match="dots"):
            check_target(read, b"/clusters/c-1")

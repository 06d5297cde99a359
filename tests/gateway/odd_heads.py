"""Request heads on which servers disagree: those that must be refused, and those that are odd but legal.

Each is the beginning of what a client sends; the tests send another request behind it, which nobody may ever see.
"""

from __future__ import annotations

from typing import Final

HOST: Final = b"Host: cluster\r\n"


def get(*lines: bytes, line: bytes = b"GET /api/v1/pods HTTP/1.1") -> bytes:
    """Build a GET with these raw header lines, each with its own end of line, after Host."""
    return line + b"\r\n" + HOST + b"".join(lines) + b"\r\n"


def post(*lines: bytes, body: bytes = b"") -> bytes:
    """Build a POST with these raw header lines after Host."""
    return b"POST /api/v1/namespaces/shop/pods HTTP/1.1\r\n" + HOST + b"".join(lines) + b"\r\n" + body


_LINE: Final = b"GET /api/v1/pods HTTP/1.1\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_EMPTY: Final = b"0\r\n\r\n"

REFUSED: Final[dict[str, tuple[bytes, int]]] = {
    # Two lengths are two requests.
    "length and coding": (post(b"Content-Length: 5\r\n", _CHUNKED, body=_EMPTY), 400),
    "coding and length": (post(_CHUNKED, b"Content-Length: 5\r\n", body=_EMPTY), 400),
    "two lengths": (post(b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", body=b"abcdef"), 400),
    "two equal lengths": (post(b"Content-Length: 5\r\n", b"Content-Length: 5\r\n", body=b"abcde"), 400),
    "two lengths in one line": (post(b"Content-Length: 5, 5\r\n", body=b"abcde"), 400),
    "length with plus": (post(b"Content-Length: +5\r\n", body=b"abcde"), 400),
    "length with minus": (post(b"Content-Length: -5\r\n", body=b"abcde"), 400),
    "length in hex": (post(b"Content-Length: 0x5\r\n", body=b"abcde"), 400),
    "length with underscore": (post(b"Content-Length: 1_0\r\n", body=b"abcdefghij"), 400),
    "length with a point": (post(b"Content-Length: 5.0\r\n", body=b"abcde"), 400),
    "length with a blank": (post(b"Content-Length: 5 0\r\n", body=b"abcde"), 400),
    "length of Arabic digits": (post("Content-Length: \u0665\r\n".encode(), body=b"abcde"), 400),
    "length that is empty": (post(b"Content-Length: \r\n"), 400),
    "length past 64 bits": (post(b"Content-Length: 18446744073709551621\r\n", body=b"abcde"), 400),
    "length past 63 bits": (post(b"Content-Length: 9223372036854775808\r\n", body=b"abcde"), 400),
    "length in another case, twice": (post(b"content-length: 5\r\n", b"CONTENT-LENGTH: 0\r\n", body=b"abcde"), 400),
    # Codings other than the one that everybody knows.
    "coding twice": (post(_CHUNKED, _CHUNKED, body=_EMPTY), 400),
    "coding twice in one line": (post(b"Transfer-Encoding: chunked, chunked\r\n", body=_EMPTY), 400),
    "chunked, then identity": (post(b"Transfer-Encoding: chunked, identity\r\n", body=_EMPTY), 400),
    "identity, then chunked": (post(b"Transfer-Encoding: identity, chunked\r\n", body=_EMPTY), 400),
    "identity": (post(b"Transfer-Encoding: identity\r\n", b"Content-Length: 5\r\n", body=b"abcde"), 400),
    "gzip, then chunked": (post(b"Transfer-Encoding: gzip, chunked\r\n", body=_EMPTY), 400),
    "xchunked": (post(b"Transfer-Encoding: xchunked\r\n", body=_EMPTY), 400),
    "chunkedx": (post(b"Transfer-Encoding: chunkedx\r\n", body=_EMPTY), 400),
    "chunked in quotes": (post(b'Transfer-Encoding: "chunked"\r\n', body=_EMPTY), 400),
    "chunked with a parameter": (post(b"Transfer-Encoding: chunked;q=1\r\n", body=_EMPTY), 400),
    "chunked after a comma": (post(b"Transfer-Encoding: ,chunked\r\n", body=_EMPTY), 400),
    "chunked between tabs": (post(b"Transfer-Encoding:\tchunked\t\r\n", body=_EMPTY), 400),
    "chunked after vertical tab": (post(b"Transfer-Encoding: \x0bchunked\r\n", body=_EMPTY), 400),
    "chunked after form feed": (post(b"Transfer-Encoding: \x0cchunked\r\n", body=_EMPTY), 400),
    "coding that is empty": (post(b"Transfer-Encoding:\r\n", body=_EMPTY), 400),
    "coding in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + HOST + _CHUNKED + b"\r\n" + _EMPTY, 400),
    "coding behind a blank before the colon": (post(b"Transfer-Encoding : chunked\r\n", body=_EMPTY), 400),
    "coding behind a tab before the colon": (post(b"Transfer-Encoding\t: chunked\r\n", body=_EMPTY), 400),
    "coding in a folded line": (post(b"X: y\r\n Transfer-Encoding: chunked\r\n", body=_EMPTY), 400),
    "folded value of the coding": (post(b"Transfer-Encoding:\r\n chunked\r\n", body=_EMPTY), 400),
    "coding behind a bare LF": (post(b"X: y\nTransfer-Encoding: chunked\r\n", body=_EMPTY), 400),
    "coding behind a bare CR": (post(b"X: y\rTransfer-Encoding: chunked\r\n", body=_EMPTY), 400),
    "coding behind CR CR LF": (post(b"X: y\r\r\nTransfer-Encoding: chunked\r\n", body=_EMPTY), 400),
    "coding behind NUL": (post(b"X: y\x00Transfer-Encoding: chunked\r\n", body=_EMPTY), 400),
    # Lines.
    "bare LF after the request line": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    "bare LF in the empty line": (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n\n\r\n\r\n", 400),
    "bare LF everywhere, then CR LF": (b"GET / HTTP/1.1\nHost: cluster\n\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "bare CR in a value": (get(b"X: a\rb\r\n"), 400),
    "bare CR in the request line": (b"GET /\rx HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "folded line": (get(b"X: a\r\n b\r\n"), 400),
    "line folded with a tab": (get(b"X: a\r\n\tb\r\n"), 400),
    "folded first line": (_LINE + b" X: y\r\n" + HOST + b"\r\n", 400),
    "line without a colon": (get(b"nonsense\r\n"), 400),
    "NUL in a value": (get(b"X: a\x00b\r\n"), 400),
    "NUL in a name": (get(b"X\x00Y: a\r\n"), 400),
    "control byte in a value": (get(b"X: a\x01b\r\n"), 400),
    "escape in a value": (get(b"X: a\x1b[0m\r\n"), 400),
    "DEL in a value": (get(b"X: a\x7fb\r\n"), 400),
    "vertical tab in a value": (get(b"X: a\x0bb\r\n"), 400),
    # Names.
    "empty name": (get(b": a\r\n"), 400),
    "blank before the colon": (get(b"X : a\r\n"), 400),
    "blank in a name": (get(b"X Y: a\r\n"), 400),
    "parenthesis in a name": (get(b"X(Y): a\r\n"), 400),
    "slash in a name": (get(b"X/Y: a\r\n"), 400),
    "at sign in a name": (get(b"X@Y: a\r\n"), 400),
    "brackets in a name": (get(b"X[Y]: a\r\n"), 400),
    "quote in a name": (get(b'X"Y: a\r\n'), 400),
    "UTF-8 in a name": (get("Ünicode: a\r\n".encode()), 400),
    "long s in a name": (post("Tran\u017ffer-Encoding: chunked\r\n".encode(), body=_EMPTY), 400),
    # Host.
    "no Host": (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
    "two Hosts": (get(b"Host: elsewhere\r\n"), 400),
    "two equal Hosts": (get(HOST), 400),
    "Host with a blank": (_LINE + b"Host: a b\r\n\r\n", 400),
    "Host with a path": (_LINE + b"Host: a/b\r\n\r\n", 400),
    "Host with a user": (_LINE + b"Host: user@cluster\r\n\r\n", 400),
    # The request line.
    "HTTP/0.9": (b"GET /\r\n" + HOST + b"\r\n", 400),
    "HTTP/2.0": (get(line=b"GET / HTTP/2.0"), 505),
    "HTTP/0.1": (get(line=b"GET / HTTP/0.1"), 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "version in lower case": (get(line=b"GET / http/1.1"), 400),
    "version with two digits": (get(line=b"GET / HTTP/1.10"), 400),
    "version with a comma": (get(line=b"GET / HTTP/1,1"), 400),
    "version with a blank": (get(line=b"GET / HTTP/1. 1"), 400),
    "another protocol": (get(line=b"GET / ICAP/1.1"), 400),
    "two blanks after the method": (get(line=b"GET  / HTTP/1.1"), 400),
    "two blanks before the version": (get(line=b"GET /  HTTP/1.1"), 400),
    "blank after the version": (get(line=b"GET / HTTP/1.1 "), 400),
    "blank before the method": (get(line=b" GET / HTTP/1.1"), 400),
    "tab after the method": (get(line=b"GET\t/ HTTP/1.1"), 400),
    "tab before the version": (get(line=b"GET /\tHTTP/1.1"), 400),
    "blank in the target": (get(line=b"GET /a b HTTP/1.1"), 400),
    "NUL in the target": (get(line=b"GET /a\x00b HTTP/1.1"), 400),
    "DEL in the target": (get(line=b"GET /a\x7fb HTTP/1.1"), 400),
    "no target": (get(line=b"GET HTTP/1.1"), 400),
    "odd method": (get(line=b"G(T / HTTP/1.1"), 400),
    "empty method": (get(line=b"/ HTTP/1.1"), 400),
    "bad escape": (get(line=b"GET /a%zz HTTP/1.1"), 400),
    "target without a slash": (get(line=b"GET api HTTP/1.1"), 400),
    "backslash for a slash": (get(line=b"GET \\api HTTP/1.1"), 400),
    "absolute form to elsewhere": (get(line=b"GET http://elsewhere/api HTTP/1.1"), 400),
    "absolute form of another scheme": (get(line=b"GET ftp://cluster/api HTTP/1.1"), 400),
    "a TLS hello to a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "unknown expectation": (get(b"Expect: 200-maybe\r\n"), 417),
}
"""What comes (with the empty line), and the code that the client gets."""

REFUSED_CHUNKS: Final[dict[str, bytes]] = {
    "plus": b"+5\r\nabcde\r\n0\r\n\r\n",
    "minus": b"-5\r\nabcde\r\n0\r\n\r\n",
    "underscore": b"1_0\r\nabcdefghijklmnop\r\n0\r\n\r\n",
    "0x": b"0x5\r\nabcde\r\n0\r\n\r\n",
    "blank before": b" 5\r\nabcde\r\n0\r\n\r\n",
    "blank after": b"5 \r\nabcde\r\n0\r\n\r\n",
    "empty": b"\r\nabcde\r\n0\r\n\r\n",
    "no hex": b"g\r\nabcde\r\n0\r\n\r\n",
    "17 digits": b"00000000000000005\r\nabcde\r\n0\r\n\r\n",
    "past 64 bits": b"10000000000000005\r\nabcde\r\n0\r\n\r\n",
    "size ends with LF": b"5\nabcde\r\n0\r\n\r\n",
    "extension holds LF": b"5;a\nb\r\nabcde\r\n0\r\n\r\n",
    "extension holds CR": b"5;a\rb\r\nabcde\r\n0\r\n\r\n",
    "extension holds NUL": b"5;a\x00b\r\nabcde\r\n0\r\n\r\n",
    "no CR LF after the data": b"5\r\nabcde0\r\n\r\n",
    "LF after the data": b"5\r\nabcde\n0\r\n\r\n",
    "data longer than told": b"5\r\nabcdef\r\n0\r\n\r\n",
    "trailer without a colon": b"5\r\nabcde\r\n0\r\nnonsense\r\n\r\n",
    "trailer with a blank before the colon": b"5\r\nabcde\r\n0\r\nX : y\r\n\r\n",
    "folded trailer": b"5\r\nabcde\r\n0\r\nX: y\r\n z\r\n\r\n",
    "trailer that ends with LF": b"5\r\nabcde\r\n0\r\nX: y\n\r\n\r\n",
    "trailers end with LF": b"5\r\nabcde\r\n0\r\n\nGET / HTTP/1.1\r\n\r\n",
}
"""Bodies of a chunked POST that are refused; the head before them is in order."""

FRAMING_TRAILERS: Final[dict[str, bytes]] = {
    "Content-Length": b"Content-Length: 5",
    "Transfer-Encoding": b"Transfer-Encoding: chunked",
    "Host": b"Host: elsewhere",
    "Authorization": b"Authorization: Bearer other",
    "Impersonate-User": b"Impersonate-User: system:admin",
    "X-Remote-User": b"X-Remote-User: system:admin",
}
"""Trailers that nobody may take for headers: refused, or dropped."""

LEGAL: Final[dict[str, bytes]] = {
    "no blank after the colon": get(b"X:a\r\n"),
    "blanks and tabs round a value": get(b"X: \t a \t \r\n"),
    "empty value": get(b"X:\r\n"),
    "value of blanks": get(b"X:   \r\n"),
    "tab in a value": get(b"X: a\tb\r\n"),
    "UTF-8 in a value": get("X: grün\r\n".encode()),
    "Latin-1 in a value": get(b"X: gr\xfcn\r\n"),
    "every character of a token": get(b"!#$%&'*+-.^_`|~09azAZ: a\r\n"),
    "underscore in a name": get(b"X_Y: a\r\n"),
    "a header twice": get(b"X: a\r\n", b"X: b\r\n"),
    "a hundred headers": get(*(b"X-%d: y\r\n" % n for n in range(100))),
    "200 KB of headers": get(*(b"X-%d: %b\r\n" % (n, b"y" * 2000) for n in range(100))),
    "a target of 8 KB": get(line=b"GET /api/v1/pods?labelSelector=" + b"a" * 8000 + b" HTTP/1.1"),
    "a method that nobody knows": get(line=b"PURGE /api/v1/pods HTTP/1.1"),
    "a method in lower case": get(line=b"get /api/v1/pods HTTP/1.1"),
    "OPTIONS": get(line=b"OPTIONS /api/v1/pods HTTP/1.1"),
    "slashes": get(line=b"GET //api//v1/./pods/../x HTTP/1.1"),
    "escapes": get(line=b"GET /api/v1/namespaces/a%2Fb%2e%20/pods HTTP/1.1"),
    "semicolon in the path": get(line=b"GET /api/v1;x=y/pods HTTP/1.1"),
    "what looks like a fragment": get(line=b"GET /api/v1/pods#a?b=#c HTTP/1.1"),
    "question marks": get(line=b"GET /api/v1/pods?a=?b&c='d' HTTP/1.1"),
    "asterisk": get(line=b"OPTIONS * HTTP/1.1"),
    "asterisk of a GET, as Go's server": get(line=b"GET * HTTP/1.1"),
    "HTTP/1.2 is read as 1.1": get(line=b"GET /api/v1/pods HTTP/1.2"),
    "Host with a port": _LINE + b"Host: cluster:6443\r\n\r\n",
    "Host in another case": _LINE + b"hOsT: cluster\r\n\r\n",
    "Host of IPv6": _LINE + b"Host: [::1]:6443\r\n\r\n",
    "HTTP/1.0 without Host": b"GET /api/v1/pods HTTP/1.0\r\n\r\n",
    "length 0": post(b"Content-Length: 0\r\n"),
    "length with leading zeros": post(b"Content-Length: 0005\r\n", body=b"abcde"),
    "length of a GET": get(b"Content-Length: 5\r\n") + b"abcde",
    "chunked in another case": post(b"Transfer-Encoding: Chunked\r\n", body=b"5\r\nabcde\r\n0\r\n\r\n"),
    "chunk extensions": post(_CHUNKED, body=b'5;a=b;c="d"\r\nabcde\r\n0;e\r\n\r\n'),
    "chunk sizes in any case, with zeros": post(_CHUNKED, body=b"00a\r\nabcdefghij\r\nA\r\nabcdefghij\r\n000\r\n\r\n"),
    "a trailer": post(_CHUNKED, body=b"5\r\nabcde\r\n0\r\nX-Checksum: y\r\n\r\n"),
    "Connection names much": get(b"Connection: keep-alive, X, , Y\r\n", b"X: a\r\n"),
    "Connection twice": get(b"Connection: X\r\n", b"Connection: Y\r\n"),
    "Upgrade without Connection": get(b"Upgrade: h2c\r\n"),
    "TE and Trailer": get(b"TE: trailers\r\n", b"Connection: TE\r\n"),
    "Expect in another case": post(b"Expect: 100-Continue\r\n", b"Content-Length: 5\r\n", body=b"abcde"),
    "Keep-Alive and Proxy-Connection": get(b"Keep-Alive: timeout=5\r\n", b"Proxy-Connection: keep-alive\r\n"),
}
"""What must pass: whole requests, with their bodies."""

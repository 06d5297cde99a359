"""Addresses: from where a request came, as kube-apiserver tells it (spec §5.6).

The first X-Forwarded-For line, then X-Real-Ip, then the peer. Addresses are read as sloppily as Go's old parser did,
which Kubernetes keeps: leading zeros are decimal, zones and prefixes are refused. Headers are easily forged; the peer,
always last, is not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from decklog.audit import jsontext

Headers = Iterable[tuple[bytes, bytes]]
"""(lower-case name, value) of each header line, in order, as ASGI gives them."""

_GO_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What Go trims."""
_PLAIN_IPV4: Final = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!\Z)|\Z)){4}", re.ASCII)
_OCTET: Final = re.compile(r"[0-9]+", re.ASCII)
_GROUP: Final = re.compile(r"[0-9A-Fa-f]+", re.ASCII)
_MAPPED: Final = 0xFFFF << 32


def source_ips(headers: Headers, peer: str) -> tuple[str, ...]:
    """List the addresses that a request came through: forwarded, real, peer; empty for a unix socket.

    `peer` is ``host``, ``host:port`` or ``[v6]:port``. Of repeated headers the first line counts. Never fails.
    """
    forwarded = real = None
    for name, value in headers:
        if name == b"x-forwarded-for" and forwarded is None:
            forwarded = value
        elif name == b"x-real-ip" and real is None:
            real = value
    return chain(forwarded, real, peer)


@lru_cache(maxsize=1024)
def alone(peer: str) -> tuple[str, ...]:
    """List the addresses of a request that nobody forwarded: its peer, if that is an address."""
    return chain(None, None, peer)


def chain(forwarded: bytes | None, real: bytes | None, peer: str) -> tuple[str, ...]:
    """List the addresses told by the first X-Forwarded-For line, the first X-Real-Ip line, and the peer."""
    last = _peer(peer)
    if not forwarded and not real:
        return (last,) if last else ()
    return _chain(forwarded or b"", real or b"", last)


def _chain(forwarded: bytes, real: bytes, peer: str) -> tuple[str, ...]:
    chain = [address for part in jsontext.text(forwarded).split(",") if (address := canonical(part.strip(_GO_SPACE)))]
    proxied = canonical(jsontext.text(real))
    if proxied and proxied not in chain:
        chain.append(proxied)
    # The peer is held against the last entry only: a proxy that names itself is not listed twice.
    if peer and chain[-1:] != [peer]:
        chain.append(peer)
    return tuple(chain)


@lru_cache(maxsize=1024)
def _peer(peer: str) -> str:
    host = _host(peer)
    return (canonical(host) if host is not None else "") or canonical(peer)


def _host(address: str) -> str | None:
    """Part the host from a port, as Go's net.SplitHostPort; None if `address` has not that form."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    return None if set("[]") & set(host + port) else host


def canonical(text: str) -> str:
    """Write an IP address the way Go prints it; empty if `text` is none by the rules of Kubernetes.

    An IPv4 address mapped into IPv6 is printed as IPv4, IPv6 as RFC 5952 asks.
    """
    if _PLAIN_IPV4.fullmatch(text):
        return text
    dot, colon = text.find("."), text.find(":")
    if dot < 0 and colon < 0:
        return ""
    if colon < 0 or 0 <= dot < colon:
        value = _ipv4(text)
        return "" if value is None else str(ipaddress.IPv4Address(value))
    value = _ipv6(text)
    if value is None:
        return ""
    if value >> 32 == 0xFFFF:
        return str(ipaddress.IPv4Address(value ^ _MAPPED))
    return str(ipaddress.IPv6Address(value))


def _ipv4(text: str) -> int | None:
    """Read four decimal numbers; leading zeros are no octal."""
    octets = text.split(".")
    if len(octets) != 4 or not all(map(_OCTET.fullmatch, octets)):
        return None
    values = [int(digits[:4] or "0") for digits in (octet.lstrip("0") for octet in octets)]
    return int.from_bytes(values) if max(values) <= 255 else None


def _ipv6(text: str) -> int | None:
    """Read groups of hexadecimal digits, of which ``::`` stands for one or more that are zero."""
    head, gap, tail = text.partition("::")
    left = _groups(head, last=not gap)
    right = _groups(tail, last=True) if gap else []
    if left is None or right is None:
        return None
    missing = 8 - len(left) - len(right)
    if (missing < 1) if gap else (missing != 0):
        return None
    return int.from_bytes(b"".join(group.to_bytes(2) for group in [*left, *[0] * missing, *right]))


def _groups(text: str, *, last: bool) -> list[int] | None:
    """Read ``a:b:1.2.3.4`` into 16-bit groups; the dotted form only at the end of the address."""
    if not text:
        return []
    *parts, end = text.split(":")
    tail: list[int] | None
    if "." in end:
        value = _ipv4(end) if last else None
        tail = None if value is None else [value >> 16, value & 0xFFFF]
    else:
        parts, tail = [*parts, end], []
    if tail is None or not all(map(_GROUP.fullmatch, parts)):
        return None
    values = [int(digits[:5] or "0", 16) for digits in (part.lstrip("0") for part in parts)]
    return [*values, *tail] if max(values, default=0) <= 0xFFFF else None

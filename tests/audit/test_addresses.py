from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.addresses import canonical, source_ips


def _headers(forwarded: tuple[bytes, ...], real: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    return [
        (b"host", b"api"),
        *[(b"x-forwarded-for", value) for value in forwarded],
        *[(b"x-real-ip", value) for value in real],
        (b"accept", b"*/*"),
    ]


_CHAINS: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...], str, tuple[str, ...]]] = {
    "the peer alone": ((), (), "192.0.2.1:99", ("192.0.2.1",)),
    "without a port": ((), (), "192.0.2.1", ("192.0.2.1",)),
    "a bare IPv6": ((), (), "2001:DB8::1", ("2001:db8::1",)),
    "an IPv6 with a port": ((), (), "[::1]:8", ("::1",)),
    "an IPv4 in brackets": ((), (), "[192.0.2.1]:8", ("192.0.2.1",)),
    "an empty port": ((), (), "192.0.2.1:", ("192.0.2.1",)),
    "brackets without a port": ((), (), "[::1]", ()),
    "a bracket in the port": ((), (), "[::1]:[", ()),
    "a zone": ((), (), "[fe80::1%eth0]:8", ()),
    "a unix socket": ((), (), "@", ()),
    "nobody": ((), (), "", ()),
    "forwarded": ((b"1.1.1.1, 2.2.2.2",), (), "3.3.3.3:1", ("1.1.1.1", "2.2.2.2", "3.3.3.3")),
    "the peer ends the chain": ((b"1.1.1.1,2.2.2.2",), (), "2.2.2.2:1", ("1.1.1.1", "2.2.2.2")),
    "the peer began the chain": ((b"1.1.1.1,2.2.2.2",), (), "1.1.1.1:1", ("1.1.1.1", "2.2.2.2", "1.1.1.1")),
    "duplicates stay": ((b"1.1.1.1,1.1.1.1",), (), "1.1.1.1:1", ("1.1.1.1", "1.1.1.1")),
    "what does not parse is skipped": (
        (b"unknown, 1.1.1.1:80, [::1], , 10.0.0.0/8, \xff, 2.2.2.2",),
        (),
        "3.3.3.3:1",
        ("2.2.2.2", "3.3.3.3"),
    ),
    "Unicode spaces are trimmed": (("\u3000\u00a01.1.1.1\u2003".encode(),), (), "", ("1.1.1.1",)),
    "separators of information are no spaces": ((b"\x1c1.1.1.1",), (), "", ()),
    "only the first line": ((b"1.1.1.1", b"2.2.2.2"), (), "", ("1.1.1.1",)),
    "an empty first line": ((b"", b"2.2.2.2"), (), "3.3.3.3", ("3.3.3.3",)),
    "a real address": ((), (b"1.1.1.1",), "3.3.3.3:1", ("1.1.1.1", "3.3.3.3")),
    "a real address that is known": ((b"1.1.1.1,2.2.2.2",), (b"1.1.1.1",), "", ("1.1.1.1", "2.2.2.2")),
    "a real address is not trimmed": ((), (b" 1.1.1.1",), "3.3.3.3:1", ("3.3.3.3",)),
    "the real address is the peer": ((b"1.1.1.1",), (b"2.2.2.2",), "2.2.2.2:1", ("1.1.1.1", "2.2.2.2")),
    "mapped addresses are the same": ((b"::ffff:1.1.1.1",), (b"1.1.1.1",), "[::ffff:101:101]:1", ("1.1.1.1",)),
    "no address is not the same": ((b"::",), (), "0.0.0.0:1", ("::", "0.0.0.0")),
}


@pytest.mark.parametrize(("forwarded", "real", "peer", "expected"), _CHAINS.values(), ids=_CHAINS)
def test_the_way_of_a_request(
    forwarded: tuple[bytes, ...], real: tuple[bytes, ...], peer: str, expected: tuple[str, ...]
) -> None:
    """Forwarded addresses, then the real one if it is new, then the peer unless it is the last."""
    assert source_ips(_headers(forwarded, real), peer) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("010.001.000.09", "10.1.0.9"),
        ("0000000000000000000001.2.3.4", "1.2.3.4"),
        ("0" * 9000 + "1.2.3.4", "1.2.3.4"),
        ("255.255.255.255", "255.255.255.255"),
        ("1.2.3.256", ""),
        ("1.2.3", ""),
        ("1.2.3.4.5", ""),
        ("1.2.3.", ""),
        ("1.2.3.4.", ""),
        (".1.2.3", ""),
        ("0x1.2.3.4", ""),
        ("1.2.3.4/8", ""),
        ("+1.2.3.4", ""),
        ("1.2.3.4\n", ""),
        ("\u0661.2.3.4", ""),
        ("1" * 9000 + ".2.3.4", ""),
        ("16909060", ""),
        ("", ""),
        ("::", "::"),
        ("::1", "::1"),
        ("1::", "1::"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1"),
        ("1:0:0:2:0:0:3:4", "1::2:0:0:3:4"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("00001::000000abcd", "1::abcd"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::ffff:0102:0304", "1.2.3.4"),
        ("::FFFF:01.02.03.04", "1.2.3.4"),
        ("::1.2.3.4", "::102:304"),
        ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
        ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        ("1:2:3:4:5:6:7:1.2.3.4", ""),
        ("1:2:3:4:5:6:7", ""),
        ("1:2:3:4:5:6:7:8:9", ""),
        ("1:2:3:4:5:6:7:8::", ""),
        ("::1:2:3:4:5:6:7:8", ""),
        ("1::2::3", ""),
        (":::", ""),
        ("1:::2", ""),
        (":1::", ""),
        ("1::2:", ""),
        ("10000::", ""),
        ("g::", ""),
        ("1.2.3.4::", ""),
        ("1:1.2.3.4::", ""),
        ("::1.2.3.4:5", ""),
        ("::1.2.3", ""),
        ("fe80::1%eth0", ""),
        ("::1/128", ""),
        ("[::1]", ""),
        (":80", ""),
    ],
)
def test_addresses_are_read_sloppily_and_written_strictly(text: str, expected: str) -> None:
    """Leading zeros are decimal; zones, prefixes and brackets are refused; a mapped address is an IPv4 address."""
    assert canonical(text) == expected


@given(st.ip_addresses())
def test_every_address_is_known(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What the standard library writes is read, and written the same, but for mapped addresses."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert canonical(str(address)) == canonical(address.exploded) == str(mapped or address)


_odd = st.text(alphabet="0123456789abcdefF.:[]%, \u00a0\udcff", max_size=24)


@given(_odd, _odd, _odd)
def test_no_header_and_no_peer_makes_it_fail(forwarded: str, real: str, peer: str) -> None:
    """Whatever stands in them, there is a list of addresses in canonical form."""
    headers = _headers((forwarded.encode("utf-8", "surrogateescape"),), (real.encode("utf-8", "surrogateescape"),))
    for address in source_ips(headers, peer):
        assert str(ipaddress.ip_address(address)) == address

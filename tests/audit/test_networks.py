from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.networks import NetworkPattern, address_key

if TYPE_CHECKING:
    import ipaddress


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("203.0.113.9", ["203.0.113.9"], ["203.0.113.90", "203.0.113.8", "", "nobody"]),
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["11.0.0.0", "9.255.255.255", "::a00:1"]),
        ("10.1.2.3/8", ["10.9.9.9"], ["11.0.0.0"]),
        ("0.0.0.0/0", ["1.2.3.4"], ["::1", "1.2.3.4.5"]),
        ("fd00::/8", ["fd00::1", "FD12:0:0:0:0:0:0:1"], ["fe00::1", "253.0.0.1"]),
        ("::/0", ["::", "1:2:3:4:5:6:7:8"], ["1.2.3.4", "fe80::1%eth0", "1::2::3"]),
    ],
)
def test_an_address_is_in_a_network(pattern: str, inside: list[str], outside: list[str]) -> None:
    """An address or a network covers what lies in it; what is no address lies in none."""
    parsed = NetworkPattern.parse(pattern)
    assert all(map(parsed.covers, inside))
    assert not any(map(parsed.covers, outside))
    assert NetworkPattern.parse(f"-{pattern}").negated


@pytest.mark.parametrize("text", ["", "10", "10.0.0.0/33", "10.0.*", "localhost", "-"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """The error shows how one is written."""
    with pytest.raises(ValueError, match=r"such as 10\.0\.0\.0/8"):
        NetworkPattern.parse(text)


@given(st.ip_addresses(), st.ip_addresses())
def test_keys_sort_as_addresses_do(one: ipaddress.IPv4Address, other: ipaddress.IPv4Address) -> None:
    """Text order of keys is the order of the addresses of one kind."""
    if one.version == other.version:
        assert (address_key(str(one)) < address_key(str(other))) is (int(one) < int(other))

"""Networks: addresses as events carry them, compared with networks as people write them (CIDR); pure.

An address becomes a key: text that sorts as the address does, IPv4 and IPv6 apart. A network is then two keys, and "in
it" is a comparison that SQL can make as well (`query_sql`). What is no address has no key, and is in no network.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from typing import Final, Self

from msgspec import Struct

_IPV4: Final = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.|$)){4}(?<!\.)")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:]+")


@lru_cache(maxsize=4096)
def address_key(text: str) -> str:
    """Give the key of an address: ``4`` and the octets in three digits each, or ``6`` and 32 hexadecimal digits.

    Empty for what is none. An IPv4 address is not taken for its IPv6-mapped form: Go, which writes the log, never
    writes that.
    """
    if _IPV4.fullmatch(text):
        return "4" + "".join(octet.zfill(3) for octet in text.split("."))
    if ":" not in text or not _IPV6.fullmatch(text):
        return ""
    try:
        return f"6{int(IPv6Address(text)):032x}"
    except ValueError:
        return ""


class NetworkPattern(Struct, frozen=True):
    """One wanted or unwanted address or network: ``203.0.113.9``, ``10.0.0.0/8``, ``-fd00::/8``."""

    text: str
    low: str
    high: str
    negated: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[-]ADDRESS[/BITS]``; ValueError for anything else. Bits beyond the network's are not minded."""
        negated = text.startswith("-")
        bare = text.removeprefix("-")
        try:
            network = ip_network(bare, strict=False)
        except ValueError:
            raise ValueError(
                f"{text!r} is not an address such as 203.0.113.9, nor a network such as 10.0.0.0/8"
            ) from None
        ends = (address_key(str(network[0])), address_key(str(network[-1])))
        return cls(bare, *ends, negated)

    def covers(self, address: str) -> bool:
        """Tell whether `address` lies in the network; negation is the caller's (`query.admits`)."""
        return self.low <= address_key(address) <= self.high

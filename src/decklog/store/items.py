"""What goes into a journal, and what makes two of them the same event."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

_TYPE_META: Final = re.compile(
    rb'\{\s*(?:(?:"kind"\s*:\s*"Event"|"apiVersion"\s*:\s*"audit\.k8s\.io/[a-z0-9]+")\s*,\s*){1,2}'
)
"""Kind and version where encoders put them: in front. Anywhere else they stay part of the identity."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """One event on its way into a journal."""

    line: bytes
    """The event's JSON as it came, in one line: no newline and no NUL in it, neither of which JSON may hold raw."""
    identity: bytes
    """What `identity_of` gives."""


class Appended(msgspec.Struct, frozen=True, gc=False):
    """What became of a batch; the sum is its size."""

    stored: int
    """Events that are on disk now."""
    doubled: int
    """Events that were there already."""


def identity_of(cluster: str, line: bytes) -> bytes:
    """Give the SHA-256 of the cluster, a NUL, and the event's bytes without a leading kind and apiVersion.

    An item of a webhook's EventList lacks these two, the same event's line in a log begins with them; both are one
    event. The audit ID alone would not do: a client chooses it, and would hide an event behind another one's.
    """
    found = _TYPE_META.match(line)
    if found is not None:
        line = b"{" + line[found.end() :]
    return hashlib.sha256(b"%b\0%b" % (cluster.encode(), line)).digest()

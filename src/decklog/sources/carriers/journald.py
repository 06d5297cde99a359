"""journald: events that an API server wrote to its standard output, as ``journalctl -o json`` shows them.

An entry tells its origin by ``_SYSTEMD_UNIT``, which journald itself writes and no client can forge: it has to be a
unit that runs an API server, or decklog. Whatever else such a unit says is passed over. An entry of a container (Docker
has a driver that writes to journald) is a container's output, whoever claims it.

``MESSAGE`` is a text, or a list of bytes where it is no UTF-8; null where journalctl left out what is long.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from decklog.audit import jsontext
from decklog.audit.jsontext import WireError
from decklog.sources.carriers.envelope import (
    CONTAINER,
    OTHER,
    Message,
    all_said,
    claims_to_be_an_event,
    content,
    said,
)
from decklog.sources.record import Provenance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.sources.carriers.envelope import Members

CARRIER: Final = "journald"

_UNIT: Final = re.compile(
    r"(?:kube-apiserver|k3s|k0scontroller|snap\.microk8s\.daemon-(?:kubelite|apiserver)|decklog(?:-[a-z]+)?)\.service"
)
_FROM_CONTAINER: Final = ("CONTAINER_NAME", "CONTAINER_ID", "CONTAINER_ID_FULL")
_OTHER_UNIT: Final = "from a unit of systemd that runs no API server"


def entry(envelope: Members, *, declared: bool) -> Iterator[Message]:
    """Open one entry."""
    line = _bytes(envelope["MESSAGE"])
    known = _UNIT.fullmatch(said(envelope.get("_SYSTEMD_UNIT"))) is not None
    contained = any(key in envelope for key in _FROM_CONTAINER)
    provenance = Provenance(CARRIER, "", (), all_said(envelope, "_HOSTNAME", "_SYSTEMD_UNIT", "__REALTIME_TIMESTAMP"))
    if line is None and known and not contained:
        yield Message(b"", provenance, problem="left out by journalctl because it is long: run journalctl with --all")
    elif line is None or not claims_to_be_an_event(line) or not line.lstrip().startswith(b"{"):
        yield OTHER
    elif contained or not (known or (declared and "_SYSTEMD_UNIT" not in envelope)):
        yield Message(line, provenance, problem=CONTAINER if contained else _OTHER_UNIT)
    else:
        yield Message(line, provenance)


def _bytes(value: bytes) -> bytes | None:
    """Read a field of journald; None if it was left out."""
    if value.startswith(b"["):
        numbers: Any = jsontext.load(value)
        try:
            return bytes(numbers)
        except (TypeError, ValueError):
            raise WireError("MESSAGE: neither a text nor a list of bytes") from None
    return content(value)

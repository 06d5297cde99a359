"""AKS: events in Azure's diagnostic records, one a line (storage account) or ``{"records": […]}`` (Event Hubs).

A record tells its origin by its category: ``kube-audit`` and ``kube-audit-admin`` are the API server's audit log;
others carry the diagnostics of other parts, and are passed over. The event is a string in ``properties.log``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.sources.carriers.envelope import OTHER, Message, all_said, content, inner, members, said
from decklog.sources.record import Provenance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.sources.carriers.envelope import Members

CARRIER: Final = "AKS"
CATEGORIES: Final = frozenset({"kube-audit", "kube-audit-admin"})


def record(envelope: Members) -> Iterator[Message]:
    """Open one diagnostic record."""
    if said(envelope.get("category")) not in CATEGORIES:
        yield OTHER
        return
    properties = inner(envelope, "properties")
    if not properties and (text := content(envelope.get("properties"))):  # some pipelines make a string of it
        properties = members(text)
    cluster = said(envelope.get("resourceId")).rstrip("/").rpartition("/")[2]
    about = {**all_said(envelope, "time", "category", "resourceId"), **all_said(properties, "pod")}
    yield Message(content(properties.get("log")) or b"", Provenance(CARRIER, cluster, (), about))

"""What decklog counts of itself, under kube-apiserver's names (spec §8). Lives in the cellar.

Plain integers: a count costs nanoseconds on the request path, and a listener may render them in any format.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class AuditCounters:
    """The four counters of the Kubernetes audit system."""

    event_total: int = 0
    """apiserver_audit_event_total: events sent to the backend, one a stage, whatever became of them."""

    error_total: Counter[str] = field(default_factory=Counter)
    """apiserver_audit_error_total{plugin}: events that a plugin failed to audit properly."""

    level_total: dict[str, int] = field(default_factory=dict)
    """apiserver_audit_level_total{level}: decisions, one a request, None included."""

    requests_rejected_total: int = 0
    """apiserver_audit_requests_rejected_total: requests refused because the backend failed."""

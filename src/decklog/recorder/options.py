"""What can be tuned in recording."""

from __future__ import annotations

from dataclasses import dataclass

from decklog.options import option


@dataclass(frozen=True, slots=True)
class RecorderOptions:
    """How the recorder writes events; the defaults are kube-apiserver's behaviour."""

    annotate_rule: bool = option(
        "--audit-annotate-rule",
        default=False,
        help="Write into each event which rule of the policy decided, as the annotation decklog/rule (from 0).",
    )
    body_limit: int = 16 * 1024 * 1024
    """Bytes of a body that are kept at most; a longer one is left out of the event, and the event says so."""
    aggregated_groups: frozenset[str] = frozenset()
    """API groups that the server hands on to an aggregated API: only their metadata is recorded (spec §5.7)."""
    typed: bool = True
    """Record only answers with a kind, as Kubernetes does. False for other APIs: any JSON counts."""

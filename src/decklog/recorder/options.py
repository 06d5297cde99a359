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
    """Record only what has a kind, as Kubernetes does, and of a request that failed only what its Status lets conclude.

    False for other APIs: any JSON counts, and the body of a failed request is recorded if it can be read, unless the
    code says that nobody read it (401, 405, 406, 413, 415, 429, 503).
    """

"""Flags of ours that concern several backends; the flags of one stand beside it."""

from __future__ import annotations

from dataclasses import dataclass

from decklog.options import option


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """What kube-apiserver does not have."""

    truncate_fields: bool = option(
        "--audit-truncate-fields",
        default=False,
        help="Where truncation is on: cut the fields of an event whose metadata alone is too large, with length and "
        "SHA-256 of what was cut, instead of dropping the event.",
    )
    intent_path: str = option(
        "--audit-intent-path",
        "",
        "In blocking-strict mode, where the policy omits RequestReceived: keep a record of each request until it is "
        "complete in this file. Default: the path of the log and '.intents'; needed for a strict webhook alone.",
        metavar="FILE",
    )

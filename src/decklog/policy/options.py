"""What can be tuned in the policy: which file, how strictly, for which release."""

from __future__ import annotations

from dataclasses import dataclass

from decklog.options import option


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """The flags of the policy. `--audit-policy-file` is kube-apiserver's (spec §7), the others are ours."""

    file: str = option(
        "--audit-policy-file", "", "Decide by the policy in this file; unset: auditing is off.", metavar="FILE"
    )
    lenient: bool = option(
        "--audit-policy-lenient",
        default=False,
        help="Load the policy as kube-apiserver does: unknown and duplicate keys are warnings, not errors.",
    )
    kubernetes: str = option(
        "--kubernetes", "1.37", "Read the policy as this release of Kubernetes does.", metavar="VERSION"
    )

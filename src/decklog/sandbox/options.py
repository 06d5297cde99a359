"""What can be set about the sandbox, as flags and in the configuration file."""

from __future__ import annotations

from dataclasses import dataclass

from decklog.options import option
from decklog.sandbox.rbac import ROLES


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What can be set about the sandbox."""

    kubeconfig_out: str = option(
        "--kubeconfig-out",
        "",
        "file to write a kubeconfig to, with a context for each account (mode 0600); without it none is written",
        metavar="FILE",
    )
    users: str = option(
        "--sandbox-users",
        "",
        f"more accounts, as NAME=ROLE[,NAME=ROLE…]; roles are {', '.join(ROLES)}",
        metavar="NAME=ROLE,…",
    )

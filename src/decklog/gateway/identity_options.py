"""What can be tuned in who the caller is, and as whom a request goes on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from decklog.errors import DecklogError
from decklog.options import Seconds, option

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class IdentityOptions:
    """The callers' identity. Names are kube-apiserver's; the header names that it only suggests are defaults here."""

    anonymous: bool = option(
        "--anonymous-auth",
        default=True,
        help="Take requests without credentials as system:anonymous; off: they get 401.",
    )
    token_identity: str = option(
        "--token-identity",
        "selfsubjectreview",
        "How the upstream is asked whose a token is: with the token itself (needs no right of ours, Kubernetes 1.28), "
        "or by a TokenReview with our own credentials (needs system:auth-delegator).",
        choices=("selfsubjectreview", "tokenreview"),
    )
    token_cache_ttl_s: float = option(
        "--token-cache-ttl",
        Seconds(10),
        "How long the answer is kept; that nobody knows a token, a tenth of it. 0: not at all.",
    )
    front_proxy_ca_file: str = option(
        "--requestheader-client-ca-file",
        "",
        "Believe the X-Remote-* headers of clients whose certificate one of these authorities has signed.",
        metavar="FILE",
    )
    front_proxy_names: str = option(
        "--requestheader-allowed-names",
        "",
        "Common names of those certificates, with commas between them; none: any.",
    )
    username_headers: str = option(
        "--requestheader-username-headers", "X-Remote-User", "Headers that name the user, with commas between them."
    )
    uid_headers: str = option(
        "--requestheader-uid-headers", "X-Remote-Uid", "Headers that hold the user's UID, with commas between them."
    )
    group_headers: str = option(
        "--requestheader-group-headers", "X-Remote-Group", "Headers that name a group, with commas between them."
    )
    extra_prefixes: str = option(
        "--requestheader-extra-headers-prefix",
        "X-Remote-Extra-",
        "What the names of headers with more about the user begin with, with commas between them.",
    )
    towards: str = option(
        "--upstream-identity",
        "auto",
        "As whom requests go on. pass-through: with the caller's own token. impersonate: with our credentials and "
        "Impersonate-* headers. front-proxy: with our certificate and X-Remote-* headers. auto: tokens pass through, "
        "callers with certificates are impersonated.",
        choices=("auto", "pass-through", "impersonate", "front-proxy"),
    )

    def check(self) -> None:
        """Raise DecklogError with everything that cannot be."""
        problems = [
            f"{flag}: {name!r} is no header's name"
            for flag, text in (
                ("--requestheader-username-headers", self.username_headers),
                ("--requestheader-uid-headers", self.uid_headers),
                ("--requestheader-group-headers", self.group_headers),
                ("--requestheader-extra-headers-prefix", self.extra_prefixes),
            )
            for name in listed(text)
            if _TOKEN.fullmatch(name) is None
        ]
        if self.front_proxy_ca_file and not listed(self.username_headers):
            problems.append(
                "--requestheader-client-ca-file needs --requestheader-username-headers, such as X-Remote-User"
            )
        if self.token_cache_ttl_s < 0:
            problems.append("--token-cache-ttl cannot be negative: give 0 to ask about every request")
        if problems:
            raise DecklogError("; ".join(problems))


def listed(text: str) -> tuple[str, ...]:
    """Take a list with commas apart; empty items are left out."""
    return tuple(item.strip() for item in text.split(",") if item.strip())

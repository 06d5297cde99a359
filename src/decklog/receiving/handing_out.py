"""Handing out: the file that kube-apiserver's ``--audit-webhook-config-file`` wants, so that it sends here.

Unlike the kubeconfigs of the gateway it holds credentials: the sender's certificate and key, or a token. Without them
it says where they go. It is written with mode 0600.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml

from decklog import certificates
from decklog.access.handing_out import self_signed
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from decklog.receiving.options import ReceiverOptions

_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  # because: addresses that are refused, not bound
_NAME: Final = "decklog"


def write(options: ReceiverOptions, url: str, certificate_pem: bytes = b"") -> None:
    """Write the file of ``--kubeconfig-out``; without the flag, do nothing.

    `url` is where the receiver listens, `certificate_pem` the chain that it shows (empty: plain HTTP). What signs
    itself in the chain is the CA that the file names; where nothing does, the sender's system has to know one. Raises
    DecklogError when the file would be of no use, or cannot be written.
    """
    if not options.kubeconfig_out:
        return
    server = options.kubeconfig_out_server or url
    host = _host(server)
    if not host:
        raise DecklogError("--kubeconfig-out-server is no address: give https://HOST:PORT")
    if host in _ANYWHERE:
        raise DecklogError(f"--kubeconfig-out: nobody can dial {host}: give --kubeconfig-out-server https://HOST:PORT")
    text = webhook_config(server, self_signed(certificate_pem), _user(options, is_tls=bool(certificate_pem)))
    certificates.write_private(text.encode(), options.kubeconfig_out)


def webhook_config(server: str, ca_pem: bytes, user: dict[str, str]) -> str:
    """Write the file, with its comments; `user` is the stanza of its only user."""
    cluster: dict[str, Any] = {"server": server}
    if ca_pem and server.startswith("https:"):
        cluster["certificate-authority-data"] = base64.b64encode(ca_pem).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _NAME, "user": user}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
        "current-context": _NAME,
    }
    return _comments(user, server) + yaml.safe_dump(document, sort_keys=False)


def _comments(user: dict[str, str], server: str) -> str:
    lines = [
        "Written by decklog receive, for kube-apiserver:",
        "",
        "  --audit-webhook-config-file=THIS FILE --audit-policy-file=…",
    ]
    if not user and server.startswith("https:"):
        lines += [
            "",
            "It holds no credentials: name the sender's certificate in the user's stanza (client-certificate and",
            "client-key, or a token), or let decklog write it: --sender-cert-file with --sender-private-key-file.",
        ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _user(options: ReceiverOptions, *, is_tls: bool) -> dict[str, str]:
    if not is_tls:
        return {}
    if options.sender_certificate_file:
        pair = certificates.read(options.sender_certificate_file, options.sender_key_file)
        return {
            "client-certificate-data": base64.b64encode(pair.certificate_pem).decode(),
            "client-key-data": base64.b64encode(pair.key_pem).decode(),
        }
    if options.token_file and not options.allowed:
        try:
            tokens = Path(options.token_file).read_text("utf-8").split()
        except (OSError, UnicodeDecodeError):
            tokens = []
        return {"token": tokens[0]} if tokens else {}
    return {}


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        odd = parts.port == 0 or "@" in parts.netloc or parts.query or parts.fragment
    except ValueError:  # of a port or an address in brackets
        return ""
    return (parts.hostname or "") if parts.scheme in {"http", "https"} and not odd else ""

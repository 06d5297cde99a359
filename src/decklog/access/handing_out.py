"""Handing out: the kubeconfig that users of the gateway point kubectl at. It holds no credentials.

Its clusters and contexts are those of the gateway's own kubeconfig that lead to the upstream, under names that end in
``-audited``: who lists several kubeconfigs always sees which way he goes. Its contexts name the *same users*, and the
file leaves out their stanzas: kubectl finds them in the kubeconfig that a user already has (``aws eks
update-kubeconfig`` and its likes name users alike for everybody), or the user adds one. The gateway's own credentials
may impersonate; nobody should get them by accident, so nothing is copied from its kubeconfig but names.
"""

from __future__ import annotations

import base64
import contextlib
import shlex
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml
from cryptography import x509

from decklog import certificates, kubeconfig
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.access.options import UpstreamOptions
    from decklog.kubeconfig import Context

SUFFIX: Final = "-audited"
NOWHERE: Final = kubeconfig.Context("gateway", "gateway", "me")
"""What is handed out where the gateway has no kubeconfig itself (in a pod)."""

_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  # because: addresses that are refused, not bound


def write(options: UpstreamOptions, url: str, certificate_pem: bytes = b"") -> None:
    """Write the file of ``--kubeconfig-out``, mode 0600; without the flag, do nothing.

    `url` is where the gateway listens, `certificate_pem` the chain that it shows (empty: plain HTTP). Raises
    DecklogError when the file would be of no use, or cannot be written.
    """
    if not options.kubeconfig_out:
        return
    server = _server(options.kubeconfig_out_server or url, given=bool(options.kubeconfig_out_server))
    if options.kubeconfig_out_ca_file:
        authority = certificates.read_pem(options.kubeconfig_out_ca_file)
        if not _certificates(authority, options.kubeconfig_out_ca_file):
            raise DecklogError(f"{options.kubeconfig_out_ca_file} holds no certificate: give a PEM file")
    else:
        authority = self_signed(certificate_pem)
    found = kubeconfig.contexts(options.kubeconfig, options.context) if options.kubeconfig else ()
    text = users_kubeconfig(server, authority, found or (NOWHERE,), path=options.kubeconfig_out)
    certificates.write_private(text.encode(), options.kubeconfig_out)


def users_kubeconfig(server: str, ca_pem: bytes, contexts: Sequence[Context], *, path: str = "FILE") -> str:
    """Write the kubeconfig, with its comments; the first of `contexts` (at least one) is current.

    An empty `ca_pem` means the CAs of the user's system. `path` is how the comments call the file.
    """
    cluster: dict[str, Any] = {"server": server}
    if ca_pem and server.startswith("https:"):
        cluster["certificate-authority-data"] = base64.b64encode(ca_pem).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": contexts[0].cluster + SUFFIX, "cluster": cluster}],
        "contexts": [{"name": context.name + SUFFIX, "context": _context(context)} for context in contexts],
        "current-context": contexts[0].name + SUFFIX,
    }
    return _comments(server, ca_pem, contexts, path) + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def self_signed(certificate_pem: bytes) -> bytes:
    """Choose the certificates of a chain that sign themselves: what users can trust for as long as they last.

    An issuer in the middle is none: it may be replaced while the root stays. Raises DecklogError for what is no PEM.
    """
    found = _certificates(certificate_pem, "--tls-cert-file")
    return b"".join(pem for pem, parsed in found if parsed.issuer == parsed.subject)


def _certificates(data: bytes, name: str) -> list[tuple[bytes, x509.Certificate]]:
    end = b"-----END CERTIFICATE-----"
    pems = [b"-----BEGIN CERTIFICATE-----" + part.partition(end)[0] + end + b"\n" for part in _parts(data)]
    try:
        return [(pem, x509.load_pem_x509_certificate(pem)) for pem in pems]
    except ValueError:
        raise DecklogError(f"{name}: a certificate in it cannot be read: give a PEM file") from None


def _parts(data: bytes) -> list[bytes]:
    return data.split(b"-----BEGIN CERTIFICATE-----")[1:]


def _server(url: str, *, given: bool) -> str:
    """Check the address. Raises DecklogError for one that nobody can dial."""
    host = ""
    with contextlib.suppress(ValueError):  # of a port or an address in brackets
        parts = urlsplit(url)
        odd = parts.port == 0 or "@" in parts.netloc or parts.query or parts.fragment
        host = parts.hostname or "" if parts.scheme in {"http", "https"} and not odd else ""
    if not host:
        # It is not shown: it may hold a password.
        raise DecklogError("--kubeconfig-out-server is no address: give https://HOST:PORT")
    if not given and host in _ANYWHERE:
        raise DecklogError(
            f"--kubeconfig-out: users cannot dial {host}: give --kubeconfig-out-server https://HOST:PORT"
        )
    return url


def _context(context: Context) -> dict[str, str]:
    namespace = {"namespace": context.namespace} if context.namespace else {}
    return {"cluster": context.cluster + SUFFIX, "user": context.user, **namespace}


def _comments(server: str, ca_pem: bytes, contexts: Sequence[Context], path: str) -> str:
    add = f"  kubectl --kubeconfig {_word(path)} config set-credentials {_word(contexts[0].user)}"
    lines = [
        "Written by decklog gateway: everything that goes this way is audited. There are no credentials in here;",
        "bring your own, either from the kubeconfig that you have for this cluster (users are found by name):",
        "",
        f"  KUBECONFIG={_word(path)}:$HOME/.kube/config kubectl get pods",
        "",
        "or by adding them to this file, one of:",
        "",
        f"{add} --token=TOKEN",
        f"{add} --client-certificate=tls.crt --client-key=tls.key --embed-certs",
        f"{add} --exec-api-version=client.authentication.k8s.io/v1beta1 \\",
        "    --exec-command=aws --exec-arg=eks --exec-arg=get-token --exec-arg=--cluster-name --exec-arg=NAME",
        "",
        "Client certificates are of use when the gateway runs with --client-ca-file.",
        *_warnings(server, ca_pem),
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _warnings(server: str, ca_pem: bytes) -> list[str]:
    if server.startswith("http:"):
        return ["", "The address is plain HTTP: kubectl sends no credentials there, everybody is system:anonymous."]
    if not ca_pem:
        return ["", "No CA is named here: the gateway's certificate is verified against the system's CAs."]
    return []


def _word(text: str) -> str:
    """Write a name as one word of a shell, and of one line: a name may come from a file that others wrote."""
    return shlex.quote("".join(letter if letter.isprintable() else "?" for letter in text))

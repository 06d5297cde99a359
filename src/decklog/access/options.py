"""What can be set about the upstream, as flags and in the configuration file."""

from __future__ import annotations

from dataclasses import dataclass

from decklog.options import option


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """The API server behind the gateway, and the kubeconfig for those who come."""

    kubeconfig: str = option(
        "--kubeconfig",
        "",
        "Reach the API server as this kubeconfig says. Unset: in a pod, its own cluster by its service account.",
        metavar="FILE",
    )
    context: str = option("--context", "", "The context of --kubeconfig. Unset: its current-context.", metavar="NAME")
    kubeconfig_out: str = option(
        "--kubeconfig-out",
        "",
        "Write a kubeconfig for users of the gateway: its address, its CA and their contexts, no credentials.",
        metavar="FILE",
    )
    kubeconfig_out_server: str = option(
        "--kubeconfig-out-server",
        "",
        "The address in --kubeconfig-out, under which users reach the gateway. Unset: the listening address.",
        metavar="URL",
    )
    kubeconfig_out_ca_file: str = option(
        "--kubeconfig-out-ca-file",
        "",
        "The CA in --kubeconfig-out. Unset: the self-signed certificates in --tls-cert-file; if there is none, users "
        "verify the gateway against their system's CAs.",
        metavar="FILE",
    )

"""Nodes: where a control plane node keeps kube-apiserver's manifest, and where its file system is."""

from __future__ import annotations

from typing import Final

import click

MANIFEST: Final = "/etc/kubernetes/manifests/kube-apiserver.yaml"
"""kubeadm's."""

root_option = click.option(
    "--root",
    default="/",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Where the node's file system is, if it is mounted elsewhere.  [default: /]",
)

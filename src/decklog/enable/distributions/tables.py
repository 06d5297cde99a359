"""The tables: for each distribution its file, where flags and mounts go in it, what to do, and what has to be said.

In the sentences ``{policy}`` stands for the policy file as the user named it, ``{place}`` for where the API server
reads it, ``{log}`` for the log's path, ``{flags}`` for the flags as arguments of ``minikube start``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Form(StrEnum):
    """How flags are written."""

    MAP = "map"
    """``audit-log-maxage: "30"``"""
    NAMED = "named"
    """``- name: audit-log-maxage`` and ``value: "30"``"""
    WORDS = "words"
    """``- audit-log-maxage=30``"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where flags and mounts go in one form of a file."""

    flags: tuple[str, ...]
    """The keys that lead to them."""
    form: Form
    mounts: tuple[str, ...] = ()
    """The keys that lead to a list with name, hostPath, mountPath, readOnly, pathType; empty: nothing is mounted."""
    api_version: str = ""
    """Of the document; empty: it is the one that is no object of some API."""
    append: str = ""
    """What the last key of `flags` may end with, and then is added to what other files say of it (k3s: ``+``)."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution."""

    name: str
    title: str
    file: str = ""
    """Where its own configuration usually lies; empty: there is none to edit."""
    kind: str = ""
    """The document's kind; empty: the file is one document without a kind."""
    places: tuple[Place, ...] = ()
    """By form; the first is written where there is no file yet."""
    policy_file: str = "/etc/kubernetes/audit-policy.yaml"
    """Where the API server reads the policy, unless something else is asked for."""
    policy_fixed: bool = False
    """It can be there only."""
    log_path: str = "/var/log/kubernetes/audit/audit.log"
    policy_key: tuple[str, ...] = ()
    """The keys under which the *text* of the policy stands; empty: it is a file."""
    policy_flag_key: str = ""
    """A key of its own that names the policy file, instead of the flag."""
    nodes: bool = False
    """Mounts go through the node first: ``nodes[].extraMounts``, and flags into patches (kind)."""
    own: tuple[str, ...] = ()
    """Flags that it sets by itself, and that need not be written when they are the same: ``--audit-log-maxage=30``."""
    said: tuple[str, ...] = ()
    """What has to be said aloud."""
    then: tuple[str, ...] = ()
    """What to do afterwards, one step each."""
    role: tuple[str, ...] = ()
    """The keys under which a node's file says what the node is; empty: it does not."""
    serving: tuple[str, ...] = ()
    """The roles of nodes that run an API server."""
    managed: bool = False
    """Nothing of it can be set: the gateway records in front of it."""


_KUBEADM_V3: Final = Place(
    ("apiServer", "extraArgs"), Form.MAP, ("apiServer", "extraVolumes"), api_version="kubeadm.k8s.io/v1beta3"
)
_KUBEADM_V4: Final = Place(
    ("apiServer", "extraArgs"), Form.NAMED, ("apiServer", "extraVolumes"), api_version="kubeadm.k8s.io/v1beta4"
)

_DROP_INS: Final = (
    "a file below config.yaml.d, beside it, that has kube-apiserver-arg puts its list in the place of this one;"
    " kube-apiserver-arg+ adds to it"
)
_GATEWAY: Final = (
    (
        "record in front of it: decklog gateway --kubeconfig KUBECONFIG --audit-policy-file {policy} --audit-log-path"
        " audit.log --kubeconfig-out audited.kubeconfig"
    ),
    (
        "let people and pipelines use audited.kubeconfig, and let the cluster's endpoint be reached by the"
        " gateway only:"
        " what goes past the gateway is in no log of yours (docs/gateway.md, Leave no way past it)"
    ),
)

TABLES: Final = (
    Distribution(
        "kubeadm",
        "kubeadm's ClusterConfiguration",
        "kubeadm-config.yaml",
        "ClusterConfiguration",
        (_KUBEADM_V4, _KUBEADM_V3),
        said=(
            (
                "this is what keeps the flags over an upgrade: kubeadm upgrade writes the static pod's manifest"
                " anew, from"
                " the ClusterConfiguration in the ConfigMap kubeadm-config"
            ),
            (
                "the manifest that runs now is not changed by it: decklog enable"
                " /etc/kubernetes/manifests/kube-apiserver.yaml"
                " does that, on every control plane node"
            ),
        ),
        then=(
            (
                "take it from the cluster: kubectl -n kube-system get cm kubeadm-config -o"
                " jsonpath='{{.data.ClusterConfiguration}}' > kubeadm-config.yaml"
            ),
            "put it back: kubeadm init phase upload-config kubeadm --config kubeadm-config.yaml",
            "put the policy ({policy}) on every control plane node, at {place}",
        ),
    ),
    Distribution(
        "kind",
        "kind's cluster configuration",
        "kind.yaml",
        "Cluster",
        (
            Place(
                ("apiServer", "extraArgs"),
                Form.MAP,
                ("apiServer", "extraVolumes"),
                api_version="kind.x-k8s.io/v1alpha4",
            ),
        ),
        policy_file="/etc/kubernetes/policies/audit-policy.yaml",
        policy_fixed=True,
        nodes=True,
        said=(
            "a cluster that runs cannot be changed this way: kind reads the file when it creates one",
            (
                "both forms of kubeadm's patch are written, and kind applies the one that its kubeadm reads"
                " (v1beta4 from"
                " Kubernetes 1.36 on)"
            ),
        ),
        then=(
            "mkdir -p audit, where the log will be on this machine",
            "kind create cluster --config kind.yaml",
            "decklog query -f audit/audit.log",
        ),
    ),
    Distribution(
        "minikube",
        "minikube",
        policy_file="/etc/ssl/certs/audit-policy.yaml",
        policy_fixed=True,
        log_path="-",
        said=(
            (
                "minikube has no file for this: flags are given to minikube start, and files below"
                " ~/.minikube/files are"
                " copied into the node"
            ),
            (
                "the API server's pod mounts no directory that it could write to: the log goes to its standard"
                " output (-),"
                " between its own diagnostics"
            ),
        ),
        then=(
            "mkdir -p ~/.minikube/files/etc/ssl/certs && cp {policy} ~/.minikube/files/etc/ssl/certs/audit-policy.yaml",
            "minikube start {flags}",
            "kubectl -n kube-system logs kube-apiserver-minikube | grep '^{{' | decklog query -f -",
        ),
    ),
    Distribution(
        "k3s",
        "k3s' configuration",
        "/etc/rancher/k3s/config.yaml",
        places=(Place(("kube-apiserver-arg",), Form.WORDS, append="+"),),
        policy_file="/var/lib/rancher/k3s/server/audit.yaml",
        log_path="/var/lib/rancher/k3s/server/logs/audit.log",
        said=("k3s runs the API server in its own process, as root: nothing has to be mounted", _DROP_INS),
        then=(
            "put the policy ({policy}) on every server node, at {place}",
            "mkdir -p -m 700 $(dirname {log})",
            "systemctl restart k3s, one server after the other",
        ),
    ),
    Distribution(
        "rke2",
        "RKE2's configuration",
        "/etc/rancher/rke2/config.yaml",
        places=(Place(("kube-apiserver-arg",), Form.WORDS, append="+"),),
        policy_file="/etc/rancher/rke2/audit-policy.yaml",
        log_path="/var/lib/rancher/rke2/server/logs/audit.log",
        policy_flag_key="audit-policy-file",
        own=(
            "--audit-log-path=/var/lib/rancher/rke2/server/logs/audit.log",
            "--audit-log-maxage=30",
            "--audit-log-maxbackup=10",
            "--audit-log-maxsize=100",
        ),
        said=(
            (
                "RKE2's own policy records nothing: with audit-policy-file, or a profile of CIS, RKE2 writes a"
                " policy whose"
                " only rule has level: None to that path if there is no file yet. A CIS scanner is content, and the log"
                " stays empty"
            ),
            (
                "RKE2 sets maxage 30, maxbackup 10, maxsize 100 and the log's path by itself, and mounts policy"
                " and log; any"
                " other file (a webhook's kubeconfig) needs a kube-apiserver-extra-mount"
            ),
            _DROP_INS,
        ),
        then=(
            (
                "put the policy ({policy}) on every server node, at {place}, *before* RKE2 starts; check it: decklog"
                " policy check {policy}"
            ),
            "systemctl restart rke2-server, one server after the other",
        ),
    ),
    Distribution(
        "talos",
        "Talos' machine configuration",
        "controlplane.yaml",
        places=(Place(("cluster", "apiServer", "extraArgs"), Form.MAP),),
        policy_file="/system/config/kubernetes/kube-apiserver/auditpolicy.yaml",
        policy_fixed=True,
        log_path="/var/log/audit/kube/kube-apiserver.log",
        policy_key=("cluster", "apiServer", "auditPolicy"),
        role=("machine", "type"),
        serving=("controlplane", "init"),
        own=(
            "--audit-log-path=/var/log/audit/kube/kube-apiserver.log",
            "--audit-log-maxage=30",
            "--audit-log-maxbackup=10",
            "--audit-log-maxsize=100",
        ),
        said=(
            (
                "Talos audits already, everything at Metadata, to /var/log/audit/kube; what is written here is"
                " the policy"
                " itself (Talos 1.3 and newer), and flags that differ from Talos' own"
            ),
        ),
        then=(
            (
                "talosctl apply-config -n NODE --file controlplane.yaml, or as a patch: talosctl patch mc -n"
                " NODE --patch"
                " @FILE"
            ),
            "talosctl -n NODE read /var/log/audit/kube/kube-apiserver.log | decklog query -f -",
        ),
    ),
    Distribution(
        "k0s",
        "k0s' configuration",
        "/etc/k0s/k0s.yaml",
        "ClusterConfig",
        (Place(("spec", "api", "extraArgs"), Form.MAP, api_version="k0s.k0sproject.io/v1beta1"),),
        policy_file="/etc/k0s/audit-policy.yaml",
        log_path="/var/lib/k0s/audit/audit.log",
        said=(
            (
                "k0s runs the API server as a process of the user kube-apiserver: nothing has to be mounted,"
                " but that user"
                " has to be able to read the policy and write the log"
            ),
        ),
        then=(
            "put the policy ({policy}) on every controller, at {place}, readable by kube-apiserver",
            "install -d -o kube-apiserver -m 700 $(dirname {log})",
            "k0s stop && k0s start, one controller after the other",
        ),
    ),
    Distribution(
        "eks",
        "Amazon EKS",
        managed=True,
        said=(
            "EKS decides itself what is recorded: neither the policy nor a flag of the API server can be set",
            (
                "what it has can only be switched on and goes to CloudWatch Logs, with entries cut at 256 KB: aws eks"
                " update-cluster-config --name CLUSTER --logging"
                ' \'{{"clusterLogging":[{{"types":["audit"],"enabled":true}}]}}\''
            ),
            "decklog reads its exports: decklog query -f EXPORT.gz (docs/sources.md)",
        ),
        then=_GATEWAY,
    ),
    Distribution(
        "gke",
        "Google GKE",
        managed=True,
        said=(
            "GKE decides itself what is recorded: neither the policy nor a flag of the API server can be set",
            (
                "writes are in Cloud Logging always; reads only with Data Access audit logs for"
                " container.googleapis.com, which are charged for"
            ),
            "decklog reads its exports: decklog query -f EXPORT.json (docs/sources.md)",
        ),
        then=_GATEWAY,
    ),
    Distribution(
        "aks",
        "Azure AKS",
        managed=True,
        said=(
            "AKS decides itself what is recorded: neither the policy nor a flag of the API server can be set",
            (
                "what it has are the diagnostic settings kube-audit (all) and kube-audit-admin (no get and"
                " list): az monitor"
                " diagnostic-settings create"
            ),
            "decklog reads its exports: decklog query -f EXPORT.json (docs/sources.md)",
        ),
        then=_GATEWAY,
    ),
)

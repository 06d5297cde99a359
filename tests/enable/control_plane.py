"""A control plane node as a directory: manifest, certificates, policy, log, all at their usual places below a root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decklog.enable.manifest import StaticPod

if TYPE_CHECKING:
    from pathlib import Path

METADATA = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n"
AUDIT = {
    "--audit-policy-file": "/etc/kubernetes/audit-policy.yaml",
    "--audit-log-path": "/var/log/kubernetes/audit/audit.log",
    "--audit-log-maxage": "30",
    "--audit-log-maxbackup": "10",
    "--audit-log-maxsize": "100",
}
MOUNTS = (
    ("certs", "/etc/kubernetes/pki", "DirectoryOrCreate", True),
    ("audit-policy", "/etc/kubernetes/audit-policy.yaml", "File", True),
    ("audit-log", "/var/log/kubernetes/audit", "DirectoryOrCreate", False),
)


def manifest(
    flags: dict[str, str],
    mounts: tuple[tuple[str, str, str, bool], ...] = MOUNTS,
    image: str = "registry.k8s.io/kube-apiserver:v1.30.0",
) -> bytes:
    lines = [
        "apiVersion: v1",
        "kind: Pod",
        "metadata:",
        "  name: kube-apiserver",
        "  namespace: kube-system",
        "spec:",
        "  containers:",
        "  - name: kube-apiserver",
        f"    image: {image}",
        "    command:",
        "    - kube-apiserver",
        *(f"    - {name}={value}" for name, value in flags.items()),
        "    volumeMounts:",
    ]
    for name, path, _, read_only in mounts:
        lines += [f"    - name: {name}", f"      mountPath: {path}", f"      readOnly: {str(read_only).lower()}"]
    lines.append("  volumes:")
    for name, path, kind, _ in mounts:
        lines += [f"  - name: {name}", "    hostPath:", f"      path: {path}", f"      type: {kind}"]
    return "\n".join([*lines, ""]).encode()


def pod(flags: dict[str, str], **more: object) -> StaticPod:
    return StaticPod.read(manifest(flags, **more), "kube-apiserver.yaml")  # type: ignore[arg-type]  # because: the tests' own


def server_flags(port: int) -> dict[str, str]:
    return {
        "--advertise-address": "127.0.0.1",
        "--secure-port": str(port),
        "--client-ca-file": "/etc/kubernetes/pki/ca.crt",
    }


def node(root: Path, authority_pem: bytes, policy: str = METADATA) -> None:
    for folder in ("etc/kubernetes/pki", "var/log/kubernetes/audit", "proc"):
        (root / folder).mkdir(parents=True)
    (root / "etc/kubernetes/pki/ca.crt").write_bytes(authority_pem)
    (root / "etc/kubernetes/audit-policy.yaml").write_text(policy)


def process(root: Path, flags: dict[str, str], pid: int = 42) -> None:
    folder = root / "proc" / str(pid)
    folder.mkdir(exist_ok=True)
    words = ["/usr/local/bin/kube-apiserver", *(f"{name}={value}" for name, value in flags.items())]
    (folder / "cmdline").write_bytes("\0".join([*words, ""]).encode())


def output(root: Path, *lines: str) -> None:
    folder = root / "var/log/pods/kube-system_kube-apiserver-node1_abc/kube-apiserver"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "3.log").write_text("".join(f"2026-01-01T00:00:00Z stderr F {line}\n" for line in lines))

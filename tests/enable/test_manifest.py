from __future__ import annotations

import pytest

from decklog.enable.conflict import Conflict
from decklog.enable.manifest import HostPath, StaticPod
from enable.corpus import KUBEADM, TUTORIAL, pod

RUNS = "command: [kube-apiserver, --v=2]\n"


def read(text: str) -> StaticPod:
    return StaticPod.read(text.encode(), "m.yaml")


def test_a_manifest_is_read_with_its_lines() -> None:
    """Image, flags, mounts and volumes are found, each with the line that it stands in."""
    found = read(TUTORIAL)
    assert (found.image, found.image_line) == ("registry.k8s.io/kube-apiserver:v1.30.0", 17)
    assert (found.name, found.namespace, found.container_name) == ("kube-apiserver-node-1", "kube-system", "")
    assert [(at.value, at.line) for at in found.flags["--audit-log-maxage"]] == [("10", 14)]
    assert [(mount.name, mount.path, mount.read_only, mount.line) for mount in found.mounts] == [
        ("audit", "/etc/kubernetes/audit-policy.yaml", True, 19),
        ("audit-log", "/var/log/kubernetes/audit", False, 22),
    ]
    assert [(volume.host_path, volume.type, volume.line) for volume in found.volumes] == [
        ("/etc/kubernetes/audit-policy.yaml", "File", 26),
        ("/var/log/kubernetes/audit", "DirectoryOrCreate", 30),
    ]


FORMS = {
    "with an equals sign": ("[kube-apiserver, --audit-log-path=/a/b]", "/a/b"),
    "as two items": ("[kube-apiserver, --audit-log-path, /a/b]", "/a/b"),
    "as two items, the second with a dash": ("[kube-apiserver, --audit-log-path, '-']", "-"),
    "with underscores": ("[kube-apiserver, --audit_log_path=/a/b]", "/a/b"),
    "twice, the last one counts": ("[kube-apiserver, --audit-log-path=/a, --audit-log-path=/b]", "/b"),
    "empty": ("[kube-apiserver, --audit-log-path=]", ""),
    "with an equals sign in it": ("[kube-apiserver, --audit-log-path=/a=b]", "/a=b"),
    "behind the end of flags": ("[kube-apiserver, --, --audit-log-path=/a/b]", ""),
    "of another program": ("[/go-runner, --audit-log-path=/x, /usr/bin/kube-apiserver, --v=2]", ""),
    "a dollar that is written twice": ("[kube-apiserver, --audit-log-path=/a/$$b]", "/a/$b"),
}


@pytest.mark.parametrize(("command", "value"), FORMS.values(), ids=FORMS)
def test_a_flag_is_read_as_the_container_gets_it(command: str, value: str) -> None:
    """Every way to write a flag that kube-apiserver understands is understood."""
    assert read(pod(f"command: {command}")).value("--audit-log-path") == value


MOUNTS = {
    "a file": ("{name: v, mountPath: /etc/p.yaml}", "{path: /srv/q.yaml}", "/etc/p.yaml", "/srv/q.yaml"),
    "in a directory": ("{name: v, mountPath: /etc/k/}", "{path: /srv/}", "/etc/k/a/b", "/srv/a/b"),
    "beside a directory": ("{name: v, mountPath: /etc/k}", "{path: /srv}", "/etc/kk", None),
    "under subPath": ("{name: v, mountPath: /etc, subPath: k/s}", "{path: /srv}", "/etc/a", "/srv/k/s/a"),
    "under the root": ("{name: v, mountPath: /}", "{path: /}", "/etc/a", "/etc/a"),
    "where subPathExpr decides": ("{name: v, mountPath: /etc, subPathExpr: $(A)}", "{path: /srv}", "/etc/a", None),
    "of a volume that is missing": ("{name: w, mountPath: /etc}", "{path: /srv}", "/etc/a", None),
}


@pytest.mark.parametrize(("mount", "host", "path", "expected"), MOUNTS.values(), ids=MOUNTS)
def test_a_path_of_the_container_is_found_on_the_host(mount: str, host: str, path: str, expected: str | None) -> None:
    """The innermost mount decides, with what is below it."""
    found = read(pod(f"{RUNS}volumeMounts:\n- {mount}", f"volumes:\n- {{name: v, hostPath: {host}}}")).host_of(path)
    assert (found.path if found else None) == expected


def test_the_innermost_mount_decides() -> None:
    """A mount within a mount hides what the outer one has there."""
    found = read(
        pod(
            RUNS + "volumeMounts:\n- {name: b, mountPath: /etc/k, readOnly: true}\n- {name: a, mountPath: /etc}",
            "volumes:\n- {name: a, hostPath: {path: /a}}\n- {name: b, hostPath: {path: /b, type: Directory}}",
        )
    )
    assert found.host_of("/etc/k/x") == HostPath(
        "/b/x", read_only=True, volume="b", type="Directory", mounted_at="/etc/k", line=8
    )


def test_merged_and_repeated_values_are_read() -> None:
    """Aliases and merge keys mean what they mean to kubelet."""
    found = read(
        "apiVersion: v1\nkind: Pod\nx: &base\n  image: a/kube-apiserver:v1.30.0\n"
        "  command: &c [kube-apiserver, --v=2]\n"
        "spec:\n  containers:\n  - <<: *base\n    name: kube-apiserver\n    args: *c\n"
    )
    assert found.image == "a/kube-apiserver:v1.30.0"
    assert found.words == ("kube-apiserver", "--v=2", "kube-apiserver", "--v=2")


HOSTILE = {
    "no text": (b"\xff\xfe\x00k", "UTF-16"),
    "another encoding": (KUBEADM.replace("10.0.0.2:6443", "\xfc").encode("latin-1"), "not a text in UTF-8"),
    "control characters": (b"apiVersion: v1\nkind: \x01Pod\n", "control characters"),
    "too large": (b"#" * (1 << 21), "larger than 1 MiB"),
    "a bomb of aliases": (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(8)),
        "100,000 nodes|made by aliases",
    ),
    "nested deeply": (b"[" * 100_000, "nested deeper"),
    "an anchor in itself": (b"a: &a [*a]\n", "contains itself"),
    "an alias without anchor": (b"a: *b\n", "has no anchor"),
}


@pytest.mark.parametrize(("data", "says"), HOSTILE.values(), ids=HOSTILE)
def test_what_cannot_be_read_is_refused(data: bytes, says: str) -> None:
    """No file takes long, or ends in anything but a conflict."""
    with pytest.raises(Conflict, match=says):
        StaticPod.read(data, "m.yaml")

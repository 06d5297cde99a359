"""Manifests that are refused, each with the line that is to blame and the words that say why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from enable.corpus import HEAD, KUBEADM, MOUNTED, POLICY, TUTORIAL, pod


@dataclass(frozen=True)
class Refusal:
    """A manifest that is refused."""

    manifest: str
    line: int
    says: str
    wanted: dict[str, Any] = field(default_factory=lambda: {"log_maxage": 30})


RUNS = "command:\n- kube-apiserver\n"
REFUSALS = {
    "dots between the flags": Refusal(pod(RUNS + "...\n- --v=2"), 8, "something was left out"),
    "dots that continue a flag": Refusal(pod(RUNS + "- --v=2\n      ..."), 9, "something was left out"),
    "dots at the margin": Refusal(TUTORIAL.replace("      image", "...\n      image"), 17, "something was left out"),
    "dots as an item": Refusal(pod(RUNS + "- ..."), 8, "something was left out"),
    "an ellipsis": Refusal(pod(RUNS + "- --v=2\n…\nimage: x"), 9, "something was left out"),
    "a tab": Refusal(pod(RUNS + "\t- --v=2"), 8, "tab"),
    "a tab before a key": Refusal(HEAD + "spec:\n\tcontainers: []\n", 5, "tab"),
    "a tab behind a key": Refusal(pod("name:\tkube-apiserver\n" + RUNS + "- --v=2"), 6, "tab"),
    "a tab behind a dash": Refusal(pod(RUNS + "-\t--v=2"), 8, "tab"),
    "an alias": Refusal(
        HEAD + "x: &c\n- kube-apiserver\n- --v=2\nspec:\n  containers:\n  - command: *c\n", 9, "the alias *c"
    ),
    "an anchor that a sidecar repeats": Refusal(
        pod("name: kube-apiserver\ncommand: &c\n- kube-apiserver\n- --v=2") + "  - name: other\n    command: *c\n",
        7,
        "the anchor &c",
    ),
    "a repeated flag": Refusal(
        HEAD + "x: &m --audit-log-maxage=5\nspec:\n  containers:\n  - command: [kube-apiserver, *m]\n",
        7,
        "the alias *m",
    ),
    "a merge key": Refusal(
        HEAD + "x: &m\n  command: [kube-apiserver]\nspec:\n  containers:\n  - <<: *m\n    name: kube-apiserver\n",
        8,
        "merge key",
    ),
    "a key twice": Refusal(pod(RUNS + "image: x\ncommand:\n- kube-apiserver"), 9, "twice in one mapping, at line 6"),
    "volumes twice": Refusal(pod(RUNS, "volumes: []\nvolumes: []"), 9, "twice in one mapping, at line 8"),
    "a key twice in JSON": Refusal(
        '{"apiVersion": "v1", "kind": "Pod",\n "spec": {"containers": [{"command": ["kube-apiserver"],\n'
        ' "command": ["kube-apiserver"]}]}}',
        3,
        "twice in one mapping, at line 2",
    ),
    "a flag twice": Refusal(
        pod(RUNS + "- --audit-log-maxage=5\n- --v=2\n- --audit-log-maxage=6"), 10, "given 2 times (lines 8, 10)"
    ),
    "a flag under its old name": Refusal(
        pod(RUNS + "- --audit-webhook-batch-initial-backoff=5s"),
        8,
        "is the same flag",
        {"webhook_initial_backoff": 7.0},
    ),
    "a number as an item": Refusal(pod(RUNS + "- --audit-log-maxage\n- 5"), 9, "'5' is no text"),
    "a shell": Refusal(
        pod("command: [/bin/sh, -c, 'exec kube-apiserver --v=2']\nname: kube-apiserver"), 6, "by a shell"
    ),
    "an end of the flags": Refusal(pod(RUNS + "- --v=2\n- --"), 9, "ends the flags"),
    "no command": Refusal(pod("name: kube-apiserver\nimage: x"), 6, "has no command"),
    "no kube-apiserver": Refusal(pod("name: etcd\ncommand: [etcd]"), 5, "no static pod of kube-apiserver"),
    "two of them": Refusal(pod(RUNS) + "  - command: [kube-apiserver]\n", 8, "several containers"),
    "a deployment": Refusal(pod(RUNS).replace("kind: Pod", "kind: Deployment"), 2, "its kind is 'Deployment'"),
    "kubeadm's configuration": Refusal("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n", 2, "--for"),
    "a second document": Refusal("---\n# nothing\n---\n" + pod(RUNS), 3, "second document, which kubelet ignores"),
    "nothing": Refusal("", 1, "no static pod"),
    "a list": Refusal("- a\n", 1, "no static pod"),
    "a block text with its line break": Refusal(
        pod(RUNS + "- |\n  --audit-log-maxage=5\n- --v=2"), 8, "has line breaks"
    ),
    "the log's directory is read-only": Refusal(
        KUBEADM, 30, "mounted read-only", {"log_path": "/etc/kubernetes/pki/audit.log"}
    ),
    "the log is mounted as a file": Refusal(
        pod(
            RUNS + "volumeMounts:\n- {name: l, mountPath: /var/log/a.log}",
            "volumes:\n- {name: l, hostPath: {path: /a}}",
        ),
        9,
        "mounted as a file of its own",
        {"log_path": "/var/log/a.log"},
    ),
    "the policy is made a directory": Refusal(
        pod(
            RUNS + f"volumeMounts:\n- {{name: p, mountPath: {POLICY}}}",
            f"volumes:\n- name: p\n  hostPath: {{path: {POLICY}, type: DirectoryOrCreate}}",
        ),
        11,
        "the file would be a directory",
        {"policy_file": POLICY},
    ),
    "a directory is said to be a file": Refusal(
        pod(RUNS + MOUNTED, "volumes:\n- {name: all, hostPath: {path: /a, type: File}}"),
        10,
        "has the type File",
        {"log_path": "/var/log/audit/a.log"},
    ),
    "an unmounted volume of another type": Refusal(
        pod(RUNS, "volumes:\n- {name: all, hostPath: {path: /var/log/audit, type: File}}"),
        9,
        "needed as DirectoryOrCreate",
        {"log_path": "/var/log/audit/a.log"},
    ),
    "an emptyDir": Refusal(
        pod(RUNS + MOUNTED, "volumes:\n- {name: all, emptyDir: {}}"),
        8,
        "the log would go with the pod",
        {"log_path": "/var/log/audit/a.log"},
    ),
    "one path mounted twice": Refusal(
        pod(RUNS + "volumeMounts:\n- {name: a, mountPath: /a}\n- {name: b, mountPath: /a/}"),
        10,
        "mounted twice (lines 9, 10)",
        {"log_path": "/a/b.log"},
    ),
    "subPathExpr": Refusal(
        pod(RUNS + "volumeMounts:\n- {name: a, mountPath: /a, subPathExpr: $(X)}"),
        9,
        "subPathExpr",
        {"log_path": "/a/b.log"},
    ),
    "a mount without a path": Refusal(pod(RUNS + "volumeMounts:\n- {name: a}"), 9, "a mount without 'mountPath'"),
    "a mount that is a text": Refusal(pod(RUNS + "volumeMounts: [a]"), 8, "a mount without"),
    "a volume without a name": Refusal(pod(RUNS, "volumes:\n- hostPath: {path: /a}"), 9, "a volume without 'name'"),
    "a hostPath without a path": Refusal(
        pod(RUNS, "volumes:\n- {name: a, hostPath: }"), 9, "the hostPath of 'a' without"
    ),
    "a tag where a list has to be": Refusal(
        pod(RUNS + "volumeMounts: !!null"), 8, "!!null is written where a list", {"policy_file": POLICY}
    ),
    "a flag without its value": Refusal(pod(RUNS + "- --v=2\n- --audit-log-format"), 9, "without its value"),
    "a flag that takes the next one for its value": Refusal(
        pod(RUNS + "- --audit-log-path\n- --tls-cert-file=/a\n- --v=2"),
        9,
        "takes the flag behind it, '--tls-cert-file=/a'",
        {"log_path": "/var/log/audit/a.log"},
    ),
    "the log is the policy": Refusal(pod(RUNS), 0, "name the same file", {"policy_file": "/a/b", "log_path": "/a/b"}),
    "over what the image has": Refusal(
        pod(RUNS), 0, "would hide what the image has", {"log_path": "/usr/local/bin/a.log"}
    ),
    "a device as the log": Refusal(pod(RUNS), 0, "give - for the container's output", {"log_path": "/dev/stdout"}),
    "where kubelet runs everything": Refusal(
        pod(RUNS), 0, "kubelet runs what lies there", {"policy_file": "/etc/kubernetes/manifests/policy.yaml"}
    ),
}

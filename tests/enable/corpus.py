"""Manifests that people write, each with the lines that an edit takes out and puts in."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

POLICY = "/etc/kubernetes/audit-policy.yaml"
LOG = "/var/log/kubernetes/audit/audit.log"
SEED: dict[str, Any] = {
    "policy_file": POLICY,
    "log_path": LOG,
    "log_maxage": 10,
    "log_maxbackup": 5,
    "log_maxsize": 100,
}
HEAD = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system}\n"

KUBEADM = """\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: 10.0.0.2:6443
  labels:
    component: kube-apiserver
    tier: control-plane
  name: kube-apiserver
  namespace: kube-system
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=10.0.0.2
    - --authorization-mode=Node,RBAC
    - --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
    image: registry.k8s.io/kube-apiserver:v1.31.2
    livenessProbe:
      httpGet:
        host: 10.0.0.2
        path: /livez
        port: 6443
        scheme: HTTPS
    name: kube-apiserver
    volumeMounts:
    - mountPath: /etc/ssl/certs
      name: ca-certs
      readOnly: true
    - mountPath: /etc/kubernetes/pki
      name: k8s-certs
      readOnly: true
  hostNetwork: true
  priorityClassName: system-node-critical
  volumes:
  - hostPath:
      path: /etc/ssl/certs
      type: DirectoryOrCreate
    name: ca-certs
  - hostPath:
      path: /etc/kubernetes/pki
      type: DirectoryOrCreate
    name: k8s-certs
status: {}
"""

TUTORIAL = """\
# where a well-known tutorial ends, in our own words
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver-node-1
  namespace: kube-system
spec:
  containers:
    - command:
      - kube-apiserver
      - --advertise-address=10.0.0.2
      - --audit-policy-file=/etc/kubernetes/audit-policy.yaml
      - --audit-log-path=/var/log/kubernetes/audit/audit.log
      - --audit-log-maxage=10
      - --audit-log-maxbackup=5
      - --audit-log-maxsize=100
      image: registry.k8s.io/kube-apiserver:v1.30.0
      volumeMounts:\x20
        - mountPath: /etc/kubernetes/audit-policy.yaml
          name: audit
          readOnly: true
        - mountPath: /var/log/kubernetes/audit/
          name: audit-log
          readOnly: false
  volumes:\x20
    - name: audit
      hostPath:\x20
        path: /etc/kubernetes/audit-policy.yaml
        type: File
    - name: audit-log
      hostPath:\x20
        path: /var/log/kubernetes/audit/
        type: DirectoryOrCreate
"""


@dataclass(frozen=True)
class Case:
    """A manifest and what becomes of it."""

    manifest: str
    wanted: dict[str, Any] = field(default_factory=lambda: {"log_maxage": 30})
    out: str = ""
    """The lines that go, in their order, without the minus."""
    put: str = ""
    """The lines that come."""


def pod(container: str, volumes: str = "", indent: str = "  ") -> str:
    """Write a manifest with one container; the texts are dedented and indented as they have to be."""
    inside = dedent(container).strip("\n").splitlines()
    lines = [f"{indent}- {inside[0]}", *(f"{indent}  {line}" if line else "" for line in inside[1:])]
    text = HEAD + "spec:\n  containers:\n" + "\n".join(lines) + "\n"
    return text + (dedent(volumes).strip("\n").replace("\n", "\n  ").join(("  ", "\n")) if volumes else "")


COVERED = """
    volumes:
    - name: all
      hostPath: {path: /srv/audit, type: DirectoryOrCreate}
"""
MOUNTED = "volumeMounts: [{name: all, mountPath: /var/log/audit}]"

FLAG = {
    "an item changes, its comment stays": Case(
        pod("command:\n- kube-apiserver\n- --audit-log-maxage=5   # days\n- --v=2"),
        out="    - --audit-log-maxage=5   # days",
        put="    - --audit-log-maxage=30   # days",
    ),
    "a new item stands behind the last audit flag": Case(
        pod("command:\n- kube-apiserver\n- --audit-log-maxsize=5 # MiB\n# below\n- --v=2"),
        put="    - --audit-log-maxage=30",
    ),
    "a new item stands at the end": Case(
        pod("command:\n- kube-apiserver\n- --v=2 # talkative\n\n# the image\nimage: x"),
        put="    - --audit-log-maxage=30",
    ),
    "double quotes": Case(
        pod('command:\n- "kube-apiserver"\n- "--audit-log-maxage=5"\n'),
        out='    - "--audit-log-maxage=5"',
        put='    - "--audit-log-maxage=30"',
    ),
    "single quotes, new item": Case(
        pod("command:\n- 'kube-apiserver'\n- '--v=2'\n"), put="    - '--audit-log-maxage=30'"
    ),
    "two items": Case(
        pod('command:\n- kube-apiserver\n- --audit-log-maxage\n- "5"   # days\n- --v=2'),
        out='    - "5"   # days',
        put='    - "30"   # days',
    ),
    "two items, value without need of quotes": Case(
        pod("command:\n- kube-apiserver\n- --audit-log-format\n- legacy\n"),
        {"log_format": "json"},
        out="    - legacy",
        put="    - json",
    ),
    "underscores": Case(
        pod("command:\n- kube-apiserver\n- --audit_log_maxage=5\n"),
        out="    - --audit_log_maxage=5",
        put="    - --audit_log_maxage=30",
    ),
    "args beside command": Case(
        pod("command: [kube-apiserver]\nargs:\n- --v=2\n- --audit-log-maxage=5"),
        out="    - --audit-log-maxage=5",
        put="    - --audit-log-maxage=30",
    ),
    "args beside command, new": Case(
        pod("args:\n- --v=2\ncommand:\n- kube-apiserver"), put="    - --audit-log-maxage=30"
    ),
    "args alone": Case(pod("args:\n- kube-apiserver\n- --v=2\nname: a"), put="    - --audit-log-maxage=30"),
    "empty args": Case(pod("command:\n- kube-apiserver\n- --v=2\nargs: []"), put="    - --audit-log-maxage=30"),
    "go-runner, whose own flags come first": Case(
        pod("command:\n- /go-runner\n- --log-file=/var/log/x\n- /usr/local/bin/kube-apiserver\n- --v=2"),
        put="    - --audit-log-maxage=30",
    ),
    "flow list": Case(
        pod("command: [kube-apiserver, --v=2] # short"),
        out="  - command: [kube-apiserver, --v=2] # short",
        put="  - command: [kube-apiserver, --v=2, --audit-log-maxage=30] # short",
    ),
    "flow list, value in it": Case(
        pod("command: [kube-apiserver, '--audit-log-maxage', \"5\", --v=2]"),
        out="  - command: [kube-apiserver, '--audit-log-maxage', \"5\", --v=2]",
        put="  - command: [kube-apiserver, '--audit-log-maxage', \"30\", --v=2]",
    ),
    "flow list over several lines": Case(
        pod("command: [\n  kube-apiserver,\n  --v=2\n]"),
        out="      --v=2",
        put="      --v=2,\n      --audit-log-maxage=30",
    ),
    "flow list over several lines, final comma and comment": Case(
        pod("command: [\n  kube-apiserver,\n  --v=2, # talkative\n]"), put="      --audit-log-maxage=30,"
    ),
    "flow list over several lines, comment and no comma": Case(
        pod("command: [\n  kube-apiserver,\n  --v=2 # talkative\n]"),
        out="      --v=2 # talkative",
        put="      --v=2, # talkative\n      --audit-log-maxage=30",
    ),
    "folded block": Case(
        pod("command:\n- kube-apiserver\n- >-\n    --audit-log-maxage=5\n\n# below\n- --v=2"),
        out="        --audit-log-maxage=5",
        put="        --audit-log-maxage=30",
    ),
    "folded block with a comment at its head": Case(
        pod("command:\n- kube-apiserver\n- >- # days\n    --audit-log-maxage=5\n- --v=2"),
        out="        --audit-log-maxage=5",
        put="        --audit-log-maxage=30",
    ),
    "literal block, new item behind it": Case(
        pod("command:\n- kube-apiserver\n- |-\n  --v=2\n\n\nimage: x"), put="    - --audit-log-maxage=30"
    ),
    "plain text over two lines": Case(
        pod("command:\n- kube-apiserver\n- --audit-log-path\n-\n  /var/log/a/audit.log\n- --v=2"),
        {"log_format": "json"},
        put="    - --audit-log-format=json\n    volumeMounts:\n    - mountPath: /var/log/a\n      name: audit-log\n"
        "      readOnly: false\n  volumes:\n  - hostPath:\n      path: /var/log/a\n      type: DirectoryOrCreate\n"
        "    name: audit-log",
    ),
    "a comment that is indented further belongs to the item": Case(
        pod("command:\n- kube-apiserver\n- --v=2\n   # talkative\n# the image\nimage: x"),
        put="    - --audit-log-maxage=30",
    ),
    "explicit keys": Case(
        HEAD
        + "spec:\n  containers:\n  - ? command\n    : - kube-apiserver\n      - --v=2\n"
        + "    ? name\n    : kube-apiserver\n",
        put="      - --audit-log-maxage=30",
    ),
    "wide gaps behind dashes": Case(
        pod("command:\n-   kube-apiserver\n-   --v=2"), put="    -   --audit-log-maxage=30"
    ),
    "dashes on lines of their own": Case(
        pod("command:\n-\n  kube-apiserver\n-\n  --v=2\nimage: x"), put="    - --audit-log-maxage=30"
    ),
    "items indented below their key": Case(
        pod("command:\n      - kube-apiserver\n      - --v=2\nimage: x"), put="          - --audit-log-maxage=30"
    ),
    "other containers have flags, too": Case(
        pod(
            "name: proxy\nimage: proxy\ncommand: [proxy, --audit-log-maxage=5]\nvolumeMounts: []",
        )
        + "  - name: kube-apiserver\n    command:\n    - kube-apiserver\n    - --v=2\n"
        "  initContainers:\n  - name: wait\n    command: [wait, --audit-log-maxage=7]\n",
        put="    - --audit-log-maxage=30",
    ),
    "an anchor that nothing repeats": Case(
        pod("command: &c\n- kube-apiserver\n- &v --audit-log-maxage=5\nimage: x"),
        out="    - &v --audit-log-maxage=5",
        put="    - &v --audit-log-maxage=30",
    ),
    "a tag": Case(
        pod("command: !!seq\n- kube-apiserver\n- !!str --audit-log-maxage=5\nimage: x"),
        out="    - !!str --audit-log-maxage=5",
        put="    - !!str --audit-log-maxage=30",
    ),
    "aliases that are only read": Case(
        HEAD.replace("{name", "{labels: &l {a: b}, annotations: *l, name")
        + "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --v=2\n",
        put="    - --audit-log-maxage=30",
    ),
    "a switch without a value": Case(
        pod("command:\n- kube-apiserver\n- --audit-log-compress\n- --v=2"),
        {"log_compress": False},
        out="    - --audit-log-compress",
        put="    - --audit-log-compress=false",
    ),
    "a switch that is on": Case(pod("command:\n- kube-apiserver\n- --audit-log-compress"), {"log_compress": True}),
    "a number in another spelling": Case(
        pod("command:\n- kube-apiserver\n- --audit-log-maxage=0x1e"), {"log_maxage": 30}
    ),
    "a path that has to be quoted": Case(
        pod("command:\n- kube-apiserver\n- --v=2"),
        {"policy_file": "/etc/kubernetes/it's a policy, #1.yaml"},
        put="    - '--audit-policy-file=/etc/kubernetes/it''s a policy, #1.yaml'\n    volumeMounts:\n"
        "    - mountPath: '/etc/kubernetes/it''s a policy, #1.yaml'\n      name: audit\n      readOnly: true\n"
        "  volumes:\n  - hostPath:\n      path: '/etc/kubernetes/it''s a policy, #1.yaml'\n      type: File\n"
        "    name: audit",
    ),
    "a dollar that Kubernetes would expand": Case(
        pod("command:\n- kube-apiserver\n- --v=2"),
        {"log_version": "$(HOME)"},
        put="    - '--audit-log-version=$$(HOME)'",
    ),
    "twice the same, as wanted": Case(
        pod("command:\n- kube-apiserver\n- --audit-log-maxage=30\n- --audit-log-maxage\n- '30'"), {"log_maxage": 30}
    ),
    "letters of other alphabets before it": Case(
        pod("command:\n- kube-apiserver # für 😀\n- --audit-log-maxage=5 # Tage ✓"),
        out="    - --audit-log-maxage=5 # Tage ✓",
        put="    - --audit-log-maxage=30 # Tage ✓",
    ),
}

MOUNT = {
    "kubeadm's own": Case(
        KUBEADM,
        SEED,
        put="""\
    - --audit-policy-file=/etc/kubernetes/audit-policy.yaml
    - --audit-log-path=/var/log/kubernetes/audit/audit.log
    - --audit-log-maxage=10
    - --audit-log-maxbackup=5
    - --audit-log-maxsize=100
    - mountPath: /etc/kubernetes/audit-policy.yaml
      name: audit
      readOnly: true
    - mountPath: /var/log/kubernetes/audit
      name: audit-log
      readOnly: false
  - hostPath:
      path: /etc/kubernetes/audit-policy.yaml
      type: File
    name: audit
  - hostPath:
      path: /var/log/kubernetes/audit
      type: DirectoryOrCreate
    name: audit-log""",
    ),
    "the tutorial's own": Case(TUTORIAL, SEED),
    "covered by a directory": Case(
        pod(f"command:\n- kube-apiserver\n{MOUNTED}", COVERED.replace("    ", "", 1)),
        {"log_path": "/var/log/audit/a/b.log"},
        put="    - --audit-log-path=/var/log/audit/a/b.log",
    ),
    "a policy in a read-only directory": Case(
        KUBEADM,
        {"policy_file": "/etc/kubernetes/pki/audit/policy.yaml"},
        put="    - --audit-policy-file=/etc/kubernetes/pki/audit/policy.yaml",
    ),
    "empty lists": Case(
        pod("command: [kube-apiserver]\nvolumeMounts: []  # none", "volumes: [ ]"),
        {"policy_file": POLICY},
        out="  - command: [kube-apiserver]\n    volumeMounts: []  # none\n  volumes: [ ]",
        put=f"""\
  - command: [kube-apiserver, --audit-policy-file={POLICY}]
    volumeMounts:  # none
    - mountPath: {POLICY}
      name: audit
      readOnly: true
  volumes:
  - hostPath:
      path: {POLICY}
      type: File
    name: audit""",
    ),
    "lists that are null": Case(
        pod("volumeMounts:\ncommand:\n- kube-apiserver", "volumes: ~\nhostNetwork: true"),
        {"policy_file": POLICY},
        out="  volumes: ~",
        put=f"""\
    - mountPath: {POLICY}
      name: audit
      readOnly: true
    - --audit-policy-file={POLICY}
  volumes:
  - hostPath:
      path: {POLICY}
      type: File
    name: audit""",
    ),
    "a comment at the end of a list stays in it": Case(
        pod(
            "name: kube-apiserver\ncommand:\n  - kube-apiserver\n  # flags end here\n",
            "hostNetwork: true\n  # and this",
        ),
        {"policy_file": POLICY},
        put=f"""\
      - --audit-policy-file={POLICY}
    volumeMounts:
      - mountPath: {POLICY}
        name: audit
        readOnly: true
  volumes:
  - hostPath:
      path: {POLICY}
      type: File
    name: audit""",
    ),
    "an empty list with an anchor": Case(
        pod("command:\n- kube-apiserver\nvolumeMounts: &m", "volumes: &v [ ]"),
        {"policy_file": POLICY},
        out="    volumeMounts: &m\n  volumes: &v [ ]",
        put=f"    - --audit-policy-file={POLICY}\n"
        f"    volumeMounts: &m [{{mountPath: {POLICY}, name: audit, readOnly: true}}]\n"
        f"  volumes: &v [{{hostPath: {{path: {POLICY}, type: File}}, name: audit}}]",
    ),
    "flow lists of maps": Case(
        pod(
            "command:\n- kube-apiserver\nvolumeMounts: [{mountPath: /a, name: a}] # one",
            "volumes: [{name: a, hostPath: {path: /a}}]",
        ),
        {"policy_file": POLICY},
        out="    volumeMounts: [{mountPath: /a, name: a}] # one\n  volumes: [{name: a, hostPath: {path: /a}}]",
        put=f"    - --audit-policy-file={POLICY}\n"
        f"    volumeMounts: [{{mountPath: /a, name: a}}, {{mountPath: {POLICY}, name: audit, readOnly: true}}] # one\n"
        f"  volumes: [{{name: a, hostPath: {{path: /a}}}}, {{hostPath: {{path: {POLICY}, type: File}}, name: audit}}]",
    ),
    "a volume of the path without its mount": Case(
        pod(
            "command:\n- kube-apiserver\nvolumeMounts:\n- {name: x, mountPath: /x}",
            f"volumes:\n- name: x\n  hostPath: {{path: /x}}\n- name: mine\n  hostPath: {{path: {POLICY}}}",
        ),
        {"policy_file": POLICY},
        put=f"    - --audit-policy-file={POLICY}\n    - name: mine\n      mountPath: {POLICY}\n      readOnly: true",
    ),
    "a mount without its volume": Case(
        pod(f"command:\n- kube-apiserver\nvolumeMounts:\n- name: lost\n  mountPath: {POLICY}\n  readOnly: true"),
        {"policy_file": POLICY},
        put=f"    - --audit-policy-file={POLICY}\n  volumes:\n  - hostPath:\n      path: {POLICY}\n      type: File\n"
        "    name: lost",
    ),
    "a name that is taken": Case(
        pod(
            "command:\n- kube-apiserver\nvolumeMounts:\n- {name: audit, mountPath: /x}",
            "volumes:\n- {name: audit, hostPath: {path: /x}}",
        ),
        {"policy_file": POLICY},
        put=f"    - --audit-policy-file={POLICY}\n"
        f"    - name: audit-2\n      mountPath: {POLICY}\n      readOnly: true\n"
        f"  - name: audit-2\n    hostPath:\n      path: {POLICY}\n      type: File",
    ),
    "a webhook with its certificates": Case(
        pod(
            "command:\n- kube-apiserver\nvolumeMounts:\n- {name: pki, mountPath: /pki}",
            "volumes:\n- {name: pki, hostPath: {path: /pki}}",
        ),
        {
            "webhook_config_file": "/etc/kubernetes/webhook.yaml",
            "webhook_mode": "batch",
            "webhook_files": ("/etc/kubernetes/ca.crt", "/pki/client.key"),
        },
        put="""\
    - --audit-webhook-config-file=/etc/kubernetes/webhook.yaml
    - --audit-webhook-mode=batch
    - name: audit-webhook
      mountPath: /etc/kubernetes/webhook.yaml
      readOnly: true
    - name: audit-webhook-ca-crt
      mountPath: /etc/kubernetes/ca.crt
      readOnly: true
  - name: audit-webhook
    hostPath:
      path: /etc/kubernetes/webhook.yaml
      type: File
  - name: audit-webhook-ca-crt
    hostPath:
      path: /etc/kubernetes/ca.crt
      type: File""",
    ),
    "subPath": Case(
        pod(
            "command:\n- kube-apiserver\nvolumeMounts:\n- {name: etc, mountPath: /etc/kubernetes, subPath: k8s}",
            "volumes:\n- {name: etc, hostPath: {path: /srv}}",
        ),
        {"policy_file": POLICY},
        put=f"    - --audit-policy-file={POLICY}",
    ),
    "standard output needs no mount": Case(
        pod("command:\n- kube-apiserver\n- --v=2"), {"log_path": "-"}, put="    - --audit-log-path=-"
    ),
    "a log that is written already gets its missing mount": Case(
        pod("command:\n- kube-apiserver\n- --audit-log-path=/var/log/a/a.log"),
        {"log_maxage": 30},
        put="    - --audit-log-maxage=30\n    volumeMounts:\n    - mountPath: /var/log/a\n      name: audit-log\n"
        "      readOnly: false\n  volumes:\n  - hostPath:\n      path: /var/log/a\n      type: DirectoryOrCreate\n"
        "    name: audit-log",
    ),
    "a log in an emptyDir that somebody chose": Case(
        pod(
            "command:\n- kube-apiserver\n- --audit-log-path=/var/log/audit/a.log\n" + MOUNTED,
            "volumes:\n- {name: all, emptyDir: {}}",
        ),
        {"log_path": "/var/log/audit/a.log"},
    ),
}

from __future__ import annotations

from typing import Any

import pytest
import yaml

from decklog.enable.distributions import NAMES, distribution, interpret
from decklog.enable.distributions.merging import merge
from decklog.enable.distributions.shapes import Named, Words
from decklog.errors import DecklogError

POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n  # all of it\n  - level: Metadata\n"
FLAGS = {"--audit-policy-file": "/etc/kubernetes/audit-policy.yaml", "--audit-log-path": "/var/log/k/audit.log"}
WRITTEN = [name for name in NAMES if distribution(name).places]

V1BETA3 = b"""\
# ours
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: v1.30.0   # keep
apiServer:
  certSANs: ["a.example", 'b.example']
  extraArgs:
    authorization-mode: Node,RBAC # order matters
    audit-log-maxage: '7'
  timeoutForControlPlane: 4m0s

networking: {podSubnet: 10.244.0.0/16}
# the end
"""
V1BETA3_AFTER = b"""\
# ours
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: v1.30.0   # keep
apiServer:
  certSANs: ["a.example", 'b.example']
  extraArgs:
    authorization-mode: Node,RBAC # order matters
    audit-log-maxage: '30'
    audit-policy-file: /etc/kubernetes/audit-policy.yaml
    audit-log-path: /var/log/k/audit.log
    audit-log-maxbackup: "10"
    audit-log-maxsize: "100"
  timeoutForControlPlane: 4m0s
  extraVolumes:
    - name: audit-policy
      hostPath: /etc/kubernetes/audit-policy.yaml
      mountPath: /etc/kubernetes/audit-policy.yaml
      readOnly: true
      pathType: File
    - name: audit-log
      hostPath: /var/log/k
      mountPath: /var/log/k
      readOnly: false
      pathType: DirectoryOrCreate

networking: {podSubnet: 10.244.0.0/16}
# the end
"""
V1BETA4 = b"""\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
apiServer:
  extraArgs:
  - name: audit-log-maxbackup
    value: "3"
  - name: authorization-mode
    value: Node,RBAC
  extraVolumes: []
"""


def after(name: str, data: bytes | None, flags: dict[str, str] = FLAGS) -> bytes:
    recipe = interpret(distribution(name), flags, data=data, source="file.yaml", policy=POLICY)
    assert recipe.new is not None
    return recipe.new


def test_v1beta3_is_edited_as_a_map_in_place() -> None:
    """In kubeadm's v1beta3 flags become keys; only the lines that have to change differ, comments stay."""
    assert after("kubeadm", V1BETA3, FLAGS | {"--audit-log-maxage": "30"}) == V1BETA3_AFTER


def test_v1beta4_is_edited_as_a_list_in_place() -> None:
    """In kubeadm's v1beta4 flags become items with name and value; one that is there gets its new value."""
    new = after("kubeadm", V1BETA4, FLAGS | {"--audit-log-maxbackup": "10"})
    server = yaml.safe_load(new)["apiServer"]
    assert server["extraArgs"][:2] == [
        {"name": "audit-log-maxbackup", "value": "10"},
        {"name": "authorization-mode", "value": "Node,RBAC"},
    ]
    assert {item["name"]: item["value"] for item in server["extraArgs"]} | FLAGS_WITHOUT_DASHES == {
        item["name"]: item["value"] for item in server["extraArgs"]
    }
    assert [each["mountPath"] for each in server["extraVolumes"]] == ["/etc/kubernetes/audit-policy.yaml", "/var/log/k"]
    kept = set(V1BETA4.splitlines()) - {b'    value: "3"', b"  extraVolumes: []"}
    assert kept <= set(new.splitlines())


FLAGS_WITHOUT_DASHES = {name[2:]: value for name, value in FLAGS.items()}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_second_run_changes_nothing(name: str) -> None:
    """What was written once is found again, for each distribution that has a file."""
    first = after(name, None)
    assert after(name, first) == first


@pytest.mark.parametrize("name", WRITTEN)
def test_windows_line_ends_stay(name: str) -> None:
    """A file with CR LF keeps them, and what is added has them, too."""
    table = distribution(name)
    head = f"apiVersion: {table.places[0].api_version}\nkind: {table.kind}\n" if table.kind else "other: 1\n"
    new = after(name, head.replace("\n", "\r\n").encode())
    assert new.count(b"\n") == new.count(b"\r\n") > 3


def test_k3s_words_are_replaced_by_name() -> None:
    """A flag in a list of words is told by its name, with or without dashes; the others stay."""
    data = (
        b'kube-apiserver-arg:\n- "--audit-log-maxage=7"   # a week\n- profiling=false\nwrite-kubeconfig-mode: "0600"\n'
    )
    new = after("k3s", data, FLAGS | {"--audit-log-maxage": "30"})
    assert b'- "--audit-log-maxage=30"   # a week\n- profiling=false\n- audit-policy-file=' in new
    assert yaml.safe_load(new)["write-kubeconfig-mode"] == "0600"


KEPT = {
    "k3s": b"kube-apiserver-arg:\n- audit-policy-file=/mine.yaml\n- audit-log-path=/data/a.log\n- audit-log-maxage=7\n",
    "rke2": b"audit-policy-file: /mine.yaml\nkube-apiserver-arg:\n- audit-log-path=/data/a.log\n- audit-log-maxage=7\n",
    "k0s": b"apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nspec:\n  api:\n    extraArgs:\n"
    b"      audit-policy-file: /mine.yaml\n      audit-log-path: /data/a.log\n      audit-log-maxage: '7'\n",
    "kubeadm": b"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer:\n  extraArgs:\n"
    b"  - {name: audit-policy-file, value: /mine.yaml}\n  - {name: audit-log-path, value: /data/a.log}\n"
    b"  - {name: audit-log-maxage, value: '7'}\n",
}


@pytest.mark.parametrize("name", KEPT)
def test_a_flag_that_is_not_asked_for_stays_as_the_file_has_it(name: str) -> None:
    """What somebody has set is not written over by what is written where nobody says anything."""
    new = after(name, KEPT[name], {"--audit-log-maxbackup": "3"}).decode()
    assert new.startswith(KEPT[name].decode())
    assert "audit-log-maxbackup" in new
    assert new.count("/mine.yaml") == (3 if name == "kubeadm" else 1)
    assert "/var/log" not in new


def test_a_webhook_that_is_there_needs_no_log() -> None:
    """Where the file names who receives events, no log is added."""
    new = after(
        "k3s", b"kube-apiserver-arg:\n- audit-webhook-config-file=/w.yaml\n", {"--audit-policy-file": "/p.yaml"}
    )
    assert b"audit-log" not in new


def test_what_a_distribution_sets_itself_is_written_over_something_else() -> None:
    """A value that is RKE2's own is asked for all the same where the file has another."""
    new = after("rke2", b"kube-apiserver-arg:\n- audit-log-maxage=7\n", {"--audit-log-maxage": "30"})
    assert b"- audit-log-maxage=30\n" in new


VOLUMES = b"""\
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
apiServer:
  extraVolumes:
  - name: mine
    hostPath: /etc/kubernetes/audit-policy.yaml
    mountPath: /etc/kubernetes/audit-policy.yaml
    readOnly: true
  - name: audit-log
    hostPath: /data
    mountPath: /data
"""


def test_what_kubeadm_mounts_already_is_not_mounted_twice() -> None:
    """One path twice is no pod, and a name that somebody uses stays his."""
    new = after("kubeadm", VOLUMES)
    volumes = yaml.safe_load(new)["apiServer"]["extraVolumes"]
    assert volumes[:2] == yaml.safe_load(VOLUMES)["apiServer"]["extraVolumes"]
    assert [(each["name"], each["mountPath"]) for each in volumes[2:]] == [("audit-log-2", "/var/log/k")]
    assert after("kubeadm", new) == new
    with pytest.raises(DecklogError, match="mounted read-only"):
        after("kubeadm", VOLUMES + b"  - {name: l, hostPath: /var/log, mountPath: /var/log/, readOnly: true}\n")


def test_rke2_names_the_policy_by_its_own_key_and_says_that_its_own_records_nothing() -> None:
    """RKE2 mounts what its key names, and its own default of level None is said aloud."""
    recipe = interpret(distribution("rke2"), {})
    assert recipe.new == b"audit-policy-file: /etc/rancher/rke2/audit-policy.yaml\n"
    assert "level: None" in recipe.said[0]


def test_talos_takes_the_policy_itself_with_its_comments() -> None:
    """Talos' machine configuration holds the policy, and flags only where they differ from its own."""
    server = b"    auditPolicy:\n      rules: []\n    certSANs: [a]\n"
    data = b"machine:\n  type: controlplane\ncluster:\n  apiServer:\n" + server
    recipe = interpret(
        distribution("talos"), {"--audit-log-maxage": "90"}, data=data, source="controlplane.yaml", policy=POLICY
    )
    assert recipe.new is not None
    assert yaml.safe_load(recipe.new)["cluster"]["apiServer"] == {
        "auditPolicy": yaml.safe_load(POLICY),
        "certSANs": ["a"],
        "extraArgs": {"audit-log-maxage": "90"},
    }
    assert b"# all of it" in recipe.new


SEVERAL = b"""\
apiVersion: v1alpha1
kind: HostnameConfig
hostname: cp1
---
version: v1alpha1
machine: {type: controlplane}
cluster:
  apiServer:
    certSANs: [a]
"""


def test_talos_may_have_other_documents_beside_its_machines() -> None:
    """The document that is no object of an API is the machine's; the others stay as they are."""
    new = after("talos", SEVERAL, {"--audit-log-maxage": "90"})
    assert new.startswith(SEVERAL)
    server = list(yaml.safe_load_all(new))[1]["cluster"]["apiServer"]
    assert server["extraArgs"] == {"audit-log-maxage": "90"}
    assert after("talos", new, {"--audit-log-maxage": "90"}) == new


@pytest.mark.parametrize("name", ["k3s", "rke2"])
def test_a_list_that_is_added_to_others_gets_no_second_one_beside_it(name: str) -> None:
    """``kube-apiserver-arg+`` is the list that is meant; a second key behind it would put it out of force."""
    data = b"kube-apiserver-arg+:\n- profiling=false\n- audit-log-maxage=7\n"
    new = after(name, data, {"--audit-log-maxbackup": "3"})
    assert new.startswith(data)
    assert b"- audit-log-maxbackup=3\n" in new
    assert b"kube-apiserver-arg:" not in new
    assert after(name, new, {"--audit-log-maxbackup": "3"}) == new
    with pytest.raises(DecklogError, match="both stand in it"):
        after(name, data + b"kube-apiserver-arg: []\n")


def test_kind_keeps_its_nodes_and_adds_patches() -> None:
    """The control plane's node gets mounts and both patches; workers and other patches stay."""
    data = b"""\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
  kubeadmConfigPatches:
  - |
    kind: InitConfiguration
    nodeRegistration: {}
- role: worker
"""
    new = after("kind", data, {"--audit-policy-file": "./policy.yaml"})
    control, worker = yaml.safe_load(new)["nodes"]
    assert worker == {"role": "worker"}
    patches = [yaml.safe_load(patch) for patch in control["kubeadmConfigPatches"]]
    assert [patch["kind"] for patch in patches] == ["InitConfiguration", "ClusterConfiguration", "ClusterConfiguration"]
    assert patches[1]["apiServer"]["extraArgs"]["audit-log-maxage"] == "30"
    assert {"name": "audit-log-maxage", "value": "30"} in patches[2]["apiServer"]["extraArgs"]
    assert control["extraMounts"][0]["hostPath"] == "./policy.yaml"
    assert after("kind", new, {"--audit-policy-file": "./policy.yaml"}) == new


def test_minikube_is_told_in_arguments() -> None:
    """minikube has no file: its flags are arguments, and the log goes to standard output."""
    recipe = interpret(distribution("minikube"), {"--audit-policy-file": "p.yaml"})
    assert recipe.new is None
    assert "cp p.yaml " in recipe.then[0]
    assert "--extra-config=apiserver.audit-log-path=-" in recipe.then[1]


@pytest.mark.parametrize("name", ["eks", "gke", "aks"])
def test_managed_clusters_get_the_gateway(name: str) -> None:
    """For a managed cluster it is said what cannot be set, and how the gateway records in front of it."""
    recipe = interpret(distribution(name), {"--audit-policy-file": "p.yaml"})
    assert recipe.new is None
    assert not recipe.flags
    assert "neither the policy nor a flag" in recipe.said[0]
    assert "decklog gateway --kubeconfig KUBECONFIG --audit-policy-file p.yaml" in recipe.then[0]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("k3s", b"a: 1\n\tb: 2\n", "file.yaml:2: not YAML"),
        ("k3s", b"kube-apiserver-arg: [profiling=false]\n", "file.yaml:1: .*flow style"),
        ("k3s", b"kube-apiserver-arg: audit-log-maxage=3\n", "file.yaml:1: .*a list was expected"),
        ("k3s", b"a: &x\n- b=1\nkube-apiserver-arg: *x\n", "anchored"),
        ("k3s", b"a: 1\na: 2\nkube-apiserver-arg:\n- b=1\n", "file.yaml:2: .*second time"),
        ("k3s", b"kube-apiserver-arg:\n- audit-log-maxage=1\n- audit-log-maxage=2\n", "file.yaml:3: .*second time"),
        ("k3s", b"- a\n", "no mapping"),
        ("talos", b"machine:\n  type: worker\n", "machine.type is 'worker', and such a node runs no API server"),
        ("talos", b"machine:\n  type: join\n", "machine.type is 'join'"),
        (
            "k3s",
            b"a: &a [x, x]\n"
            + b"".join(
                b"b%d: &b%d [%b]\n" % (i, i, b", ".join([b"*b%d" % (i - 1) if i else b"*a"] * 9)) for i in range(9)
            ),
            "aliases",
        ),
        ("k3s", b"a: &a [*a]\n", "file.yaml:1: .*recursive"),
        ("k3s", b"[" * 5000, "cannot be read"),
        ("k3s", b"a: \xff\n", "UTF-8"),
        ("kubeadm", b"apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\n", "v1beta2"),
        ("kubeadm", b"apiVersion: v1\nkind: Pod\n", "no document of kind ClusterConfiguration"),
        ("k3s", b"apiVersion: v1\nkind: Pod\n", "its kind is 'Pod'"),
        (
            "kind",
            b"kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n" + b"- role: control-plane\n" * 2,
            "several nodes are control planes",
        ),
        ("kubeadm", V1BETA4 + b"---\n" + V1BETA4, "a second document of the same kind"),
        (
            "kind",
            (
                b"kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n "
                b" kubeadmConfigPatches:\n"
                b"  - |\n    kind: ClusterConfiguration\n    apiServer:\n      extraVolumes: [{name: x}]\n"
            ),
            "file.yaml:6: .*merge both",
        ),
    ],
)
def test_what_cannot_be_edited_safely_is_refused_with_its_line(name: str, data: bytes, says: str) -> None:
    """A file that cannot be edited without guessing is refused, and the line is named."""
    with pytest.raises(DecklogError, match=says):
        after(name, data)


def test_a_relative_policy_is_the_users_and_an_absolute_one_the_nodes() -> None:
    """Where the policy is on the node is the distribution's usual place, unless an absolute path says another."""
    users = interpret(distribution("k3s"), {"--audit-policy-file": "./mine.yaml"})
    assert users.flags["--audit-policy-file"] == "/var/lib/rancher/k3s/server/audit.yaml"
    assert "at /var/lib/rancher/k3s/server/audit.yaml" in users.then[0]
    nodes = interpret(distribution("k3s"), {"--audit-policy-file": "/etc/audit.yaml"})
    assert nodes.flags["--audit-policy-file"] == "/etc/audit.yaml"


def test_an_unknown_distribution_is_refused() -> None:
    """The names that are known are given."""
    with pytest.raises(DecklogError, match="choose one of kubeadm, kind"):
        distribution("openshift-on-toast")


def test_talos_needs_the_policy() -> None:
    """Without the policy's text nothing can be written for Talos."""
    with pytest.raises(DecklogError, match="takes the policy itself"):
        interpret(distribution("talos"), {})


MERGED: dict[str, tuple[bytes, dict[str, Any], bytes]] = {
    "an empty file": (b"", {"a": {"b": "c"}}, b"a:\n  b: c\n"),
    "only a comment": (b"# hello\n", {"a": "b"}, b"# hello\na: b\n"),
    "no line end at the end": (b"x: 1", {"a": "b"}, b"x: 1\na: b\n"),
    "an empty value with a comment": (b"a: # why\nz: 1\n", {"a": {"b": "c"}}, b"a: # why\n  b: c\nz: 1\n"),
    "an empty map": (b"a: {}\nz: 1\n", {"a": {"b": "c"}}, b"a:\n  b: c\nz: 1\n"),
    "four blanks": (b"a:\n    x: 1\n", {"a": {"b": {"c": "d"}}}, b"a:\n    x: 1\n    b:\n        c: d\n"),
    "behind a block of text": (
        b"a:\n  t: |\n    hi\n\nz: 1\n",
        {"a": {"b": "c"}},
        b"a:\n  t: |\n    hi\n\n  b: c\nz: 1\n",
    ),
    "a list that hangs": (b"l:\n- x=1\n", {"l": Words((("y", "2"),))}, b"l:\n- x=1\n- y=2\n"),
    "quotes stay": (b"a: 'x'\nb: \"y\"\n", {"a": "1", "b": "true"}, b"a: '1'\nb: \"true\"\n"),
    "both at the end": (
        b"a:\n  l:\n  - n: x\n",
        {"a": {"l": Named("n", ({"n": "y"},)), "m": "1"}, "z": "2"},
        b'a:\n  l:\n  - n: x\n  - n: y\n  m: "1"\nz: "2"\n',
    ),
    "a byte order mark": (b"\xef\xbb\xbfa: b\n", {"c": "d"}, b"\xef\xbb\xbfa: b\nc: d\n"),
}


@pytest.mark.parametrize("case", MERGED)
def test_merging_splices(case: str) -> None:
    """What is wanted is put in its place, and every other byte stays."""
    before, wanted, expected = MERGED[case]
    assert merge(before, wanted, source="f") == expected
    assert merge(expected, wanted, source="f") == expected

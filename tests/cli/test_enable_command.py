from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cli.running import Ran, run, run_on_terminal
from enable.control_plane import AUDIT, MOUNTS, manifest, node, process, server_flags
from enable.corpus import KUBEADM, SEED, TUTORIAL
from enable.layouts import command_line, flags
from enable.refusals import REFUSALS
from enable.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = "etc/kubernetes/manifests/kube-apiserver.yaml"
POLICY = "/etc/kubernetes/audit-policy.yaml"
EXAMPLES = Path(__file__).parents[2] / "examples"
DEMO_POLICY = "src/decklog/sandbox/demo-policy.yaml"
SEED_FLAGS = [f"--audit-{name.replace('_', '-')}={value}" for name, value in SEED.items()]


class Node:
    """A control plane node below a directory."""

    def __init__(self, root: Path, port: int = 6443, authority: bytes = b"", text: bytes | None = None) -> None:
        self.root = root
        node(root, authority)
        self.manifest = root / MANIFEST
        self.manifest.parent.mkdir()
        self.old = text if text is not None else manifest(server_flags(port), MOUNTS[:1])
        self.manifest.write_bytes(self.old)
        self.backups = root / "backups"

    def arguments(self, *args: object) -> list[str]:
        return ["enable", *map(str, args), "--root", str(self.root), "--backup-dir", str(self.backups)]

    def run(self, *args: object) -> Ran:
        return run(*self.arguments(self.manifest, *args))

    def undo(self, *args: object) -> Ran:
        return run(*self.arguments("--undo", *args))

    @property
    def now(self) -> bytes:
        return self.manifest.read_bytes()


@pytest.fixture
def here(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer([200]) as running:
        yield running


def test_without_write_the_change_is_only_shown(here: Node) -> None:
    """The diff goes to stdout, patch(1) takes it, the manifest stays, and the exit code is 1."""
    ran = here.run("--audit-policy-file", POLICY)
    assert ran.code == 1
    assert here.now == here.old
    assert not here.backups.exists()
    assert "nothing was written" in ran.err
    assert here.run("--audit-policy-file", POLICY, "--write").code == 0
    if shutil.which("patch"):
        target = here.root / "copy.yaml"
        target.write_bytes(here.old)
        subprocess.run(["patch", "-s", str(target)], input=ran.out.encode(), check=True)
        assert target.read_bytes() == here.now


def test_written_again_and_undone(here: Node) -> None:
    """Written, it is what was wanted; a second run changes nothing and ends with 0; the undo restores every byte."""
    ran = here.run("--audit-policy-file", POLICY, "--write")
    assert ran.code == 0, ran.err
    found = flags(command_line(yaml.safe_load(here.now)))
    assert {name: value for name, value in found.items() if "audit" in name} == AUDIT
    assert "6 of 6 checks on auditing pass" in ran.err
    again = here.run("--audit-policy-file", POLICY, "--write")
    assert (again.code, again.out) == (0, "")
    assert "nothing has to change" in again.err
    undone = here.undo()
    assert undone.code == 0, undone.err
    assert here.now == here.old
    assert "is as it was before" in undone.err
    assert os.listdir(here.manifest.parent) == ["kube-apiserver.yaml"]  # noqa: PTH208  # because: names are compared
    assert here.undo().code == 2


def test_one_command_makes_the_tutorials_manifest(tmp_path: Path) -> None:
    """From kubeadm's manifest to the tutorial's values; and on the tutorial's own manifest nothing changes."""
    ours = Node(tmp_path / "kubeadm", text=KUBEADM.encode())
    assert ours.run(*SEED_FLAGS, "--write").code == 0
    audit = {name: value for name, value in flags(command_line(yaml.safe_load(ours.now))).items() if "audit" in name}
    its = flags(command_line(yaml.safe_load(TUTORIAL)))
    assert audit == {name: value for name, value in its.items() if "audit" in name}
    theirs = Node(tmp_path / "tutorial", text=TUTORIAL.encode())
    ran = theirs.run(*SEED_FLAGS)
    assert (ran.code, ran.out) == (0, "")
    printed = Node(tmp_path / "printed", text=TUTORIAL.replace("      image", "      ...\n      image").encode())
    ran = printed.run(*SEED_FLAGS, "--write")
    assert ran.code == 2
    assert f"{printed.manifest}:17: a line of nothing but '...'" in ran.err
    assert printed.now == printed.old


def test_the_examples_manifest_goes_there_and_back(tmp_path: Path) -> None:
    """What the README tries: the manifest in examples, shown, written, undone."""
    policy = EXAMPLES.parent / DEMO_POLICY
    path = tmp_path / "kube-apiserver.yaml"
    shutil.copy(EXAMPLES / "enable/kube-apiserver.yaml", path)
    old = path.read_bytes()
    backups = ["--backup-dir", str(tmp_path / "backups")]
    assert run("enable", path, "--audit-policy-file", policy).code == 1
    assert run("enable", path, "--audit-policy-file", policy, "--write", *backups).code == 0
    assert path.read_bytes() != old
    assert run("enable", path, "--undo", *backups).code == 0
    assert path.read_bytes() == old


@pytest.mark.parametrize("name", ["a tab", "an alias", "a flag twice", "the log's directory is read-only"])
def test_a_conflict_names_file_and_line(name: str, tmp_path: Path) -> None:
    """What must not be guessed at ends with 2, the place, and what to do; nothing is written."""
    case = REFUSALS[name]
    at = Node(tmp_path, text=case.manifest.encode())
    ran = at.run(*(f"--audit-{key.replace('_', '-')}={value}" for key, value in case.wanted.items()), "--write")
    assert ran.code == 2
    assert ran.err.startswith(f"decklog: {at.manifest}:{case.line}: ")
    assert at.now == at.old


def test_what_is_grave_is_not_written(here: Node) -> None:
    """A policy that is not there would leave a dead API server: nothing is written, unless forced."""
    ran = here.run("--audit-policy-file", "/etc/kubernetes/missing.yaml", "--write")
    assert ran.code == 1
    assert "grave: " in ran.err
    assert "nothing was written" in ran.err
    assert here.now == here.old
    assert here.run("--audit-policy-file", "/etc/kubernetes/missing.yaml", "--write", "--force").code == 0
    assert here.now != here.old


def test_a_relative_policy_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy beside the user is found where it is; a log's path has to be the container's."""
    here = Node(tmp_path)
    monkeypatch.chdir(tmp_path / "etc/kubernetes")
    (tmp_path / "etc/kubernetes/audit-policy.yaml").rename(tmp_path / "etc/kubernetes/p.yaml")
    ran = run("enable", here.manifest, "--audit-policy-file", "p.yaml")
    assert f"+    - --audit-policy-file={tmp_path}/etc/kubernetes/p.yaml" in ran.out
    ran = here.run("--audit-policy-file", POLICY, "--audit-log-path", "audit.log")
    assert ran.code == 2
    assert "no absolute path" in ran.err


def test_a_webhooks_certificates_are_mounted(here: Node) -> None:
    """The kubeconfig and each file that it names, where no mount leads to them yet."""
    (here.root / "etc/kubernetes/webhook.yaml").write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: a, user: u}}]\n"
        "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1', certificate-authority: audit/ca.crt}}]\n"
        "users: [{name: u, user: {client-certificate: pki/ca.crt, client-key: audit/client.key}}]\n"
    )
    ran = here.run("--audit-policy-file", POLICY, "--audit-webhook-config-file", "/etc/kubernetes/webhook.yaml")
    new = "".join(line[1:] + "\n" for line in ran.out.splitlines() if line.startswith("+ "))
    for path in ("webhook.yaml", "audit/ca.crt", "audit/client.key", "audit-policy.yaml"):
        assert f"- mountPath: /etc/kubernetes/{path}\n" in new or f"mountPath: /etc/kubernetes/{path}\n" in new
    assert "/etc/kubernetes/pki/ca.crt" not in new


def test_a_change_can_be_shown_of_standard_input() -> None:
    """``-`` is shown a change; it cannot be written."""
    ran = run("enable", "-", "--audit-policy-file", POLICY, stdin=KUBEADM.encode())
    assert ran.code == 1
    assert "+    - --audit-policy-file=/etc/kubernetes/audit-policy.yaml" in ran.out
    assert run("enable", "-", "--audit-policy-file", POLICY, "--write", stdin=KUBEADM.encode()).code == 2


def test_as_json(here: Node) -> None:
    """All of it in one object."""
    ran = here.run("--audit-policy-file", POLICY, "--write", "-o", "json")
    said: dict[str, Any] = json.loads(ran.out)
    assert said["written"] is True
    assert {each["kind"] for each in said["changes"]} == {"flag", "mount", "volume"}
    assert said["diff"].startswith("--- ")
    assert [each["id"] for each in said["checks"]] == ["1.2.16", "1.2.17", "1.2.18", "1.2.19", "3.2.1", "3.2.2"]
    assert json.loads(here.undo("-o", "json").out)["restored"] is True


def test_on_a_terminal_nothing_is_obeyed(tmp_path: Path) -> None:
    """What a manifest's comments say to a terminal is spelled out."""
    at = Node(tmp_path, text=KUBEADM.replace("- kube-apiserver\n", "- kube-apiserver # \u202e\n").encode())
    ran = run_on_terminal(*at.arguments(at.manifest, "--audit-policy-file", POLICY))
    assert "\u202e" not in ran.out
    assert "audit-policy-file" in ran.out


def test_a_name_that_no_record_can_hold_is_refused(here: Node) -> None:
    """A manifest whose name is no UTF-8 is named, spelled out, and left alone."""
    path = here.manifest.with_name(os.fsdecode(b"a\xff.yaml"))
    path.write_bytes(here.old)
    ran = run(*here.arguments(path, "--audit-policy-file", POLICY))
    assert (ran.code, ran.out) == (2, "")
    assert "a\\udcff.yaml is no name in UTF-8" in ran.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--undo", "--audit-log-maxage=3"], "takes no flags"),
        (["--undo", "--prove"], "leave it out"),
        (["--audit-log-maxage=3", "--wait"], "give --write"),
        (["--for", "kind", "--undo"], "leave it out"),
        (["--for", "nothing"], "no distribution"),
        (["--audit-log-mode=Batch"], "audit-log-mode"),
        (["--audit-log-maxage=x"], "audit-log-maxage"),
    ],
)
def test_what_does_not_go_together_is_said(here: Node, args: list[str], says: str) -> None:
    """The user's input is refused with 2, before anything happens or is shown."""
    ran = here.run(*args)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert here.now == here.old


# On trial.


def new_flags(port: int) -> dict[str, str]:
    return server_flags(port) | AUDIT


def test_waited_for_and_proved(tmp_path: Path, server: ScriptedServer) -> None:
    """The API server comes back, and a marked request's event is found in its log."""
    here = Node(tmp_path, server.port, server.authority.certificate_pem)
    server.log = tmp_path / "var/log/kubernetes/audit/audit.log"
    server.log.touch()
    process(tmp_path, new_flags(server.port))
    ran = here.run("--audit-policy-file", POLICY, "--write", "--wait", "--prove", "--timeout", "20s")
    assert ran.code == 0, ran.err
    assert "written; the old one is" in ran.err
    assert here.now != here.old
    again = here.run("--audit-policy-file", POLICY, "--wait", "--prove", "--timeout", "20s")
    assert again.code == 0, again.err
    assert "nobody saw" not in again.err


def test_what_is_written_and_cannot_be_proved_is_said_to_be_written(tmp_path: Path, server: ScriptedServer) -> None:
    """A proof that fails for want of the container's output ends with 1: the manifest is not as it was."""
    here = Node(tmp_path, server.port, server.authority.certificate_pem)
    ran = here.run("--audit-policy-file", POLICY, "--audit-log-path=-", "--write", "--prove", "--timeout", "1s")
    assert ran.code == 1, ran.err
    assert "not proved" in ran.err
    assert "written; the old one is" in ran.err
    assert here.now != here.old


def test_without_a_name_it_is_the_manifest_of_the_node_at_root(here: Node) -> None:
    """Where the node's file system is mounted elsewhere, its manifest is meant, not this machine's."""
    told = run(*here.arguments("--audit-policy-file", POLICY, "--write"))
    assert told.code == 0
    assert here.now != here.old
    here.manifest.unlink()
    told = run(*here.arguments("--audit-policy-file", POLICY))
    assert told.code == 2
    assert "--for NAME" in told.err


def test_a_proof_that_has_nowhere_to_look_is_refused_before_anything_is_written(here: Node) -> None:
    """Exit code 2 says that the manifest is as it was, so what cannot be proved is told first."""
    told = here.run("--audit-policy-file", POLICY, "--write", "--prove", "--store", here.root / "nothing")
    assert told.code == 2
    assert "nothing is not there" in told.err
    assert here.now == here.old


def test_a_wait_of_no_time_is_refused(here: Node) -> None:
    """A deadline that has passed before the wait begins would only write, and put back."""
    told = here.run("--audit-policy-file", POLICY, "--write", "--wait", "--timeout", "-5s")
    assert told.code == 2
    assert "--timeout" in told.err
    assert here.now == here.old


# Distributions.


def test_a_distributions_own_file_is_edited(tmp_path: Path) -> None:
    """Its file is shown the change, written with a backup, and restored by an undo."""
    config = tmp_path / "kubeadm.yaml"
    config.write_text("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n# ours\nclusterName: a\n")
    old = config.read_bytes()
    args = ["enable", "--for", "kubeadm", config, "--audit-policy-file", POLICY, "--backup-dir", tmp_path / "b"]
    ran = run(*args)
    assert ran.code == 1, ran.err
    assert "+" in ran.out
    assert config.read_bytes() == old
    assert run(*args, "--write").code == 0
    assert b"# ours\n" in config.read_bytes()
    assert b"audit-policy-file" in config.read_bytes()
    assert run(*args, "--write").code == 0
    assert run("enable", config, "--undo", "--backup-dir", tmp_path / "b").code == 0
    assert config.read_bytes() == old


def test_a_worker_of_talos_is_refused(tmp_path: Path) -> None:
    """The file of a node without an API server is not shown a change that would do nothing."""
    config = tmp_path / "worker.yaml"
    config.write_text("machine:\n  type: worker\ncluster: {}\n")
    ran = run("enable", "--for", "talos", config, "--audit-policy-file", EXAMPLES.parent / DEMO_POLICY)
    assert (ran.code, ran.out) == (2, "")
    assert "machine.type is 'worker'" in ran.err


def test_a_policy_that_does_not_load_is_not_put_into_a_file(tmp_path: Path) -> None:
    """Talos takes the policy's text, and its API servers would not start with one that is none."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadat\n")
    ran = run("enable", "--for", "talos", "--audit-policy-file", policy)
    assert (ran.code, ran.out) == (2, "")
    assert f"{policy}:4:" in ran.err


def test_what_is_printed_for_a_distribution_is_not_obeyed(tmp_path: Path) -> None:
    """A policy's comments go into the file that is shown; a terminal gets them spelled out."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("# \u202e\napiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n")
    assert "\\u202e" in run_on_terminal("enable", "--for", "talos", "--audit-policy-file", policy).out
    assert "\u202e" in run("enable", "--for", "talos", "--audit-policy-file", policy).out


def test_managed_clusters_are_told_what_cannot_be_set() -> None:
    """Where nobody may set the policy, the gateway's recipe is printed."""
    ran = run("enable", "--for", "eks", "--audit-policy-file", POLICY)
    assert ran.code == 0
    assert "neither the policy nor a flag" in ran.out
    assert "decklog gateway" in ran.out
    assert json.loads(run("enable", "--for", "gke", "-o", "json").out)["new"] is None

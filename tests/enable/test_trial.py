from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

import pytest

from decklog.disk import Disk
from decklog.enable.trial import Trial, begin
from decklog.errors import DecklogError
from enable.control_plane import AUDIT, node, output, pod, process, server_flags
from enable.scripted_server import CLOSED, ScriptedServer
from store.filled_store import fill, line

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.enable.manifest import StaticPod


def nothing(_: str) -> None:
    pass


class Node:
    """A node with its API server: the manifests before and after, and the trial."""

    def __init__(self, root: Path, server: ScriptedServer) -> None:
        node(root, server.authority.certificate_pem)
        self.root = root
        self.server = server
        self.old: StaticPod = pod(server_flags(server.port))
        self.new: StaticPod = pod(server_flags(server.port) | AUDIT)
        self.undone: list[bool] = []

    def begin(self) -> Trial:
        return begin(self.old, root=self.root, disk=Disk(), environ={}, poll_s=0.05)

    def run(self, timeout_s: float = 0.8) -> tuple[bool, str, tuple[str, ...]]:
        waited = self.begin().wait_or_undo(self.new, self.old, lambda: self.undone.append(True), timeout_s, nothing)
        return waited.ready, waited.text, waited.output


READY = {
    "the old one goes, the new one comes": [200, 200, CLOSED, 500, 200],
    "it was down before": [CLOSED, CLOSED, 500, 200],
    "strangers are told nothing": [401, CLOSED, 403, 401],
}
DEAD = {
    "it never answers again": ([200, CLOSED], "closes connections without an answer"),
    "it never gets ready": ([200, CLOSED, 500], "answers 500 to /readyz (poststarthook/start-kube-apiserver"),
    "it gets ready and dies": ([200, CLOSED, 200, CLOSED], "it became ready and went down again"),
}


@pytest.mark.parametrize("case", READY)
def test_a_new_api_server_that_serves_is_ready(case: str, tmp_path: Path) -> None:
    """The wait ends well when the new API server serves and goes on serving; nothing is undone."""
    with ScriptedServer(READY[case][:]) as server:
        on = Node(tmp_path, server)
        ready, text, _ = on.run(timeout_s=4)
    assert ready, text
    assert not on.undone


@pytest.mark.parametrize("case", DEAD)
def test_an_api_server_that_does_not_serve_is_undone(case: str, tmp_path: Path) -> None:
    """When time is up the old manifest is put back, the reason is told, and the container's last lines."""
    script, reason = DEAD[case]
    with ScriptedServer(script[:]) as server:
        on = Node(tmp_path, server)
        output(tmp_path, "I0101 starting", "E0101 audit: loading audit policy file: no such file")
        ready, text, lines = on.run()
    assert not ready
    assert on.undone == [True]
    assert reason in text
    assert "the old manifest is back" in text
    assert lines[-1] == "E0101 audit: loading audit policy file: no such file"


def test_the_old_one_that_comes_back_is_said_to_serve(tmp_path: Path) -> None:
    """After the rollback the old API server is waited for, too."""
    with ScriptedServer([200, CLOSED]) as server:
        on = Node(tmp_path, server)

        def undo() -> None:
            on.undone.append(True)
            server.script[:] = [CLOSED, 200]

        waited = on.begin().wait_or_undo(on.new, on.old, undo, 1.2, nothing)
    assert not waited.ready
    assert "the old manifest is back, and serves" in waited.text


def test_an_answer_of_the_old_process_proves_nothing(tmp_path: Path) -> None:
    """Where processes can be seen, an API server with the old flags is not taken for the new one."""
    with ScriptedServer([200]) as server:
        on = Node(tmp_path, server)
        process(tmp_path, server_flags(server.port))
        ready, text, _ = on.run()
    assert not ready
    assert "kubelet has not taken the manifest" in text


def test_a_process_with_the_new_flags_is_the_new_one(tmp_path: Path) -> None:
    """Where processes can be seen, the new flags are proof, though nobody saw the restart."""
    with ScriptedServer([200]) as server:
        on = Node(tmp_path, server)
        process(tmp_path, server_flags(server.port) | AUDIT)
        waited = on.begin().wait(on.new, 2, nothing)
    assert waited.ready
    assert waited.sure


def test_a_restart_that_nobody_saw_is_said(tmp_path: Path) -> None:
    """Where no process can be seen and the answers never stopped, it is ready, but not surely the new one."""
    with ScriptedServer([200]) as server:
        on = Node(tmp_path, server)
        waited = on.begin().wait(on.new, 2, nothing)
    assert waited.ready
    assert not waited.sure
    assert "never seen to restart" in waited.text


def test_output_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Without the container's output it is said where it was looked for."""
    with ScriptedServer([CLOSED]) as server:
        on = Node(tmp_path, server)
        _, _, lines = on.run()
    assert lines == (
        "there is no output of the container in /var/log/pods/kube-system_kube-apiserver*/kube-apiserver/",
    )


def test_an_untrusted_certificate_is_found_before_anything_is_written(tmp_path: Path) -> None:
    """If the manifest's CA did not sign what the server shows, the trial does not even begin."""
    with ScriptedServer([200]) as server, ScriptedServer([200]) as other:
        on = Node(tmp_path, server)
        (tmp_path / "etc/kubernetes/pki/ca.crt").write_bytes(other.authority.certificate_pem)
        with pytest.raises(DecklogError, match=r"not trusted.*give --kubeconfig"):
            on.begin()
    assert not server.requests


def test_without_a_ca_nothing_begins(tmp_path: Path) -> None:
    """Without a CA that can be read there is nothing to check the server by."""
    with ScriptedServer([200]) as server:
        on = Node(tmp_path, server)
        (tmp_path / "etc/kubernetes/pki/ca.crt").unlink()
        with pytest.raises(DecklogError, match="neither --tls-cert-file nor --client-ca-file"):
            on.begin()


def test_what_is_waited_for_is_told(tmp_path: Path) -> None:
    """While it waits, a line says how long, and what the API server answers."""
    told: list[str] = []
    with ScriptedServer([200, CLOSED, 500]) as server:
        on = Node(tmp_path, server)
        on.begin().wait(on.new, 1.6, told.append)
    assert "of 2: it closes connections" in told[0]
    assert "it answers 500 to /readyz" in told[-1]


def test_a_kubeconfig_leads_to_its_server(tmp_path: Path) -> None:
    """With a kubeconfig its server, CA and token are used, not the manifest's."""
    with ScriptedServer([200]) as server:
        (tmp_path / "ca.crt").write_bytes(server.authority.certificate_pem)
        path = tmp_path / "admin.conf"
        path.write_text(
            "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
            f"clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{server.port}', "
            "certificate-authority: ca.crt}}]\nusers: [{name: u, user: {token: abc}}]\n"
        )
        trial = begin(pod({}), root=tmp_path, disk=Disk(), environ={}, kubeconfig=str(path))
    assert trial.before.serves
    assert server.requests[0][1]["Authorization"] == "Bearer abc"


def test_a_marked_request_is_found_in_the_log(tmp_path: Path) -> None:
    """The proof is a request of our own whose event stands in the log."""
    log = tmp_path / "var/log/kubernetes/audit/audit.log"
    with ScriptedServer([200], log) as server:
        on = Node(tmp_path, server)
        proved = on.begin().prove(on.new, 10, nothing)
    assert proved.found, proved.text
    path, headers = server.requests[-1]
    assert headers["Audit-ID"].startswith("decklog-prove-")
    assert headers["User-Agent"] == f"decklog-prove/{headers['Audit-ID']}"
    assert path == f"/api/v1/namespaces/default/configmaps/{headers['Audit-ID']}"
    assert f"GET {path} by system:anonymous (answer 404) is recorded at Metadata in the log {log}" in proved.text


def test_a_log_that_is_rotated_meanwhile_is_followed(tmp_path: Path) -> None:
    """The event is found, too, in a file that took the log's place after the request."""
    folder = tmp_path / "var/log/kubernetes/audit"
    with ScriptedServer([200], folder / "new.log") as server:
        on = Node(tmp_path, server)
        (folder / "audit.log").write_bytes(b"{}\n" * 10)

        def rotate(_: str) -> None:
            if (folder / "new.log").exists():
                (folder / "audit.log").rename(folder / "audit-2026-01-01T00-00-00.000.log")
                (folder / "new.log").rename(folder / "audit.log")

        assert on.begin().prove(on.new, 10, rotate).found


def test_an_event_that_does_not_come_is_said(tmp_path: Path) -> None:
    """Without the event the proof fails in time, and says what was asked and where it was looked."""
    with ScriptedServer([200]) as server:
        on = Node(tmp_path, server)
        proved = on.begin().prove(on.new, 0.6, nothing)
    assert not proved.found
    assert "the event of GET /api/v1/namespaces/default/configmaps/decklog-prove-" in proved.text
    assert "(answer 404) is not in the log" in proved.text


def test_a_request_is_made_again(tmp_path: Path) -> None:
    """The first request may have met the old API server, which records nothing: it is made again."""
    log = tmp_path / "var/log/kubernetes/audit/audit.log"
    with ScriptedServer([200]) as server:
        on = Node(tmp_path, server)

        def begin_to_record(_: str) -> None:
            server.log = log

        proved = on.begin().prove(on.new, 20, begin_to_record)
    assert proved.found
    assert len([path for path, _ in server.requests if "decklog-prove" in path]) == 2


def test_an_undo_that_fails_is_told_with_the_reason(tmp_path: Path) -> None:
    """If the old manifest cannot be put back, that, why it was tried, and the container's words are told."""
    with ScriptedServer([200, CLOSED]) as server:
        on = Node(tmp_path, server)
        output(tmp_path, "E0101 no such file")

        def undo() -> None:
            raise DecklogError("the disk is full")

        with pytest.raises(DecklogError) as told:
            on.begin().wait_or_undo(on.new, on.old, undo, 0.8, nothing)
    first, *rest = str(told.value).splitlines()
    assert first.startswith("not ready after 1 s")
    assert first.endswith("and the old manifest could not be put back: the disk is full")
    assert rest[-1] == "E0101 no such file"


POLICIES = {
    "reads are not recorded": (
        "- level: None\n  verbs: [get, list, watch]\n- level: Metadata\n",
        "DELETE /api/v1/names",
    ),
    "only roles": (
        "- level: Metadata\n  resources: [{group: rbac.authorization.k8s.io}]\n",
        "GET /apis/rbac.authorization.k8s.io/v1/clusterroles/",
    ),
    "only paths": ("- level: Metadata\n  nonResourceURLs: ['/version*']\n", "GET /version?mark=decklog-prove-"),
}


@pytest.mark.parametrize("case", POLICIES)
def test_the_policy_chooses_the_request(case: str, tmp_path: Path) -> None:
    """The request that is made is one that the policy records."""
    rules, request = POLICIES[case]
    with ScriptedServer([200], tmp_path / "var/log/kubernetes/audit/audit.log") as server:
        on = Node(tmp_path, server)
        policy = f"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}"
        (tmp_path / "etc/kubernetes/audit-policy.yaml").write_text(policy)
        proved = on.begin().prove(on.new, 10, nothing)
    assert proved.found
    assert request in proved.text


def test_a_policy_that_records_nothing_is_said(tmp_path: Path) -> None:
    """Where the policy records none of the requests, none is made."""
    with ScriptedServer([200]) as server:
        on = Node(tmp_path, server)
        nothing_recorded = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: None\n"
        (tmp_path / "etc/kubernetes/audit-policy.yaml").write_text(nothing_recorded)
        proved = on.begin().prove(on.new, 10, nothing)
    assert not proved.found
    assert "logs nothing" in proved.text
    assert [path for path, _ in server.requests] == ["/readyz"]


def test_output_of_the_container_is_searched_for_a_log_on_stdout(tmp_path: Path) -> None:
    """With --audit-log-path=- the event is looked for in the container's output."""
    output(tmp_path, "hello")
    log = tmp_path / "var/log/pods/kube-system_kube-apiserver-node1_abc/kube-apiserver/3.log"
    with ScriptedServer([200], log) as server:
        on = Node(tmp_path, server)
        new = pod(server_flags(server.port) | AUDIT | {"--audit-log-path": "-"})
        proved = on.begin().prove(new, 10, nothing)
    assert proved.found
    assert f"the container's output {log}" in proved.text


def test_a_receivers_store_is_searched(tmp_path: Path) -> None:
    """Where events go to a receiver, its event is found in the receiver's store when it has come."""
    store = tmp_path / "store"
    fill(store, [line(1)])
    with ScriptedServer([200]) as server:
        on = Node(tmp_path, server)

        def receive(_: str) -> None:
            if not (store / "journal" / "two").exists():
                come = line(2).replace(b"id-2", server.requests[-1][1]["Audit-ID"].encode())
                thread = Thread(target=fill, args=(store, [come]), kwargs={"writer": "two"})  # it runs a loop, too
                thread.start()
                thread.join()

        proved = on.begin().prove(on.new, 10, receive, store)
    assert proved.found
    assert f"by alice (answer 404) is recorded at Metadata in the store {store}" in proved.text


def test_a_webhook_alone_needs_the_store(tmp_path: Path) -> None:
    """Where events go to a webhook only, the receiver's store has to be named."""
    with ScriptedServer([200]) as server:
        on = Node(tmp_path, server)
        flags = {"--audit-policy-file": AUDIT["--audit-policy-file"], "--audit-webhook-config-file": "/etc/k/w.yaml"}
        with pytest.raises(DecklogError, match="give --store DIR"):
            on.begin().prove(pod(server_flags(server.port) | flags), 1, nothing)

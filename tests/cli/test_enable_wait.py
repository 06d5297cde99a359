from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.running import PROGRAM, Ran, run
from enable.control_plane import AUDIT, MOUNTS, manifest, node, output, process, server_flags
from enable.scripted_server import CLOSED, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = "/etc/kubernetes/audit-policy.yaml"


class Cluster:
    """A node below a directory, its API server, and decklog enable run on it as a user would."""

    def __init__(self, root: Path, server: ScriptedServer) -> None:
        node(root, server.authority.certificate_pem)
        self.root = root
        self.server = server
        self.path = root / "etc/kubernetes/manifests/kube-apiserver.yaml"
        self.path.parent.mkdir()
        self.old = manifest(server_flags(server.port), MOUNTS[:1])
        self.path.write_bytes(self.old)

    def args(self, *more: str) -> list[str]:
        places = ["--root", str(self.root), "--backup-dir", str(self.root / "backups")]
        return ["enable", str(self.path), *places, *more]

    def writing(self, *more: str, timeout: str = "60s") -> list[str]:
        return self.args("--audit-policy-file", POLICY, "--write", "--wait", "--timeout", timeout, *more)

    def run(self, *args: str) -> Ran:
        return run(*args)

    def start(self, args: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*PROGRAM, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )

    def killed_while_waiting(self) -> None:
        """Kill the wait and its watchdog, so that nobody is left to put the old manifest back."""
        with self.start(self.writing()) as waiting:
            until(lambda: self.path.read_bytes() != self.old and bool(self.server.requests[1:]))
            for child in _children(waiting.pid):
                os.kill(child, signal.SIGKILL)
            waiting.kill()


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def test_what_serves_stays_and_is_proved(tmp_path: Path) -> None:
    """The new manifest stays when its API server serves, and the proof is found in the log that it names."""
    with ScriptedServer([200, 200, CLOSED, 500, 200], tmp_path / "var/log/kubernetes/audit/audit.log") as server:
        cluster = Cluster(tmp_path, server)
        ran = cluster.run(*cluster.writing("--prove", timeout="20s"))
    assert ran.code == 0, ran.err
    assert "the API server is ready" in ran.err
    assert "proved: GET /api/v1/namespaces/default/configmaps/decklog-prove-" in ran.err
    assert b"--audit-policy-file=/etc/kubernetes/audit-policy.yaml" in cluster.path.read_bytes()
    assert [path.name for path in cluster.path.parent.iterdir()] == ["kube-apiserver.yaml"]


@pytest.mark.parametrize("script", [[200, CLOSED], [200, CLOSED, 200, CLOSED], [200, 500]], ids=str)
def test_what_does_not_serve_is_put_back(script: list[int], tmp_path: Path) -> None:
    """When time is up the old bytes are back, with code 1, the reason and the container's last lines."""
    with ScriptedServer(script) as server:
        cluster = Cluster(tmp_path, server)
        output(tmp_path, "E0101 audit policy: no such file")
        ran = cluster.run(*cluster.writing(timeout="2s"))
    assert ran.code == 1
    assert cluster.path.read_bytes() == cluster.old
    assert "not ready after 2 s" in ran.err
    assert "the old manifest is back" in ran.err
    assert "E0101 audit policy: no such file" in ran.err
    assert [path.name for path in cluster.path.parent.iterdir()] == ["kube-apiserver.yaml"]


def test_an_old_process_that_stays_is_no_success(tmp_path: Path) -> None:
    """If kubelet does not take the manifest, the old bytes are put back, and that is said."""
    with ScriptedServer([200]) as server:
        cluster = Cluster(tmp_path, server)
        process(tmp_path, server_flags(server.port))
        ran = cluster.run(*cluster.writing(timeout="2s"))
    assert ran.code == 1
    assert cluster.path.read_bytes() == cluster.old
    assert "kubelet has not taken the manifest" in ran.err


def test_an_untrusted_server_is_found_before_writing(tmp_path: Path) -> None:
    """With a CA that does not fit nothing is written at all."""
    with ScriptedServer([200]) as server, ScriptedServer([200]) as other:
        cluster = Cluster(tmp_path, server)
        (tmp_path / "etc/kubernetes/pki/ca.crt").write_bytes(other.authority.certificate_pem)
        ran = cluster.run(*cluster.writing())
    assert ran.code == 2
    assert "not trusted" in ran.err
    assert cluster.path.read_bytes() == cluster.old
    assert not (tmp_path / "backups").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=str)
def test_a_wait_that_is_ended_puts_the_old_one_back(number: int, tmp_path: Path) -> None:
    """Whoever ends the wait and its whole process group, the manifest that nobody saw serve does not stay."""
    with ScriptedServer([200, CLOSED]) as server:
        cluster = Cluster(tmp_path, server)
        with cluster.start(cluster.writing()) as waiting:
            until(lambda: cluster.path.read_bytes() != cluster.old and len(server.requests) > 2)
            os.killpg(waiting.pid, number)
            said = waiting.communicate(timeout=30)[1].decode()  # ends with the watchdog, which shares stderr
    assert cluster.path.read_bytes() == cluster.old
    assert "the old one is back" in said
    assert cluster.run(*cluster.args("--undo")).code == 2
    assert [path.name for path in cluster.path.parent.iterdir()] == ["kube-apiserver.yaml"]


def test_who_kills_watchdog_and_wait_is_reminded_and_can_undo(tmp_path: Path) -> None:
    """After both were killed the next run says that nobody saw it serve; --undo restores the bytes."""
    with ScriptedServer([200, CLOSED]) as server:
        cluster = Cluster(tmp_path, server)
        cluster.killed_while_waiting()
        new = cluster.path.read_bytes()
        assert new != cluster.old
        again = cluster.run(*cluster.args("--audit-policy-file", POLICY))
        assert again.code == 0, again.err
        assert "nobody saw its API server serve" in again.err
        assert cluster.path.read_bytes() == new
        undone = cluster.run(*cluster.args("--undo"))
    assert undone.code == 0, undone.err
    assert cluster.path.read_bytes() == cluster.old


def test_a_later_wait_settles_what_was_cut_short(tmp_path: Path) -> None:
    """A run with --wait waits on for a manifest that is in place already, and then nobody is reminded any more."""
    with ScriptedServer([200]) as server:
        cluster = Cluster(tmp_path, server)
        cluster.killed_while_waiting()
        process(tmp_path, server_flags(server.port) | AUDIT)
        assert cluster.run(*cluster.writing(timeout="2s")).code == 0
        assert "nobody saw" not in cluster.run(*cluster.args("--audit-policy-file", POLICY)).err


def test_the_wait_is_shown_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal a line says how long has been waited and what the API server answers."""
    ours, theirs = pty.openpty()
    with ScriptedServer([200, CLOSED]) as server:
        cluster = Cluster(tmp_path, server)
        args = [*PROGRAM, *cluster.writing(timeout="2s")]
        waiting = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b"")).decode()
        waiting.wait(20)
        os.close(ours)
    assert re.search(r"\r\x1b\[Kwaiting for the API server, \d s of 2: it closes connections", shown)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux says so when the last writer has gone
        return b""


def _children(pid: int) -> list[int]:
    """Name the processes that a process has forked."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]

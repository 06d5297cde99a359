"""`decklog sandbox` as a process: its errors before serving, and its life."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from decklog import certificates
from decklog.audit.wire import decode_event
from journeys.sandbox_process import METADATA, SANDBOX, certificates_of, sandbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.journey


def test_a_sandbox_serves_and_writes_its_log(tmp_path: Path) -> None:
    """It says what it is, how it audits and where it listens; SIGTERM ends it with exit code 0."""
    with sandbox(tmp_path) as running:
        assert running.said[-3].startswith("the sandbox is no cluster")
        assert running.said[-2] == "audit: blocking<log>"
        assert running.said[-1] == f"listening on {running.url}"
        assert running.get("/api/v1/namespaces")[0] == 200
        assert running.get("/api/v1/secrets", "carol")[0] == 403
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
    events = [decode_event(line) for line in running.lines()]
    assert [
        (event.user.username, event.stage, event.response_status and event.response_status.code) for event in events
    ] == [
        ("admin", "RequestReceived", None),
        ("admin", "ResponseComplete", 200),
        ("carol", "RequestReceived", None),
        ("carol", "ResponseComplete", 403),
    ]
    assert events[3].annotations["authorization.k8s.io/decision"] == "forbid"
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600


def test_ctrl_c_exits_130(tmp_path: Path) -> None:
    """Interrupted is not done."""
    with sandbox(tmp_path) as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(10) == 130


def test_sighup_reopens_the_log(tmp_path: Path) -> None:
    """logrotate renames, then signals: nothing is lost or doubled."""
    with sandbox(tmp_path) as running:
        running.get("/version")
        (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
        running.process.send_signal(signal.SIGHUP)
        running.get("/version")
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(10)
    old = (tmp_path / "audit.log.1").read_bytes().splitlines()
    lines = [*old, *running.lines()]
    assert len(lines) == len(set(lines)) == 4


def test_the_rule_that_decided_is_written_on_request(tmp_path: Path) -> None:
    """--audit-annotate-rule."""
    with sandbox(tmp_path, METADATA, "--audit-annotate-rule") as running:
        running.get("/version")
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(10)
    assert [json.loads(line)["annotations"]["decklog/rule"] for line in running.lines()] == ["0", "0"]


def test_a_failed_login_is_one_event(tmp_path: Path) -> None:
    """Nobody knows the token."""
    with sandbox(tmp_path) as running:
        running.tokens["nobody-token"] = "nope"
        assert running.get("/api/v1/pods", "nobody")[0] == 401
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(10)
    (event,) = [decode_event(line) for line in running.lines()]
    assert (event.stage, event.user.username) == ("ResponseStarted", "")


@pytest.mark.parametrize(("mode", "code"), [("blocking", 200), ("blocking-strict", 500)])
def test_a_log_that_cannot_be_written_while_serving(tmp_path: Path, mode: str, code: int) -> None:
    """Both count what is lost; blocking answers all the same, blocking-strict refuses in kube-apiserver's words."""
    with sandbox(tmp_path, METADATA, "--audit-log-mode", mode) as running:
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        answer, body = running.get("/version")
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert running.get("/healthz")[0] == 200
    assert answer == code
    assert (b'Internal Server Error: "/version": failed to store audit event' in body) is (code == 500)
    written = [(event.request_uri, event.stage) for event in map(decode_event, running.lines())]
    assert ("/version", "RequestReceived") not in written
    assert ("/healthz", "RequestReceived") in written


BAD_POLICIES = {
    "missing": (None, "no-such-policy.yaml"),
    "empty": (b"", "policy.yaml"),
    "binary": (b"\x00\x01\x02\xff", "policy.yaml"),
    "no rules": (b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []\n", "policy.yaml"),
    "malformed": (b"apiVersion: [\n", "policy.yaml"),
    "a misspelt key": (METADATA.encode() + b"  verb: [get]\n", "policy.yaml:5:3: rules[0].verb"),
    "an unknown stage": (METADATA.encode() + b"  omitStages: [Finished]\n", "policy.yaml:5:16: rules[0].omitStages[0]"),
}


@pytest.mark.parametrize("name", BAD_POLICIES)
def test_a_bad_policy_ends_before_serving_with_its_place(tmp_path: Path, name: str) -> None:
    """Exit code 2, the file's name, and no traceback."""
    content, place = BAD_POLICIES[name]
    path = tmp_path / place.partition(":")[0]
    if content is not None:
        path.write_bytes(content)
    done = subprocess.run(
        [*SANDBOX, "--audit-policy-file", str(path), "--audit-log-path", str(tmp_path / "audit.log")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert place in done.stderr
    assert "Traceback" not in done.stderr
    assert "listening" not in done.stderr


BAD_FLAGS = {
    "a log that is a directory": (["--audit-log-path", "."], "audit-log-path", 2),
    "a negative size": (["--audit-log-path", "a.log", "--audit-log-maxsize=-1"], "can't be a negative number", 2),
    "an unknown mode": (["--audit-log-path", "a.log", "--audit-log-mode=never"], "never", 2),
    "an unknown flag": (["--audit-log-paht", "a.log"], "--audit-log-path", 2),
    "an unknown release": (["--kubernetes", "new"], "new", 2),
    "an address that is none": (["--listen", "here"], "HOST:PORT", 2),
}


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_bad_flags_end_before_serving(tmp_path: Path, name: str) -> None:
    """Each with one line that says what to do."""
    flags, words, code = BAD_FLAGS[name]
    (tmp_path / "policy.yaml").write_text(METADATA)
    done = subprocess.run(
        [*SANDBOX, "--audit-policy-file", "policy.yaml", *flags],
        capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert done.stderr.startswith("decklog: ")


def test_an_address_in_use_is_a_door_s_failure(tmp_path: Path) -> None:
    """Exit code 3, and what to do."""
    (tmp_path / "policy.yaml").write_text(METADATA)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [*SANDBOX, "--listen", address], capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path
        )
    assert done.returncode == 3
    assert done.stderr.startswith("decklog: ")
    assert address in done.stderr


def test_without_a_policy_auditing_is_off_and_it_says_so(tmp_path: Path) -> None:
    """The log's file is made all the same, as by kube-apiserver."""
    with sandbox(tmp_path, METADATA, "--audit-policy-file", "") as running:
        assert running.said[-2] == "audit: auditing is off: no --audit-policy-file"
        running.get("/version")
    assert running.lines() == []


def test_certificates_are_what_the_kubeconfig_says(tmp_path: Path) -> None:
    """A context for each account, with certificate and with token."""
    with sandbox(tmp_path) as running:
        config = yaml.safe_load((tmp_path / "kubeconfig").read_text())
        assert running.url.startswith("https://127.0.0.1:")
    entry = next(user["user"] for user in config["users"] if user["name"] == "bob")
    assert certificates.identity(certificates_of(entry["client-certificate-data"])).common_name == "bob"

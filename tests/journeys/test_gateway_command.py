"""`decklog gateway` as processes, in front of a sandbox: workers, reloads, deaths, figures, ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from journeys.gateway_crew import DEADLINE_S, METADATA, Authority, gateway, until
from journeys.sandbox_process import sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from journeys.gateway_crew import Gateway
    from journeys.sandbox_process import Running

pytestmark = pytest.mark.journey

BOTH = pytest.mark.parametrize("workers", ["1", "2"])
NONE = METADATA.replace("Metadata", "None")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox for all tests of this file."""
    with sandbox(tmp_path_factory.mktemp("upstream")) as running:
        yield running


def stopped(running: Gateway, number: signal.Signals = signal.SIGTERM) -> int:
    running.process.send_signal(number)
    return running.process.wait(10)


@BOTH
def test_a_gateway_serves_and_writes_its_log(tmp_path: Path, upstream: Running, workers: str) -> None:
    """It says how it audits and where it listens, writes the users' kubeconfig, and ends with 0 within ten seconds."""
    out = tmp_path / "users.kubeconfig"
    with gateway(tmp_path, upstream, "--workers", workers, "--kubeconfig-out", str(out)) as running:
        said = running.said.splitlines()
        assert said[0] == f"audit: blocking<log>, in {workers} worker{'s' * (workers != '1')}"
        assert said[2] == f"listening on https://127.0.0.1:{running.port}"
        assert yaml.safe_load(out.read_text())["clusters"][0]["cluster"]["server"] == said[2].split()[-1]
        assert running.get("/api/v1/namespaces") == 200
        assert running.get("/api/v1/secrets", "carol") == 403
        assert running.get("/api/v1/namespaces", "") == 403
        assert stopped(running) == 0
    assert [
        (event["user"].get("username"), event["stage"], event.get("responseStatus", {}).get("code"))
        for event in running.events()
    ] == [
        ("admin", "RequestReceived", None),
        ("admin", "ResponseComplete", 200),
        ("carol", "RequestReceived", None),
        ("carol", "ResponseComplete", 403),
        ("system:anonymous", "RequestReceived", None),
        ("system:anonymous", "ResponseComplete", 403),
    ]


def test_ctrl_c_exits_130(tmp_path: Path, upstream: Running) -> None:
    """Interrupted is not done."""
    with gateway(tmp_path, upstream, "--workers", "2") as running:
        assert stopped(running, signal.SIGINT) == 130


@BOTH
def test_a_policy_is_reloaded_while_a_watch_is_open(tmp_path: Path, upstream: Running, workers: str) -> None:
    """A good one takes the old one's place in every worker, a bad one is refused; both are events; nothing is cut."""
    policy = tmp_path / "policy.yaml"
    with gateway(tmp_path, upstream, "--workers", workers) as running, running.watch() as watch:
        first = hashlib.sha256(policy.read_bytes()).hexdigest()
        policy.write_text(METADATA + "- levle: Metadata\n")
        refused = hashlib.sha256(policy.read_bytes()).hexdigest()
        running.process.send_signal(signal.SIGHUP)
        until(lambda: reloads(running))
        assert f"decklog: the policy stays as it was: {policy}:5:" in running.said
        assert running.get("/healthz/still-recorded") != 200
        assert any(event["requestURI"] == "/healthz/still-recorded" for event in running.events())

        policy.write_text(NONE)
        second = hashlib.sha256(policy.read_bytes()).hexdigest()
        running.process.send_signal(signal.SIGHUP)
        until(lambda: len(reloads(running)) == 2)
        assert f"the policy {policy} is in force (sha256 {second})" in running.said
        until(lambda: all(not recorded(running, f"/healthz/{number}") for number in range(20)))

        name = f"reload-{workers}"
        assert running.create(name) == 201
        while json.loads(watch.readline())["object"]["metadata"]["name"] != name:
            pass
        assert stopped(running) == 0
        assert watch.read() == b""  # ended cleanly, with its last chunk
    bad, good = reloads(running)
    assert (bad["responseStatus"]["code"], good["responseStatus"]["code"]) == (422, 200)
    assert bad["responseStatus"]["message"].startswith(f"{policy}:5:")
    assert bad["annotations"] == {"decklog/policy-sha256": first, "decklog/refused-policy-sha256": refused}
    assert good["annotations"] == {"decklog/policy-sha256": second}
    assert good["user"] == {"username": "system:decklog"}
    assert (good["level"], good["stage"], good["verb"]) == ("Metadata", "ResponseComplete", "reload")
    stages = [event["stage"] for event in running.events() if "watch=1" in event["requestURI"]]
    assert stages == ["RequestReceived", "ResponseStarted", "ResponseComplete"]


def reloads(running: Gateway) -> list[dict[str, Any]]:
    return [event for event in running.events() if event["requestURI"] == "/decklog/policy"]


def recorded(running: Gateway, path: str) -> bool:
    running.get(path)
    return any(event["requestURI"] == path for event in running.events())


def test_a_new_policy_outlives_a_worker(tmp_path: Path, upstream: Running) -> None:
    """A worker that takes a dead one's place decides by what is in force, not by what its file says by now."""
    with gateway(tmp_path, upstream, "--workers", "2", policy=NONE) as running:
        (tmp_path / "policy.yaml").write_text(METADATA)
        running.process.send_signal(signal.SIGHUP)
        until(lambda: reloads(running))
        (tmp_path / "policy.yaml").write_text("broken")
        for pid in (old := running.workers()):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not set(old) & set(running.workers()) and running.page("/readyz") == (200, "ok"))
        assert all(recorded(running, f"/healthz/{number}") for number in range(8))


def test_a_killed_worker_is_replaced_and_counters_do_not_go_backwards(tmp_path: Path, upstream: Running) -> None:
    """/readyz names it meanwhile, and the sums go on."""
    with gateway(tmp_path, upstream, "--workers", "2") as running:
        for _ in range(20):
            running.get("/version")
        before = running.counted()
        assert before["apiserver_audit_event_total"] == 40
        assert before['decklog_backend_delivered_events_total{backend="log"}'] == 40
        assert before['decklog_certificate_expiry_timestamp_seconds{certificate="listener"}'] > time.time()
        os.kill(running.workers()[0], signal.SIGKILL)
        seen = []

        def replaced() -> bool:
            seen.append(running.counted())
            return "it is started again" in running.said and running.page("/readyz") == (200, "ok")

        until(replaced)
        for _ in range(20):
            running.get("/version")
        seen.append(running.counted())
        assert seen[-1]["apiserver_audit_event_total"] == 80
        for earlier, later in zip([before, *seen], seen, strict=False):
            for key, value in earlier.items():
                if key.partition("{")[0].endswith("_total"):
                    assert later[key] >= value
        assert stopped(running) == 0
    assert "was killed by SIGKILL" in running.said


def test_logs_are_reopened_by_every_worker(tmp_path: Path, upstream: Running) -> None:
    """logrotate renames, then signals: nothing is lost or doubled."""
    with gateway(tmp_path, upstream, "--workers", "2") as running:
        running.get("/version")
        (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
        running.process.send_signal(signal.SIGHUP)
        until(lambda: (tmp_path / "audit.log").exists() and reloads(running))
        for _ in range(10):
            running.get("/version")
        assert stopped(running) == 0
    old = (tmp_path / "audit.log.1").read_bytes().splitlines()
    lines = [line for line in (*old, *(tmp_path / "audit.log").read_bytes().splitlines()) if b"/version" in line]
    assert len(lines) == len(set(lines)) == 22


@BOTH
def test_certificates_are_renewed_while_connections_stay(tmp_path: Path, upstream: Running, workers: str) -> None:
    """New connections see the new one, open ones go on; a pair that does not fit changes nothing."""
    with gateway(tmp_path, upstream, "--workers", workers) as running:
        kept = running.connect()
        kept.request("GET", "/version", headers=running.headers())
        assert kept.getresponse().read()
        (tmp_path / "tls.key").write_text("no key")
        running.process.send_signal(signal.SIGHUP)
        until(lambda: "the certificates stay as they were" in running.said)
        assert running.get("/version") == 200

        other = Authority("another-ca")
        other.server(tmp_path)
        running.process.send_signal(signal.SIGHUP)

        def renewed() -> bool:
            with contextlib.suppress(ssl.SSLError):
                return running.get("/version", tls=other.context()) == 200
            return False

        until(lambda: all(renewed() for _ in range(10)))
        kept.request("GET", "/version", headers=running.headers())
        assert kept.getresponse().status == 200
        kept.close()


def test_certificates_of_clients_name_them(tmp_path: Path, upstream: Running) -> None:
    """They are impersonated at the upstream; required, nobody comes without one; TLS 1.2 and http/1.1 only."""
    clients = Authority("clients")
    (tmp_path / "clients.crt").write_bytes(clients.pair.certificate_pem)
    flags = ("--client-ca-file", str(tmp_path / "clients.crt"), "--require-client-certificate")
    with gateway(tmp_path, upstream, "--workers", "1", *flags) as running:
        dave = clients.client(tmp_path, "dave", "system:masters")
        dave.load_verify_locations(cadata=Authority().pair.certificate_pem.decode())
        context = running.tls
        context.load_cert_chain(tmp_path / "dave.crt", tmp_path / "dave.key")
        context.set_alpn_protocols(["h2", "http/1.1"])
        with contextlib.closing(running.connect(context)) as connection:
            connection.connect()
            assert connection.sock.selected_alpn_protocol() == "http/1.1"
            connection.request("GET", "/api/v1/namespaces")
            assert connection.getresponse().status == 200
        without = ssl.create_default_context(cafile=None)
        without.check_hostname, without.verify_mode = False, ssl.CERT_NONE
        with pytest.raises((ssl.SSLError, ConnectionError)):
            running.get("/version", "", without)
        assert stopped(running) == 0
    assert [(event["user"]["username"], event["user"]["groups"]) for event in running.events()] == [
        ("dave", ["system:masters", "system:authenticated"])
    ] * 2


WRONG = {
    "no upstream": ([], 2, "there is no API server to stand before"),
    "plain HTTP for everybody": (
        ["--kubeconfig", "{up}", "--listen", "0.0.0.0:0", "--insecure"],
        2,
        "would show everybody's tokens",
    ),
    "a key without its certificate": (["--kubeconfig", "{up}", "--tls-private-key-file", "x"], 2, "go together"),
    "workers on standard output": (
        ["--kubeconfig", "{up}", "--workers", "2", "--audit-log-path", "-"],
        2,
        "--audit-log-path - needs --workers 1",
    ),
    "a policy that is none": (
        ["--kubeconfig", "{up}", "--audit-policy-file", "{up}"],
        2,
        "is not a policy: write kind: Policy",
    ),
    "a log that cannot be written": (
        ["--kubeconfig", "{up}", "--audit-policy-file", "{policy}", "--audit-log-path", "/dev/full", "--workers", "2"],
        2,
        "/dev/full",
    ),
    "a kubeconfig that cannot be written": (
        ["--kubeconfig", "{up}", "--kubeconfig-out", "/nowhere/users", "--workers", "2"],
        2,
        "cannot write",
    ),
    "an address of somebody else": (
        ["--kubeconfig", "{up}", "--listen", "192.0.2.1:1"],
        3,
        "cannot listen on 192.0.2.1",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_before_serving(tmp_path: Path, upstream: Running, name: str) -> None:
    """In one line, with the exit code that says whose it is."""
    flags, code, said = WRONG[name]
    (tmp_path / "policy.yaml").write_text(METADATA)
    known = {"up": upstream.folder / "kubeconfig", "policy": tmp_path / "policy.yaml"}
    command = [sys.executable, "-m", "decklog", "gateway", "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        [*command, *(flag.format(**known) for flag in flags)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (code, 0), done.stderr
    assert said in done.stderr

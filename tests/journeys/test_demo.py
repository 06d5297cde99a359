"""`decklog demo`: the newcomer's first command."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from decklog.audit.wire import decode_event
from journeys.sandbox_process import certificates_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.journey

DEMO = (sys.executable, "-m", "decklog", "demo")


def test_the_demo_tells_who_deleted_the_deployment(tmp_path: Path) -> None:
    """The story's requests are in the log, and the answer names alice."""
    done = subprocess.run(
        [*DEMO, "--directory", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "alice deleted deployments.apps web in namespace shop" in done.stdout
    assert (tmp_path / "audit.log").read_text().splitlines()[-1] in done.stdout.splitlines()  # whole
    events = [decode_event(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()]
    told = {(event.user.username, event.verb, event.response_status.code) for event in events if event.response_status}
    assert {("bob", "create", 201), ("carol", "delete", 403), ("alice", "delete", 200), ("carol", "watch", 200)} <= told
    assert "Panic" in {event.stage for event in events}
    secrets = [
        bytes(event.request_object) for event in events if event.object_ref and event.object_ref.resource == "secrets"
    ]
    assert secrets
    assert not any(secrets)


def has_ipv6_loopback() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


LISTEN = [
    pytest.param("[::1]:0", marks=pytest.mark.skipif(not has_ipv6_loopback(), reason="no IPv6 on this machine")),
    "localhost:0",
    ":0",
]


@pytest.mark.parametrize("address", LISTEN)
def test_the_demo_listens_wherever_it_is_told(tmp_path: Path, address: str) -> None:
    """Its own requests go to the address that it serves on."""
    done = subprocess.run(
        [*DEMO, "--listen", address, "--directory", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "alice deleted deployments.apps web in namespace shop" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_the_demo_stays_up_when_asked(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Until Ctrl-C or SIGTERM, which ends what is under way in good order: a watch has its last event."""
    with subprocess.Popen(
        [*DEMO, "--keep", "--directory", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert any("Staying up" in line for line in process.stdout or ())
            assert (tmp_path / "kubeconfig").is_file()
            with watching(tmp_path):
                process.send_signal(number)
                assert process.wait(10) == code
            last = decode_event((tmp_path / "audit.log").read_bytes().splitlines()[-1])
            assert (last.user.username, last.verb, last.stage) == ("carol", "watch", "ResponseComplete")
        finally:
            process.kill()


@contextlib.contextmanager
def watching(place: Path) -> Iterator[None]:
    """Hold a watch of carol's open; its answer has begun."""
    config = yaml.safe_load((place / "kubeconfig").read_text())
    cluster = config["clusters"][0]["cluster"]
    context = ssl.create_default_context(cadata=certificates_of(cluster["certificate-authority-data"]))
    token = next(entry["user"]["token"] for entry in config["users"] if entry["name"] == "carol-token")
    connection = http.client.HTTPSConnection(cluster["server"].removeprefix("https://"), context=context, timeout=10)
    with contextlib.closing(connection):
        connection.request(
            "GET", "/api/v1/namespaces/shop/pods?watch=true", headers={"Authorization": f"Bearer {token}"}
        )
        assert connection.getresponse().status == 200
        yield


def test_a_directory_that_cannot_be_made_is_told() -> None:
    """Exit code 2, and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "decklog", "demo", "--directory", "/proc/nowhere"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("decklog: cannot use the directory /proc/nowhere: ")

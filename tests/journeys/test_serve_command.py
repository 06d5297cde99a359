"""`decklog serve`: gateway, receiver, pages and store in one tree, against a sandbox."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from journeys.receiver_process import DECKLOG, certify
from journeys.sandbox_process import sandbox
from journeys.serve_process import CONFIG, serving
from receiving.poison import event, event_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from journeys.sandbox_process import Running
    from journeys.serve_process import Serving

pytestmark = pytest.mark.journey
DEADLINE_S = 60.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Running]:
    certify(tmp_path)
    with sandbox(tmp_path) as running:
        yield running


def item(name: str) -> bytes:
    """Make an event about an object of that name."""
    return event(1, objectRef={"resource": "pods", "namespace": "shop", "name": name, "apiVersion": "v1"})


def stored(folder: Path) -> bytes:
    """Give all that journals hold, and segments, verbatim."""
    done = subprocess.run(
        (*DECKLOG, "export", "--store", str(folder / "store"), "--to", "jsonl"), capture_output=True, check=False
    )
    return done.stdout


def test_what_comes_through_any_door_is_found(tmp_path: Path, upstream: Running) -> None:
    """A request through the gateway, a batch to the receiver: one store, one view of metrics; SIGTERM ends it all."""
    with serving(tmp_path, upstream) as running:
        assert running.create("from-the-gateway") == 201
        assert running.post(event_list([item("from-the-webhook")])) == 200
        for name in ("from-the-gateway", "from-the-webhook"):
            done = subprocess.run(
                (*DECKLOG, "query", "--name", name, "--store", str(tmp_path / "store")),
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, name in done.stdout) == (0, True), done.stderr
        assert running.read("/readyz") == (200, "ok")
        metrics = running.read("/metrics")[1]
        assert 'decklog_backend_delivered_events_total{backend="store"} 2.0' in metrics
        assert "decklog_receiver_events_total 1.0" in metrics
        assert 'certificate="gateway-listener"' in metrics
        assert 'certificate="receive-client-ca"' in metrics
        until((tmp_path / "store" / "catalog.db").exists)
        until(lambda: 'decklog_store_upkeep_rounds_total{outcome="done"}' in running.read("/metrics")[1])
        children = running.children()
        assert len(children) == 5  # two of the gateway, one of each other door, and the upkeep
        begun = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE_S) == 0
        assert time.monotonic() - begun < 10
        assert not any(Path("/proc", str(pid)).exists() for pid in children)


def test_the_pages_show_what_the_other_doors_count(tmp_path: Path, upstream: Running) -> None:
    """Without being told where: events, losses and the ends of certificates of the doors beside them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving(tmp_path, upstream, metrics=port) as running:
        assert running.post(event_list([item("counted")])) == 200
        status = running.status()
    (door,) = status["doors"]
    assert (door["address"], door["problem"]) == (f"http://127.0.0.1:{port}/metrics", "")
    assert {"what": "events stored by the receiver", "count": 1, "labels": ""} in door["figures"]
    assert any("receive-client-ca" in one["name"] and one["daysLeft"] > 0 for one in status["certificates"])


def test_a_worker_that_dies_is_started_again(tmp_path: Path, upstream: Running) -> None:
    """Whichever door it is of; the others go on."""
    with serving(tmp_path, upstream) as running:
        before = running.children()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(running.children()) == len(before) and not set(running.children()) & set(before))
        until(lambda: running.read("/readyz")[0] == 200)
        assert running.create("afterwards") == 201
        assert running.post(event_list([item("afterwards")])) == 200


def test_a_policy_and_certificates_are_read_again(tmp_path: Path, upstream: Running) -> None:
    """SIGHUP goes to every door."""
    with serving(tmp_path, upstream) as running:
        (tmp_path / "policy.yaml").write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n")
        certify(tmp_path)
        running.process.send_signal(signal.SIGHUP)
        said = tmp_path / "said"
        until(lambda: "gateway: the policy" in said.read_text())
        until(lambda: "receive: the listener's certificates were read again" in said.read_text())
        until(lambda: running.post(event_list([item("with-the-new-certificate")])) == 200)


def test_nothing_that_was_answered_is_lost_when_the_tree_is_killed(tmp_path: Path, upstream: Running) -> None:
    """kill -9 of every process at once, under load, three times; every door serves again on the same store.

    Of an answered request the event of its receipt is there; that of its end may be on its way at the kill.
    """
    answered: list[str] = []
    for life in range(3):
        with serving(tmp_path, upstream) as running:
            loads = [threading.Thread(target=load, args=(running, answered, life)) for load in (_create, _post)]
            for thread in loads:
                thread.start()
            count = len(answered)
            until(lambda count=count: len(answered) > count + 40)  # type: ignore[misc]  # because: bound at once
            running.kill()
            for thread in loads:
                thread.join()
    text = stored(tmp_path)
    assert {name for name in answered if name.encode() not in text} == set()
    assert any(name.startswith("made") for name in answered)
    assert any(name.startswith("sent") for name in answered)
    check = subprocess.run(
        (*DECKLOG, "store", "check", "--store", str(tmp_path / "store")), capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr


def _create(running: Serving, answered: list[str], life: int) -> None:
    """Create objects until nobody answers."""
    number = 0
    while True:
        name = f"made-{life}-{number}"
        try:
            if running.create(name) == 201:
                answered.append(name)
        except OSError:
            return
        except Exception:  # noqa: BLE001  # because: half an answer of a killed process
            return
        number += 1


def _post(running: Serving, answered: list[str], life: int) -> None:
    """Post batches until nobody answers."""
    number = 0
    while True:
        names = [f"sent-{life}-{number}-{place}" for place in range(3)]
        try:
            if running.post(event_list([item(name) for name in names])) == 200:
                answered += names
        except Exception:  # noqa: BLE001  # because: the same
            return
        number += 1


def refused(folder: Path, text: str) -> tuple[int, str]:
    """Serve by a configuration that cannot be."""
    config = folder / "decklog.yaml"
    config.write_text(text)
    done = subprocess.run(
        (*DECKLOG, "serve", "--config", str(config)), capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr.replace(str(folder), "")


def test_a_door_that_cannot_listen_ends_all(tmp_path: Path, upstream: Running) -> None:
    """With exit code 3 and the reason; nobody is left behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = CONFIG.format(folder=tmp_path, more="", metrics=0)
        text = text.replace("web:\n  listen: 127.0.0.1:0", f"web:\n  listen: 127.0.0.1:{port}")
        code, said = refused(tmp_path, text)
    assert code == 3
    assert f"decklog: cannot listen on 127.0.0.1:{port}: Address already in use" in said
    assert "listening on" not in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("store: s\n", "decklog: /decklog.yaml: there is no door to serve with: give it a section, one of gateway:"),
        ("gateway: yes\n", "decklog: /decklog.yaml:1:1: gateway wants a mapping of its flags to values"),
        (
            "gateway:\n  clusterr: a\n",
            "decklog: /decklog.yaml:2:3: clusterr is no flag of gateway: did you mean cluster?",
        ),
        (
            "receive:\n  metrics-listen: 9095\n",
            "decklog: /decklog.yaml:2:3: metrics-listen is no flag of receive: put it where it belongs",
        ),
        ("gatewayy:\n", "decklog: /decklog.yaml:1:1: gatewayy is no flag: did you mean gateway?"),
        ("web:\nreceive:\n  store: s\n", "decklog: /decklog.yaml:2:1: receive: --tls-cert-file is missing"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    """With file, line, and door; nothing is served."""
    code, said = refused(tmp_path, text.replace("store: s", f"store: {tmp_path}/s"))
    assert (code, said[: len(told)]) == (2, told)


def test_doors_do_not_share_an_address(tmp_path: Path, upstream: Running) -> None:
    """One listen for all of them cannot be."""
    text = CONFIG.format(folder=tmp_path, metrics=0, more="listen: 127.0.0.1:18999").replace(
        "  listen: 127.0.0.1:0\n", ""
    )
    code, said = refused(tmp_path, text)
    assert code == 2
    assert "gateway and receive both listen on 127.0.0.1:18999" in said

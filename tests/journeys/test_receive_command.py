"""`decklog receive` with our own webhook backend as the sender: nothing is lost over kills, strangers stay outside."""

from __future__ import annotations

import asyncio
import http.client
import random
import shutil
import signal
import ssl
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from decklog import certificates, kubeconfig
from decklog.audit.wire import decode_event, encode_list
from decklog.backends.failures import Failures, Notices
from decklog.backends.webhook import HttpPoster, Webhook
from decklog.disk import Disk
from decklog.metrics import AuditCounters
from decklog.store.quarantine import Origin, Quarantine
from decklog.testing import event
from journeys.receiver_process import DECKLOG, certify, lines, receiver
from receiving.poison import POISON, event_list, item

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from journeys.receiver_process import RunningReceiver

pytestmark = pytest.mark.journey


def client(running: RunningReceiver, name: str) -> ssl.SSLContext:
    """Be one of the clients that have certificates, or nobody."""
    pki = running.folder / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    if name:
        context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")
    return context


def post(
    running: RunningReceiver, body: bytes, name: str = "", context: ssl.SSLContext | None = None
) -> tuple[int, str]:
    """Post as that client."""
    context = context or client(running, name)
    connection = http.client.HTTPSConnection("127.0.0.1", running.port, context=context, timeout=10)
    try:
        connection.request("POST", "/events?timeout=30s", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def read(running: RunningReceiver, path: str) -> tuple[int, str]:
    """Ask the listener of the metrics."""
    connection = http.client.HTTPConnection(running.metrics, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    status, text = answer.status, answer.read().decode()
    connection.close()
    return status, text


def send(folder: Path, batches: list[list[str]], sleep: Callable[[float], Awaitable[None]]) -> int:
    """Send batches as kube-apiserver does, by the file that the receiver has written; gives how many were lost."""
    counters = AuditCounters()
    account = counters.account("webhook")

    async def main() -> None:
        webhook = Webhook(
            HttpPoster(kubeconfig.load(folder / "webhook.yaml")),
            encode_list,
            account=account,
            failures=Failures("webhook", counters, Notices()),
            sleep=sleep,
        )
        async with webhook:
            for batch in batches:
                account.processed += len(batch)
                account.in_flight += len(batch)
                await webhook.process([event(audit_id=name) for name in batch])

    asyncio.run(main())
    return account.dropped.total()


def outlive(folder: Path, kills: int, seed: int, *, hurry: float) -> None:
    """Kill the receiver again and again, each time soon after it has stored something, while a sender sends.

    The sender has kube-apiserver's schedule, `hurry` times as fast: attempts, waits between them, and then it gives up.
    """
    dice = random.Random(seed)
    certify(folder)
    names = [[f"{batch}-{n}" for n in range(50)] for batch in range(kills * 80)]
    with receiver(folder, "--workers", "1") as first:
        port = first.port
    sending: asyncio.Future[int]
    killed = 0

    async def main() -> int:
        nonlocal sending
        sending = asyncio.ensure_future(
            asyncio.to_thread(send, folder, names, lambda pause_s: asyncio.sleep(pause_s / hurry))
        )
        for _ in range(kills):
            await asyncio.to_thread(live, dice.uniform(0.0, 0.1))
        with receiver(folder, "--workers", "1", port=port):
            return await sending

    def live(span_s: float) -> None:
        nonlocal killed
        with receiver(folder, "--workers", "1", port=port) as running:
            before = len(lines(folder))
            deadline = time.monotonic() + 60
            while len(lines(folder)) == before and not sending.done():
                assert time.monotonic() < deadline, "nobody sends"
                time.sleep(0.002)
            time.sleep(span_s)  # a kill at any moment of what follows
            killed += not sending.done()
            running.process.send_signal(signal.SIGKILL)

    assert asyncio.run(main()) == 0
    stored = [decode_event(line).audit_id for line in lines(folder)]
    assert sorted(stored) == sorted(name for batch in names for name in batch)
    assert killed >= kills / 2, "it was over before it was killed"


def test_a_sender_loses_nothing_over_kills(tmp_path: Path) -> None:
    """Two kills -9 while batches come: every event is stored, and stored once."""
    outlive(tmp_path, 2, 1, hurry=20)


@pytest.mark.torture
def test_a_sender_with_the_real_schedule_loses_nothing_over_twenty_kills(tmp_path: Path) -> None:
    """The long form: kube-apiserver's own waits, ten seconds and more after each kill."""
    outlive(tmp_path, 20, 7, hurry=1)


def test_strangers_stay_outside(tmp_path: Path) -> None:
    """No certificate and one of another authority end the handshake, another name is refused and told."""
    certify(tmp_path)
    with receiver(tmp_path, "--workers", "2", "--metrics-listen", "0") as running:
        assert post(running, event_list([item(1)]), "kube-apiserver") == (200, "")
        status, text = post(running, event_list([item(2)]), "stranger")
        assert (status, "--allowed-clients" in text) == (403, True)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            post(running, event_list([item(3)]))
        shutil.rmtree(tmp_path / "pki")
        certify(tmp_path)
        other = ssl.create_default_context()
        other.check_hostname, other.verify_mode = False, ssl.CERT_NONE
        other.load_cert_chain(tmp_path / "pki" / "kube-apiserver.crt", tmp_path / "pki" / "kube-apiserver.key")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            post(running, b"{}", context=other)
        assert lines(tmp_path) == [item(1)]
        assert 'decklog_receiver_refused_total{reason="not-allowed"} 1.0' in read(running, "/metrics")[1]
        assert read(running, "/readyz") == (200, "ok")


def test_certificates_are_read_again(tmp_path: Path) -> None:
    """New files are in force after SIGHUP; a sender of the old authority stays outside from then on."""
    certify(tmp_path)
    with receiver(tmp_path, "--workers", "1") as running:
        assert post(running, event_list([item(1)]), "kube-apiserver")[0] == 200
        shutil.rmtree(tmp_path / "pki")
        certify(tmp_path)
        running.process.send_signal(signal.SIGHUP)
        assert running.process.stderr is not None
        assert "read again" in running.process.stderr.readline()
        deadline = time.monotonic() + 10
        while True:
            try:
                assert post(running, event_list([item(2)]), "kube-apiserver")[0] == 200
                break
            except (ssl.SSLError, ConnectionError):
                assert time.monotonic() < deadline
        assert lines(tmp_path) == [item(1), item(2)]


def test_refused_bodies_and_poisoned_events_are_told(tmp_path: Path) -> None:
    """Metrics count them, /readyz names the sender of what was refused; SIGTERM ends with code 0."""
    certify(tmp_path)
    with receiver(tmp_path, "--workers", "1", "--metrics-listen", "0", "--max-body-bytes", "100000") as running:
        assert post(running, event_list([item(1), POISON[0][1]]), "kube-apiserver")[0] == 200
        assert read(running, "/readyz") == (200, "ok")
        assert post(running, b" " * 100_001, "kube-apiserver")[0] == 413
        deadline = time.monotonic() + 10
        while "kube-apiserver" not in (told := read(running, "/readyz"))[1]:  # it comes with the worker's next report
            assert time.monotonic() < deadline
        assert told[0] == 503
        metrics = read(running, "/metrics")[1]
        assert "decklog_receiver_quarantined_bodies_total 1.0" in metrics
        assert 'decklog_receiver_refused_total{reason="too-large"} 1.0' in metrics
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
    assert lines(tmp_path) == [item(1)]


def test_tokens_over_plain_http_on_loopback(tmp_path: Path) -> None:
    """--insecure with a token file: the token is asked for; without TLS the written file holds none."""
    (tmp_path / "tokens").write_text("open sesame\n")
    command = [*DECKLOG, "receive", "--listen", "127.0.0.1:0", "--store", str(tmp_path / "store"), "--insecure"]
    command += ["--token-file", str(tmp_path / "tokens"), "--workers", "1", "--min-free-bytes", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = next(line for line in process.stderr if line.startswith("listening on ")).split("/")[2].strip()
        try:
            for headers, code in (({}, 401), ({"Authorization": "Bearer open sesame"}, 200)):
                connection = http.client.HTTPConnection(address, timeout=10)
                connection.request("POST", "/", event_list([item(1)]), headers)
                assert connection.getresponse().status == code
                connection.close()
        finally:
            process.kill()


WRONG: list[tuple[list[str], str]] = [
    ([], "--store is missing"),
    (["--store", "s"], "--tls-cert-file is missing"),
    (["--store", "s", "--insecure", "--listen", "0.0.0.0:0"], "listen on 127.0.0.1"),
    (["--store", "s", "--insecure", "--allowed-clients", "x"], "needs --client-ca-file"),
    (["--store", "s", "--insecure", "--token-file", "none"], "--token-file none"),
    (["--store", "/dev/null/x", "--insecure"], "--store /dev/null/x"),
    (["--store", "s", "--insecure", "--max-body-bytes", "0"], "above 0"),
]


@pytest.mark.parametrize(("flags", "text"), WRONG, ids=[text for _, text in WRONG])
def test_what_cannot_be_is_told_before_anything_is_served(tmp_path: Path, flags: list[str], text: str) -> None:
    """Exit code 2, one line, what to do."""
    done = subprocess.run(
        (*DECKLOG, "receive", "--listen", "127.0.0.1:0", *flags),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, text in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr


def test_a_second_receiver_on_the_same_store_is_refused(tmp_path: Path) -> None:
    """Each journal has one writer."""
    certify(tmp_path)
    first, second = (receiver(tmp_path, "--workers", "1") for _ in range(2))
    with first, pytest.raises(AssertionError, match=r"journal .* is in use"):
        second.__enter__()


def test_certificates_are_added_by_the_same_authority(tmp_path: Path) -> None:
    """A second call signs with the CA that is there; everything is mode 0600."""
    certify(tmp_path)
    ca = (tmp_path / "pki" / "ca.crt").read_bytes()
    command = (*DECKLOG, "certificates", str(tmp_path / "pki"), "--client", "late")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'pki' / 'late'}.crt and .key\n"
    assert (tmp_path / "pki" / "ca.crt").read_bytes() == ca
    assert certificates.identity((tmp_path / "pki" / "late.crt").read_bytes()).common_name == "late"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()} == {0o600}
    for flags in ((), ("--client", "ca"), ("--client", "../x")):
        refused = subprocess.run(
            (*DECKLOG, "certificates", str(tmp_path / "pki"), *flags), capture_output=True, check=False
        )
        assert refused.returncode == 2


def test_what_more_workers_have_left_is_taken_apart(tmp_path: Path) -> None:
    """A start with fewer workers looks after the quarantine of all; what was acknowledged is there."""
    certify(tmp_path)
    with receiver(tmp_path, "--workers", "1"):
        """It makes the folders."""
    left = Quarantine(tmp_path / "store" / "quarantine" / "receive-3", Disk())
    left.open()
    left.keep([event_list([item(1), item(2), POISON[0][1]])], Origin(1, "kube-apiserver", "", "odd"))
    with receiver(tmp_path, "--workers", "1"):
        deadline = time.monotonic() + 10
        while left.waiting():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert lines(tmp_path) == [item(1), item(2)]


def test_what_comes_twice_is_stored_once_whichever_worker_it_reaches(tmp_path: Path) -> None:
    """Each batch three times, on connections of their own, to two workers with a journal each: the count is exact."""
    certify(tmp_path)
    bodies = [event_list([item(batch * 100 + n) for n in range(20)]) for batch in range(10)]
    with receiver(tmp_path, "--workers", "2") as running:
        for _ in range(3):
            for body in bodies:
                assert post(running, body, "kube-apiserver")[0] == 200
    assert len({path.parent for path in (tmp_path / "store" / "journal").glob("*/*.ndjson")}) == 2
    assert sorted(lines(tmp_path)) == sorted(item(batch * 100 + n) for batch in range(10) for n in range(20))

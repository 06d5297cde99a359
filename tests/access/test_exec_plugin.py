from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import uvloop

from decklog.access import exec_plugin
from decklog.access.exec_plugin import Issued
from decklog.errors import DecklogError
from decklog.kubeconfig import ClusterAccess, ExecPlugin

if TYPE_CHECKING:
    from pathlib import Path

V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"
SERVER = "https://10.0.0.1:6443"
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}


def script(directory: Path, text: str) -> str:
    path = directory / "plugin"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def answer(version: str = V1, **status: str) -> str:
    return json.dumps({"kind": "ExecCredential", "apiVersion": version, "status": status})


def printing(directory: Path, text: str) -> str:
    (directory / "answer").write_text(text)
    return script(directory, f"exec cat {directory}/answer")


def run(plugin: ExecPlugin, access: ClusterAccess | None = None, deadline_s: float = 10) -> Issued:
    given = replace(access or ClusterAccess(SERVER), plugin=plugin)
    return asyncio.run(exec_plugin.run(given, environ=ENVIRON, deadline_s=deadline_s))


@pytest.mark.parametrize(
    ("name", "version", "status", "issued"),
    [
        ("a token", V1, {"token": "t"}, Issued("t")),
        ("the older version", V1BETA1, {"token": "t"}, Issued("t")),
        (
            "a token with its end",
            V1,
            {"token": "t", "expirationTimestamp": "2026-01-02T03:04:05Z"},
            Issued("t", expires=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ),
        (
            "a certificate",
            V1,
            {"clientCertificateData": "CERTIFICATE", "clientKeyData": "KEY"},
            Issued("", b"CERTIFICATE", b"KEY"),
        ),
        (
            "both, and what nobody knows",
            V1,
            {"token": "t", "clientCertificateData": "C", "clientKeyData": "K", "future": "x"},
            Issued("t", b"C", b"K"),
        ),
    ],
)
def test_what_a_plugin_gives(tmp_path: Path, name: str, version: str, status: dict[str, str], issued: Issued) -> None:
    """A token, a certificate with its key, or both; and when they end."""
    assert run(ExecPlugin(version, printing(tmp_path, answer(version, **status)))) == issued, name


@pytest.mark.parametrize(
    ("name", "printed", "text"),
    [
        ("no JSON", "SECRET", "printed no ExecCredential"),
        ("another kind", '{"kind":"SECRET"}', f"printed no ExecCredential of {V1}, which the kubeconfig names"),
        ("another version", answer(V1BETA1, token="SECRET"), f"printed no ExecCredential of {V1}, "),
        ("no status", f'{{"kind":"ExecCredential","apiVersion":"{V1}"}}', "printed no credentials"),
        ("no credentials", answer(expirationTimestamp="2026-01-02T03:04:05Z"), "printed no credentials"),
        ("a certificate alone", answer(clientCertificateData="SECRET"), "printed a certificate without its key"),
        ("no time", answer(token="SECRET", expirationTimestamp="soon"), "printed no ExecCredential"),
        ("a token of two lines", answer(token="SECRET\r\nX-Remote-User: root"), "printed a token that no header can"),
        ("a token of two words", answer(token="SECRET SECRET"), "printed a token that no header can carry"),
    ],
)
def test_what_a_plugin_prints_is_never_told(tmp_path: Path, name: str, printed: str, text: str) -> None:
    """The error says what is wrong with it in our own words, and gives the kubeconfig's hint."""
    plugin = ExecPlugin(V1, printing(tmp_path, printed), install_hint="see https://example.invalid/plugin")
    with pytest.raises(DecklogError) as error:
        run(plugin)
    assert text in str(error.value), name
    assert str(error.value).endswith(": see https://example.invalid/plugin")
    assert "SECRET" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("failure", "echo SECRET; echo SECRET >&2; exit 3", "failed with exit code 3: run it by hand"),
        ("nothing", "exit 0", "printed no ExecCredential"),
        ("too much", "exec head -c 2000000 /dev/zero", "printed more than 1048576 bytes"),
    ],
)
def test_a_plugin_that_fails(tmp_path: Path, name: str, body: str, text: str) -> None:
    """It is told how, without what it printed."""
    with pytest.raises(DecklogError) as error:
        run(ExecPlugin(V1, script(tmp_path, body)))
    assert text in str(error.value), name
    assert "SECRET" not in str(error.value)


def test_a_plugin_that_is_not_there() -> None:
    """The hint says how to get it."""
    plugin = ExecPlugin(V1, "decklog-no-such-plugin", install_hint="install it\n")
    with pytest.raises(DecklogError, match=r"^the exec plugin 'decklog-no-such-plugin' is not there: install it$"):
        run(plugin)


def test_a_plugin_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """Past the deadline nothing of it is left, though its child holds the pipe."""
    pids = tmp_path / "pids"
    body = f"sleep 600 &\necho $! > {pids}.new; mv {pids}.new {pids}\nwait"
    with pytest.raises(DecklogError, match=r"gave no answer within 0\.5 s"):
        run(ExecPlugin(V1, script(tmp_path, body)), deadline_s=0.5)
    child = int(pids.read_text())
    deadline = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline, "the child goes on"


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123  # because: /proc is no path of ours
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_plugin_is_asked_in_its_environment(tmp_path: Path) -> None:
    """It has its arguments, its own variables over ours, the question, and no terminal."""
    seen = tmp_path / "seen"
    asking = 'echo "$@"; echo "$HOME $REGION"; echo "$KUBERNETES_EXEC_INFO"; cat'
    body = f"{{ {asking}; }} > {seen}\ncat <<END\n{answer(token='t')}\nEND"
    plugin = ExecPlugin(V1, script(tmp_path, body), ("get", "a token"), (("HOME", "/its"), ("REGION", "eu")))
    run(plugin)
    arguments, variables, question = seen.read_text().splitlines()
    assert (arguments, variables) == ("get a token", "/its eu")
    assert json.loads(question) == {"kind": "ExecCredential", "apiVersion": V1, "spec": {"interactive": False}}


def test_a_plugin_is_told_of_the_cluster_when_it_wants(tmp_path: Path) -> None:
    """With provideClusterInfo: the server, how it is verified, and what the kubeconfig keeps for the plugin."""
    seen = tmp_path / "seen"
    body = f'echo "$KUBERNETES_EXEC_INFO" > {seen}\ncat <<END\n{answer(token="t")}\nEND'
    plugin = ExecPlugin(V1, script(tmp_path, body), provide_cluster_info=True, cluster_config='{"audience":"a"}')
    run(plugin, ClusterAccess(SERVER, b"CA", tls_server_name="name"))
    assert json.loads(seen.read_text())["spec"] == {
        "interactive": False,
        "cluster": {
            "server": SERVER,
            "tls-server-name": "name",
            "certificate-authority-data": base64.b64encode(b"CA").decode(),
            "config": {"audience": "a"},
        },
    }


def test_a_command_is_looked_up_in_the_path_that_it_is_given(tmp_path: Path) -> None:
    """PATH of the kubeconfig's env wins over ours."""
    printing(tmp_path, answer(token="t"))
    path = f"{tmp_path}:{ENVIRON['PATH']}"
    assert run(ExecPlugin(V1, "plugin", env=(("PATH", path),))).token == "t"


def test_what_a_plugin_gave_is_not_in_its_text() -> None:
    """A log of it shows nobody how to use it."""
    assert not any(secret in repr(Issued("TOKEN", b"CERT", b"KEY")) for secret in ("TOKEN", "KEY"))


@pytest.mark.parametrize("deadline_s", [10, 0.2])
def test_a_plugin_runs_on_uvloop(tmp_path: Path, deadline_s: float) -> None:
    """As on asyncio's own loop: it answers, or is ended."""
    body = f"cat {tmp_path}/answer" if deadline_s == 10 else "sleep 600"
    (tmp_path / "answer").write_text(answer(token="t"))
    access = ClusterAccess(SERVER, plugin=ExecPlugin(V1, script(tmp_path, body)))
    running = exec_plugin.run(access, environ=ENVIRON, deadline_s=deadline_s)
    if deadline_s == 10:
        assert uvloop.run(running).token == "t"
    else:
        with pytest.raises(DecklogError, match="gave no answer"):
            uvloop.run(running)

"""A real `kubectl` through the gateway to the sandbox: users notice nothing, and all of it is recorded."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from decklog.audit.event import Event, Stage
from journeys.gateway_process import RunningGateway, gateway
from sandbox.test_sandbox_kubectl import MANIFEST, Kubectl, kubectl_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.journey

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
- level: Metadata
"""


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway in front of a sandbox."""
    kubectl_path()
    with gateway(tmp_path_factory.mktemp("gateway"), POLICY) as running:
        yield running


@pytest.fixture(scope="module")
def kubectl(audited: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A kubectl that knows the gateway alone."""
    home: Path = tmp_path_factory.mktemp("home")
    (home / "kubeconfig").write_text(audited.kubeconfig.read_text())
    return Kubectl(kubectl_path(), home)


def told(audited: RunningGateway, wanted: Callable[[Event], bool], *stages: Stage) -> list[Event]:
    """Wait until events that are `wanted` have come to these stages; answers them, AssertionError past ten seconds."""
    ends = time.monotonic() + 10
    while True:
        found = [event for event in audited.events() if wanted(event)]
        if {event.stage for event in found} >= set(stages):
            return found
        assert time.monotonic() < ends, [(event.request_uri, event.stage) for event in audited.events()][-20:]


def test_who_one_is(kubectl: Kubectl, audited: RunningGateway) -> None:
    """A certificate and a token tell the upstream, and the log, who sent a request, as without a gateway."""
    info = kubectl.json("auth whoami")["status"]["userInfo"]
    assert (info["username"], info["groups"]) == ("admin", ["system:masters", "system:authenticated"])
    assert kubectl.json("auth whoami --context carol-token")["status"]["userInfo"]["username"] == "carol"
    events = told(audited, lambda event: "selfsubjectreviews" in event.request_uri, Stage.RESPONSE_COMPLETE)
    assert {event.user.username for event in events} == {"admin", "carol"}
    assert all("kubectl" in event.user_agent and event.source_ips == ("127.0.0.1",) for event in events)


def test_apply(kubectl: Kubectl, audited: RunningGateway) -> None:
    """What is applied is there, and both bodies of it are in the log, where the policy asks for them."""
    assert kubectl("apply -f -", stdin=MANIFEST).count("created") == 2
    assert kubectl("apply -f -", stdin=MANIFEST.replace("blue", "red")).count("configured") == 1
    assert kubectl("get configmap settings -o jsonpath={.data.colour}") == "red"
    kubectl("apply --server-side --force-conflicts -f -", stdin=MANIFEST)
    events = told(audited, lambda event: _about(event, "configmaps", "create"), Stage.RESPONSE_COMPLETE)
    created = next(event for event in events if event.stage == Stage.RESPONSE_COMPLETE)
    assert created.object_ref is not None
    assert (created.object_ref.namespace, created.object_ref.name) == ("default", "settings")
    assert json.loads(bytes(created.request_object))["data"] == {"colour": "blue"}
    assert json.loads(bytes(created.response_object))["metadata"]["uid"]
    patched = told(audited, lambda event: _about(event, "configmaps", "patch"), Stage.RESPONSE_COMPLETE)
    assert json.loads(bytes(patched[-1].request_object))["data"]["colour"]


def _about(event: Event, resource: str, verb: str) -> bool:
    return event.object_ref is not None and event.object_ref.resource == resource and event.verb == verb


def test_watching(kubectl: Kubectl, audited: RunningGateway) -> None:
    """`get -w` shows objects as they come; its watch is recorded when it begins and when kubectl goes."""
    with kubectl.open("get secrets -w --no-headers -o custom-columns=N:.metadata.name") as watching:
        assert watching.stdout is not None
        kubectl("create secret generic seen --from-literal=a=b")
        lines = iter(watching.stdout.readline, "")
        assert any(line.strip() == "seen" for line in lines)
        told(audited, lambda event: _about(event, "secrets", "watch"), Stage.RESPONSE_STARTED)
        watching.terminate()
    events = told(audited, lambda event: _about(event, "secrets", "watch"), Stage.RESPONSE_COMPLETE)
    assert [event.response_status and event.response_status.code for event in events] == [None, 200, 200]


def test_logs_that_follow(kubectl: Kubectl, audited: RunningGateway) -> None:
    """`logs -f` comes line by line; it is recorded when it begins and when kubectl goes."""
    kubectl("run talker --image=nginx")
    kubectl("wait --for=condition=Ready pod/talker --timeout=20s")
    with kubectl.open("logs -f talker") as following:
        assert following.stdout is not None
        assert any("this log is invented" in line for line in iter(following.stdout.readline, ""))
        following.terminate()
    events = told(audited, lambda event: _subresource(event) == "log", Stage.RESPONSE_COMPLETE)
    assert [event.stage for event in events] == [
        Stage.REQUEST_RECEIVED,
        Stage.RESPONSE_STARTED,
        Stage.RESPONSE_COMPLETE,
    ]


def _subresource(event: Event) -> str:
    return event.object_ref.subresource if event.object_ref is not None else ""


def test_exec_that_is_refused(kubectl: Kubectl, audited: RunningGateway) -> None:
    """kubectl says why, and the log says who tried to run what."""
    kubectl("run shell --image=nginx")
    kubectl("wait --for=condition=Ready pod/shell --timeout=20s")
    assert "the sandbox runs no containers" in kubectl.refused("exec shell -- cat /etc/shadow")
    events = told(audited, lambda event: _subresource(event) == "exec", Stage.RESPONSE_COMPLETE)
    last = events[-1]
    assert last.response_status is not None
    assert last.response_status.code >= 400
    assert json.loads(last.annotations["decklog/exec-command"]) == ["cat", "/etc/shadow"]
    assert last.user.username == "admin"


@pytest.mark.parametrize("context", ["admin", "admin-token"])
def test_acting_as_somebody_else(kubectl: Kubectl, audited: RunningGateway, context: str) -> None:
    """`--as` asks the upstream whether one may; the log tells both, by certificate and by token."""
    info = kubectl.json(f"auth whoami --context {context} --as zoe --as-group g")["status"]["userInfo"]
    assert (info["username"], info["groups"]) == ("zoe", ["g", "system:authenticated"])
    events = told(audited, lambda event: event.impersonated_user is not None, Stage.RESPONSE_COMPLETE)
    last = events[-1]
    assert last.impersonated_user is not None
    assert (last.user.username, last.impersonated_user.username) == ("admin", "zoe")
    assert last.impersonated_user.groups == ("g", "system:authenticated")


@pytest.mark.parametrize("context", ["bob", "bob-token"])
def test_acting_as_somebody_else_without_the_right(kubectl: Kubectl, audited: RunningGateway, context: str) -> None:
    """Who may not impersonate is told so in the server's words, and recorded with 403."""
    assert "cannot impersonate resource" in kubectl.refused(f"get pods --context {context} --as carol")
    events = told(audited, lambda event: event.user.username == "bob", Stage.RESPONSE_COMPLETE)
    assert 403 in {event.response_status.code for event in events if event.response_status is not None}


def test_denials(kubectl: Kubectl, audited: RunningGateway) -> None:
    """What the upstream denies is denied in its words, and recorded with its Status."""
    assert 'User "carol" cannot list resource "secrets"' in kubectl.refused("get secrets --context carol")
    events = told(
        audited,
        lambda event: event.user.username == "carol" and _about(event, "secrets", "list"),
        Stage.RESPONSE_COMPLETE,
    )
    status = events[-1].response_status
    assert status is not None
    assert (status.code, status.reason) == (403, "Forbidden")


def test_both_logs_join(kubectl: Kubectl, audited: RunningGateway) -> None:
    """The cluster's own log bears the same audit IDs."""
    kubectl("get namespaces")
    events = told(audited, lambda event: _about(event, "namespaces", "list"), Stage.RESPONSE_COMPLETE)
    upstream = {json.loads(line)["auditID"] for line in audited.upstream.lines()}
    assert {event.audit_id for event in events} <= upstream


def test_stopping_ends_a_watch_cleanly(tmp_path: Path) -> None:
    """SIGTERM ends the gateway within its time, with the watch that was open recorded."""
    path = kubectl_path()
    with gateway(tmp_path, POLICY) as running:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "kubeconfig").write_text(running.kubeconfig.read_text())
        kubectl = Kubectl(path, tmp_path / "home")
        with kubectl.open("get namespaces -w --no-headers -o name") as watching:
            told(running, lambda event: event.verb == "watch", Stage.RESPONSE_STARTED)
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(10) == 0
            watching.terminate()
        assert told(running, lambda event: event.verb == "watch", Stage.RESPONSE_COMPLETE)

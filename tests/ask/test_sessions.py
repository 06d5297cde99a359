from __future__ import annotations

from typing import Any

import pytest

from ask.logs import event, life, ref
from ask.workloads import asking, body
from decklog.ask.sessions import Session, copies_files, queries, sessions
from decklog.audit.event import Event, Stage, Status

RECEIVED, STARTED, COMPLETE, PANIC = Stage
EXEC = "/api/v1/namespaces/shop/pods/web-0/exec?command=sh&command=-c&command=id%20%3Bls&container=app&stdin=true&tty=1"


def session(*events: Event) -> Session:
    (found,) = sessions(asking(events)(queries()))
    return found


def stream(subresource: str, uri: str, **changes: Any) -> dict[str, Any]:
    reference = ref("pods", name="web-0", subresource=subresource)
    return {
        "verb": "create",
        "object_ref": reference,
        "request_uri": uri,
        "response_status": Status(code=101),
        "stage_timestamp": "2026-03-01T10:00:01.000000Z",
    } | changes


def test_a_session_has_start_end_and_command() -> None:
    """From the stages and the URI."""
    started, _ = life(STARTED, COMPLETE, **stream("exec", EXEC))
    ended = event(**stream("exec", EXEC, stage_timestamp="2026-03-01T10:05:01.000000Z"))
    found = session(started, ended)
    assert (found.kind, found.namespace, found.pod, found.container) == ("exec", "shop", "web-0", "app")
    assert found.command == ("sh", "-c", "id ;ls")
    assert (found.tty, found.stdin, found.opened, found.state) == (True, True, True, "ended")
    assert (found.start, found.duration_seconds) == ("2026-03-01T10:00:01.000000Z", 300)


def test_an_open_session_has_no_end() -> None:
    """What still runs, or whose last stage the log lacks, is open."""
    found = session(*life(RECEIVED, STARTED, **stream("exec", EXEC)))
    assert (found.state, found.end, found.duration_seconds) == ("open", "", None)


def test_a_refused_session_is_told_as_such() -> None:
    """A refusal is a try, not a session."""
    found = session(*life(RECEIVED, STARTED, COMPLETE, **stream("exec", EXEC, response_status=Status(code=403))))
    assert (found.opened, found.state, found.duration_seconds) == (False, "refused (403)", None)
    assert session(*life(RECEIVED, **stream("exec", EXEC))).state == "?"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (stream("attach", "/x/attach?container=a"), ("attach", "a", (), ())),
        (stream("portforward", "/x/portforward?ports=80&ports=443"), ("portforward", "", (), ("80", "443"))),
        (
            stream("exec", "/x/exec?command=tar&command=cf&command=-&command=/etc"),
            ("cp", "", ("tar", "cf", "-", "/etc"), ()),
        ),
        (
            stream(
                "exec", "/x/exec", annotations={"decklog/exec-command": '["ls", "-l"]', "decklog/exec-container": "c"}
            ),
            ("exec", "c", ("ls", "-l"), ()),
        ),
        (
            stream("portforward", "/x", annotations={"decklog/exec-ports": "80,81"}),
            ("portforward", "", (), ("80", "81")),
        ),
        (
            stream("exec", "/x", annotations={"decklog/exec-command": '["cut...TRUNCATED'}),
            ("exec", "", ('["cut...TRUNCATED',), ()),
        ),
        (
            stream(
                "ephemeralcontainers",
                "/x",
                verb="patch",
                response_status=Status(code=200),
                request_object=body(
                    {"spec": {"ephemeralContainers": [{"name": "dbg", "image": "busybox", "command": ["sh"]}]}}
                ),
            ),
            ("debug", "dbg (busybox)", ("sh",), ()),
        ),
        (stream("ephemeralcontainers", "/x", verb="patch", response_status=Status(code=200)), ("debug", "", (), ())),
        (
            stream(
                "proxy",
                "/api/v1/nodes/n1/proxy/exec/shop/web-0/app?command=id",
                object_ref=ref("nodes", "", "n1", subresource="proxy"),
            ),
            ("kubelet exec", "app", ("id",), ()),
        ),
        (
            stream(
                "proxy",
                "/api/v1/nodes/n1/proxy/run/shop/web-0/app?cmd=id",
                object_ref=ref("nodes", "", "n1", subresource="proxy"),
            ),
            ("kubelet run", "app", ("id",), ()),
        ),
    ],
)
def test_every_way_into_a_pod_is_a_session(changes: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """Streams, copied files, debug containers, and the kubelet's own interface through a node's proxy."""
    found = session(event(**changes))
    assert (found.kind, found.container, found.command, found.ports) == expected
    assert (found.namespace, found.pod) == ("shop", "web-0")
    assert found.state == ("added" if found.kind == "debug" else "ended")


def test_other_proxied_requests_are_no_sessions() -> None:
    """Reading metrics through a proxy opens nothing; reading a pod's debug containers neither."""
    metrics = event(**stream("proxy", "/api/v1/nodes/n1/proxy/metrics"))
    read = event(**stream("ephemeralcontainers", "/x", verb="get"))
    assert not list(sessions(asking([metrics, read])(queries())))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("tar cf - /etc", True),
        ("tar xmf - -C /tmp", True),
        ("/bin/tar -xmf - -C /tmp", True),
        ("tar czf backup.tgz /etc", False),
        ("tar --version", False),
        ("cat - x", False),
        ("", False),
    ],
)
def test_copying_is_told_by_its_tar(command: str, expected: bool) -> None:
    """kubectl cp is an exec of tar to or from the stream."""
    assert copies_files(tuple(command.split())) is expected

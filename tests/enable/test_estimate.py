from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decklog.enable.estimate import estimate
from decklog.enable.growth import bytes_a_day
from decklog.enable.topics import TOPICS, topics
from decklog.errors import DecklogError
from decklog.policy.reader import parse
from enable.control_plane import AUDIT, node, pod

if TYPE_CHECKING:
    from pathlib import Path

RULES = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"


def line(verb: str, second: int) -> bytes:
    time = f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000000Z".encode()
    return (
        b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a%d","stage":"ResponseComplete",'
        b'"requestURI":"/api/v1/namespaces/d/pods/p","verb":"%b","user":{"username":"jane","groups":["system:authenticated"]},'
        b'"objectRef":{"resource":"pods","namespace":"d","name":"p","apiVersion":"v1"},'
        b'"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"%b","stageTimestamp":"%b"}'
        % (second, verb.encode(), time, time)
    )


LOG = [line("get" if second % 2 else "delete", second) for second in range(0, 43201, 10)]
"""Twelve hours, an event every ten seconds; all of them deletes."""


def test_traffic_and_days_are_told(tmp_path: Path) -> None:
    """The log is replayed through the policy: what it keeps a day, and how many days the log then holds."""
    node(tmp_path, b"")
    told = estimate(pod(AUDIT), tmp_path, LOG)
    assert told.events_a_day == pytest.approx(2 * len(LOG))
    assert told.days_kept == 30
    assert f"of {len(LOG):,} events in 12 hours the policy keeps {len(LOG):,}" in told.sentences[0]
    assert "the log then holds 30.0 days (the age limit)" in told.sentences
    assert told.queue_bytes == 0


def test_what_the_policy_leaves_out_is_left_out(tmp_path: Path) -> None:
    """A policy that records no deletes keeps nothing of this log."""
    node(tmp_path, b"", RULES + "- {level: None, verbs: [delete]}\n- level: Metadata\n")
    assert estimate(pod(AUDIT), tmp_path, LOG).events_a_day == 0


def test_a_queue_takes_memory(tmp_path: Path) -> None:
    """A webhook's queue is told in memory, and in the time that it bridges."""
    node(tmp_path, b"")
    flags = AUDIT | {"--audit-webhook-config-file": "/etc/w.yaml", "--audit-webhook-batch-buffer-size": "1000"}
    told = estimate(pod(flags), tmp_path, LOG)
    assert told.queue_bytes == pytest.approx(1000 * told.mean_event_bytes * 3, abs=1)
    (said,) = (each for each in told.sentences if "the webhook's queue" in each)
    assert "holds 1,000 events, 3 hours" in said
    assert "an event in the queue is guessed at 3 times its JSON" in said


def test_a_log_without_a_span_is_refused(tmp_path: Path) -> None:
    """One moment says nothing about a day."""
    node(tmp_path, b"")
    with pytest.raises(DecklogError, match="spans no time"):
        estimate(pod(AUDIT), tmp_path, LOG[:1])


def test_without_a_policy_there_is_nothing_to_estimate(tmp_path: Path) -> None:
    """No policy, no traffic: said, not computed."""
    with pytest.raises(DecklogError, match="no policy is set"):
        estimate(pod({}), tmp_path, LOG)


def test_a_log_grows_by_what_stands_in_it(tmp_path: Path) -> None:
    """Bytes a day come from the first and the last time; a log of less than a minute says nothing."""
    node(tmp_path, b"")
    log = tmp_path / "var/log/kubernetes/audit/audit.log"
    assert bytes_a_day(pod(AUDIT), tmp_path) is None
    log.write_bytes(b"\n".join([*LOG[:3], b""]))
    assert bytes_a_day(pod(AUDIT), tmp_path) is None
    log.write_bytes(b"\n".join([*LOG, b"half a li"]))
    assert bytes_a_day(pod(AUDIT), tmp_path) == pytest.approx(2 * log.stat().st_size)


def test_topics_are_asked_by_first_match() -> None:
    """Each topic has one level, or says which of its requests differ."""
    rules = "- {level: None, verbs: [create], resources: [{group: '', resources: [pods/exec]}]}\n- level: Request\n"
    told = {each.topic: each for each in topics(parse((RULES + rules).encode(), source="p").policy)}
    assert len(told) == len(TOPICS)
    assert told["reading secrets"].says == "Request"
    execs = told["exec, attach, port-forward"]
    assert not execs.level
    assert execs.differs["exec (WebSocket)"] == "Request"
    assert execs.differs["exec (SPDY)"] == "None"
    assert "exec (SPDY): not at all" in execs.says

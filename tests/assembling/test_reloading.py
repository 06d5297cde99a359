from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from decklog.assembling.reloading import RefusedError, read_again, reload_event, understood
from decklog.audit.wire import encode_line
from decklog.policy.findings import PolicyError
from decklog.policy.options import PolicyOptions

if TYPE_CHECKING:
    from pathlib import Path

GOOD = b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"


def test_a_good_file_is_read_with_its_bytes(tmp_path: Path) -> None:
    """What workers are handed is what was read."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(GOOD)
    options = PolicyOptions(file=str(path))
    found = read_again(options)
    assert (found.text, found.sha256) == (GOOD, hashlib.sha256(GOOD).hexdigest())
    assert understood(found.text, options) == found


@pytest.mark.parametrize("content", [b"rules: [", GOOD + b"- levle: None\n", b"\xff\xfe\x00", None])
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, content: bytes | None) -> None:
    """Unreadable YAML, a policy that is none, no text, no file."""
    path = tmp_path / "policy.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RefusedError) as refused:
        read_again(PolicyOptions(file=str(path)))
    assert refused.value.problem.startswith(str(path))
    assert refused.value.sha256 == ("" if content is None else hashlib.sha256(content).hexdigest())


def test_the_first_policy_s_problems_are_the_user_s() -> None:
    """As everywhere else."""
    with pytest.raises(PolicyError):
        understood(b"rules: [", PolicyOptions(file="policy.yaml"))


def test_a_lenient_load_keeps_its_warnings(tmp_path: Path) -> None:
    """They are told at each reload."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(GOOD + b"  verb: [get]\n")
    assert len(read_again(PolicyOptions(file=str(path), lenient=True)).warnings) == 1


def test_the_event_of_a_policy_that_was_taken() -> None:
    """In the order and the words of any other event."""
    event = json.loads(encode_line(reload_event("an-id", 1_767_323_045_123_456_000, "abc")))
    assert event.pop("userAgent").startswith("decklog/")
    assert event == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "an-id",
        "stage": "ResponseComplete",
        "requestURI": "/decklog/policy",
        "verb": "reload",
        "user": {"username": "system:decklog"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-01-02T03:04:05.123456Z",
        "stageTimestamp": "2026-01-02T03:04:05.123456Z",
        "annotations": {"decklog/policy-sha256": "abc"},
    }


def test_the_event_of_a_policy_that_was_refused() -> None:
    """It says why, to a bound, and which file, if it could be read."""
    event = reload_event("an-id", 0, "abc", RefusedError("policy.yaml:5:3: " + "x" * 9000, "def"))
    assert event.response_status is not None
    assert (event.response_status.code, event.response_status.status) == (422, "Failure")
    assert event.response_status.message.startswith("policy.yaml:5:3: ")
    assert len(event.response_status.message) == 4096
    assert event.annotations == {"decklog/policy-sha256": "abc", "decklog/refused-policy-sha256": "def"}
    assert reload_event("an-id", 0, "abc", RefusedError("gone", "")).annotations == {"decklog/policy-sha256": "abc"}

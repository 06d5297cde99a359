from __future__ import annotations

import pytest

from decklog.enable.wanted import AuditWanted, same
from decklog.errors import DecklogError

UNFIT = {
    "relative": ({"log_path": "a/b.log"}, "no absolute path"),
    "a directory": ({"log_path": "/var/log/"}, "names a directory"),
    "the root": ({"policy_file": "/"}, "names a directory"),
    "back": ({"log_path": "/var/../etc/a.log"}, "goes back"),
    "a colon": ({"policy_file": "/etc/a:b"}, "no mountPath can have"),
    "a line break": ({"policy_file": "/etc/a\nb"}, "no mountPath can have"),
    "a kubeconfig's": ({"webhook_files": ("ca.crt",)}, "no absolute path"),
    "empty": ({"log_path": ""}, "no absolute path"),
}


@pytest.mark.parametrize(("wanted", "says"), UNFIT.values(), ids=UNFIT)
def test_paths_that_cannot_be_mounted_are_refused(wanted: dict[str, str], says: str) -> None:
    """A path has to be one that kube-apiserver finds, and that a mount can lead to."""
    with pytest.raises(DecklogError, match=says):
        AuditWanted(**wanted).check_paths()  # type: ignore[arg-type]  # because: a table of several fields' values


def test_where_nobody_says_where_events_go_a_log_is_wanted() -> None:
    """The log comes with what CIS asks of it; a destination that is there, in either place, is left alone."""
    wanted = AuditWanted(policy_file="/p", log_maxage=7)
    added = wanted.with_destination({"--audit-log-maxsize": "5"}).given()
    assert added == {
        "--audit-policy-file": "/p",
        "--audit-log-path": "/var/log/kubernetes/audit/audit.log",
        "--audit-log-maxage": "7",
        "--audit-log-maxbackup": "10",
    }
    assert wanted.with_destination({"--audit-webhook-config-file": "/w"}) == wanted
    assert AuditWanted(log_path="-").with_destination({}) == AuditWanted(log_path="-")


SAME = {
    ("--audit-log-maxage", "0x1E", "30"): True,
    ("--audit-log-maxage", "30 ", "30"): False,
    ("--audit-log-maxage", "1_0", "10"): True,
    ("--audit-log-maxage", "x", "x"): True,
    ("--audit-log-compress", "T", "true"): True,
    ("--audit-log-compress", "yes", "true"): False,
    ("--audit-log-batch-max-wait", "60s", "1m0s"): True,
    ("--audit-log-batch-throttle-qps", "10", "10.0"): True,
    ("--audit-log-batch-throttle-qps", "1_0", "10"): False,
    ("--audit-log-path", "/a//b", "/a/b"): True,
    ("--audit-log-path", "-", "/-"): False,
    ("--audit-log-mode", "Batch", "batch"): False,
}


@pytest.mark.parametrize(("case", "expected"), SAME.items(), ids=[" ".join(case) for case in SAME])
def test_values_are_compared_as_kube_apiserver_reads_them(case: tuple[str, str, str], expected: bool) -> None:
    """Another spelling of the same value is no change."""
    assert same(*case) is expected


SPELLED = {10.0: "10", 0.5: "0.5", 1000001.0: "1000001", 33.333333: "33.333333"}


@pytest.mark.parametrize(("rate", "text"), SPELLED.items())
def test_a_rate_is_written_with_all_its_digits(rate: float, text: str) -> None:
    """The manifest gets the number that was given, not one near it."""
    wanted = AuditWanted(log_batch_throttle_qps=rate)
    assert wanted.given() == {"--audit-log-batch-throttle-qps": text}

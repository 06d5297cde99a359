from __future__ import annotations

from dataclasses import replace

import pytest

from decklog.backends.limits import BatchLimits, TruncateLimits
from decklog.backends.log_options import LogOptions
from decklog.options import Seconds, flags

GOOD = LogOptions(path="audit.log")


@pytest.mark.parametrize(
    ("name", "options", "problems"),
    [
        ("the defaults", GOOD, []),
        ("strict and legacy", replace(GOOD, mode="blocking-strict", format="legacy"), []),
        ("batch", replace(GOOD, mode="batch"), []),
        ("zeros are no limits", replace(GOOD, max_size_mib=0, max_age_days=0, max_backups=0), []),
        ("without a log nothing is wrong", replace(GOOD, path="", mode="x", format="y", max_size_mib=-1), []),
        (
            "modes are case-sensitive",
            replace(GOOD, mode="Blocking"),
            ['invalid audit log mode Blocking, allowed modes are "batch,blocking,blocking-strict"'],
        ),
        (
            "throttling needs numbers, whose defaults are none",
            replace(GOOD, mode="batch", batch_throttle_enable=True),
            ["invalid audit batch log throttle QPS 0, must be a positive number"],
        ),
        (
            "of each group the first",
            replace(
                GOOD, mode="batch", batch_buffer_size=0, batch_max_size=0, truncate_max_event_size=0, version="v1/x/y"
            ),
            [
                "invalid audit batch log buffer size 0, must be a positive number",
                "invalid audit truncate log max event size 0, must be a positive number",
                "unexpected GroupVersion string: v1/x/y",
            ],
        ),
        (
            "batch numbers count only in batch mode, truncation's always",
            replace(GOOD, batch_buffer_size=0, truncate_max_batch_size=5),
            ["invalid audit truncate log max batch size 5, must be greater than max event size (102400)"],
        ),
        (
            "everything at once, in the order of the server",
            replace(GOOD, mode="", version="", format="yaml", max_size_mib=-3, max_age_days=-1, max_backups=-2),
            [
                'invalid audit log mode , allowed modes are "batch,blocking,blocking-strict"',
                'invalid group version, allowed versions are ["audit.k8s.io/v1"]',
                'invalid audit log format yaml, allowed formats are "legacy,json"',
                "--audit-log-maxage -1 can't be a negative number",
                "--audit-log-maxbackup -2 can't be a negative number",
                "--audit-log-maxsize -3 can't be a negative number",
            ],
        ),
    ],
)
def test_options_are_checked_in_the_servers_words(name: str, options: LogOptions, problems: list[str]) -> None:
    """Every problem is told at once, as kube-apiserver words it."""
    assert options.problems() == problems, name


def test_flags_have_the_servers_names_types_and_defaults() -> None:
    """A kube-apiserver manifest's log flags can be copied."""
    assert {flag.name: (flag.type, flag.default) for flag in flags(LogOptions)} == {
        "--audit-log-path": (str, ""),
        "--audit-log-format": (str, "json"),
        "--audit-log-mode": (str, "blocking"),
        "--audit-log-maxsize": (int, 100),
        "--audit-log-maxage": (int, 366),
        "--audit-log-maxbackup": (int, 100),
        "--audit-log-compress": (bool, False),
        "--audit-log-version": (str, "audit.k8s.io/v1"),
        "--audit-log-batch-buffer-size": (int, 10000),
        "--audit-log-batch-max-size": (int, 1),
        "--audit-log-batch-max-wait": (Seconds, 0.0),
        "--audit-log-batch-throttle-enable": (bool, False),
        "--audit-log-batch-throttle-qps": (float, 0.0),
        "--audit-log-batch-throttle-burst": (int, 0),
        "--audit-log-truncate-enabled": (bool, False),
        "--audit-log-truncate-max-batch-size": (int, 10485760),
        "--audit-log-truncate-max-event-size": (int, 102400),
        "--audit-log-policy-file": (str, ""),  # ours
    }


def test_the_flags_become_the_limits_of_the_wrappings() -> None:
    """Each number arrives at its place."""
    options = LogOptions(
        batch_buffer_size=1,
        batch_max_size=2,
        batch_max_wait=Seconds(3),
        batch_throttle_enable=True,
        batch_throttle_qps=4.5,
        batch_throttle_burst=5,
        truncate_max_event_size=6,
        truncate_max_batch_size=7,
    )
    assert options.batch == BatchLimits(1, 2, 3.0, throttle=True, qps=4.5, burst=5)
    assert options.truncation() == TruncateLimits(6, 7, fields=False)
    assert options.truncation(fields=True) == TruncateLimits(6, 7, fields=True)

from __future__ import annotations

from dataclasses import replace

import pytest

from decklog.backends.limits import BatchLimits, TruncateLimits
from decklog.backends.webhook_options import WebhookOptions
from decklog.options import Seconds, flags

GOOD = WebhookOptions(config_file="webhook.yaml")

FLAGS = {
    "--audit-webhook-config-file": (str, ""),
    "--audit-webhook-version": (str, "audit.k8s.io/v1"),
    "--audit-webhook-initial-backoff": (Seconds, 10),
    "--audit-webhook-batch-initial-backoff": (Seconds, None),
    "--audit-webhook-mode": (str, "batch"),
    "--audit-webhook-batch-buffer-size": (int, 10_000),
    "--audit-webhook-batch-max-size": (int, 400),
    "--audit-webhook-batch-max-wait": (Seconds, 30),
    "--audit-webhook-batch-throttle-enable": (bool, True),
    "--audit-webhook-batch-throttle-qps": (float, 10),
    "--audit-webhook-batch-throttle-burst": (int, 15),
    "--audit-webhook-truncate-enabled": (bool, False),
    "--audit-webhook-truncate-max-batch-size": (int, 10_485_760),
    "--audit-webhook-truncate-max-event-size": (int, 102_400),
    "--audit-webhook-spool-dir": (str, ""),
    "--audit-webhook-spool-max-bytes": (int, 1 << 30),
    "--audit-webhook-policy-file": (str, ""),
}


def test_the_flags_are_those_of_kube_apiserver_and_ours() -> None:
    """Names, types and defaults; only the alias has none, because it is the same option again."""
    assert {flag.name: (flag.type, flag.default) for flag in flags(WebhookOptions)} == FLAGS


@pytest.mark.parametrize(
    ("name", "options", "problems"),
    [
        ("the defaults", GOOD, []),
        ("waits are not checked", replace(GOOD, batch_max_wait=-1.0, initial_backoff=-1.0), []),
        ("without a webhook nothing is wrong", replace(GOOD, config_file="", mode="x", spool_dir="s"), []),
        ("a spool of some size", replace(GOOD, spool_dir="spool", spool_max_bytes=1), []),
        ("a size without a spool is not looked at", replace(GOOD, spool_max_bytes=0), []),
        (
            "a spool of none",
            replace(GOOD, spool_dir="spool", spool_max_bytes=0),
            ["--audit-webhook-spool-max-bytes 0 must be a positive number"],
        ),
        (
            "batch numbers count only in batch mode",
            replace(GOOD, mode="blocking", batch_buffer_size=0, batch_throttle_qps=0.0),
            [],
        ),
        (
            "a throttle that lets nothing through",
            replace(GOOD, batch_throttle_burst=0),
            ["invalid audit batch webhook throttle burst 0, must be a positive number"],
        ),
        (
            "everything at once, in the order of the server",
            replace(GOOD, mode="Batch", truncate_max_batch_size=1, version="v2", spool_dir="s", spool_max_bytes=-1),
            [
                'invalid audit webhook mode Batch, allowed modes are "batch,blocking,blocking-strict"',
                "invalid audit truncate webhook max batch size 1, must be greater than max event size (102400)",
                'invalid group version, allowed versions are ["audit.k8s.io/v1"]',
                "--audit-webhook-spool-max-bytes -1 must be a positive number",
            ],
        ),
    ],
)
def test_problems_are_told_in_the_server_s_words(name: str, options: WebhookOptions, problems: list[str]) -> None:
    """Of batch and truncation the first each; ours last."""
    assert options.problems() == problems, name


def test_the_deprecated_name_of_the_backoff_overrides_the_new_one() -> None:
    """Where both are given; unset, it says nothing."""
    assert GOOD.backoff_s == 10
    assert replace(GOOD, initial_backoff=2.0).backoff_s == 2
    assert replace(GOOD, initial_backoff=2.0, batch_initial_backoff=0.0).backoff_s == 0


def test_what_the_wrappings_are_told() -> None:
    """The batch's and the truncation's limits; whether fields are cut is another flag's business."""
    assert GOOD.batch == BatchLimits(10_000, 400, 30, throttle=True, qps=10, burst=15)
    assert GOOD.truncation() == TruncateLimits(102_400, 10_485_760, fields=False)
    assert GOOD.truncation(fields=True).fields

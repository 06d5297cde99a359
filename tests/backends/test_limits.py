from __future__ import annotations

import pytest

from decklog.backends.limits import VERSION, BatchLimits, TruncateLimits, problems

BATCH = BatchLimits()
TRUNCATE = TruncateLimits()
MODES = '"batch,blocking,blocking-strict"'


@pytest.mark.parametrize(
    ("mode", "batch", "truncate", "version", "found"),
    [
        ("batch", BATCH, TRUNCATE, VERSION, []),
        ("Batch", BatchLimits(0), TRUNCATE, VERSION, [f"invalid audit webhook mode Batch, allowed modes are {MODES}"]),
        ("blocking", BatchLimits(0, 0, -1, qps=0, burst=0), TRUNCATE, VERSION, []),
        ("batch", BatchLimits(max_wait_s=-1), TRUNCATE, VERSION, []),
        (
            "batch",
            BatchLimits(0, 0),
            TRUNCATE,
            VERSION,
            ["invalid audit batch webhook buffer size 0, must be a positive number"],
        ),
        (
            "batch",
            BatchLimits(max_size=-4, qps=0),
            TRUNCATE,
            VERSION,
            ["invalid audit batch webhook max batch size -4, must be a positive number"],
        ),
        (
            "batch",
            BatchLimits(qps=-0.5, burst=0),
            TRUNCATE,
            VERSION,
            ["invalid audit batch webhook throttle QPS -0.5, must be a positive number"],
        ),
        (
            "batch",
            BatchLimits(burst=0),
            TRUNCATE,
            VERSION,
            ["invalid audit batch webhook throttle burst 0, must be a positive number"],
        ),
        (
            "batch",
            BatchLimits(qps=float("nan")),
            TRUNCATE,
            VERSION,
            ["invalid audit batch webhook throttle QPS nan, must be a positive number"],
        ),
        ("batch", BatchLimits(throttle=False, qps=0, burst=0), TRUNCATE, VERSION, []),
        (
            "batch",
            BATCH,
            TruncateLimits(0, -1),
            VERSION,
            ["invalid audit truncate webhook max event size 0, must be a positive number"],
        ),
        (
            "batch",
            BATCH,
            TruncateLimits(10, 9),
            VERSION,
            ["invalid audit truncate webhook max batch size 9, must be greater than max event size (10)"],
        ),
        ("batch", BATCH, TruncateLimits(10, 10), VERSION, []),
        ("batch", BATCH, TRUNCATE, "v1", ['invalid group version, allowed versions are ["audit.k8s.io/v1"]']),
        ("batch", BATCH, TRUNCATE, "a/b/c", ["unexpected GroupVersion string: a/b/c"]),
        (
            "x",
            BATCH,
            TruncateLimits(-1),
            "",
            [
                f"invalid audit webhook mode x, allowed modes are {MODES}",
                "invalid audit truncate webhook max event size -1, must be a positive number",
                'invalid group version, allowed versions are ["audit.k8s.io/v1"]',
            ],
        ),
    ],
)
def test_what_log_and_webhook_share_is_checked_in_the_servers_words(
    mode: str, batch: BatchLimits, truncate: TruncateLimits, version: str, found: list[str]
) -> None:
    """Of each group the first problem, in the server's order; batch numbers only in batch mode."""
    assert problems("webhook", mode, batch, truncate, version) == found


def test_the_buffer_of_a_million_is_told_as_it_was_given() -> None:
    """Large numbers keep all their digits."""
    assert BatchLimits(-1234567).problem("log") == (
        "invalid audit batch log buffer size -1234567, must be a positive number"
    )

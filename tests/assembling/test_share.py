from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decklog.assembling.worker import share
from decklog.backends.log_options import LogOptions
from decklog.backends.options import BackendOptions
from decklog.backends.webhook_options import WebhookOptions
from decklog.config import AuditOptions

if TYPE_CHECKING:
    from pathlib import Path


def options(**webhook: object) -> AuditOptions:
    return AuditOptions(log=LogOptions(path="/log/audit.log"), webhook=WebhookOptions(**webhook))  # type: ignore[arg-type]  # because: any of its fields


def test_the_throttle_is_divided() -> None:
    """All together send no more than was allowed; nobody is left without a batch."""
    told = options(config_file="hook", batch_throttle_qps=10.0, batch_throttle_burst=15)
    shares = [share(told, number, 4).webhook for number in (1, 2, 3, 4)]
    assert sum(webhook.batch_throttle_qps for webhook in shares) == 10.0
    assert [webhook.batch_throttle_burst for webhook in shares] == [3, 3, 3, 3]
    assert share(options(config_file="hook", batch_throttle_burst=2), 1, 4).webhook.batch_throttle_burst == 1


def test_spools_and_intents_are_each_worker_s_own() -> None:
    """Under its number, also where there is one alone: so that more may come later. The size is divided."""
    told = options(config_file="hook", spool_dir="/spool", spool_max_bytes=1000)
    assert [share(told, number, 2).webhook.spool_dir for number in (1, 2)] == ["/spool/worker-1", "/spool/worker-2"]
    assert share(told, 1, 1).webhook.spool_dir == "/spool/worker-1"
    assert share(told, 2, 2).webhook.spool_max_bytes == 500
    assert share(told, 2, 2).intent_path == "/log/audit.log.intents.worker-2"
    named = AuditOptions(backends=BackendOptions(intent_path="/var/intents"))
    assert share(named, 3, 3).intent_path == "/var/intents.worker-3"


def test_the_log_is_shared() -> None:
    """One file for all."""
    told = options()
    assert share(told, 1, 2).log is told.log


def test_what_is_off_stays_off() -> None:
    """No spool, no place for intents."""
    nothing = AuditOptions()
    assert share(nothing, 1, 2) == AuditOptions(
        webhook=WebhookOptions(batch_throttle_qps=5.0, batch_throttle_burst=7, spool_max_bytes=1 << 29)
    )


@pytest.mark.parametrize("count", [1, 3, 64])
def test_a_share_is_valid_where_the_whole_is(tmp_path: Path, count: int) -> None:
    """However many share."""
    told = options(config_file=str(tmp_path / "hook"), spool_dir=str(tmp_path / "spool"))
    for number in range(1, count + 1):
        share(told, number, count).check()

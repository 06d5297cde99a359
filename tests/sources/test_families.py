from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.sources.families import families, older_parts, part_of


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("audit.log", "audit.log"),
        ("audit-2026-01-02T03-04-05.678.log", "audit.log"),
        ("audit-2026-01-02T03-04-05.678.log.gz", "audit.log"),
        ("audit-2026-01-02T03-04-05.678", "audit"),
        ("audit-2026-01-02T03-04-05.678.gz", "audit"),
        ("kube-audit-2026-01-02T03-04-05.678.log", "kube-audit.log"),
        ("audit.log.1", "audit.log"),
        ("audit.log.12.gz", "audit.log"),
        ("audit.log-20260102", "audit.log"),
        ("audit.log-20260102-1767312000.gz", "audit.log"),
        ("audit.log.20260102", "audit.log"),
        ("audit-2026-01-02T03-04-05.log", "audit-2026-01-02T03-04-05.log"),
        ("audit-latest.log", "audit-latest.log"),
        ("audit.log.bak", "audit.log.bak"),
        ("audit\n.log.1", "audit\n.log"),
        (".1", ".1"),
    ],
)
def test_a_rotated_name_tells_its_head(name: str, head: str) -> None:
    """Backups of kube-apiserver and of logrotate, packed or not, belong to the log that they were."""
    assert part_of(name).head == head


def test_older_parts_come_in_the_order_in_which_they_were_written() -> None:
    """Oldest first: dates upwards, numbers downwards; other logs' parts and unfinished packings are left out."""
    names = [
        "audit.log",
        "audit-2026-01-02T03-04-05.679.log",
        "audit-2026-01-02T03-04-05.678.log.gz",
        "audit-2025-12-31T23-59-59.999.log.gz",
        "audit-2026-02-01T00-00-00.000.log",
        "audit-2026-02-01T00-00-00.000.log.gz",
        "audit.log.1",
        "audit.log.2.gz",
        "audit.log.10.gz",
        "other.log",
        "other.log.1",
        "audit.log.tmp",
    ]
    assert older_parts("audit.log", names) == [
        "audit-2025-12-31T23-59-59.999.log.gz",
        "audit-2026-01-02T03-04-05.678.log.gz",
        "audit-2026-01-02T03-04-05.679.log",
        "audit-2026-02-01T00-00-00.000.log",
        "audit.log.10.gz",
        "audit.log.2.gz",
        "audit.log.1",
    ]
    assert families(names)["audit.log"][-1] == "audit.log"
    assert set(families(names)) == {"audit.log", "other.log", "audit.log.tmp"}


dates = st.datetimes(timezones=st.just(UTC)).map(
    lambda date: f"{date.year:04}-{date:%m-%dT%H-%M-%S}.{date.microsecond // 1000:03}"
)


@given(st.lists(dates, unique=True, max_size=5).flatmap(lambda kept: st.permutations([*kept, ""])))
def test_any_listing_order_gives_the_same_family(listing: list[str]) -> None:
    """The order of a directory's entries does not matter."""
    names = [f"audit-{date}.log" if date else "audit.log" for date in listing]
    assert families(names) == {"audit.log": [*sorted(name for name in names if name != "audit.log"), "audit.log"]}

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.running import run
from decklog.disk import Disk
from decklog.store.parquet import engine
from decklog.store.segment import Maintenance, seal
from store.filled_store import fill, line

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("older", [[0], [1], [0, 1]], ids=["the first", "the last", "all"])
@pytest.mark.parametrize("question", [["top"], ["timeline"], ["query", "--verb", "get"]], ids=lambda words: words[0])
def test_segments_of_an_older_decklog_are_no_damage(older: list[int], question: list[str], tmp_path: Path) -> None:
    """Where a column is missing it is said who wrote the segment, instead of half an answer."""
    fill(tmp_path, [line(1)], [line(2)])
    with Maintenance(tmp_path, Disk(), grace_s=0) as work, engine(work.aside) as duck:
        seal(work, duck)
        for place in older:
            segment = tmp_path / work.catalog.live()[place].path
            fresh = duck.fresh(".parquet")
            columns = (
                f'SELECT * EXCLUDE ("request", "verb") FROM read_parquet(\'{segment}\', hive_partitioning = false)'
            )
            duck.all(f"COPY ({columns}) TO '{fresh}' (FORMAT parquet)")
            fresh.replace(segment)
    done = run(*question, "--store", tmp_path)
    assert done.code == 2
    assert "it was written by an older one: ask it with that" in done.err

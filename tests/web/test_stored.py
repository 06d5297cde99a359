from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from ask.logs import event, log
from cli.running import run
from decklog.disk import Disk
from decklog.web.data import Wanted
from decklog.web.limits import Deadline
from decklog.web.stored import REMEMBERED_REQUESTS, Stored

if TYPE_CHECKING:
    from pathlib import Path


def test_the_rows_of_a_sheet_are_not_remembered(tmp_path: Path) -> None:
    """A page's rows are kept for who looks again; a sheet's, which are many, only for as long as it is written."""
    events = [event(audit_id=f"{number}") for number in range(REMEMBERED_REQUESTS + 1)]
    done = run("import", "--store", tmp_path / "store", log(tmp_path / "audit.log", *events))
    assert done.code == 0, done.err
    with closing(Stored(str(tmp_path / "store"), Disk())) as store:

        def rows(limit: int) -> tuple[object, ...]:
            return store.look(Wanted(), Deadline(60), limit=limit, around=False).rows

        assert rows(50) is rows(50)
        assert len(rows(1000)) == len(events)
        assert rows(1000) is not rows(1000)

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from ask.logs import event, lines
from decklog.audit.query import Pattern, Query
from decklog.web.limits import Deadline, TooBroadError
from decklog.web.scanned import Files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("query", [Query(names=(Pattern("nobody"),)), Query(codes=(), human=False), Query()])
def test_a_search_that_finds_nothing_ends_in_time_too(tmp_path: Path, query: Query) -> None:
    """The deadline holds while a log is searched, not only when something is found in it."""
    path = tmp_path / "audit.log.gz"  # packed: its requests are not kept between pages
    path.write_bytes(gzip.compress(lines([event()] * 10)))
    late = Deadline()
    late.cancel()
    with pytest.raises(TooBroadError):
        list(Files([str(path)]).requests([query], late))

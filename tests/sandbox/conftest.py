from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client() -> Iterator[Client]:
    """A client of a fresh sandbox, whose clock stands still."""
    made = Client()
    yield made
    made.close()

from __future__ import annotations

import pytest

from decklog.amounts import binary_size

SIZES = {
    0: "0 bytes",
    1023: "1,023 bytes",
    1024: "1.0 KiB",
    1536 * 1024: "1.5 MiB",
    312 << 20: "312 MiB",
    1100 << 20: "1.1 GiB",
    5000 << 40: "5,000 TiB",
}


@pytest.mark.parametrize(("count", "shown"), SIZES.items())
def test_bytes_are_written_in_the_largest_unit_that_fits(count: int, shown: str) -> None:
    """Two digits or three say how large it is."""
    assert binary_size(count) == shown

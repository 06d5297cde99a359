"""Grid: rows of any texts → aligned lines, fitted to a width. Escapes what is foreign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.ask.terminal import columns, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NARROWEST: Final = 10
_GAP: Final = "  "


def grid(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    """Yield the lines of a table, titles first; nothing without rows. `width` None: nothing is cut.

    Where the lines are too wide, the widest columns are cut first.
    """
    if not rows:
        return
    lines = [list(titles), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(map(columns, cells)) for cells in zip(*lines, strict=True)]
    limit = max(widths)
    room = None if width is None else width - len(_GAP) * (len(widths) - 1)
    while room is not None and limit > _NARROWEST and sum(min(size, limit) for size in widths) > room:
        limit -= 1
    for cells in lines:
        yield _GAP.join(
            _padded(shortened(cell, limit), min(size, limit)) for cell, size in zip(cells, widths, strict=True)
        ).rstrip()


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - columns(cell))


def shortened(text: str, width: int) -> str:
    """Cut safe text to so many columns; the mark at its end says so."""
    if columns(text) <= width:
        return text
    kept = text[: width - 1]
    while columns(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…"

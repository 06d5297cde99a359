"""Cells: a request as the cells of a table, the same for the page and for the live tail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.ask.moments import in_words, readable
from decklog.ask.terminal import visible
from decklog.web import links

if TYPE_CHECKING:
    from decklog.ask.rows import Row


class Cell(Struct, frozen=True):
    """One cell; its text is foreign."""

    title: str
    """Of its column."""
    text: str
    kind: str
    """Its class."""
    href: str = ""
    time: str = ""
    """The MicroTime that the text says."""
    hint: str = ""


LONGEST: Final = 200
"""Characters of a cell; the request's own page has all of it."""
COLUMNS: Final = ("Time (UTC)", "Who", "Verb", "Object", "Namespace", "Result", "From", "Took")


def cells(row: Row) -> tuple[Cell, ...]:
    """Give the cells of a request."""
    took = "" if row.duration_seconds is None else in_words(row.duration_seconds)
    group = f"{row.resource}.{row.api_group}" if row.api_group else row.resource
    values = (
        Cell(COLUMNS[0], readable(row.time), "time", links.to_request(row.audit_id, row.time), row.time or ""),
        Cell(COLUMNS[1], row.who, "who", links.to_user(row.user), hint=row.who),
        Cell(COLUMNS[2], row.verb or "-", f"verb {_deed(row)}"),
        Cell(COLUMNS[3], row.what or "-", "what", links.to_row_object(row), hint=group or row.request_uri),
        Cell(COLUMNS[4], row.namespace or "-", "namespace"),
        Cell(COLUMNS[5], row.result, f"outcome {outcome(row)}", hint=" ".join(filter(None, (row.reason, row.message)))),
        Cell(COLUMNS[6], row.source_ip or "-", "from", hint=row.user_agent),
        Cell(COLUMNS[7], took, "took"),
    )
    return tuple(
        Cell(cell.title, short(cell.text), cell.kind, cell.href, cell.time, short(cell.hint)) for cell in values
    )


def short(text: str, longest: int = LONGEST) -> str:
    """Cut a text that is too long for where it stands."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def spelled(cell: Cell) -> Cell:
    """Spell the text, as templates do by themselves; for who takes cells elsewhere."""
    return Cell(cell.title, visible(cell.text), cell.kind, cell.href, cell.time, visible(cell.hint))


def _deed(row: Row) -> str:
    """Tell what kind of deed a verb is: it chooses the colour."""
    if row.verb in {"delete", "deletecollection"}:
        return "deletes"
    if row.subresource in {"exec", "attach", "portforward"} and row.verb in {"create", "get"}:
        return "enters"
    if row.verb in {"create", "update", "patch"}:
        return "writes"
    return "reads"


def outcome(row: Row) -> str:
    """Tell how a request ended: it chooses the colour."""
    if row.stage == "Panic" or row.code >= 500:
        return "bad"
    if row.code in {401, 403}:
        return "refused"
    if row.code >= 400:
        return "failed"
    return "good" if row.code else "open"

from __future__ import annotations

import json

import pytest

from decklog.store.columns import encoded, row_of, rows_of
from store.filled_store import line

MADE = {
    "a name": (b'{"metadata":{"name":"made-1"}}', "made-1"),
    "a name behind much else": (b'{"spec":{"a":[1,{"name":"no"}]},"metadata":{"labels":{},"name":"made-2"}}', "made-2"),
    "no name": (b'{"metadata":{}}', ""),
    "no metadata": (b"{}", ""),
    "null": (b"null", ""),
    "metadata that are null": (b'{"metadata":null}', ""),
    "a list": (b"[1,2]", ""),
    "a number for a name": (b'{"metadata":{"name":7}}', ""),
}


def created(answer: bytes) -> bytes:
    """Make the event of a creation whose name only the answer may have."""
    return line(1, verb="create", name="").replace(b'"annotations"', b'"responseObject":%b,"annotations"' % answer)


@pytest.mark.parametrize("case", MADE)
def test_what_is_created_has_the_name_of_the_answer(case: str) -> None:
    """The name that only the answer has is found, among other lines and alone; an answer without one harms none."""
    answer, name = MADE[case]
    lines = [line(2), created(answer), line(3)]
    for rows in (rows_of(b"".join(each + b"\n" for each in lines)), [row_of(each) for each in lines]):
        refs = [row.object_ref for row in rows]
        assert [ref.name if ref else None for ref in refs] == ["pod-2", name, "pod-3"]
        assert [row.audit_id for row in rows] == ["id-2", "id-1", "id-3"]


def test_no_body_is_among_the_columns() -> None:
    """What an answer holds is not written for the columns, whether it was looked at or not."""
    secret = b'{"metadata":{"name":"made-1"},"data":{"password":"hush"}}'
    lines = [created(secret), line(2).replace(b'"annotations"', b'"responseObject":%b,"annotations"' % secret)]
    for rows in (rows_of(b"".join(each + b"\n" for each in lines)), [row_of(each) for each in lines]):
        written = encoded(rows)
        assert b"hush" not in written
        assert [json.loads(each)["objectRef"]["name"] for each in written.splitlines()] == ["made-1", "pod-2"]


def test_a_nul_never_reaches_a_column() -> None:
    """Text with an escaped NUL, which no text of a table can hold, is written with the mark of what is unreadable."""
    written = encoded(rows_of(line(1, user="a\\u0000b") + b"\n" + line(2) + b"\n"))
    assert [json.loads(each)["user"]["username"] for each in written.splitlines()] == ["a\ufffdb", "alice"]

"""JSONPath: a template of the user's, filled from each request or event; what is foreign in it is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from decklog.ask.jsonpath import Template, written
from decklog.ask.terminal import visible, visible_json
from decklog.cli.json_values import value_of
from decklog.cli.printing import Verbatim

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TextIO

    from decklog.ask.rows import Row


class JsonPathPrinter(Verbatim):
    """One line a request: the filled template; no line feed is added where the template ends with its own."""

    def __init__(self, out: TextIO, template: str, *, events: bool) -> None:
        super().__init__(out, events=events)
        self._template = Template(template)

    def rows(self, rows: Iterable[Row]) -> int:
        """Print rows; give their number."""
        return self.values(msgspec.json.decode(msgspec.json.encode(row)) for row in rows)

    def lines(self, lines: Iterable[bytes]) -> int:
        """Print events; give their number."""
        return self.values(map(value_of, lines))

    def values(self, values: Iterable[Any]) -> int:
        """Print values; give their number."""
        number = 0
        for number, value in enumerate(values, start=1):  # noqa: B007  # because: the last number is the count
            text = self._template.filled(value, _shown)
            self.out.write(text if text.endswith("\n") else f"{text}\n")
        return number


def _shown(value: Any) -> str:
    return visible(value) if isinstance(value, str) else visible_json(written(value))

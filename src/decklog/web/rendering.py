r"""Rendering: values → HTML and JSON. The one place where foreign text meets markup, and where it is escaped.

Jinja's escaping is on for every template. Before it, whatever a template puts out is spelled (`ask.terminal.visible`):
characters that hide, reorder or break lines show as ``\u202e``. What has been made safe already (Markup) passes.
Scripts and styles are files with the hash of their content in the name; no template has any inside.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from decklog.ask.moments import in_words, readable
from decklog.ask.terminal import visible
from decklog.web import links
from decklog.web.cells import short

if TYPE_CHECKING:
    from collections.abc import Mapping

STATIC: Final = "/static/"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Static:
    """The files beside the pages, each under a name that changes with its content."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, bytes]] = {}
        self._names: dict[str, str] = {}
        for file in (resources.files("decklog.web") / "static").iterdir():
            stem, dot, kind = file.name.rpartition(".")
            if f"{dot}{kind}" not in _TYPES:
                continue
            data = file.read_bytes()
            name = f"{stem}.{hashlib.sha256(data).hexdigest()[:12]}.{kind}"
            self._files[name] = _TYPES[f".{kind}"], data
            self._names[file.name] = STATIC + name

    def __getitem__(self, name: str) -> str:
        """Give the address of a file."""
        return self._names[name]

    def find(self, path: str) -> tuple[str, bytes] | None:
        """Give the content type and the content behind an address."""
        return self._files.get(path.removeprefix(STATIC))


class Rendering:
    """Templates, and what all of them may use."""

    def __init__(self) -> None:
        self.static = Static()
        self._environment = Environment(
            loader=PackageLoader("decklog.web"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_spelled,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(links=links, static=self.static)
        self._environment.filters.update(
            moment=moment_tag,
            number=number,
            took=in_words,
            readable=readable,
            copied=copied,
            compact=compact,
            short=short,
        )

    def html(self, template: str, values: Mapping[str, Any]) -> bytes:
        """Fill a template."""
        return self._environment.get_template(template).render(values).encode("utf-8", "backslashreplace")


def as_json(value: Any) -> bytes:
    """Write a page's value; what no UTF-8 can hold is escaped as JSON does."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), ensure_ascii=True).encode()


def _spelled(value: Any) -> Any:
    if type(value) is str:
        return visible(value)
    return "" if value is None else value


def copied(text: str) -> Markup:
    """Pass a text on that is to be copied as it is; escaped, but not spelled: its maker has seen to that."""
    return escape(text)


@lru_cache(maxsize=4096)
def moment_tag(time: str | None, *, exact: bool = False) -> Markup:
    """Write a MicroTime for people, in UTC; the script adds the local time."""
    if not time:
        return Markup("-")
    try:
        datetime.fromisoformat(time).astimezone(UTC)
    except (ValueError, OverflowError):
        return escape(visible(time))
    return Markup('<time datetime="{}">{}</time>').format(
        time, time[:-1].replace("T", " ") if exact else readable(time)
    )


def number(value: float) -> str:
    """Write a number with its thousands apart."""
    return f"{value:,}"


def compact(value: float) -> str:
    """Write a number in little room: ``12.3k``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            scaled = value / (1e3 if unit == "k" else limit)
            return f"{scaled:.3g}{unit}"
    return f"{value:,}"

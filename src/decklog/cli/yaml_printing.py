"""YAML: rows and events as kubectl's users read them; of the same values as JSON, nothing in it acts on a terminal."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml

from decklog.ask.terminal import is_safe
from decklog.cli.json_values import Number, value_of
from decklog.cli.printing import Verbatim, searched

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.ask.rows import Row
    from decklog.sources.record import Coverage

_EVENTS_HEAD: Final = "kind: EventList\napiVersion: audit.k8s.io/v1\nmetadata: {}\nitems:"
_NO_LIMIT: Final = 1 << 30


class YamlPrinter(Verbatim):
    """``requests:`` and ``searched:``; with events, an EventList."""

    def rows(self, rows: Iterable[Row]) -> int:
        """Print rows; give their number."""
        return self._list("requests:", map(msgspec.to_builtins, rows))

    def lines(self, lines: Iterable[bytes]) -> int:
        """Print events; give their number."""
        return self._list(_EVENTS_HEAD, map(value_of, lines))

    def _list(self, head: str, values: Iterable[Any]) -> int:
        number = 0
        self.out.write(head)
        for number, value in enumerate(values, start=1):
            self.out.write(f"{'' if number > 1 else chr(10)}{written([value])}")
        if not number:
            self.out.write(" []\n")
        return number

    def finish(self, coverage: Coverage, since: str | None, until: str | None) -> None:
        """Say what the answer covers."""
        if not self.events:
            beside = msgspec.to_builtins(self.beside)
            self.out.write(written({**beside, "searched": {**searched(coverage, since, until), **self.also}}))


_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml, where it is there: ten times as fast


class _Dumper(_Base):  # type: ignore[misc]  # because: one of two classes, chosen when the program starts
    """PyYAML's, for texts from anywhere."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # because: PyYAML's signature
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if all(map(is_safe, text)) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _word(dumper: yaml.SafeDumper, word: StrEnum) -> yaml.ScalarNode:
    return _text(dumper, str(word))


def _number(dumper: yaml.SafeDumper, number: Number) -> yaml.ScalarNode:
    kind = "int" if number.lstrip("-").isdigit() else "float"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", str(number))


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Number, _number)
_Dumper.add_multi_representer(StrEnum, _word)
_ODD: Final = re.compile(r"[^\n\x20-\x7e]")


def written(value: Any) -> str:
    """Write a value as a YAML document; texts with characters that act stand in quotes, these characters spelled."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_NO_LIMIT)
    return _ODD.sub(lambda found: found[0] if is_safe(found[0]) else _spelled(found[0]), text)


def _spelled(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

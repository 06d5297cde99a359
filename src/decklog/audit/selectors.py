"""Selectors: the grammars of fieldSelector and labelSelector, as far as a request's attributes need them (spec §4).

Of a field selector the server takes the object's name into the attributes; of a label selector only whether it parses,
since a request with a broken one loses that name. Matching objects is not done here.
"""

from __future__ import annotations

import re
from typing import Final

from decklog.audit import jsontext

# Field selectors

_TERM: Final = re.compile(r"(?:[^\\,]|\\.)*+\\?", re.DOTALL)
_OPERATOR: Final = re.compile(r"!=|==?")
_UNESCAPED: Final = re.compile(r"(?:[^\\,=]|\\[\\,=])*+", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL: Final = re.compile(r"[\\,=]")


class SelectorError(ValueError):
    """A selector does not parse."""


def field_terms(selector: str) -> list[tuple[str, str, str]]:
    """Parse a field selector into (left side, operator, unescaped right side), sorted as Go sorts them.

    The left side is taken literally, spaces included. SelectorError if a term has no operator or a bad escape.
    """
    terms = []
    for term in sorted(_split(selector), key=jsontext.raw):
        if not term:
            continue
        operator = _OPERATOR.search(term)
        if operator is None:
            raise SelectorError("a field selector's term has no operator")
        terms.append((term[: operator.start()], operator[0], _unescape(term[operator.end() :])))
    return terms


def required_name(selector: str) -> str:
    """Give the name that a field selector demands of ``metadata.name``; empty if it demands none.

    SelectorError if the selector does not parse.
    """
    for left, operator, right in field_terms(selector):
        if left == "metadata.name" and operator != "!=":
            return right
    return ""


def _split(selector: str) -> list[str]:
    """Split at the commas that no backslash precedes."""
    if "\\" not in selector:
        return selector.split(",")
    terms, at = [], 0
    while at <= len(selector):
        found = _TERM.match(selector, at)
        end = found.end() if found is not None else len(selector)
        terms.append(selector[at:end])
        at = end + 1
    return terms


def _unescape(value: str) -> str:
    if _SPECIAL.search(value) is None:
        return value
    if _UNESCAPED.fullmatch(value) is None:
        raise SelectorError("a field selector's value has a bad escape")
    return jsontext.mend(_ESCAPE.sub(r"\1", value))


# Label selectors

_TOKEN: Final = re.compile(r"(?:==|!=|[=!(),<>]|[^=!(),<> \t\r\n\0]+)\0?")
_SPACE: Final = " \t\r\n"
_SYMBOLS: Final = frozenset({"==", "!=", "=", "!", "(", ")", ",", "<", ">"})
_END: Final = ""
_NAME: Final = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)


def check_labels(selector: str) -> None:
    """SelectorError if a label selector does not parse."""
    _Labels(selector).check()


def is_int64(text: str) -> bool:
    """Tell whether Go's strconv.ParseInt(text, 10, 64) takes `text`."""
    if _INTEGER.fullmatch(text) is None:
        return False
    digits = text.lstrip("+-").lstrip("0")
    return len(digits) <= 19 and int(digits or "0") < (1 << 63) + text.startswith("-")


class _Labels:
    """A descent over the tokens of one selector; no production recurses."""

    def __init__(self, selector: str) -> None:
        self._tokens = _tokens(selector)
        self._at = 0

    def check(self) -> None:
        if self._peek() == _END:
            return
        while True:
            self._requirement()
            mark = self._next()
            if mark == _END:
                return
            # A selector may not end in a comma.
            self._demand(mark == "," and (_is_word(self._peek()) or self._peek() == "!"))

    def _requirement(self) -> None:
        absent = self._peek() == "!"
        if absent:
            self._next()
        key = self._next()
        self._demand(_is_word(key) and is_qualified_name(key))
        if absent or self._peek() in {_END, ","}:
            return
        operator = self._next()
        if operator in {"in", "notin"}:
            self._values()
        else:
            self._demand(operator in {"=", "==", "!=", "<", ">"})
            value = self._value()
            self._demand(operator not in {"<", ">"} or is_int64(value))

    def _value(self) -> str:
        """Read the one value of a comparison; there may be none."""
        if self._peek() in {_END, ","}:
            return ""
        value = self._next()
        self._demand(_is_word(value) and _is_label_value(value))
        return value

    def _values(self) -> None:
        """Read ``(a,b)``. Values may be empty, ``(a,)``; Go refuses ``()`` and a doubled comma before the end."""
        self._demand(self._next() == "(")
        while True:
            value = self._next()
            if _is_word(value):
                self._demand(_is_label_value(value) and self._peek() in {",", ")"})
            else:
                self._demand(value == ",")
                if self._peek() == ",":
                    self._next()
                    continue
            if self._peek() == ")":
                self._next()
                return

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _demand(self, holds: bool) -> None:
        if not holds:
            raise SelectorError("a label selector does not parse")


def _tokens(selector: str) -> list[str]:
    """Cut a label selector into tokens. A NUL ends it, unless it stands right behind a token, which swallows it."""
    tokens: list[str] = []
    at = 0
    while True:
        while at < len(selector) and selector[at] in _SPACE:
            at += 1
        found = _TOKEN.match(selector, at)
        if found is None:
            return tokens
        tokens.append(found[0].rstrip("\0"))
        at = found.end()


def _is_word(token: str) -> bool:
    return token != _END and token not in _SYMBOLS


def is_qualified_name(text: str) -> bool:
    """Tell whether `text` is a qualified name: ``name`` or ``prefix.example.com/name``."""
    prefix, slash, name = text.rpartition("/")
    if slash and not (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix)):
        return False
    return len(jsontext.raw(name)) <= 63 and _NAME.fullmatch(name) is not None


def _is_label_value(text: str) -> bool:
    return len(text) <= 63 and (not text or _NAME.fullmatch(text) is not None)

"""What an unquoted YAML scalar is, by the rules of go-yaml v2, which kube-apiserver reads policies with (spec §2.2).

PyYAML's own rules differ: there, ``y`` and ``n`` are strings, dates are dates and ``12:30:45`` is a number. Here,
``y``, ``no``, ``on`` and their like are booleans, dates and times stay strings, and what looks like a number is one.
"""

from __future__ import annotations

import re
from typing import Final

Value = str | float | bool | None

TAG_PREFIX: Final = "tag:yaml.org,2002:"


def _spellings(*words: str) -> tuple[str, ...]:
    return tuple(spelled for word in words for spelled in (word, word.capitalize(), word.upper()))


_NAMED: Final[dict[str, Value]] = {
    **dict.fromkeys(_spellings("y", "yes", "true", "on"), True),
    **dict.fromkeys(_spellings("n", "no", "false", "off"), False),
    **dict.fromkeys(("", "~", *_spellings("null")), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((*_spellings(".inf"), ".Inf", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,19})", re.ASCII)
_PREFIXED: Final = re.compile(r"([-+]?)0(?:[xX]([0-9a-fA-F]+)|[bB]([01]+)|[oO]?([0-7]+))", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d?-\d\d?([Tt ]\d\d?:\d\d?:\d\d?(\.\d+)?(Z|[-+]\d\d:\d\d)?)?", re.ASCII)


class WrongTag(ValueError):  # noqa: N818  # because: it reads as what the scalar has
    """A scalar that is not what its tag says; the text is go-yaml's."""


def resolve(tag: str | None, plain: bool, text: str) -> Value:
    """Give a scalar's value; `plain`: it stands without quotes, or with the tag ``!``. Raises WrongTag."""
    if plain and tag in {None, "!"}:
        return _untagged(text)
    short = (tag or "").removeprefix(TAG_PREFIX)
    if short not in {"bool", "int", "float", "null", "timestamp"}:
        return text  # quoted, !!str, or a tag that means nothing to go-yaml
    value = _untagged(text)
    found = _tag_of(text, value)
    if short == "float" and found == "int":
        return value
    if found != short:
        raise WrongTag(f"cannot decode !!{found} `{text}` as a !!{short}")
    return value


def _untagged(text: str) -> Value:
    if text in _NAMED:
        return _NAMED[text]
    if text[0] in "+-.0123456789":
        number = _number(text)
        if number is not None:
            return number
    return text


def _number(text: str) -> float | None:
    plain = text.replace("_", "") if text[0] != "." else text
    if _DECIMAL.fullmatch(plain):
        return int(plain)
    prefixed = _PREFIXED.fullmatch(plain)
    if prefixed:
        sign, *digits = prefixed.groups()
        base, shown = next((base, shown) for base, shown in zip((16, 2, 8), digits, strict=True) if shown)
        return int(sign + shown, base)
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        return None if number in {float("inf"), float("-inf")} else number  # out of range: a string again
    return None


def _tag_of(text: str, value: Value) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case _:
            return "timestamp" if _DATE.fullmatch(text) else "str"

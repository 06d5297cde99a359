"""Links: the addresses of pages, and the command line that gives what a page shows."""

from __future__ import annotations

import ipaddress
import re
import shlex
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from decklog.ask.names import resource_patterns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.ask.rows import Row

CORE: Final = "core"
"""Stands for the core API group in addresses; no group is called so."""
NOWHERE: Final = "-"
"""Stands for "no namespace" in addresses; no namespace is called so."""
LONGEST: Final = 2_000
"""Characters of an address that leads to one thing. A request's line may hold a megabyte, and a page fifty of them."""
LONGEST_TERM: Final = 1_100
"""Characters of a value that can be asked for by a link; user agents of kube-apiserver have 1,040 at most."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]*")
_SHELL_SAFE: Final = re.compile(r"[\x20-\x7e]*")
_CODE: Final = re.compile(r"[1-9][0-9]{2}")
_VERSION: Final = re.compile(r"v[0-9]")
_FLAGS: Final = frozenset(("humans", "machines", "failed-only"))


def quoted(text: str) -> str:
    """Percent-encode any text, also what came from bytes that are no UTF-8."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogatepass")
    return quote(raw, safe="")


def query_string(pairs: Iterable[tuple[str, str]]) -> str:
    """Write fields as a query string, without the question mark."""
    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in pairs if value)


def to(path: str, pairs: Iterable[tuple[str, str]] = (), fragment: str = "") -> str:
    """Give the address of a page with its fields."""
    text = query_string(pairs)
    return f"{path}{'?' + text if text else ''}{'#' + fragment if fragment else ''}"


def fitting(address: str) -> str:
    """Give an address, unless it is too long to stand on a page; then there is none."""
    return address if len(address) <= LONGEST else ""


def to_request(audit_id: str, received: str | None = None, cluster: str = "") -> str:
    """Give the address of one request; the time makes finding it quick. Empty where it would be too long."""
    return fitting(to("/request", (("uid", audit_id), ("at", received or ""), ("cluster", cluster))))


def to_object(group: str, resource: str, namespace: str, name: str) -> str:
    """Give the address of an object; empty where there is none, or it would be too long."""
    if not resource or not name:
        return ""
    parts = (group or CORE, resource, namespace or NOWHERE, name)
    if all(map(_PLAIN.fullmatch, parts)) and not name.endswith(".json"):
        return fitting("/objects/" + "/".join(map(quoted, parts)))
    fields = (("group", group), ("resource", resource), ("namespace", namespace), ("name", name))
    return fitting(to("/objects", fields))


def to_row_object(row: Row) -> str:
    """Give the address of the object of a row; empty where it is about none."""
    return to_object(row.api_group, row.resource, row.namespace, row.name)


def to_user(name: str) -> str:
    """Give the address of a user's page; empty for nobody, and where it would be too long."""
    return fitting(to("/who", (("user", name),))) if name else ""


def as_term(name: str, value: str) -> str:
    """Write a value as the pattern that means it alone; empty where patterns cannot say it, or not in a link's room.

    Patterns read a leading ``-`` as "not", a trailing ``*`` as "any rest", and in most fields a comma as "or". A
    resource is written with its group and subresource, or the lack of them: ``pods./-*``.
    """
    if name == "code":
        return value if _CODE.fullmatch(value) else ""
    if name == "source-ip":
        return value if _is_address(value) else ""
    if not value:
        return "" if name == "cluster" else "-*"
    is_list = name in {"verb", "resource", "subresource", "namespace", "decision", "stage", "level"}
    if (
        len(value) > LONGEST_TERM
        or value.startswith("-")
        or value.endswith("*")
        or (is_list and ("," in value or value != value.strip()))
    ):
        return ""
    return _resource_term(value) if name == "resource" else value


def _resource_term(value: str) -> str:
    """Write ``deployments.apps/scale`` so that it means this alone."""
    kind, slash, subresource = value.partition("/")
    resource, dot, group = kind.partition(".")
    plain = all(part == part.lower() and "*" not in part and "/" not in part for part in (resource, group, subresource))
    if not plain or resource in {"", "all"} or subresource.startswith("-") or (slash and not subresource):
        return ""
    if resource_patterns(kind)[0].resource.text != resource or _VERSION.match(group):
        return ""  # it would be read as another one's short name, or its group as a version
    return f"{kind}{'' if dot else '.'}/{subresource or '-*'}"


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def command(words: Iterable[str]) -> str:
    """Write a command for a shell: whatever is in the words, it can be pasted."""
    return " ".join(map(_shell_word, words))


def _shell_word(word: str) -> str:
    if _SHELL_SAFE.fullmatch(word):
        return shlex.quote(word)
    spelled = "".join(map(_spelled, word))
    return f"$'{spelled}'"


def _spelled(char: str) -> str:
    r"""Spell what must not reach a terminal by pasting; letters of all scripts stay."""
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    try:
        raw = char.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = char.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def flags(pairs: Iterable[tuple[str, str]]) -> Iterable[str]:
    """Write fields of a page as flags of the command line."""
    for name, value in pairs:
        yield f"--{name}" if name in _FLAGS else f"--{name}={value}"

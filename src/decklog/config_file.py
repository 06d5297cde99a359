"""The configuration file: YAML, the flags' names without their dashes, ``audit-log-path: /var/log/audit.log``.

A key that is the name of a command that serves holds a mapping, its *section*: what counts for that command alone, over
what stands outside. Every problem of a file is told at once, each with its line and column.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from decklog.access import UpstreamOptions
from decklog.audit.documents.tree import Mapping, Position, Scalar, Unreadable
from decklog.audit.documents.yaml_tree import read_yaml
from decklog.audit.times import DurationError, parse_duration
from decklog.backends.kept_options import KeptOptions
from decklog.backends.log_options import LogOptions
from decklog.backends.options import BackendOptions
from decklog.backends.webhook_options import WebhookOptions
from decklog.errors import DecklogError
from decklog.gateway.identity_options import IdentityOptions
from decklog.gateway.options import GatewayOptions
from decklog.health import HealthOptions
from decklog.listener import ListenerOptions
from decklog.options import Flag, Seconds, flags
from decklog.policy.options import PolicyOptions
from decklog.receiving.options import ReceiverListenerOptions, ReceiverOptions
from decklog.recorder.options import RecorderOptions
from decklog.sandbox.options import SandboxOptions
from decklog.store.options import UpkeepOptions
from decklog.web.options import WebListenerOptions, WebOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.audit.documents.tree import Entry, Node

PLACES: Final = (Path("decklog.yaml"), Path("/etc/decklog/decklog.yaml"))
"""Where a configuration file is looked for when none is named; the first that is there."""

LISTEN: Final = Flag("--listen", "listen", str, "127.0.0.1:6443", "Serve on this address.", metavar="HOST:PORT")
SOURCE: Final = Flag(
    "--source",
    "source",
    str,
    "",
    "Audit log that the commands which ask read where none is named, as their -f FILE; several are parted by colons.",
    metavar="FILE|DIR|GLOB",
)
STORE: Final = Flag("--store", "store", str, "", "The store that is shown.", metavar="DIR")
POLICY: Final = Flag("--policy", "policy", str, "", "Audit policy of the cluster: shown and explained.", metavar="FILE")

OPTIONS: Final[tuple[type[Any], ...]] = (
    PolicyOptions,
    RecorderOptions,
    LogOptions,
    WebhookOptions,
    KeptOptions,
    BackendOptions,
    HealthOptions,
    ListenerOptions,
    UpstreamOptions,
    IdentityOptions,
    GatewayOptions,
    ReceiverOptions,
    UpkeepOptions,
    SandboxOptions,
    WebOptions,
)
"""Everything that can be set, in the order of the reference page."""

_AUDITING: Final = (PolicyOptions, RecorderOptions, LogOptions, WebhookOptions, KeptOptions, BackendOptions)
SECTIONS: Final[dict[str, tuple[type[Any] | Flag, ...]]] = {
    "gateway": (LISTEN, ListenerOptions, UpstreamOptions, IdentityOptions, *_AUDITING, GatewayOptions),
    "receive": (LISTEN, ReceiverListenerOptions, ReceiverOptions),
    "web": (LISTEN, STORE, POLICY, WebListenerOptions, WebOptions),
    "serve": (HealthOptions, UpkeepOptions),
}
"""What a section may hold, by its command: a door's alone, or, in that of serve, what concerns all doors together."""
DOORS: Final = frozenset(SECTIONS) - {"serve"}
"""The sections that are doors."""


@dataclass(frozen=True, slots=True)
class Section:
    """What a file says to one command."""

    at: Position
    """Of its key."""
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a file says: each flag's name with its value, checked."""

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, Section] = field(default_factory=dict)

    @property
    def doors(self) -> dict[str, Section]:
        """The doors that it asks for."""
        return {name: section for name, section in self.sections.items() if name in DOORS}

    def of(self, command: str) -> dict[str, Any]:
        """Give what counts for a command: its own section over what stands outside.

        Who reads a store and is told of none reads the one that doors write to, if it is the same for all.
        """
        section = self.sections.get(command)
        values = {**self.values, **(section.values if section is not None else {})}
        stores = {each.values["--store"] for each in self.sections.values() if "--store" in each.values}
        reads = command not in {"gateway", "receive"}
        return {"--store": stores.pop(), **values} if reads and len(stores) == 1 else values


def _by_key(known: Iterable[type[Any] | Flag]) -> dict[str, Flag]:
    found = [flag for each in known for flag in ((each,) if isinstance(each, Flag) else flags(each))]
    return {flag.name.removeprefix("--"): flag for flag in found}


def section_keys(name: str) -> list[str]:
    """Name the keys that a section may hold."""
    return list(_by_key(SECTIONS[name]))


def known() -> dict[str, Flag]:
    """Give every flag by its key in a configuration file."""
    return _by_key((*OPTIONS, LISTEN, SOURCE))


def find(named: str = "") -> Path | None:
    """Find the configuration file: the one that is named, or the first of `PLACES` that is there."""
    if named:
        return Path(named)
    return next((place for place in PLACES if place.is_file()), None)


def read(path: Path, command: str = "") -> dict[str, Any]:
    """Read what counts for a command: each flag's name with its value. Raises DecklogError with every problem."""
    return load(path).of(command)


def load(path: Path) -> ConfigFile:
    """Read a configuration file. Raises DecklogError with every problem."""
    try:
        root = read_yaml(path.read_bytes()).root
    except OSError as error:
        raise DecklogError(f"cannot read the configuration {path}: {error.strerror}: give another --config") from error
    except Unreadable as error:
        place = f"{path}:{error.at.line}:{error.at.column}" if error.at is not None else str(path)
        raise DecklogError(f"{place}: {error.text}") from None
    if isinstance(root, Scalar) and root.value is None:
        return ConfigFile(path)
    if not isinstance(root, Mapping):
        raise DecklogError(
            f"{path}: a configuration is a mapping of flags to values, such as 'audit-log-path: audit.log'"
        )
    return _Reading(path).file(root)


class _Reading:
    """Reads one file, and gathers what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problems: list[tuple[Position, str]] = []

    def file(self, root: Mapping) -> ConfigFile:
        sections = {entry.key: self._section(entry) for entry in root.entries if entry.key in SECTIONS}
        rest = [entry for entry in root.entries if entry.key not in SECTIONS]
        values = self._values(root, rest, known(), "")
        if self._problems:
            told = (f"{self._path}:{at.line}:{at.column}: {problem}" for at, problem in sorted(self._problems))
            raise DecklogError("\n".join(told))
        return ConfigFile(self._path, values, sections)

    def _section(self, entry: Entry) -> Section:
        node = entry.value
        if isinstance(node, Mapping):
            return Section(entry.at, self._values(node, node.entries, _by_key(SECTIONS[entry.key]), entry.key))
        if not (isinstance(node, Scalar) and node.value is None):
            self._problems.append((entry.at, f"{entry.key} wants a mapping of its flags to values"))
        return Section(entry.at, {})

    def _values(
        self, node: Mapping, entries: Iterable[Entry], flags_by_key: dict[str, Flag], section: str
    ) -> dict[str, Any]:
        self._problems += [(twice.entry.at, f"{twice.entry.key} is there twice") for twice in node.duplicates]
        values: dict[str, Any] = {}
        for entry in entries:
            try:
                flag = _flag(entry, flags_by_key, section)
                values[flag.name] = _value(flag, entry.value)
            except ValueError as error:
                self._problems.append((entry.at, str(error)))
        return values


def _flag(entry: Entry, flags_by_key: dict[str, Flag], section: str) -> Flag:
    """Find the flag of a key; ValueError with the nearest one."""
    if entry.key in flags_by_key:
        return flags_by_key[entry.key]
    if section and entry.key in known():
        raise ValueError(f"{entry.key} is no flag of {section}: put it where it belongs, outside or in another section")
    near = difflib.get_close_matches(entry.key.lstrip("-"), [*flags_by_key, *([] if section else SECTIONS)], n=1)
    whose = f" of {section}" if section else ""
    advice = f"did you mean {near[0]}?" if near else "see docs/config.md"
    raise ValueError(f"{entry.key} is no flag{whose}: {advice}")


def _value(flag: Flag, node: Node) -> Any:
    """Check one value against its flag; ValueError says what would be right."""
    if not isinstance(node, Scalar) or node.value is None:
        raise ValueError(f"{flag.name.removeprefix('--')} wants {_wanted(flag)}")
    value = node.value
    if flag.choices and value not in flag.choices:
        raise ValueError(f"{flag.name.removeprefix('--')}: {node.text!r} is none of {', '.join(flag.choices)}")
    if flag.type is Seconds:
        return _seconds(flag, node)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if flag.type is str and (is_number or isinstance(value, str)):
        return node.text
    if flag.type is float and is_number:
        return float(value)
    if type(value) is not flag.type:
        raise ValueError(f"{flag.name.removeprefix('--')} wants {_wanted(flag)}, not {node.text!r}")
    return value


def _seconds(flag: Flag, node: Scalar) -> Seconds:
    try:
        return Seconds(parse_duration(node.text) / 1e9)
    except DurationError as error:
        raise ValueError(f"{flag.name.removeprefix('--')}: {error}: give a number with its unit, such as 10s") from None


def _wanted(flag: Flag) -> str:
    names: dict[Any, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(flag.type, "a duration such as 10s")

"""Configuration: composes the option dataclasses of every floor below into what a door is started with.

A configuration file is YAML: the flags' names without their dashes, ``audit-log-path: /var/log/audit.log``. Flags win
over ``DECKLOG_*`` variables, these over the file, the file over the defaults. Every problem of a file is told at once,
each with its line and column.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from decklog.access import UpstreamOptions
from decklog.audit.documents.tree import Mapping, Scalar, Unreadable
from decklog.audit.documents.yaml_tree import read_yaml
from decklog.audit.times import DurationError, parse_duration
from decklog.backends.log_options import LogOptions
from decklog.backends.options import BackendOptions
from decklog.backends.webhook_options import WebhookOptions
from decklog.errors import DecklogError
from decklog.gateway.identity_options import IdentityOptions
from decklog.gateway.options import GatewayOptions
from decklog.health import HealthOptions
from decklog.listener import ADDRESS, ListenerOptions, cores
from decklog.options import Flag, Seconds, flags
from decklog.policy.options import PolicyOptions
from decklog.receiving.options import ADDRESS as RECEIVER_ADDRESS
from decklog.receiving.options import ReceiverListenerOptions, ReceiverOptions
from decklog.recorder.options import RecorderOptions
from decklog.sandbox.options import SandboxOptions
from decklog.web.options import WebOptions

if TYPE_CHECKING:
    from decklog.audit.documents.tree import Entry, Node

PLACES: Final = (Path("decklog.yaml"), Path("/etc/decklog/decklog.yaml"))
"""Where a configuration file is looked for when none is named; the first that is there."""

OPTIONS: Final[tuple[type[Any], ...]] = (
    PolicyOptions,
    RecorderOptions,
    LogOptions,
    WebhookOptions,
    BackendOptions,
    HealthOptions,
    ListenerOptions,
    UpstreamOptions,
    IdentityOptions,
    GatewayOptions,
    ReceiverOptions,
    SandboxOptions,
    WebOptions,
)
"""Everything that can be set, in the order of the reference page."""

SOURCE: Final = Flag(
    "--source",
    "source",
    str,
    "",
    "Audit log that the commands which ask read where none is named, as their -f FILE; several are parted by colons.",
    metavar="FILE|DIR|GLOB",
)
LISTEN: Final = Flag("--listen", "listen", str, "127.0.0.1:6443", "Serve on this address.", metavar="HOST:PORT")


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """All that auditing is told: what to record, how, and where it goes."""

    policy: PolicyOptions = field(default_factory=PolicyOptions)
    recorder: RecorderOptions = field(default_factory=RecorderOptions)
    log: LogOptions = field(default_factory=LogOptions)
    webhook: WebhookOptions = field(default_factory=WebhookOptions)
    backends: BackendOptions = field(default_factory=BackendOptions)

    def check(self) -> None:
        """Raise DecklogError with everything that cannot be, in kube-apiserver's words (spec §7)."""
        problems = [*self.log.problems(), *self.webhook.problems()]
        if self.webhook.enabled and self.policy.file and self.strict and not self.intent_path:
            problems.append("a strict webhook needs --audit-intent-path FILE where there is no --audit-log-path FILE")
        problems += self._intent_problems()
        if problems:
            raise DecklogError("; ".join(problems))

    def _intent_problems(self) -> list[str]:
        told = self.backends.intent_path
        if told == "-":
            return ["--audit-intent-path - is no file: intents are read again at the next start"]
        if told and self.log.enabled and Path(told).absolute() == Path(self.log.path).absolute():
            return [f"--audit-intent-path {told} is the log: give it a file of its own"]
        return []

    @property
    def strict(self) -> bool:
        """Whether a backend may refuse requests."""
        strict = "blocking-strict"
        return (self.log.enabled and self.log.mode == strict) or (self.webhook.enabled and self.webhook.mode == strict)

    @property
    def intent_path(self) -> str:
        """Where intents are kept: as told, or beside the log; empty where there is no place."""
        beside = f"{self.log.path}.intents" if self.log.path not in {"", "-"} else ""
        return self.backends.intent_path or beside


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All that the gateway is told."""

    address: str = ADDRESS
    audit: AuditOptions = field(default_factory=AuditOptions)
    gateway: GatewayOptions = field(default_factory=GatewayOptions)
    identity: IdentityOptions = field(default_factory=IdentityOptions)
    upstream: UpstreamOptions = field(default_factory=UpstreamOptions)
    listener: ListenerOptions = field(default_factory=ListenerOptions)
    health: HealthOptions = field(default_factory=HealthOptions)

    def check(self, host: str) -> None:
        """Raise DecklogError with everything that cannot be; `host` is that of the address."""
        problems = []
        listener = partial(self.listener.check, host, front_proxy_ca_file=self.identity.front_proxy_ca_file)
        for check in (listener, self.identity.check, self.gateway.check, self.audit.check):
            try:
                check()
            except DecklogError as error:
                problems.append(str(error))
        if self.listener.workers > 1 and self._logs_to_stdout:
            problems.append("--audit-log-path - needs --workers 1: lines of several workers would tear one another")
        if problems:
            raise DecklogError("; ".join(problems))

    @property
    def workers(self) -> int:
        """How many workers serve: as told, or one a core; one alone where they would share standard output."""
        return self.listener.workers or (1 if self._logs_to_stdout else cores())

    @property
    def _logs_to_stdout(self) -> bool:
        return self.audit.log.path == "-"


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """All that the receiver is told."""

    address: str = RECEIVER_ADDRESS
    receiver: ReceiverOptions = field(default_factory=ReceiverOptions)
    listener: ReceiverListenerOptions = field(default_factory=ReceiverListenerOptions)
    health: HealthOptions = field(default_factory=HealthOptions)

    def check(self, host: str) -> None:
        """Raise DecklogError with everything that cannot be; `host` is that of the address."""
        self.receiver.check(self.listener, host)

    @property
    def tls(self) -> ListenerOptions:
        """The listener with what follows from who may send: a certificate, unless a token is as good."""
        by_certificate = bool(self.listener.client_ca_file) and not self.receiver.token_file
        required = by_certificate or self.listener.require_client_certificate
        return replace(self.listener, require_client_certificate=required)

    @property
    def workers(self) -> int:
        """How many workers serve: as told, or one a core."""
        return self.listener.workers or cores()


def known() -> dict[str, Flag]:
    """Give every flag by its key in a configuration file."""
    found = [flag for options in OPTIONS for flag in flags(options)]
    return {flag.name.removeprefix("--"): flag for flag in (*found, LISTEN, SOURCE)}


def find(named: str = "") -> Path | None:
    """Find the configuration file: the one that is named, or the first of `PLACES` that is there."""
    if named:
        return Path(named)
    return next((place for place in PLACES if place.is_file()), None)


def read(path: Path) -> dict[str, Any]:
    """Read a configuration file: each flag's name with its value, checked. Raises DecklogError with every problem."""
    try:
        root = read_yaml(path.read_bytes()).root
    except OSError as error:
        raise DecklogError(f"cannot read the configuration {path}: {error.strerror}: give another --config") from error
    except Unreadable as error:
        place = f"{path}:{error.at.line}:{error.at.column}" if error.at is not None else str(path)
        raise DecklogError(f"{place}: {error.text}") from None
    if isinstance(root, Scalar) and root.value is None:
        return {}
    if not isinstance(root, Mapping):
        raise DecklogError(
            f"{path}: a configuration is a mapping of flags to values, such as 'audit-log-path: audit.log'"
        )
    return _values(path, root)


def _values(path: Path, root: Mapping) -> dict[str, Any]:
    flags_by_key = known()
    problems = [
        f"{path}:{twice.entry.at.line}:{twice.entry.at.column}: {twice.entry.key} is there twice"
        for twice in root.duplicates
    ]
    values: dict[str, Any] = {}
    for entry in root.entries:
        try:
            flag = _flag(entry, flags_by_key)
            values[flag.name] = _value(flag, entry.value)
        except ValueError as error:
            problems.append(f"{path}:{entry.at.line}:{entry.at.column}: {error}")
    if problems:
        raise DecklogError("\n".join(sorted(problems, key=_place)))
    return values


def _place(problem: str) -> tuple[int, ...]:
    return tuple(int(part) for part in problem.split(": ", 1)[0].split(":")[-2:])


def _flag(entry: Entry, flags_by_key: dict[str, Flag]) -> Flag:
    """Find the flag of a key; ValueError with the nearest one."""
    if entry.key in flags_by_key:
        return flags_by_key[entry.key]
    near = difflib.get_close_matches(entry.key.lstrip("-"), flags_by_key, n=1)
    raise ValueError(f"{entry.key} is no flag" + (f": did you mean {near[0]}?" if near else ": see docs/config.md"))


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

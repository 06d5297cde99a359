"""Option dataclasses → click options; the name, default and help of an option stand once, beside what it tunes.

Each option is also an environment variable, for every command alike: ``--audit-log-path`` is
``DECKLOG_AUDIT_LOG_PATH``.
A bool is given as kube-apiserver's flags are: ``--x``, ``--x=true`` or ``--x=false``.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.audit.times import DurationError, format_duration, parse_duration
from decklog.errors import DecklogError
from decklog.options import Seconds, flags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from decklog.options import Flag

ENVIRONMENT_PREFIX: Final = "DECKLOG_"
CONFIG: Final = "decklog.config"
"""Where a command that is `configured` finds its file, in click's meta."""


def environment_name(flag_name: str) -> str:
    """Give the environment variable of an option: ``--audit-log-path`` → ``DECKLOG_AUDIT_LOG_PATH``."""
    return ENVIRONMENT_PREFIX + flag_name.lstrip("-").replace("-", "_").upper()


def flags_from(options: type[Any], argument: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a decorator that gives a command the options of a dataclass, and its `argument` an instance of it.

    ::

        @click.command("gateway")
        @flags_from(LogOptions, "log")
        def command(log: LogOptions) -> None: ...

    Several may be stacked. A ValueError of the dataclass itself becomes a DecklogError.
    """
    known = [(flag, f"{argument}__{flag.field}") for flag in flags(options)]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_options(*args: Any, **values: Any) -> Any:
            given = {flag.field: values.pop(key) for flag, key in known}
            return command(*args, **values, **{argument: _instance(options, given)})

        with_flags: Callable[..., Any] = with_options
        for flag, key in reversed(known):  # click lists the decorator nearest to the function last
            with_flags = _click_option(flag, key)(with_flags)
        return with_flags

    return decorate


def stacked(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Make one decorator of several; click lists them in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--config``: defaults from decklog.yaml, below flags and environment.

    Stands outermost, so that it is read before the command's other options.
    """
    return click.option(
        "--config",
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_configure,
        envvar=environment_name("--config"),
        show_envvar=True,
        help="Take what is not given here from this file.  [default: ./decklog.yaml or /etc/decklog/decklog.yaml]",
    )(command)


def _configure(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    del param
    from decklog import config_file  # noqa: PLC0415  # because: the options of every floor, which --help does not need

    path = config_file.find(value or "")
    if path is None or ctx.resilient_parsing:
        return
    loaded = config_file.load(path)
    ctx.meta[CONFIG] = loaded
    ctx.default_map = defaults(ctx.command, loaded.of(ctx.command.name or ""))


def defaults(command: click.Command, values: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a command's options default to, by the names that click has for them, of values by their flags."""
    keys = {name: param.name for param in command.params for name in param.opts}
    return {key: value for name, value in values.items() if (key := keys.get(name)) is not None}


def _instance(options: type[Any], given: dict[str, Any]) -> Any:
    try:
        return options(**given)
    except ValueError as error:
        raise DecklogError(str(error)) from error


class _Duration(click.ParamType[Seconds]):
    """A Go duration."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Seconds:
        """Read it; a Seconds is taken as it is."""
        if isinstance(value, Seconds):
            return value
        try:
            return Seconds(parse_duration(str(value)) / 1e9)
        except DurationError as error:
            self.fail(f"{error}: give a number with its unit, such as 500ms, 10s or 1m30s", param, ctx)


_TYPES: Final[dict[type, Any]] = {Seconds: _Duration()}


def _spelled(default: Any) -> Any:
    """Spell a default as a user would give it."""
    return format_duration(round(default * 1e9)) if isinstance(default, Seconds) else default


def _click_option(flag: Flag, key: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    settings: dict[str, Any] = {
        "type": _TYPES.get(flag.type, flag.type) if not flag.choices else click.Choice(flag.choices),
        "default": _spelled(flag.default),
        "show_default": flag.default is not None and flag.default != "",
        "help": flag.help,
        "metavar": flag.metavar or None,
        "envvar": environment_name(flag.name),
        "show_envvar": True,
    }
    if flag.type is bool:
        settings |= {"is_flag": False, "flag_value": True, "metavar": "[=true|false]"}
    return click.option(flag.name, key, **settings)

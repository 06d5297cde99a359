"""Option dataclasses → click options; the name, default and help of an option stand once, beside what it tunes.

Each option is also an environment variable, for every command alike: ``--audit-log-path`` is
``DECKLOG_AUDIT_LOG_PATH``.
A bool is given as kube-apiserver's flags are: ``--x``, ``--x=true`` or ``--x=false``.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.errors import DecklogError
from decklog.options import flags

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.options import Flag

ENVIRONMENT_PREFIX: Final = "DECKLOG_"


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


def _instance(options: type[Any], given: dict[str, Any]) -> Any:
    try:
        return options(**given)
    except ValueError as error:
        raise DecklogError(str(error)) from error


def _click_option(flag: Flag, key: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    settings: dict[str, Any] = {
        "type": click.Choice(flag.choices) if flag.choices else flag.type,
        "default": flag.default,
        "show_default": flag.default is not None and flag.default != "",
        "help": flag.help,
        "metavar": flag.metavar or None,
        "envvar": environment_name(flag.name),
        "show_envvar": True,
    }
    if flag.type is bool:
        settings |= {"is_flag": False, "flag_value": True, "metavar": "[=true|false]"}
    return click.option(flag.name, key, **settings)

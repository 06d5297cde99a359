"""Helm: the command group. Imports a command when it is called, and turns every failure into one line and an exit code.

``decklog --help`` and a mistyped command import nothing but click: a shell's completion and a person's first look
should not wait for libraries that they don't use.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from click.shell_completion import CompletionItem

INTERRUPTED: Final = 130
_QUERY_INTERRUPTED: Final = "Query interrupted"
"""How DuckDB says that Ctrl-C came while it was busy on the main thread."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, and what the overview says of it; a test holds it equal to the command's own text."""

    module: str
    """It has a click command named `command`."""
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        command: click.Command = import_module(self.module).command
        return command


class Helm(click.Group):
    """A click group whose commands are imported late."""

    def __init__(self, name: str, entries: Mapping[str, Entry], **settings: Any) -> None:
        super().__init__(name, no_args_is_help=False, **settings)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # because: click's signature
        """Name the commands, in the order in which they were given."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # because: the same
        """Import a command; None for a name that is none."""
        entry = self.entries.get(cmd_name)
        return entry.load() if entry else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands without importing them."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  # because: only a shell that completes needs it

        commands = [CompletionItem(name, help=entry.help) for name, entry in self.entries.items()]
        found = [item for item in commands if item.value.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # because: the same
        """Write the overview without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the group's own options; without any word, show the help, as kubectl does."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the group's own options; `--help` into a closed pipe is no failure."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except BrokenPipeError:
            _let_go_of_stdout()
            raise click.exceptions.Exit(0) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a mistyped one is answered with the nearest."""
        if args and args[0] not in self.entries and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}{self._nearest(args[0])}")
        name, found, rest = super().resolve_command(ctx, args)
        return name, found, _as_kubectl_reads(rest, _with_values(found))

    def _nearest(self, name: str) -> str:
        from difflib import get_close_matches  # noqa: PLC0415  # because: 2 ms that only a typing error has to pay

        near = get_close_matches(name.lower(), self.entries, n=1, cutoff=0.5)
        return f" (did you mean {near[0]!r}?)" if near else ""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a closed pipe is the reader's right and ends it in silence."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _let_go_of_stdout()
            ctx.exit(0)
        except RuntimeError as error:
            if str(error) == _QUERY_INTERRUPTED:
                raise KeyboardInterrupt from error
            raise
        return result

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the program; every expected failure ends in one line on stderr and its exit code."""
        code = self._run(args, prog_name, complete_var, **extra)
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(self, args: Sequence[str] | None, prog_name: str | None, complete_var: str | None, **extra: Any) -> int:
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            return result if isinstance(result, int) else 0
        except click.Abort:
            return INTERRUPTED
        except click.ClickException as error:
            complain(_in_our_words(error))
            return error.exit_code
        except DecklogError as error:
            complain(*str(error).splitlines())
            return error.exit_code


def _with_values(found: click.Command | None) -> frozenset[str]:
    """Name the options behind which a value stands."""
    options = [param for param in (found.params if found else ()) if isinstance(param, click.Option)]
    return frozenset(name for option in options if not (option.is_flag or option.count) for name in option.opts)


def _as_kubectl_reads(args: list[str], with_values: frozenset[str]) -> list[str]:
    """Take ``-n=shop`` for ``-n shop``, as kubectl's flags do; click would take the = into the value."""
    end = args.index("--") if "--" in args else len(args)
    read: list[str] = []
    is_value = False
    for arg in args[:end]:
        short = len(arg) > 3 and arg[0] == "-" != arg[1] and arg[2] == "="
        read.append(f"{arg[:2]}{arg[3:]}" if short and not is_value else arg)
        is_value = not is_value and arg in with_values
    return read + args[end:]


def _in_our_words(error: click.ClickException) -> str:
    """Say what is wrong and where help is, in the shape of our own errors."""
    _name_the_source(error)
    text = error.format_message().strip().rstrip(".").replace("\n", " ")
    if not isinstance(error, click.UsageError):
        return text
    text = f"{text[:1].lower()}{text[1:]}"
    return f"{text}: see '{error.ctx.command_path} --help'" if error.ctx is not None else text


def _name_the_source(error: click.ClickException) -> None:
    """Blame the flag or the variable that the value came from; click would name both."""
    if not isinstance(error, click.BadParameter) or error.ctx is None or not isinstance(error.param, click.Option):
        return
    source = error.ctx.get_parameter_source(error.param.name or "")
    if source is click.core.ParameterSource.ENVIRONMENT:
        error.param_hint = f"the variable '{error.param.envvar}'"
    elif source is click.core.ParameterSource.COMMANDLINE:
        error.param_hint = " / ".join(f"'{name}'" for name in error.param.opts)


def complain(*lines: str) -> None:
    """Write diagnostics to stderr, made safe for a terminal; what follows the first line is indented."""
    from decklog.ask.terminal import visible  # noqa: PLC0415  # because: not needed where nothing is wrong

    click.echo("decklog: " + "\n  ".join(visible(line) for line in lines), err=True)


def _let_go_of_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush has no reader to miss."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

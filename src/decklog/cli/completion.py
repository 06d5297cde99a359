"""``decklog completion``: the script that teaches a shell to complete; click's own, for our program."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import ShellComplete, get_completion_class

from decklog.errors import DecklogError

SHELLS: Final = ("bash", "zsh", "fish")

_HELP: Final = """Print the script that teaches a shell to complete decklog.

Commands, options, formats, verbs, stages, levels and types of resources are completed.

\b
bash:  source <(decklog completion bash)                    in ~/.bashrc
zsh:   source <(decklog completion zsh)                     in ~/.zshrc, after compinit
fish:  decklog completion fish > ~/.config/fish/completions/decklog.fish
"""


@click.command("completion", help=_HELP)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script that teaches a shell to complete decklog."""
    root = click.get_current_context().find_root().command
    made = get_completion_class(shell)
    if made is None:
        raise DecklogError(f"this version of click completes nothing in {shell}: use another shell")
    completion = made(root, {}, "decklog", "_DECKLOG_COMPLETE")
    click.echo(ShellComplete.source(completion), nl=False)  # not its own: that of bash starts a bash to see its version

"""What the commands share that serve until they are told to end."""

from __future__ import annotations

import logging
import signal
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable


def diagnose() -> None:
    """Let warnings of what serves go to stderr."""
    logging.basicConfig(format="decklog: %(message)s", stream=sys.stderr, level=logging.WARNING)


def serve(run: Callable[[], signal.Signals]) -> None:
    """Run what serves; Ctrl-C ends it as it ends every command."""
    if run() is signal.SIGINT:
        raise click.Abort


def say(line: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()

"""Storing: what the commands of ``decklog store`` share."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from decklog.ask.terminal import visible_json
from decklog.cli.flags import configured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from decklog.store.parquet import Engine

FINDINGS: Final = 1

_STORE = click.option(
    "--store",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    envvar="DECKLOG_STORE",
    show_envvar=True,
    help="The directory that decklog receive writes to; where nothing is named, decklog.yaml may say store: DIR.",
)


def store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--store``, from decklog.yaml where it is not given."""
    return configured(_STORE(command))


output_option = click.option(
    "-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True, help="How to print."
)


def print_object(value: dict[str, Any]) -> None:
    """Print a JSON object."""
    click.echo(visible_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))


@contextmanager
def reading_engine() -> Iterator[Engine]:
    """Give DuckDB to somebody who only reads the store."""
    # Because: DuckDB takes 30 ms and more to import; --help does not need it.
    from decklog.store.parquet import engine  # noqa: PLC0415  # because: DuckDB, for who changes a store

    with tempfile.TemporaryDirectory(prefix="decklog-store-") as folder, engine(Path(folder)) as ready:
        yield ready

"""``decklog web``: look at a log or a store in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from decklog.cli import doors
from decklog.cli.flags import configured, environment_name, flags_from, stacked
from decklog.errors import DecklogError
from decklog.web.options import ADDRESS, WebListenerOptions, WebOptions

if TYPE_CHECKING:
    from decklog.assembling.web import WebSettings

_HELP = """Look at a log or a store in a browser.

Pages over a log (-f) or a store: who did what, when, from where; one request, one object, one user. Each has a twin in
JSON at the same address plus .json, and each works without JavaScript.

On loopback an address is printed that opens one session; then the next one is printed. On any other address TLS is
needed, and --token-file or --client-ca-file.

\b
decklog web -f /var/log/kubernetes/audit.log
decklog web --store /var/lib/decklog --listen 127.0.0.1:9000
"""


_OPTIONS = stacked(
    click.option(
        "-f",
        "--filename",
        "files",
        multiple=True,
        metavar="FILE",
        envvar="DECKLOG_SOURCE",
        show_envvar=True,
        type=click.Path(),
        help="Audit log to show: a file (its rotated and .gz parts are found) or a directory.",
    ),
    click.option(
        "--store",
        metavar="DIR",
        envvar="DECKLOG_STORE",
        show_envvar=True,
        type=click.Path(),
        help="Show a store of decklog receive or decklog import; the one for a large log.",
    ),
    click.option(
        "--rotated/--no-rotated", default=True, show_default=True, help="Read the older parts of a rotated log, too."
    ),
    click.option(
        "--listen",
        default=ADDRESS,
        show_default=True,
        metavar="HOST:PORT",
        help="Serve here.",
        envvar=environment_name("--listen"),
        show_envvar=True,
    ),
    click.option(
        "--policy", metavar="FILE", type=click.Path(), help="Audit policy of the cluster: shown and explained."
    ),
    flags_from(WebListenerOptions, "listener"),
    flags_from(WebOptions, "web"),
)


def _settings(
    files: tuple[str, ...],
    store: str | None,
    rotated: bool,
    listen: str,
    policy: str | None,
    listener: WebListenerOptions,
    web: WebOptions,
) -> WebSettings:
    from decklog.assembling.web import WebSettings  # noqa: PLC0415  # because: libraries that --help does not need

    files, store = _places(files, store or "")
    return WebSettings(listen, files, rotated, store, web, listener, policy or "")


settings = click.command("web")(_OPTIONS(_settings))
"""Gives what the flags say, without serving: for `decklog serve`."""


@click.command("web", help=_HELP, short_help="Look at a log or a store in a browser.")
@configured
@_OPTIONS
def command(**given: Any) -> None:
    """Look at a log or a store in a browser."""
    from decklog.assembling.web import WebDoor  # noqa: PLC0415  # because: libraries that --help does not need
    from decklog.listen import run  # noqa: PLC0415  # because: the same

    doors.diagnose()
    door = WebDoor(_settings(**given), doors.say)
    doors.serve(lambda: run(door.until_stopped()))


def _places(files: tuple[str, ...], store: str) -> tuple[tuple[str, ...], str]:
    """Give the files, or else the store; the environment counts only where the command line names nothing."""
    if files and store:
        source = click.get_current_context().get_parameter_source
        given = click.core.ParameterSource.COMMANDLINE
        if (source("files") is given) == (source("store") is given):
            raise DecklogError("either files or a store: give -f FILE or --store DIR, not both")
        return (files, "") if source("files") is given else ((), store)
    if not files and not store:
        raise DecklogError("nothing to show yet: give -f FILE (an audit log) or --store DIR")
    return files, store

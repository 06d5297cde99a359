"""``decklog serve``: every door of a configuration file in one tree of processes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.cli import doors
from decklog.cli.flags import CONFIG, configured, defaults, flags_from
from decklog.errors import DecklogError
from decklog.health import HealthOptions
from decklog.store.options import UpkeepOptions

if TYPE_CHECKING:
    from decklog.assembling.doors import Door
    from decklog.config_file import ConfigFile, Section

SETTINGS: Final = {"gateway": "decklog.cli.gateway", "receive": "decklog.cli.receive", "web": "decklog.cli.web"}
"""Where a click command named `settings` makes a door's settings, by the door's section."""

_HELP: Final = """Serve with gateway, receiver, store and pages from one configuration file.

Each section, gateway:, receive: and web:, is a door: it holds what `decklog gateway`, `decklog receive` and `decklog
web` take as flags, without the dashes; serve: is for the flags below; what stands outside counts for all. Stores that
the doors write to are looked after: sealed, compacted, and, with --retention-file, cleared of what is too old. One
address has the metrics and the readiness of all of them.

A process that dies is started again. A door that cannot listen ends all of them with exit code 3. SIGHUP reads policy
and certificates again; SIGTERM and Ctrl-C stop within ten seconds.

\b
store: /var/lib/decklog
serve:
  metrics-listen: 127.0.0.1:9095
gateway:
  listen: 0.0.0.0:8443
  kubeconfig: /etc/decklog/upstream.kubeconfig
  audit-policy-file: /etc/decklog/policy.yaml
receive:
  listen: 0.0.0.0:8445
  tls-cert-file: /etc/decklog/pki/server.crt
  tls-private-key-file: /etc/decklog/pki/server.key
  client-ca-file: /etc/decklog/pki/ca.crt
  allowed-clients: kube-apiserver
web:
  listen: 127.0.0.1:8080
"""


@click.command(
    "serve",
    help=_HELP,
    short_help="Serve with gateway, receiver, store and pages from one configuration file.",
    epilog="Example: decklog serve --config /etc/decklog/decklog.yaml",
)
@configured
@flags_from(HealthOptions, "health")
@flags_from(UpkeepOptions, "upkeep")
def command(health: HealthOptions, upkeep: UpkeepOptions) -> None:
    """Serve with every door of the file."""
    from decklog.assembling.serving import serve  # noqa: PLC0415  # because: libraries that --help does not need

    file: ConfigFile | None = click.get_current_context().meta.get(CONFIG)
    if file is None:
        raise DecklogError("there is no configuration: give --config FILE, or write decklog.yaml (docs/serve.md)")
    if not file.doors:
        names = ", ".join(f"{name}:" for name in SETTINGS)
        raise DecklogError(f"{file.path}: there is no door to serve with: give it a section, one of {names}")
    doors.diagnose()
    made = [_door(name, section, file) for name, section in file.doors.items()]
    stores = sorted({store for _, its in made for store in its})
    doors.serve(
        lambda: serve([door for door, _ in made], stores, health=health, upkeep=upkeep, announce=doors.say),
    )


def _door(name: str, section: Section, file: ConfigFile) -> tuple[Door, frozenset[str]]:
    """Make a door of its section; gives the stores that it writes to, too."""
    from decklog.assembling.serving import door_of  # noqa: PLC0415  # because: see command

    said: click.Command = import_module(SETTINGS[name]).settings
    try:
        with said.make_context(name, [], default_map=defaults(said, file.of(name))) as context:
            settings: Any = said.invoke(context)
        return door_of(name, settings, doors.say), settings.stores
    except DecklogError as error:
        place = f"{file.path}:{section.at.line}:{section.at.column}"
        raise type(error)(f"{place}: {name}: {error}") from error

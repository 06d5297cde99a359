from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from decklog import config_file
from decklog.assembling.serving import DOORS
from decklog.cli import decklog
from decklog.cli.serve import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
tls-cert-file: outside.crt
gateway:
  audit-log-path: gateway.log
  store: /kept
receive:
  tls-cert-file: receive.crt
  store: /kept
web:
"""


def test_a_section_counts_over_what_stands_outside(tmp_path: Path) -> None:
    """For its door alone; who reads takes the store that all doors write to."""
    path = tmp_path / "decklog.yaml"
    path.write_text(FILE)
    outside = {"--tls-cert-file": "outside.crt"}
    gateway = {"--tls-cert-file": "outside.crt", "--audit-log-path": "gateway.log", "--store": "/kept"}
    assert config_file.read(path, "gateway") == gateway
    assert config_file.read(path, "receive") == {"--tls-cert-file": "receive.crt", "--store": "/kept"}
    assert config_file.read(path, "web") == config_file.read(path, "who") == {**outside, "--store": "/kept"}
    sections = config_file.load(path).sections
    assert {name: section.at.line for name, section in sections.items()} == {
        "gateway": 2,
        "receive": 5,
        "web": 8,
    }


@pytest.mark.parametrize(
    ("text", "stores"),
    [
        ("store: /a\nreceive: {store: /b}\n", {"gateway": "/a", "receive": "/b", "who": "/a", "check": "/a"}),
        ("gateway: {store: /a}\nreceive: {store: /b}\n", {"gateway": "/a", "receive": "/b", "who": None}),
        ("gateway:\nreceive: {store: /b}\n", {"gateway": None, "receive": "/b", "who": "/b", "web": "/b"}),
        ("receive: {store: /b}\n", {"gateway": None, "who": "/b", "import": "/b"}),
    ],
)
def test_which_store_a_command_takes(tmp_path: Path, text: str, stores: dict[str, str | None]) -> None:
    """A door never writes to a store that only another door was told of."""
    path = tmp_path / "decklog.yaml"
    path.write_text(text)
    assert {command: config_file.read(path, command).get("--store") for command in stores} == stores


def test_every_door_has_a_section_and_every_key_is_a_flag() -> None:
    """What a section may hold is what the door's command takes; what is for all doors stands outside."""
    assert set(config_file.DOORS) == set(SETTINGS) == set(DOORS)
    for name in config_file.SECTIONS:
        command = decklog.entries[name].load()
        known = {flag for param in command.params if isinstance(param, click.Option) for flag in param.opts}
        keys = {f"--{key}" for key in config_file.section_keys(name)}
        assert keys <= known
        assert known - keys <= {"--config", "--metrics-listen", "-f", "--filename", "--rotated"}, name

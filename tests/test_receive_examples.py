from __future__ import annotations

from pathlib import Path

import yaml

from decklog import config_file
from decklog.cli import decklog

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "receive.md").read_text("utf-8")
EXAMPLES = ROOT / "examples" / "receive"


def test_the_example_is_a_configuration_of_the_receiver() -> None:
    """Every key of it is a flag of the command, and the values are of their types."""
    values = config_file.read(EXAMPLES / "decklog.yaml")
    flags = {name for param in decklog.entries["receive"].load().params for name in param.opts}
    assert set(values) <= flags
    assert values["--store"] == "/var/lib/decklog"


def test_the_api_server_s_example_is_yaml() -> None:
    """It is a part of a pod, with the flag that leads here."""
    (container,) = yaml.safe_load((EXAMPLES / "kube-apiserver.yaml").read_text("utf-8"))["spec"]["containers"]
    assert any(argument.startswith("--audit-webhook-config-file=") for argument in container["command"])


def test_the_page_names_flags_that_there_are() -> None:
    """Every flag of the page is one of the receiver, of its metrics or of kube-apiserver."""
    commands = [decklog.entries[name].load() for name in ("receive", "certificates")]
    flags = {name for command in commands for param in command.params for name in param.opts}
    words = {word.strip("`|,.()';:") for word in PAGE.replace("=", " ").split() if "--" in word}
    named = {word for word in words if word.startswith("--") and not word.startswith("--audit-") and len(word) > 2}
    assert named - {"---", "---|---", "---|---|---"} <= flags

from __future__ import annotations

import configparser
import re
import shlex
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from decklog import config_file
from decklog.assembling.upkeep import retention_rules
from decklog.cli import decklog
from decklog.cli.helm import Helm
from decklog.policy.reader import load

if TYPE_CHECKING:
    import click

ROOT = Path(__file__).parent.parent
UNITS = ROOT / "examples" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
MANIFEST = ROOT / "examples" / "receive" / "statefulset.yaml"
WHOLE = ROOT / "examples" / "serve" / "statefulset.yaml"


class Unit(configparser.RawConfigParser):
    """A unit file: keys as they are, and what comes twice is taken as it comes."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#",), inline_comment_prefixes=None)
        self.optionxform = str  # type: ignore[assignment,method-assign]  # because: so the standard library's page says
        self.read_string(path.read_text("utf-8"))


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """Find the command that words call; what is left is its own."""
    found: click.Command = decklog
    while isinstance(found, Helm):
        found, words = found.entries[words[0]].load(), words[1:]
    return found, words


def flags(command: click.Command) -> set[str]:
    return set(chain.from_iterable(parameter.opts for parameter in command.params))


def named(words: list[str]) -> set[str]:
    return {word.split("=", 1)[0] for word in words if word.startswith("-")}


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_unit_starts_a_command_with_flags_that_exist(path: Path) -> None:
    """Under a user of its own, without privileges, and it may write to its own directories alone."""
    service = dict(Unit(path)["Service"])
    program, *words = shlex.split(service["ExecStart"])
    command, rest = command_of(words)
    assert program.endswith("/decklog")
    assert named(rest) <= flags(command)
    assert service["User"] == "decklog"
    assert (service["CapabilityBoundingSet"], service["NoNewPrivileges"]) == ("", "yes")
    assert service["ProtectSystem"] == "strict"


@pytest.mark.parametrize("name", ["decklog-receive", "decklog-gateway", "decklog"])
def test_a_door_s_unit_waits_until_it_serves(name: str) -> None:
    """The manager is told; it reloads by SIGHUP, and gives a stop the time that it may take."""
    service = dict(Unit(UNITS / f"{name}.service")["Service"])
    assert service["Type"] == "notify"
    assert service["ExecReload"].endswith("-HUP $MAINPID")
    assert int(service["TimeoutStopSec"].removesuffix("s")) > 10


@pytest.mark.parametrize(
    ("name", "path"), [("gateway", UNITS / "gateway.yaml"), ("receive", ROOT / "examples" / "receive" / "decklog.yaml")]
)
def test_the_configuration_of_a_unit_is_one(name: str, path: Path) -> None:
    """Every key is a flag of the command that reads it, and the unit's own comment says where it comes from."""
    assert set(config_file.read(path)) <= flags(decklog.entries[name].load())
    unit = (UNITS / f"decklog-{name}.service").read_text("utf-8")
    assert str(path.relative_to(ROOT)) in unit


def check_sections(path: Path) -> None:
    """Hold every value against the flags of the door whose section it stands in, and those outside against all."""
    file = config_file.load(path)
    assert set(file.sections) == {"gateway", "receive", "web", "serve"}
    for name in file.sections:
        assert set(file.sections[name].values) <= flags(decklog.entries[name].load())
    assert set(file.values) <= set().union(*(flags(decklog.entries[name].load()) for name in file.sections))


def test_the_configuration_of_the_whole_is_one() -> None:
    """The unit's own comment says where it comes from."""
    path = ROOT / "examples" / "serve" / "decklog.yaml"
    check_sections(path)
    assert str(path.relative_to(ROOT)) in (UNITS / "decklog.service").read_text("utf-8")


def test_the_manifest_of_the_whole_fits_together(tmp_path: Path) -> None:
    """Its configuration, ports, volumes and labels; policy and retention are ones."""
    found = {each["kind"]: each for each in yaml.safe_load_all(WHOLE.read_text("utf-8"))}
    spec = found["StatefulSet"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    for name, text in found["ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text)
    check_sections(tmp_path / "decklog.yaml")
    assert load(str(tmp_path / "policy.yaml")).policy.rules
    assert retention_rules(str(tmp_path / "retention.yaml")).digest
    values = yaml.safe_load(found["ConfigMap"]["data"]["decklog.yaml"])
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    listened = {name: values[name]["listen"] for name in config_file.DOORS}
    assert {name: each.rpartition(":")[2] for name, each in listened.items()} == {
        name: port for name, port in ports.items() if name != "metrics"
    }
    assert values["serve"]["metrics-listen"].endswith(ports["metrics"])
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} == set(ports) - {"metrics"}
    assert spec["template"]["metadata"]["labels"] == found["Service"]["spec"]["selector"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def documents() -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text("utf-8"))}


def test_the_manifest_starts_commands_with_flags_that_exist(tmp_path: Path) -> None:
    """In its containers, in its ConfigMap."""
    containers = documents()["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    for container in containers:
        text = " ".join([*container["command"], *container.get("args", [])])
        for words in re.findall(r"decklog ((?:receive|store) [^;]*)", text):
            command, rest = command_of(shlex.split(words))
            assert named(rest) <= flags(command), words
    path = tmp_path / "decklog.yaml"
    path.write_text(documents()["ConfigMap"]["data"]["decklog.yaml"])
    assert set(config_file.read(path)) <= flags(decklog.entries["receive"].load())


def test_the_manifest_fits_together() -> None:
    """Ports, volumes, labels; no root, nothing written outside of volumes."""
    found = documents()
    spec = found["StatefulSet"]["spec"]
    pod = spec["template"]["spec"]
    values = yaml.safe_load(found["ConfigMap"]["data"]["decklog.yaml"])
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels == found["Service"]["spec"]["selector"]
    assert spec["serviceName"] == found["Service"]["metadata"]["name"]
    assert pod["serviceAccountName"] == found["ServiceAccount"]["metadata"]["name"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    assert {mount["name"] for each in pod["containers"] for mount in each["volumeMounts"]} == volumes
    assert pod["securityContext"]["runAsNonRoot"]
    assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in pod["containers"])
    ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert values["listen"].endswith(f":{ports['https']}")
    assert values["metrics-listen"].endswith(f":{ports['metrics']}")
    mounts = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    paths = [value for value in values.values() if str(value).startswith("/")]
    assert all(any(path.startswith(mount) for mount in mounts) for path in paths)


def test_the_image_runs_without_root() -> None:
    """By number, so that a cluster can see it; what it copies is there, and what it copies is let through."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert re.search(r"^USER 65532:65532$", text, flags=re.MULTILINE)
    assert text.rindex("USER") > text.rindex("RUN")
    copied = [word for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, flags=re.MULTILINE) for word in line.split()]
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.running import run
from decklog.cli.completing import among

if TYPE_CHECKING:
    from pathlib import Path


def offered(words: str, shell: str = "bash") -> list[str]:
    """Ask as the shell's script does: the last word is the one to complete."""
    number = len(words.split(" ")) - 1
    ran = run(_DECKLOG_COMPLETE=f"{shell}_complete", COMP_WORDS=words, COMP_CWORD=str(number))
    return [line.partition(",")[2] for line in ran.out.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    """It asks the program itself, so that it is never out of date."""
    ran = run("completion", shell)
    assert ran.code == 0
    assert f"_DECKLOG_COMPLETE={shell}_complete" in ran.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_read_its_script(shell: str, tmp_path: Path) -> None:
    """Where the shell is there, it finds no fault with it."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(run("completion", shell).out)
    assert subprocess.run([program, "-n", script], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("decklog qu", ["query"]),
        ("decklog query --verb del", ["delete", "deletecollection"]),
        ("decklog query --verb get,li", ["get,list"]),
        ("decklog query --stage Re", ["RequestReceived", "ResponseStarted", "ResponseComplete"]),
        ("decklog query --level Req", ["Request", "RequestResponse"]),
        ("decklog query --resource deploy", ["deployments", "deploymentconfigs"]),
        ("decklog query --decision f", ["forbid"]),
        ("decklog query -o j", ["json", "jsonl", "jsonpath="]),
        ("decklog tail --verb pat", ["patch"]),
        ("decklog query --slow", ["--slower-than"]),
        ("decklog denied --dec", ["--decision", "--declared"]),
        ("decklog top --by us", ["user", "user-agent"]),
        ("decklog top --by verb,na", ["verb,namespace"]),
        ("decklog who scale", ["scale", "scaled"]),
        ("decklog who deleted deployments", ["deployments/"]),
        ("decklog history replicasets", ["replicasets/"]),
        ("decklog secrets -o y", ["yaml"]),
    ],
)
def test_values_are_offered(words: str, expected: list[str]) -> None:
    """Commands, options and the values that options know."""
    assert offered(words) == expected


def test_a_negation_is_completed_behind_its_sign() -> None:
    """The sign stays in front of what is offered."""
    assert among(("get", "list"), "-g") == ["-get"]
    assert among(("get", "list"), "list,-g") == ["list,-get"]

from __future__ import annotations

from dataclasses import dataclass

import click
import pytest
from click.testing import CliRunner

from decklog.cli.flags import environment_name, flags_from
from decklog.errors import DecklogError
from decklog.options import option


@dataclass(frozen=True)
class Log:
    path: str = option("--log-path", "", "Where to write.", metavar="FILE")
    size: int = option("--log-maxsize", 100, "Largest size in MiB.")
    wait: float = option("--log-wait", 0.5, "Longest wait in seconds.")
    compress: bool = option("--log-compress", default=False, help="Pack older parts.")
    mode: str = option("--log-mode", "blocking", "How to write.", choices=("blocking", "strict"))
    age: int | None = option("--log-maxage", None, "Longest age in days.", type=int)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"--log-maxsize is {self.size}: give 0 or more")


@dataclass(frozen=True)
class Policy:
    file: str = option("--policy-file", "", "The policy.")


@click.command
@flags_from(Log, "log")
@flags_from(Policy, "policy")
@click.argument("word", required=False)
def command(log: Log, policy: Policy, word: str | None) -> None:
    """Do nothing."""
    click.echo(repr((log, policy, word)))


def given(*args: str, **environment: str) -> object:
    result = CliRunner().invoke(command, args, env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return eval(result.output, {"Log": Log, "Policy": Policy})


@pytest.mark.parametrize(
    ("args", "environment", "log"),
    [
        ("", {}, Log()),
        ("--log-path a --log-maxsize 5 --log-wait 2", {}, Log("a", 5, 2.0)),
        ("--log-compress", {}, Log(compress=True)),
        ("--log-compress=true", {}, Log(compress=True)),
        ("--log-compress=false", {}, Log(compress=False)),
        ("--log-compress --log-maxage 3", {}, Log(compress=True, age=3)),
        ("--log-mode=strict", {}, Log(mode="strict")),
        ("", {"DECKLOG_LOG_PATH": "env", "DECKLOG_LOG_MAXAGE": "1"}, Log("env", age=1)),
        ("", {"DECKLOG_LOG_COMPRESS": "true"}, Log(compress=True)),
        ("--log-path flag", {"DECKLOG_LOG_PATH": "env"}, Log("flag")),
    ],
)
def test_an_instance_comes_from_flags_and_environment(args: str, environment: dict[str, str], log: Log) -> None:
    """Flags win over the environment, the environment over defaults; bools go as kube-apiserver's."""
    assert given(*args.split(), **environment) == (log, Policy(), None)


def test_several_option_classes_and_arguments_go_together() -> None:
    """Each class fills its own argument, and the command keeps its others."""
    assert given("--policy-file", "p.yaml", "--log-maxsize=1", "word") == (Log(size=1), Policy("p.yaml"), "word")


def test_help_lists_the_options_in_their_order_with_defaults() -> None:
    """Name, unit, default and environment variable stand in the help, in the order of the fields."""
    text = CliRunner().invoke(command, ["--help"], terminal_width=200).output
    lines = [line.strip() for line in text.splitlines() if "--" in line]
    assert [line.split()[0].partition("[")[0] for line in lines][:7] == [
        "--log-path",
        "--log-maxsize",
        "--log-wait",
        "--log-compress",
        "--log-mode",
        "--log-maxage",
        "--policy-file",
    ]
    assert "Largest size in MiB.  [env var: DECKLOG_LOG_MAXSIZE; default: 100]" in text
    assert "Where to write.  [env var: DECKLOG_LOG_PATH]" in text


def test_what_the_options_refuse_is_the_users_to_mend() -> None:
    """A ValueError of the dataclass is an error of ours, with its text."""
    result = CliRunner().invoke(command, ["--log-maxsize", "-1"])
    assert isinstance(result.exception, DecklogError)
    assert str(result.exception) == "--log-maxsize is -1: give 0 or more"


def test_the_environment_name_of_an_option() -> None:
    """The variable is the option's name in capitals, with our prefix."""
    assert environment_name("--audit-log-path") == "DECKLOG_AUDIT_LOG_PATH"

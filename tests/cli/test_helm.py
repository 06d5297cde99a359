from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

import decklog as package
from ask.logs import event, log
from cli.running import PROGRAM, run, until_it_waits
from decklog.cli import decklog
from decklog.cli.helm import Entry, Helm
from decklog.errors import DecklogError, DoorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BUILT = [name for name, entry in decklog.entries.items() if find_spec(entry.module) is not None]


@pytest.mark.parametrize("name", BUILT)
def test_the_overview_says_what_the_command_says_of_itself(name: str) -> None:
    """The text of the lazy table is the first sentence of the command's own help."""
    entry = decklog.entries[name]
    command = entry.load()
    assert command.name == name
    assert (command.help or "").split("\n\n")[0].split(". ")[0].rstrip(".") == entry.help.rstrip(".")


@pytest.mark.parametrize("name", BUILT)
def test_every_help_has_an_example(name: str) -> None:
    """Each command shows how it is called, by lines that can be copied."""
    assert f"decklog {name} " in CliRunner().invoke(decklog, [name, "--help"]).output


def test_the_overview_imports_no_command() -> None:
    """`decklog --help`, `--version` and a mistyped command load click and our own few lines, no library besides."""
    program = (
        "import sys; from decklog.cli import decklog\n"
        "for args in ['--help'], ['--version'], []: decklog.main(args, standalone_mode=False)\n"
        "heavy = {'msgspec', 'yaml', 'rich', 'cryptography', 'asyncio'}\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} & heavy\n"
        "sys.exit(repr(loaded or [name for name in sys.modules if name.startswith('decklog.cli.')]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "['decklog.cli.helm']"
    assert all(f"  {name}  " in done.stdout for name in decklog.entries)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["qeury"], 2, "decklog: there is no command 'qeury' (did you mean 'query'?): see 'decklog --help'\n"),
        (["xyzzy"], 2, "decklog: there is no command 'xyzzy': see 'decklog --help'\n"),
        (["--frob"], 2, "decklog: no such option '--frob': see 'decklog --help'\n"),
        (["query", "--xyzzy"], 2, "decklog: no such option '--xyzzy': see 'decklog query --help'\n"),
        (["show"], 2, "decklog: missing argument 'AUDIT-ID': see 'decklog show --help'\n"),
        (["query", "-o", "xml"], 2, "decklog: invalid value for '-o' / '--output': 'xml' is not one of"),
        (["who", "deleted"], 2, "decklog: who deleted what? Name an object: decklog who deleted deploy/web\n"),
        (["query", "\x1b[2J"], 2, "decklog: \\x1b[2J is not there: name an audit log, a directory of them, or -\n"),
        (["\x1b[2J\n"], 2, "decklog: there is no command"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(args: list[str], code: int, says: str) -> None:
    """Errors go to stderr as `decklog: what is wrong: what to do`, in one line, escaped, with exit code 2."""
    result = CliRunner().invoke(decklog, args, prog_name="decklog")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(says)
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    ("args", "environment", "says"),
    [
        (["--audit-log-maxage=x"], {"DECKLOG_AUDIT_LOG_MAXAGE": "1"}, "for '--audit-log-maxage': 'x' is not"),
        ([], {"DECKLOG_AUDIT_LOG_MAXAGE": "x"}, "for the variable 'DECKLOG_AUDIT_LOG_MAXAGE': 'x' is not"),
        ([], {"DECKLOG_AUDIT_LOG_MODE": "x"}, "for the variable 'DECKLOG_AUDIT_LOG_MODE': 'x' is not one of"),
        ([], {"DECKLOG_LISTEN": "nowhere"}, "'nowhere' is no address to listen on"),
    ],
    ids=["a flag", "a variable", "a choice", "the address"],
)
def test_a_wrong_value_names_where_it_comes_from(args: list[str], environment: dict[str, str], says: str) -> None:
    """The flag or the variable, whichever was given: not both."""
    result = CliRunner().invoke(decklog, ["sandbox", *args], prog_name="decklog", env=environment)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "env var" not in result.stderr


def test_an_error_brings_its_own_exit_code() -> None:
    """A door that cannot bind ends with 3, whatever the command."""
    module = type(sys)("broken_door")

    @click.command("door")
    def command() -> None:
        raise DoorError("cannot bind 0.0.0.0:6443: choose another --listen")

    module.command = command  # type: ignore[attr-defined]  # because: it is made here
    sys.modules["broken_door"] = module
    helm = Helm("decklog", {"door": Entry("broken_door", "Be broken.")})
    result = CliRunner().invoke(helm, ["door"])
    assert (result.exit_code, result.stderr) == (3, "decklog: cannot bind 0.0.0.0:6443: choose another --listen\n")


@pytest.mark.parametrize(
    ("args", "heard"),
    [
        pytest.param(["-n=shop"], "shop", id="kubectl's short form"),
        pytest.param(["--name", "-a=b"], "-a=b", id="value of a long option"),
        pytest.param(["-n", "-a=b"], "-a=b", id="value of a short option"),
        pytest.param(["--exact", "-n=shop"], "shop", id="behind a flag"),
    ],
)
def test_an_equals_sign_is_dropped_from_options_only(args: list[str], heard: str) -> None:
    """A value that looks like a short option keeps its equals sign."""
    assert _made_of(click.echo, args) == (0, f"{heard}\n", "")


def test_an_error_of_several_lines_is_printed_so() -> None:
    """Each problem stands on a line of its own, escaped on its own."""

    def fail(_name: str) -> None:
        raise DecklogError("a.yaml:1: bad\na.yaml:2: \x1b[2J")

    assert _made_of(fail, []) == (2, "", "decklog: a.yaml:1: bad\n  a.yaml:2: \\x1b[2J\n")


def _made_of(act: Callable[[str], None], args: list[str]) -> tuple[int, str, str]:
    """Run a command of a helm of its own."""
    module = type(sys)("made_here")

    @click.command("act")
    @click.option("-n", "--name", default="")
    @click.option("--exact", is_flag=True)
    def command(name: str, exact: bool) -> None:
        act(name)

    module.command = command  # type: ignore[attr-defined]  # because: it is made here
    sys.modules["made_here"] = module
    result = CliRunner().invoke(Helm("decklog", {"act": Entry("made_here", "Act.")}), ["act", *args])
    return result.exit_code, result.stdout, result.stderr


def test_without_words_the_help_is_shown() -> None:
    """A newcomer's first call succeeds."""
    result = run()
    assert result.code == 0
    assert result.out.startswith("Usage: decklog [OPTIONS] COMMAND")


def test_the_version_is_told() -> None:
    """`decklog --version` is one line."""
    assert run("--version") == (0, f"decklog {package.__version__}\n", "")


def test_as_kubectls_plugin_it_calls_itself_so() -> None:
    """Called as kubectl-decklog, usage and errors show what the user types."""
    program = "import sys; sys.argv = ['/usr/bin/kubectl-decklog', 'who']; from decklog.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("see 'kubectl decklog who --help'\n")


def test_a_closed_pipe_ends_in_silence(tmp_path: Path) -> None:
    """Who has read enough (`| head`) is told nothing, and nothing failed."""
    path = log(tmp_path / "audit.log", *(event(audit_id=f"id-{number}") for number in range(3000)))
    with subprocess.Popen([*PROGRAM, "query", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"TIME (UTC)")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_a_full_help_into_a_closed_pipe_is_silent_too() -> None:
    """The last flush has nobody to write to either."""
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen([*PROGRAM, "--help"], stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    """An interrupted search says nothing and ends as shells expect."""
    fifo = tmp_path / "audit.log"
    os.mkfifo(fifo)
    with subprocess.Popen(
        [*PROGRAM, "query", "--no-rotated", fifo], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        with fifo.open(
            "wb", buffering=0
        ) as writer:  # opens when the program has opened it, which then waits for a line
            writer.write(b"{}\n")
            until_it_waits(process, writer)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()

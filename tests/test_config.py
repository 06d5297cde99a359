from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from decklog import config_file
from decklog.backends.log_options import LogOptions
from decklog.backends.options import BackendOptions
from decklog.backends.webhook_options import WebhookOptions
from decklog.cli.flags import configured, flags_from
from decklog.config import AuditOptions
from decklog.errors import DecklogError
from decklog.options import Seconds
from decklog.policy.options import PolicyOptions


@click.command()
@configured
@flags_from(WebhookOptions, "webhook")
@flags_from(LogOptions, "log")
def door(log: LogOptions, webhook: WebhookOptions) -> None:
    """Stand for a command with some of the flags."""
    click.echo(f"{log.path} {log.max_backups} {log.compress} {webhook.batch_max_wait:g} {webhook.batch_throttle_qps:g}")


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Run in a directory of its own: ./decklog.yaml is there only if a test writes it."""
    monkeypatch.chdir(tmp_path)
    return CliRunner()


FILE = """\
audit-log-path: file.log
audit-log-maxbackup: 7
audit-log-compress: true
audit-webhook-batch-max-wait: 1m30s
audit-webhook-batch-throttle-qps: 4
audit-policy-file: used by other commands
"""


@pytest.mark.parametrize(
    ("name", "file", "variables", "arguments", "printed"),
    [
        ("the defaults", "", {}, [], " 100 False 30 10"),
        ("the file over the defaults", FILE, {}, [], "file.log 7 True 90 4"),
        (
            "a variable over the file",
            FILE,
            {"DECKLOG_AUDIT_LOG_MAXBACKUP": "8", "DECKLOG_AUDIT_LOG_COMPRESS": "false"},
            [],
            "file.log 8 False 90 4",
        ),
        (
            "a flag over all",
            FILE,
            {"DECKLOG_AUDIT_LOG_PATH": "variable.log"},
            ["--audit-log-path", "flag.log", "--audit-webhook-batch-max-wait=500ms"],
            "flag.log 7 True 0.5 4",
        ),
    ],
)
def test_flag_over_variable_over_file_over_default(
    runner: CliRunner, name: str, file: str, variables: dict[str, str], arguments: list[str], printed: str
) -> None:
    """Each source wins over those behind it, setting by setting."""
    if file:
        Path("decklog.yaml").write_text(file)
    result = runner.invoke(door, arguments, env=variables)
    assert (result.exit_code, result.output) == (0, printed + "\n"), name


def test_the_file_that_is_named_is_the_one(runner: CliRunner) -> None:
    """``--config`` or ``DECKLOG_CONFIG``; one that is named and not there is an error."""
    Path("decklog.yaml").write_text("audit-log-path: here.log\n")
    Path("other.yaml").write_text("audit-log-path: other.log\n")
    assert runner.invoke(door, ["--config", "other.yaml"]).output.startswith("other.log ")
    assert runner.invoke(door, env={"DECKLOG_CONFIG": "other.yaml"}).output.startswith("other.log ")
    missing = runner.invoke(door, ["--config", "no.yaml"])
    assert isinstance(missing.exception, DecklogError)
    assert (
        str(missing.exception)
        == "cannot read the configuration no.yaml: No such file or directory: give another --config"
    )


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# nothing but this\n", {}),
        ("metrics-listen: 9095\n", {"--metrics-listen": "9095"}),
        ("audit-log-path: '-'\n", {"--audit-log-path": "-"}),
        ("audit-webhook-batch-throttle-qps: 0.5\n", {"--audit-webhook-batch-throttle-qps": 0.5}),
        ("audit-log-mode: batch\n", {"--audit-log-mode": "batch"}),
        ("audit-webhook-initial-backoff: 1.5s\n", {"--audit-webhook-initial-backoff": Seconds(1.5)}),
        ('{"audit-log-maxsize": 5}', {"--audit-log-maxsize": 5}),
    ],
)
def test_values_have_the_types_of_their_flags(tmp_path: Path, text: str, values: dict[str, Any]) -> None:
    """What is read is what the flag would have given."""
    path = tmp_path / "decklog.yaml"
    path.write_text(text)
    assert config_file.read(path) == values


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("audit-log-pathh: a\n", ["1:1: audit-log-pathh is no flag: did you mean audit-log-path?"]),
        ("--audit-log-path: a\n", ["1:1: --audit-log-path is no flag: did you mean audit-log-path?"]),
        ("xyzzy: red\n", ["1:1: xyzzy is no flag: see docs/config.md"]),
        ("audit-log-maxsize: ten\n", ["1:1: audit-log-maxsize wants a whole number, not 'ten'"]),
        ("audit-log-maxsize: 1.5\n", ["1:1: audit-log-maxsize wants a whole number, not '1.5'"]),
        ("audit-log-maxsize: true\n", ["1:1: audit-log-maxsize wants a whole number, not 'true'"]),
        ("audit-log-compress: 1\n", ["1:1: audit-log-compress wants true or false, not '1'"]),
        ("audit-log-path:\n", ["1:1: audit-log-path wants a text"]),
        ("audit-log-path: [a]\n", ["1:1: audit-log-path wants a text"]),
        (
            "audit-log-mode: Batch\n",
            ["1:1: audit-log-mode: 'Batch' is none of batch, blocking, blocking-strict"],
        ),
        ("audit-log-path: a\naudit-log-path: b\n", ["2:1: audit-log-path is there twice"]),
        (
            "audit-log-maxage: x\nfuture: 1\naudit-log-compress: maybe\n",
            [
                "1:1: audit-log-maxage wants a whole number, not 'x'",
                "2:1: future is no flag: see docs/config.md",
                "3:1: audit-log-compress wants true or false, not 'maybe'",
            ],
        ),
    ],
)
def test_every_problem_is_told_with_its_place(tmp_path: Path, text: str, problems: list[str]) -> None:
    """All of a file's problems at once, in the order of the file."""
    path = tmp_path / "decklog.yaml"
    path.write_text(text)
    with pytest.raises(DecklogError) as error:
        config_file.read(path)
    assert str(error.value) == "\n".join(f"{path}:{problem}" for problem in problems)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", ": a configuration is a mapping of flags to values, such as 'audit-log-path: audit.log'"),
        ("a: [\n", ":"),
        ("audit-webhook-batch-max-wait: 5\n", ":1:1: audit-webhook-batch-max-wait: "),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    """Broken YAML and other documents are refused by name."""
    path = tmp_path / "decklog.yaml"
    path.write_text(text)
    with pytest.raises(DecklogError) as error:
        config_file.read(path)
    assert str(error.value).startswith(f"{path}{message}")


STRICT = "blocking-strict"
POLICY = PolicyOptions(file="policy.yaml")
LOG = LogOptions(path="/var/log/audit.log")
WEBHOOK = WebhookOptions(config_file="webhook.yaml")


@pytest.mark.parametrize(
    ("name", "options", "strict", "path"),
    [
        ("nothing", AuditOptions(), False, ""),
        ("blocking", AuditOptions(log=LOG), False, "/var/log/audit.log.intents"),
        ("a strict log", AuditOptions(log=replace(LOG, mode=STRICT)), True, "/var/log/audit.log.intents"),
        (
            "a strict webhook beside a log",
            AuditOptions(log=LOG, webhook=replace(WEBHOOK, mode=STRICT)),
            True,
            "/var/log/audit.log.intents",
        ),
        ("a strict mode of a log that is not", AuditOptions(log=LogOptions(mode=STRICT)), False, ""),
        (
            "as told",
            AuditOptions(log=LOG, backends=BackendOptions(intent_path="/x")),
            False,
            "/x",
        ),
        ("standard output has no neighbours", AuditOptions(log=LogOptions(path="-")), False, ""),
    ],
)
def test_where_intents_are_kept(name: str, options: AuditOptions, strict: bool, path: str) -> None:
    """Beside the log, unless told otherwise."""
    assert (options.strict, options.intent_path) == (strict, path), name


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            AuditOptions(policy=POLICY, webhook=replace(WEBHOOK, mode=STRICT)),
            "a strict webhook needs --audit-intent-path FILE where there is no --audit-log-path FILE",
        ),
        (
            AuditOptions(log=LOG, backends=BackendOptions(intent_path="/var/log/audit.log")),
            "--audit-intent-path /var/log/audit.log is the log: give it a file of its own",
        ),
        (
            AuditOptions(log=replace(LOG, path="audit.log"), backends=BackendOptions(intent_path="./audit.log")),
            "--audit-intent-path ./audit.log is the log: give it a file of its own",
        ),
        (
            AuditOptions(log=LOG, backends=BackendOptions(intent_path="-")),
            "--audit-intent-path - is no file: intents are read again at the next start",
        ),
        (
            AuditOptions(log=replace(LOG, max_age_days=-1), webhook=replace(WEBHOOK, batch_max_size=0)),
            (
                "--audit-log-maxage -1 can't be a negative number; "
                "invalid audit batch webhook max batch size 0, must be a positive number"
            ),
        ),
    ],
)
def test_what_cannot_be_is_refused(options: AuditOptions, text: str) -> None:
    """Problems of all backends, and between them, in one error."""
    with pytest.raises(DecklogError) as error:
        options.check()
    assert str(error.value) == text


def test_what_is_wrong_with_a_webhook_in_the_servers_words() -> None:
    """Spec §7: the checks of the log, with the webhook's name."""
    assert WEBHOOK.problems() == []
    assert replace(WEBHOOK, config_file="", mode="x").problems() == []
    assert replace(WEBHOOK, mode="x", batch_buffer_size=0, truncate_max_event_size=0, version="").problems() == [
        'invalid audit webhook mode x, allowed modes are "batch,blocking,blocking-strict"',
        "invalid audit truncate webhook max event size 0, must be a positive number",
        'invalid group version, allowed versions are ["audit.k8s.io/v1"]',
    ]
    assert replace(WEBHOOK, spool_dir="/s", spool_max_bytes=0).problems() == [
        "--audit-webhook-spool-max-bytes 0 must be a positive number"
    ]


def test_the_deprecated_name_of_the_backoff() -> None:
    """--audit-webhook-batch-initial-backoff overrides the new name, as in kube-apiserver."""
    assert WEBHOOK.backoff_s == 10
    assert replace(WEBHOOK, initial_backoff=3).backoff_s == 3
    assert replace(WEBHOOK, initial_backoff=3, batch_initial_backoff=Seconds(2)).backoff_s == 2

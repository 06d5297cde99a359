"""Writes the reference pages beside it from the code: `python docs/generate.py`; with --check it only compares.

The command tree is the one source: names, options, defaults, environment variables and examples stand in the commands.
"""  # noqa: INP001  # because: a script in a folder of pages, not a package

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from decklog.audit.times import format_duration
from decklog.cli import decklog
from decklog.config_file import OPTIONS, SECTIONS, section_keys
from decklog.metrics import AuditCounters, families
from decklog.options import Flag, Seconds, flags

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
HEAD = "<!-- Written by docs/generate.py from the commands themselves; edit those. -->\n\n"
EXIT_CODES = """\
## Exit codes

| Code | Meaning |
| --- | --- |
| 0 | done |
| 1 | nothing found, where a command says so |
| 2 | the user's input: options, files, policy; found before anything is served |
| 3 | a door cannot bind its address, or died while serving |
| 130 | Ctrl-C |

Errors are one line on stderr: `decklog: what is wrong: what to do`. A closed pipe ends a command in silence, with 0.
"""


CONFIG = """\
Every flag can stand in a file as well: its name without the dashes. The file is the one named by `--config` or
`DECKLOG_CONFIG`, else `./decklog.yaml`, else `/etc/decklog/decklog.yaml`. Flags win over `DECKLOG_*` variables
(`--audit-log-path` is `DECKLOG_AUDIT_LOG_PATH`), these over the file, the file over the defaults. A file is checked
whole: unknown keys, keys given twice and wrong types are errors, each with its line and column.

```yaml
audit-policy-file: /etc/decklog/audit-policy.yaml
audit-log-path: /var/log/decklog/audit.log
audit-log-maxbackup: 10
audit-webhook-config-file: /etc/decklog/webhook.yaml
audit-webhook-batch-max-wait: 5s
audit-webhook-spool-dir: /var/lib/decklog/spool
metrics-listen: "9095"
```

## Sections

`gateway:`, `receive:` and `web:` hold mappings: what counts for that door alone, over what stands outside of them.
`decklog gateway` reads `gateway:`, `decklog receive` reads `receive:`, `decklog web` reads `web:`, and `decklog serve`
runs a door for each section that is there ([decklog serve](serve.md)); what concerns them all is in `serve:`. Commands
that read a store take `store` from outside, or else the one that all sections agree on.

```yaml
store: /var/lib/decklog
serve:
  metrics-listen: "9095"
gateway:
  listen: 0.0.0.0:8443
  kubeconfig: /etc/decklog/upstream.kubeconfig
  audit-policy-file: /etc/decklog/policy.yaml
web: # its own defaults
```"""
KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Seconds: "duration, such as `10s`"}
METRICS = """\
`--metrics-listen` serves them in Prometheus' text format at `/metrics`, with `/healthz` and `/readyz` beside them.
kube-apiserver's audit metrics have its names, labels and help texts.

For each backend, at any time: processed = delivered + queued + in flight + spooled + parked + dropped. `backend` is
`log`, `webhook` or `store`; the reasons of drops are: `failed` (it could not be written, or every attempt to deliver it
failed), `unencodable`, `buffer-full` (the batch buffer), `shut-down` (not delivered when the process had to end),
`too-large` (truncation), `spool-full`, `worker-died` (waited in the memory of a worker that was killed).

A gateway with several workers serves their sums. A worker that dies is replaced, and its successor goes on from what it
had last told, at most a second before: no counter goes backwards. `/readyz` says which worker is not ready, and why.
`decklog serve` has one view of all its doors; certificates then bear the door's name, `gateway-listener`."""


def cli_page() -> str:
    """Give the page of the command line."""
    context = click.Context(decklog, info_name="decklog", **decklog.context_settings)
    parts = ["# The command line", *_command_parts(decklog, context), *_below(decklog, context)]
    return HEAD + "\n\n".join([*parts, EXIT_CODES])


def _below(group: click.Command, context: click.Context) -> Iterator[str]:
    """Give the sections of a group's commands, and of theirs."""
    for name, entry in getattr(group, "entries", {}).items():
        if find_spec(entry.module) is not None:
            command = entry.load()
            inner = click.Context(command, context, name)
            yield f"## {inner.command_path}"
            yield from _command_parts(command, inner)
            yield from _below(command, inner)


def _command_parts(command: click.Command, context: click.Context) -> Iterator[str]:
    yield from _prose(command.help or "")
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```\n{context.command_path} {usage}\n```"
    if isinstance(command, type(decklog)):
        yield _table(
            ("Command", "What it does"), [(f"`{name}`", entry.help) for name, entry in command.entries.items()]
        )
    yield _table(("Option", "Meaning"), list(_options(command, context)))
    yield from _prose(command.epilog or "")


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for param in command.get_params(context):
        if (record := param.get_help_record(context)) is not None:
            names, text = record
            if text:
                yield f"`{names}`", text


def _prose(text: str) -> Iterator[str]:
    r"""Turn click's help into Markdown: what it must not wrap (after a \b) is a block of its own."""
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield f"```\n{paragraph.removeprefix(chr(8)).strip()}\n```"
        elif paragraph:
            yield " ".join(paragraph.split()).replace("*", "\\*")


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines)


def config_page() -> str:
    """Give the page of the configuration file."""
    parts = ["# Configuration", CONFIG]
    rows = [(f"`{name}:`", ", ".join(f"`{key}`" for key in section_keys(name))) for name in SECTIONS]
    parts.append(_table(("Section", "Keys"), rows))
    for options in OPTIONS:
        parts.append(f"## {(options.__doc__ or '').strip().splitlines()[0]}")
        parts.append(_table(("Key", "Type", "Default", "Meaning"), [_setting(flag) for flag in flags(options)]))
    return HEAD + "\n\n".join(parts)


def _setting(flag: Flag) -> tuple[str, ...]:
    kind = " or ".join(f"`{choice}`" for choice in flag.choices) or KINDS.get(flag.type, flag.type.__name__)
    if isinstance(flag.default, Seconds):
        default = format_duration(round(flag.default * 1e9))
    else:
        default = str(flag.default).lower() if isinstance(flag.default, bool) else str(flag.default)
    return f"`{flag.name.removeprefix('--')}`", kind, f"`{default}`" if default else "", flag.help


def metrics_page() -> str:
    """Give the page of the metrics."""
    counters = AuditCounters()
    counters.account("log")
    rows = [
        (f"`{family.name}`", family.kind, ", ".join(family.label_names), family.help.removeprefix("[ALPHA] "))
        for family in families(counters)
    ]
    return HEAD + "\n\n".join(["# Metrics", METRICS, _table(("Name", "Kind", "Labels", "What it counts"), rows)])


PAGES = {"cli.md": cli_page, "config.md": config_page, "metrics.md": metrics_page}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check name those that are out of date; the exit code says whether there are any."""
    pages = {HERE / name: page().rstrip("\n") + "\n" for name, page in PAGES.items()}
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if "--check" in arguments:
            sys.stderr.write(f"docs/{path.name} is out of date: run python docs/generate.py\n")
        else:
            path.write_text(pages[path])
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Startups: policies and flags against whether a real kube-apiserver started with them, and what it said.

Each row is loaded leniently, as kube-apiserver does. Held to the letter, where the server said it: the error it stopped
with (the policy's field and cause, or the flag's), the warning before it fell back to lenient decoding, the number of
rules, the nest of backends. The recorded machine's path stands in for ours. A row that stops at a file or directory
which the flags name is held to stopping there: the words of an operating system and of a library are not ours.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conformance.recorded_flags import audit_options, plumbing, quiet, recorded_plumbing
from conformance.tally import Tally
from decklog.assembly import backend_of
from decklog.errors import DecklogError
from decklog.metrics import AuditCounters
from decklog.policy.findings import PolicyError
from decklog.policy.reader import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decklog.config import AuditOptions
    from decklog.policy.reader import Loaded

_PATH: Final = "/etc/kubernetes/x"
"""Where the recorded machine had whatever file a row is about."""
_COMMAND_FAILED: Final = re.compile(r'"command failed" err=(".*")$', re.DOTALL)
_POLICY: Final = "loading audit policy file: "
_FROM: Final = f": from file {_PATH}"
_WARNING: Final = "falling back to lenient decoding: "
_RULES: Final = re.compile(r"policyCnt=(\d+)")
_LOGGED: Final = re.compile(r"[IWEF]\d{4} ")
_OUTSIDE: Final = ("ensureLogFile: ", "initializing audit webhook: ")
"""How errors begin whose rest is an operating system's or a library's."""


def startups(path: Path) -> Tally:
    """Start with each row's policy and flags; whether that works and everything that is said have to be equal."""
    tally = Tally(path.stem)
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            row = json.loads(line)
            with tempfile.TemporaryDirectory() as folder:
                given = _start(row, Path(folder))
            tally.judged(row["case"], _faults(_recorded(row), given), [])
    return tally


def _recorded(row: dict[str, Any]) -> dict[str, Any]:
    """Give what the server did and said."""
    said = "\n".join(row["log_lines"])
    counted = _RULES.search(said)
    return {
        "started": row["started"],
        "error": _outer(_error(row["error_line"] or "")),
        "warning": _warning(row["log_lines"]),
        "rules": int(counted[1]) if counted else None,
        "backends": recorded_plumbing(row["log_lines"]),
    }


def _error(line: str) -> str:
    """Take the error out of the server's last line; of a policy's without the file's name."""
    failed = _COMMAND_FAILED.search(line)
    if failed is None:
        return line
    text = str(json.loads(failed[1]))
    return f"{_POLICY}{text[len(_POLICY) :].removesuffix(_FROM)}" if text.startswith(_POLICY) else text


def _outer(error: str) -> str:
    return next((beginning for beginning in _OUTSIDE if error.startswith(beginning)), error)


def _warning(lines: Sequence[str]) -> str:
    """Find the warning; the lines that go on below it belong to it."""
    for place, line in enumerate(lines):
        if _WARNING in line:
            rest = lines[place + 1 :]
            end = next((count for count, more in enumerate(rest) if _LOGGED.match(more)), len(rest))
            return "\n".join([line.partition(_WARNING)[2], *rest[:end]])
    return ""


def _start(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Do what a server does when it starts: read the flags, the policy, then make the backends."""
    given: dict[str, Any] = {"started": False, "error": "", "warning": "", "rules": None, "backends": ""}
    try:
        options = _options(row["flags"], folder)
    except (DecklogError, ValueError) as error:
        return given | {"error": _problem(error)}
    loaded = _loaded(row["policy"], folder)
    if isinstance(loaded, PolicyError):
        said = loaded.reference.replace(str(folder / "policy.yaml"), _PATH)
        return given | {"error": f"{_POLICY}{said}", "warning": loaded.reference_warning}
    given |= {"warning": loaded.reference_warning, "rules": len(loaded.policy.rules)}
    return given | _backends(options)


def _loaded(policy: str | None, folder: Path) -> Loaded | PolicyError:
    path = folder / "policy.yaml"
    if policy is not None:
        path.write_bytes(policy.encode())
    try:
        return load(str(path), lenient=True)
    except PolicyError as error:
        return error


def _options(words: Sequence[str], folder: Path) -> AuditOptions:
    """Read the flags; paths of the recorded machine become ours, with what stood there."""
    flags = dict(word.partition("=")[::2] for word in words)
    log = flags.get("--audit-log-path", str(folder / "audit.log"))
    webhook = flags.get("--audit-webhook-config-file", "")
    if webhook == _PATH:
        webhook = str(folder / "webhook.yaml")
        Path(webhook).write_text("{")
    return audit_options(words, log_path=str(folder / "new" / "x") if log == _PATH else log, webhook_config=webhook)


def _backends(options: AuditOptions) -> dict[str, Any]:
    """Start the backends and end them."""
    try:
        with quiet():
            backends = asyncio.run(_live_and_die(options))
    except DecklogError as error:
        return {"error": _OUTSIDE[0] if "audit log" in str(error) else _OUTSIDE[1]}
    return {"started": True, "backends": backends}


async def _live_and_die(options: AuditOptions) -> str:
    nest, _ = backend_of(options, AuditCounters())
    if nest is None:
        return ""
    async with nest:
        return plumbing(nest)


def _problem(error: Exception) -> str:
    """Put what is wrong with the flags as kube-apiserver puts it: several things in brackets, with commas."""
    problems = str(error).split("; ")
    return f"[{', '.join(problems)}]" if len(problems) > 1 else problems[0]


def _faults(wanted: dict[str, Any], given: dict[str, Any]) -> list[str]:
    return [f"{key}: {given[key]!r} instead of {wanted[key]!r}" for key in wanted if given[key] != wanted[key]]

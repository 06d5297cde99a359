"""Processes: whether an API server with certain flags runs on this machine, from /proc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.enable.wanted import FLAGS, Takes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PROGRAM: Final = b"kube-apiserver"
_PREFIX: Final = "--audit-"


def runs(flags: Mapping[str, str], others: Mapping[str, str], proc: Path) -> bool | None:
    """Whether a kube-apiserver runs whose audit flags are just these (of other flags nothing is asked).

    False: none does, but one with the flags of `others`. None: neither is seen, because it runs elsewhere, or its
    processes are hidden from us, or it is down; an API server of another cluster says nothing.
    """
    wanted, unwanted = _audit(flags), _audit(others)
    seen = [audit_flags(words[1:]) for words in command_lines(proc)]
    return True if wanted in seen else False if unwanted in seen else None


def _audit(flags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in flags.items() if name.startswith(_PREFIX)}


def audit_flags(words: list[str]) -> dict[str, str]:
    """Read the audit flags of a command line, written ``--a=b`` or ``--a b``; the last of one name counts."""
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        name, equals, value = word.partition("=")
        if name.startswith(_PREFIX):
            alone = FLAGS.get(name) is Takes.SWITCH or following.startswith("--")
            found[name] = value if equals else "true" if alone else following
    return found


def command_lines(proc: Path) -> list[list[str]]:
    """Give the words of each kube-apiserver that runs, as far as they can be seen."""
    found = []
    try:
        folders = [folder for folder in proc.iterdir() if folder.name.isdigit()]
    except OSError:
        return []
    for folder in folders:
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:  # it ended, or is somebody else's
            continue
        words = line.rstrip(b"\0").split(b"\0")
        if words[0].rpartition(b"/")[2] == _PROGRAM:
            found.append([word.decode(errors="surrogateescape") for word in words])
    return found

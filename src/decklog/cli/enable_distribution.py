"""``decklog enable --for NAME [FILE]``: a distribution's own configuration, edited or printed, and what to do then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from decklog.cli.enable_report import print_diff, print_text
from decklog.cli.printing import print_json
from decklog.cli.searching import tell
from decklog.enable.distributions import distribution, interpret
from decklog.enable.edit import unified_diff
from decklog.errors import DecklogError
from decklog.policy.reader import parse

if TYPE_CHECKING:
    from decklog.cli.enable import Asked
    from decklog.enable.distributions import Recipe
    from decklog.enable.wanted import AuditWanted


def enable_for(name: str, wanted: AuditWanted, asked: Asked) -> int:
    """Show what a distribution's file has to say, or write it. Gives the exit code."""
    from decklog.cli.enable import NOT_DONE, manifests  # noqa: PLC0415  # because: it calls us, and imports us late

    files = manifests(asked)
    data = files.read(Path(asked.path)) if asked.path else None
    table = distribution(name)
    policy = _policy(wanted.policy_file)
    if table.policy_key and policy:
        parse(policy.encode(), source=wanted.policy_file or "", lenient=True)  # what it refuses would be in the file
    recipe = interpret(table, wanted.given(), data=data, source=asked.path, policy=policy)
    if recipe.new is not None and not asked.path and asked.write:
        raise DecklogError(f"name the file to write, such as {recipe.distribution.file or 'config.yaml'}")
    changes = data is not None and recipe.new is not None and recipe.new != data
    written = ""
    if changes and asked.write and data is not None and recipe.new is not None:
        record = files.write(Path(asked.path), data, recipe.new)
        written = str(files.backups.path_of(record))
    if asked.output == "json":
        print_json(_as_json(recipe, data, asked.path, written))
    else:
        _show(recipe, data, asked.path, written)
    return NOT_DONE if changes and not written else 0


def _policy(path: str | None) -> str:
    """Read the policy for those that take its text; whether it can be read matters to them alone."""
    try:
        return Path(path).read_text() if path else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _show(recipe: Recipe, data: bytes | None, path: str, written: str) -> None:
    if recipe.new is None:
        print_text("".join(f"{line}\n" for line in (*recipe.said, "", *recipe.then)))
        return
    if data is None:
        print_text(recipe.new.decode())
    else:
        print_diff(unified_diff(data, recipe.new, path))
        if data == recipe.new:
            tell(f"nothing has to change in {path}")
    for line in recipe.said:
        tell(line)
    if written:
        tell(f"written; the old one is {written}")
    for number, line in enumerate(recipe.then, 1):
        tell(f"{number}. {line}")


def _as_json(recipe: Recipe, data: bytes | None, path: str, written: str) -> dict[str, Any]:
    new = recipe.new.decode() if recipe.new is not None else None
    diff = unified_diff(data, recipe.new, path).decode() if data is not None and recipe.new is not None else None
    return {
        "distribution": recipe.distribution.name,
        "file": path or recipe.distribution.file or None,
        "new": new,
        "diff": diff,
        "flags": dict(recipe.flags),
        "said": recipe.said,
        "then": recipe.then,
        "written": bool(written),
        "backup": written or None,
    }

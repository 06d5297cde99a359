"""`python -m conformance [DIR …]`: run every file that is known by its name, one line a file."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance import corpus, gateway, golden, policies, rotations, startups, webhooks, wires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conformance.tally import Tally

TABLES: Final[dict[str, Callable[[Path], Tally]]] = {
    "policy-checker-cases.jsonl": policies.checker,
    "policy-load-cases.jsonl": policies.load,
    "policy-validation-cases.jsonl": policies.validation,
    "event-serialisation-cases.jsonl": wires.serialisation,
    "requestinfo-cases.jsonl": wires.requestinfo,
    "sourceips-cases.jsonl": wires.sourceips,
    "lifecycle-golden.jsonl": golden.lifecycle,
    "body-recording-golden.jsonl": golden.bodies,
    "badpolicy.jsonl": startups.startups,
}

FOLDERS: Final[dict[str, Callable[[Path], Tally]]] = {
    "webhook": webhooks.replay,
    "rotation": rotations.replay,
}
"""Folders of scenarios, each replayed in real time: a minute in all, for one of them waits as the server did."""

DEFAULT: Final = ("cases", "corpus")
SHOWN: Final = 5

USAGE: Final = """usage: python -m conformance [DIR ...]

Runs decklog against facts that a real kube-apiserver produced: every case table, golden file and recorded run that
stands in DIR (any folder with the corpus' file names, or a single run's folder) or one folder below it. Prints a line
a file, `name passed/total`; exit 1 if a row falls short that is not excused, 2 if there is nothing to run.

example: make conformance CASES=../shared/corpus/c-seed
"""


def main(arguments: list[str]) -> int:
    """Run; give the exit code."""
    if any(argument in {"-h", "--help"} for argument in arguments):
        sys.stdout.write(USAGE)
        return 0
    folders = [Path(argument) for argument in arguments] or _default()
    jobs = [job for folder in folders for job in _jobs(folder)]
    if not jobs:
        sys.stderr.write(
            f"conformance: no case table or recorded run in {', '.join(map(str, folders)) or 'shared'}: give a folder\n"
        )
        return 2
    short = False
    for name, job in jobs:
        short |= _run(name, job)
    return int(short)


def _run(name: str, job: Callable[[], Tally]) -> bool:
    """Run one file and print its line; True when it falls short."""
    try:
        tally = job()
    except Exception:  # noqa: BLE001  # because: one broken file must not hide the others
        sys.stdout.write(f"{name} failed\n")
        traceback.print_exc()
        return True
    if not (tally.total or tally.excuses):
        tally.failed("nothing", "the file is empty: there is nothing to hold")
    sys.stdout.write(f"{tally}\n")
    for row, why in tally.excuses:
        sys.stderr.write(f"  {tally.name}: excepted {row}: {why}\n")
    for row, why in tally.fell[:SHOWN]:
        sys.stderr.write(f"  {tally.name}: {row}: {why}\n")
    if len(tally.fell) > SHOWN:
        sys.stderr.write(f"  {tally.name}: and {len(tally.fell) - SHOWN} more\n")
    sys.stdout.flush()
    return bool(tally.fell)


def _default() -> list[Path]:
    """Take the two folders of ../shared, where they are."""
    shared = Path(__file__).resolve().parent.parent.parent / "shared"
    return [shared / name for name in DEFAULT if (shared / name).is_dir()]


def _jobs(folder: Path) -> Iterator[tuple[str, Callable[[], Tally]]]:
    """Find what a folder holds; a folder of runs is looked into."""
    if (folder / "requests.jsonl").is_file():
        yield from _recorded(folder)
        return
    if folder.name in FOLDERS:
        yield folder.name, lambda: FOLDERS[folder.name](folder)
        return
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if path.name in TABLES:
            yield path.stem, lambda path=path: TABLES[path.name](path)  # type: ignore[misc]  # because: bound now
        elif path.is_dir() and path.name in FOLDERS:
            yield path.name, lambda path=path: FOLDERS[path.name](path)  # type: ignore[misc]  # because: bound now
        elif (path / "requests.jsonl").is_file():
            yield from _recorded(path)
        elif path.is_dir() and path.name in {"cases", "corpus"}:
            yield from _jobs(path)


def _recorded(folder: Path) -> Iterator[tuple[str, Callable[[], Tally]]]:
    """Hold a recorded run twice: through the recorder alone, and on the wire through the gateway."""
    yield folder.name, lambda: corpus.run(folder)
    yield f"{folder.name}-gateway", lambda: gateway.run(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from decklog.cli import decklog

GENERATOR = Path(__file__).parents[2] / "docs" / "generate.py"


def generate(directory: Path, *args: str) -> tuple[int, str]:
    shutil.copy(GENERATOR, directory)
    done = subprocess.run(
        [sys.executable, directory / "generate.py", *args], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def test_the_pages_are_written_and_checked(tmp_path: Path) -> None:
    """The generator writes the pages, finds them in date, and names one once it is not."""
    stale, *others = (
        f"docs/{page}.md is out of date: run python docs/generate.py\n" for page in ("cli", "config", "metrics")
    )
    assert generate(tmp_path, "--check") == (1, stale + "".join(others))
    assert generate(tmp_path) == (0, "")
    assert generate(tmp_path, "--check") == (0, "")
    page = tmp_path / "cli.md"
    page.write_text(page.read_text() + "by hand\n")
    assert generate(tmp_path, "--check") == (1, stale)


def test_the_page_has_every_command_and_its_example(tmp_path: Path) -> None:
    """Nothing of the command tree is left out."""
    generate(tmp_path)
    page = (tmp_path / "cli.md").read_text()
    for name in decklog.entries:
        assert f"| `{name}` |" in page
    assert "decklog who deleted deploy/web -n shop" in page
    assert "`-h, --help`" in page
    assert "[env var: DECKLOG_SOURCE]" in page

"""Sizes: how much log a manifest's flags keep, with the defaults of its release, and what is there already."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.backends.backup_names import Family
from decklog.enable.policy_of import on_host, release_of
from decklog.enable.wanted import Takes, meaning
from decklog.policy.releases import NEWEST

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.enable.manifest import StaticPod

MIB: Final = 1 << 20
_BOUNDED_SINCE: Final = 36
"""Since 1.36 a log has limits by default: 100 MiB, 366 days, 100 files; before, 100 MiB and none."""


class Kept(Struct, frozen=True):
    """What is kept of a log; None: no limit."""

    max_size_bytes: int | None
    max_backups: int | None
    max_age_days: int | None

    @property
    def max_bytes(self) -> int | None:
        """How much it can be on disk: the file that is written, and those that are kept of it."""
        if self.max_size_bytes is None or self.max_backups is None:
            return None
        return self.max_size_bytes * (self.max_backups + 1)


class LogFiles(Struct, frozen=True):
    """What is there of a log."""

    folder: Path
    count: int
    size_bytes: int


def kept(pod: StaticPod) -> Kept:
    """Say what a manifest keeps; a value that is no number counts as not set."""
    release = release_of(pod.image)
    bounded = release is None or release.minor >= _BOUNDED_SINCE
    size = _number(pod, "--audit-log-maxsize", 100)
    backups = _number(pod, "--audit-log-maxbackup", 100 if bounded else 0)
    age = _number(pod, "--audit-log-maxage", 366 if bounded else 0)
    if size == 0 and not bounded:
        size = 100
    return Kept(size * MIB or None, backups or None, age or None)


def minor_of(pod: StaticPod) -> int:
    """Give the minor version of Kubernetes that a manifest's image is, the newest that is known if it does not say."""
    release = release_of(pod.image)
    return NEWEST if release is None else release.minor


def family(pod: StaticPod, root: Path) -> tuple[Path, list[Path], list[Path]] | None:
    """Give the log, and its rotated files from the oldest on, plain ones and packed ones.

    None: it goes to no file, or no mount leads to it. Raises OSError.
    """
    place = on_host(pod, pod.value("--audit-log-path"), root)
    if place is None:
        return None
    names = Family.of(place)
    listed = [names.read(each.name) for each in place.parent.iterdir()] if place.parent.is_dir() else []
    found = sorted((each for each in listed if each is not None), key=lambda each: each.stamp_ms)
    return place, [each.path for each in found if not each.packed], [each.path for each in found if each.packed]


def log_files(pod: StaticPod, root: Path) -> LogFiles | None:
    """Look at what is there of the log; None as for `family`. Raises OSError."""
    found = family(pod, root)
    if found is None:
        return None
    place, plain, packed = found
    sizes = [each.stat().st_size for each in (place, *plain, *packed) if each.is_file()]
    return LogFiles(place.parent, len(sizes), sum(sizes))


def free_bytes(folder: Path) -> int:
    """Give the free space of the file system that a folder lies in, or will lie in. Raises OSError."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _number(pod: StaticPod, flag: str, default: int) -> int:
    text = pod.value(flag)
    found = meaning(Takes.NUMBER, text) if text else None
    return found if isinstance(found, int) and found >= 0 else default


def span_in_words(days: float) -> str:
    """Write a span of time as people do: ``13.1 days``, ``58 minutes``."""
    for unit, length in (("days", 1.0), ("hours", 24.0), ("minutes", 1440.0)):
        if (count := days * length) >= 2:
            return f"{count:,.1f} {unit}" if unit == "days" else f"{count:,.0f} {unit}"
    return f"{days * 86_400:,.0f} seconds"

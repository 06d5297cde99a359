"""The container's own output, where kubelet keeps it: ``/var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log``.

Each line is ``TIME STREAM TAG TEXT``; tag P marks a piece of a line that goes on in the next. No crictl, no docker: a
file that root may read is all that is needed.
"""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PODS: Final = "var/log/pods"
_TAIL_BYTES: Final = 64 * 1024
SHOWN_LINES: Final = 15
_SHOWN_LENGTH: Final = 500


class Output(Struct, frozen=True):
    """The last lines of a container, or why there are none."""

    lines: tuple[str, ...]
    says: str
    """Where they stand, or what was looked for and not found."""


def newest(root: Path, namespace: str, pod: str, container: str) -> Path | None:
    """Find the file that the container writes to, or wrote to last. Raises OSError where it may not be looked for.

    kubelet appends the node's name to a static pod's.
    """
    pods = root / PODS
    pattern = f"{glob.escape(f'{namespace}_{pod}')}*"
    if not os.access(pods, os.R_OK | os.X_OK) and pods.exists():
        raise PermissionError(13, "Permission denied", str(pods))
    found = [path for folder in pods.glob(pattern) for path in (folder / container).glob("*.log")]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def last_lines(root: Path, namespace: str, pod: str, container: str, count: int = SHOWN_LINES) -> Output:
    """Give the last lines that the container wrote; never fails."""
    place = f"/{PODS}/{namespace}_{pod}*/{container}/"
    try:
        path = newest(root, namespace, pod, container)
        if path is None:
            return Output((), f"there is no output of the container in {place}")
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
            data = file.read(_TAIL_BYTES)
    except OSError as error:
        return Output((), f"the container's output in {place} cannot be read ({error.strerror})")
    texts = [text[:_SHOWN_LENGTH].decode(errors="replace") for text in texts_of(data.splitlines())]
    return Output(tuple(texts[-count:]), f"the last lines of the container ({path}):")


def texts_of(lines: Iterable[bytes]) -> list[bytes]:
    """Take the runtime's time, stream and tag from lines, and join what it has cut."""
    texts: list[bytes] = []
    goes_on = False
    for line in lines:
        parts = line.split(b" ", 3)
        framed = len(parts) == 4 and parts[1] in {b"stdout", b"stderr"} and parts[2][:1] in {b"F", b"P"}
        text = parts[3] if framed else line
        if goes_on and texts:
            texts[-1] += text
        else:
            texts.append(text)
        goes_on = framed and parts[2][:1] == b"P"
    return texts

"""Writes a log that others write at the same time, for tests: ``shared_log_process.py PATH NUMBER EVENTS``.

Through the assembly's own log backend, which rotates at 1 MiB; begins when a line comes on standard input.
"""

from __future__ import annotations

import asyncio
import sys

from decklog.assembly import log_to
from decklog.testing import event


async def main(path: str, number: int, events: int) -> None:
    async with log_to(path, max_size_mib=1, max_backups=0) as log:
        print("ready", flush=True)
        sys.stdin.readline()
        for count in range(events):
            log.process([event(audit_id=f"{number}-{count}")])
            if count % 100 == 0:
                await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

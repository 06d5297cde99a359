"""Runs the pages in a process of their own, and looks at them in Chromium; what a journey must never see is kept."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE: Final = {"width": 1400, "height": 900}
NARROW: Final = {"width": 400, "height": 860}
_ADDRESS: Final = re.compile(r"listening on (\S+)")


def needs_browser() -> None:
    """Skip where there is nothing to look with."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: install the package chromium")


class Served:
    """A running `decklog web`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._addresses: list[str] = []
        self._came = threading.Condition()
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            with self._came:
                self.said.append(line.rstrip())
                if found := _ADDRESS.search(line):
                    self._addresses.append(found[1])
                self._came.notify_all()

    def address(self) -> str:
        """Take the next address that is printed."""
        with self._came:
            assert self._came.wait_for(lambda: self._addresses, 30), self.said
            return self._addresses.pop(0)


@contextmanager
def serving(*arguments: object, folder: Path | None = None) -> Iterator[Served]:
    """Run `decklog web` on a free port, in a folder, for as long as the block runs."""
    command = [sys.executable, "-m", "decklog", "web", "--listen", "127.0.0.1:0", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DECKLOG_")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder) as process:
        served = Served(process)
        try:
            yield served
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0, served.said


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    needs_browser()
    # Because: the library is there where tests run, and nowhere else.
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # because: see above

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield started
        finally:
            started.close()


class Visit:
    """A window, and what went wrong in it."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.base = base
        self.wrong: list[str] = []
        """Console errors, reports of the policy, scripts that ran, requests to elsewhere."""
        self.page: Page = context.new_page()
        self.page.on(
            "console", lambda message: self._note("console", message.text, message.type in {"error", "warning"})
        )
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", lambda request: self._note("elsewhere", request.url, not self._is_ours(request.url)))

    def _dismiss(self, dialog: Dialog) -> None:
        self._note("dialog", dialog.message)
        dialog.dismiss()

    def _is_ours(self, url: str) -> bool:
        return url.startswith((self.base, "data:", "about:"))

    def _note(self, what: str, text: str, counts: bool = True) -> None:  # because: of handlers above
        if counts:
            self.wrong.append(f"{what}: {text}")

    def go(self, target: str, status: int = 200) -> Page:
        """Open a page of ours; of one that is refused the browser's own word in the console is no fault."""
        answer = self.page.goto(self.base + target)
        assert answer is not None
        assert answer.status == status, (target, answer.status)
        if status != 200:
            self.wrong = [said for said in self.wrong if f"responded with a status of {status}" not in said]
        return self.page


@contextmanager
def visiting(started: Browser, served: Served, **settings: Any) -> Iterator[Visit]:
    """Open a window with a session; at its end nothing must have gone wrong."""
    context = started.new_context(**{"viewport": WIDE, **settings})
    context.set_default_timeout(15_000)
    address = served.address()
    visit = Visit(context, address.partition("/?")[0])
    try:
        visit.page.goto(address)
        yield visit
        assert visit.wrong == []
    finally:
        context.close()


PICTURES: Final = ("log-1400-light", "log-1400-dark", "object-1400-light", "user-1400-dark", "request-400-light")
"""Those that the documentation shows."""


def screenshot(page: Page, name: str) -> None:
    """Take a picture, where DECKLOG_SCREENSHOTS names a folder; with a + before it, of every page."""
    folder = os.environ.get("DECKLOG_SCREENSHOTS", "")
    if folder and (name in PICTURES or folder.startswith("+")):
        page.mouse.move(0, 0)
        Path(folder.removeprefix("+")).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder.removeprefix("+")) / f"{name}.png"))

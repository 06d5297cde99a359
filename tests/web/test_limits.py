from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ask.logs import event, log
from decklog.web.asking import Asked, Page, RefusedError
from decklog.web.limits import AT_ONCE, Deadline, TooBroadError
from decklog.web.scanned import Files
from web.web_client import Door

if TYPE_CHECKING:
    from pathlib import Path


def test_time_that_is_up_is_told() -> None:
    """What is passed through a deadline ends with it, and so does one that nobody waits for any more."""
    now = 0.0
    deadline = Deadline(5, clock=lambda: now)
    assert list(deadline.over(range(3))) == [0, 1, 2]
    now = 6.0
    with pytest.raises(TooBroadError):
        list(deadline.over(range(3)))
    cancelled = Deadline(5)
    cancelled.cancel()
    with pytest.raises(TooBroadError):
        cancelled.check()


def test_what_waits_inside_a_library_is_interrupted() -> None:
    """At the end of the time the library is told, and its own error becomes ours."""
    interrupted = threading.Event()

    def wait() -> None:
        assert interrupted.wait(10)
        raise RuntimeError("interrupted")

    deadline = Deadline(0.01)
    with pytest.raises(TooBroadError), deadline.on_expiry(interrupted.set):
        wait()
    failing = Deadline(60)
    with pytest.raises(RuntimeError, match="of its own"), failing.on_expiry(interrupted.set):
        raise RuntimeError("of its own")


def test_a_question_that_is_too_broad_says_how_to_narrow_it(tmp_path: Path) -> None:
    """A page that takes too long is a page that says so, not a page that never comes."""
    path = log(tmp_path / "audit.log", *(event(audit_id=str(number)) for number in range(50)))
    answer = Door(Files([str(path)]), answer_s=-1).look("/log")
    assert answer.status == 503
    assert "Narrow it" in answer.text
    assert Door(Files([str(path)]), answer_s=-1).look("/log.json").json["advice"].startswith("Narrow it")


def test_so_many_pages_are_made_at_once(tmp_path: Path) -> None:
    """Others wait for their turn, and get it."""
    going = 0
    most = 0
    lock = threading.Lock()
    full = threading.Event()

    def make(asked: Asked) -> dict[str, Any]:
        nonlocal going, most
        del asked
        with lock:
            going += 1
            most = max(most, going)
            if going == AT_ONCE:
                full.set()
        assert full.wait(10)
        with lock:
            going -= 1
        return {"done": True}

    door = Door(
        Files([str(log(tmp_path / "audit.log", event()))]), pages=(Page("/slow", "refused.html", make, "Slow"),)
    )

    async def visits() -> list[int]:
        answers = await asyncio.gather(*(door.get("/slow.json") for _ in range(3 * AT_ONCE)))
        return [answer.status for answer in answers]

    assert asyncio.run(visits()) == [200] * 3 * AT_ONCE
    assert most == AT_ONCE


def test_a_page_that_breaks_says_so_and_says_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An error of ours is told in the terminal; the page names none of it."""

    def make(asked: Asked) -> None:
        raise ZeroDivisionError(f"secret {asked.reader}")

    def refuse(asked: Asked) -> None:
        raise RefusedError(418, "No.", f"Not for {asked.reader}.", [("Back", "/log")])

    pages = (Page("/broken", "refused.html", make, ""), Page("/refused", "refused.html", refuse, ""))
    door = Door(Files([str(log(tmp_path / "audit.log", event()))]), pages=pages)
    refused = door.look("/refused")
    assert (refused.status, "Not for local." in refused.text) == (418, True)
    broken = door.look("/broken")
    assert (broken.status, "secret" in broken.text) == (500, False)
    assert "a page could not be made" in caplog.text


def test_nothing_is_made_for_who_has_gone(tmp_path: Path) -> None:
    """Whoever hangs up while others have their turn keeps nobody waiting."""
    made: list[Asked] = []
    page = Page("/slow", "refused.html", made.append, "Slow")
    door = Door(Files([str(log(tmp_path / "audit.log", event()))]), pages=(page,))
    assert door.look("/slow.json", gone=True).status == 503
    assert made == []
    assert door.look("/slow.json").status == 200
    assert len(made) == 1


def test_what_is_under_way_ends_with_whom_it_is_for(tmp_path: Path) -> None:
    """A question whose client leaves is interrupted, also inside a library: others wait for its turn."""
    begun, ended = threading.Event(), threading.Event()

    def make(asked: Asked) -> None:
        begun.set()
        with asked.deadline.on_expiry(ended.set):
            assert ended.wait(10)
            raise RuntimeError("interrupted")

    page = Page("/slow", "refused.html", make, "Slow")
    door = Door(Files([str(log(tmp_path / "audit.log", event()))]), pages=(page,), answer_s=600)

    async def visit() -> int:
        leaving = asyncio.Event()
        asking = asyncio.create_task(door.get("/slow.json", leaving=leaving))
        assert await asyncio.to_thread(begun.wait, 10)
        leaving.set()
        return (await asyncio.wait_for(asking, 10)).status

    assert asyncio.run(visit()) == 503


def test_a_form_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    """Who begins to post and does not go on is told so after a time; who hangs up is nobody's fault."""
    door = Door(Files([str(log(tmp_path / "audit.log", event()))]), form_s=0.01)
    headers = {"origin": "http://127.0.0.1:8080", "content-type": "application/x-www-form-urlencoded"}
    late = door.look("/policy", method="POST", headers=headers, body=None)
    assert (late.status, "Post it again" in late.text) == (408, True)
    assert door.look("/policy", method="POST", headers=headers, gone=True).status == 400

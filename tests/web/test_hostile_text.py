from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import pytest

from ask.logs import log
from decklog.web import links
from decklog.web.scanned import Files
from web.browsing import NARROW, browser, needs_browser, serving, visiting
from web.hostile import AT_ONCE, HOSTILE, attacks
from web.looking_over import looked_over
from web.web_client import Door

if TYPE_CHECKING:
    from pathlib import Path

OURS: Final = frozenset(
    tag
    for line in (
        "html head meta title link script body header main footer nav section article details summary",
        "h1 h2 h3 p ul ol li dl dt dd div span b a img svg rect time figure code pre del ins",
        "table caption thead tbody tr th td form fieldset legend label input button select option textarea",
    )
    for tag in line.split()
)
"""The elements that our templates have."""
VOID: Final = frozenset(("meta", "link", "img", "input"))


class Markup(HTMLParser):
    """Reads a page as a browser would, and keeps what no text of a log may bring in."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in OURS:
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name in {"style", "srcdoc", "formaction"}:
                self.wrong.append(f"{name}={value}")
            if name in {"href", "src", "action"} and not (value or "").startswith(("/", "#")):
                self.wrong.append(f"{name}={value}")
            if name in {"href", "src", "action"} and (value or "").startswith("//"):
                self.wrong.append(f"{name}={value}")
        if tag == "script" and not (dict(attrs).get("src") or "").startswith("/static/"):
            self.wrong.append("a script of its own")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"</{tag}> after {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"<!--{data}-->")


def read(text: str) -> list[str]:
    """Give what is wrong with a page's markup."""
    page = Markup()
    page.feed(text)
    page.close()
    return page.wrong + [f"<{tag}> is left open" for tag in page.open]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return log(tmp_path_factory.mktemp("web") / "audit.log", *attacks())


@pytest.fixture(scope="module")
def door(path: Path) -> Door:
    return Door(Files([str(path)]))


def targets() -> list[str]:
    """Name the pages that show the strings: the log's, each request, each object, each user, each search."""
    found = [f"/request?uid=attack-{number}" for number in range(len(HOSTILE) // AT_ONCE)]
    for number, text in enumerate(HOSTILE):
        found.append(links.to_object("", text if number % 5 == 0 else "pods", text if number % 2 else "shop", text))
        found.append(links.to_user(text))
        found += [links.to("/log", [(name, text)]) for name in ("user", "text", "since", "code", "resource")]
        found.append(f"/{links.quoted(text)}")
    return list(filter(None, found))


def test_no_text_of_a_log_becomes_markup(door: Door) -> None:
    """Whatever a client sends stays text: no element, attribute or address of its own, on any page."""
    answers = {target: door.look(target) for target in targets()}
    broken = {target: answer.status for target, answer in answers.items() if answer.status >= 500}
    assert broken == {}
    wrong = {target: found for target, answer in answers.items() if (found := read(answer.text))}
    assert wrong == {}


def test_no_text_of_a_policy_becomes_markup(door: Door) -> None:
    """What is pasted, explained and asked for stays text, whether it is a policy or not."""
    headers = {"origin": "http://127.0.0.1:8080", "content-type": "application/x-www-form-urlencoded"}
    for number, text in enumerate(HOSTILE):
        deed = ("check", "explain", "replay")[number % 3]
        form = {"policy": f"rules:\n- level: {text}\n", "do": deed, "request": text, "user": text, "groups": text}
        body = urlencode(form, errors="surrogatepass").encode()
        answer = door.look("/policy", method="POST", headers=headers, body=body)
        assert answer.status in {200, 400}
        assert read(answer.text) == [], text


def test_twins_hold_the_same_text_as_json(door: Door) -> None:
    """Every twin is JSON that can be read, whatever is in the log."""
    for target in ("/log.json", "/request.json?uid=attack-3", "/who.json?user=" + quote(HOSTILE[0])):
        answer = door.look(target)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json


def test_what_hides_is_spelled(door: Door) -> None:
    """Characters that reorder, hide or break lines are spelled out wherever they show."""
    text = "".join(door.look(target).text for target in ("/log", "/who", *targets()[:30]))
    for char in "\u202e\u200b\u2066\ufeff\x1b\x00\x7f\U000e0001":
        assert char not in text
    assert "\\u202e" in text


def test_nothing_runs_and_nothing_breaks_in_a_browser(path: Path) -> None:
    """In Chromium no script of a log runs, nothing is fetched from elsewhere, and no page grows out of its window."""
    needs_browser()
    with browser() as started, serving("-f", path) as served, visiting(started, served, viewport=NARROW) as visit:
        visit.page.add_init_script("Object.defineProperty(window, 'ran', {set() { alert('ran'); }})")
        pages = ["/log", "/who", *(f"/request?uid=attack-{number}" for number in range(len(HOSTILE) // AT_ONCE))]
        pages += [links.to_user(text) for text in HOSTILE[::20] if text]
        pages += [links.to_object("", "pods", "shop", text) for text in HOSTILE[2::20]]
        for target in filter(None, pages):
            page = visit.go(target)
            for folded in page.locator("details").all():
                folded.evaluate("element => { element.open = true; }")
            assert looked_over(page) == [], target
        page = visit.go("/log")
        while (older := page.get_by_role("link", name="Older")).count():
            older.click()
            page.wait_for_load_state()
            assert looked_over(page) == []

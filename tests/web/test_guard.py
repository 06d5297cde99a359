from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ask.logs import event, log
from decklog.web.scanned import Files
from web.web_client import Door, ask

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(Files([str(log(tmp_path / "audit.log", event()))]))


def test_the_printed_address_opens_one_session_and_is_spent(door: Door) -> None:
    """A token leads to a page without it and sets a cookie that scripts and other sites never get; once."""

    async def visits() -> None:
        token = door.tokens[-1]
        first = await ask(door.app, f"/log?verb=delete&token={token}")
        again = await ask(door.app, f"/log?token={token}")
        assert (first.status, first.headers["location"]) == (303, "/log?verb=delete")
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        seen = await ask(door.app, "/log", headers={"cookie": cookie.partition(";")[0]})
        assert seen.status == 200
        assert again.status == 401
        assert len(door.tokens) == 2, "the next address is announced"

    asyncio.run(visits())


REFUSED: dict[str, tuple[str, dict[str, str], int]] = {
    "a name that was made to point here": ("/log", {"host": "evil.example:8080"}, 421),
    "no name at all": ("/log", {"host": ""}, 421),
    "a name that only begins as ours": ("/log", {"host": "127.0.0.1.evil.example"}, 421),
    "another site's script": ("/log", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, 403),
    "another site's image": ("/log", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
    "another port's script": ("/log", {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
    "another site's frame": (
        "/log",
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        403,
    ),
    "an address longer than anybody needs": ("/log?text=" + "x" * 20_000, {}, 414),
    "our name with another one behind it": ("/log", {"host": "127.0.0.1:x@evil.example"}, 421),
    "our address with a name behind it": ("/log", {"host": "[::1]evil.example"}, 421),
    "more fields than anybody needs": ("/log?" + "&".join(["verb=get"] * 300), {}, 400),
}


@pytest.mark.parametrize(("target", "headers", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_who_comes_the_wrong_way_is_refused_even_with_a_session(
    door: Door, target: str, headers: dict[str, str], status: int
) -> None:
    """A session does not help a request that is not the reader's own."""
    assert door.look(target, headers=headers).status == status


POSTS: dict[str, dict[str, str]] = {
    "no origin": {},
    "another origin": {"origin": "http://evil.example"},
    "our name on another port": {"origin": "http://127.0.0.1:9999"},
    "an opaque origin": {"origin": "null"},
    "told to be of another site": {"origin": "http://127.0.0.1:8080", "sec-fetch-site": "cross-site"},
}


@pytest.mark.parametrize("headers", POSTS.values(), ids=POSTS.keys())
def test_forms_of_other_origins_are_refused(door: Door, headers: dict[str, str]) -> None:
    """What is posted has to come from a page of ours."""
    answer = door.look("/log", method="POST", headers=headers, body=b"x=1")
    assert answer.status == 403


def test_a_link_from_elsewhere_shows_nothing_until_the_reader_goes_on(door: Door) -> None:
    """A visit from another site has no session; the page in between leads on, within this site."""
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = asyncio.run(ask(door.app, "/log?user=alice", headers=headers))
    assert answer.status == 200
    assert 'href="/log?user=alice"' in answer.text
    assert "deployments" not in answer.text


@pytest.mark.parametrize(
    "target", ["/log", "/log.json", "/static/none.css", "/nowhere", "/log?verb=%ff", "/log/live?code=x"]
)
def test_every_answer_carries_the_policy(door: Door, target: str) -> None:
    """No page runs or loads what is not ours, whatever it answers."""
    answer = door.look(target)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"


def test_without_a_session_nothing_of_the_log_is_said(door: Door) -> None:
    """The pages, their twins, the sheet and the live tail all ask who is there."""

    async def visits() -> None:
        for target in ("/", "/log", "/log.json", "/log.csv", "/log/live", "/log?user=alice"):
            answer = await ask(door.app, target)
            assert answer.status == 401, target
            assert b"deployments" not in answer.body

    asyncio.run(visits())


def test_a_session_is_found_among_the_cookies_of_others(door: Door) -> None:
    """Other servers of this host set cookies of any shape; those hide no session."""
    cookie = door.cookie

    async def visits() -> None:
        for beside in ('foo={"a":1}', "a b@c,d", "[x]", "=", '"', "decklog-8080=forged"):
            answer = await ask(door.app, "/log", headers={"cookie": f"{beside}; {cookie}; {beside}"})
            assert answer.status == 200, beside

    asyncio.run(visits())


ONWARD: dict[str, tuple[str, str]] = {
    "another host": ("//evil.example/x", "/evil.example/x"),
    "another host for browsers": ("/\\evil.example", "/evil.example"),
    "a name with a slash and a question mark": ("/objects/core/configmaps/shop/a%2Fb%3Fc", ""),
    "a name with line feeds": ("/objects/core/configmaps/shop/%0d%0aSet-Cookie:%20a=b", ""),
    "a name of another script": ("/objects/core/configmaps/shop/%C3%BC", ""),
}


@pytest.mark.parametrize(("path", "leads"), ONWARD.values(), ids=ONWARD.keys())
def test_whoever_is_led_on_stays_here_and_comes_where_they_wanted(door: Door, path: str, leads: str) -> None:
    """Neither a link from elsewhere nor an address with a token leads to another site or another object."""
    elsewhere = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    asked = asyncio.run(ask(door.app, path, headers=elsewhere))
    opened = asyncio.run(ask(door.app, f"{path}?token={door.tokens[-1]}"))
    assert f'href="{leads or path}"' in asked.text
    assert (opened.status, opened.headers["location"]) == (303, leads or path)


def test_too_many_fields_without_a_session_are_refused_as_anything_else(door: Door) -> None:
    """A door that cannot read a question still answers with a page, and with its policy."""
    answer = asyncio.run(ask(door.app, "/log?" + "&".join(["verb=get"] * 300)))
    assert answer.status == 401
    assert answer.headers["content-security-policy"]


@pytest.mark.parametrize(("method", "target"), [("GET", "/static/a/b"), ("HEAD", "/static/"), ("POST", "/static/x")])
def test_nothing_but_files_is_open_to_everybody(door: Door, method: str, target: str) -> None:
    """What only looks like a file says nothing of the log, not even its name."""
    answer = asyncio.run(ask(door.app, target, method=method, headers={"authorization": "x"}))
    assert answer.status in {401, 404}
    assert b"audit.log" not in answer.body


def test_a_wrong_method_is_told_the_right_ones(door: Door) -> None:
    """405 says what is allowed."""
    answer = door.look("/log", method="PUT", headers={"origin": "http://127.0.0.1:8080"})
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]


def test_the_head_of_the_live_tail_ends_at_once(door: Door) -> None:
    """Whoever asks for the headers alone does not follow."""
    answer = door.look("/log/live", method="HEAD")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body == b""


def test_a_forged_session_is_none(door: Door) -> None:
    """A cookie that was never given opens nothing, however odd it is."""
    values: list[Any] = ["x" * 43, "", '"', "a=b; c", "decklog-8080=", "\u00ff"]

    async def visits() -> None:
        for value in values:
            answer = await ask(door.app, "/log", headers={"cookie": f"decklog-8080={value}".encode().decode("latin-1")})
            assert answer.status == 401

    asyncio.run(visits())

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ask.logs import event, lines
from decklog.audit.event import User
from web.browsing import NARROW, WIDE, Visit, browser, needs_browser, screenshot, serving, visiting
from web.looking_over import looked_over
from web.scenery import write_morning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from web.browsing import Served

pytestmark = pytest.mark.journey

PAGES: dict[str, str] = {
    "log": "/log",
    "log-asked": "/log?verb=delete&verb=patch&humans=1",
    "log-nothing": "/log?user=nobody",
    "log-unread": "/log?since=yesterdayish",
    "object": "/objects/apps/deployments/shop/web",
    "object-unknown": "/objects/core/pods/shop/none",
    "user": "/who?user=bob%40example.com",
    "users": "/who",
    "user-unknown": "/who?user=nobody",
    "policy": "/policy",
    "status": "/status",
}
REFUSED = {"/log?since=yesterdayish": 400}
POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  users: ["system:kube-scheduler"]
- level: Metadata
- level: Request
  resources: [{group: "", resources: ["secrets"]}]
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_morning(tmp_path_factory.mktemp("web") / "audit.log")


@pytest.fixture(scope="module")
def served(log: Path) -> Iterator[Served]:
    needs_browser()
    with serving("-f", log.name, folder=log.parent) as one:
        yield one


@pytest.fixture
def visit(chromium: Browser, served: Served) -> Iterator[Visit]:
    with visiting(chromium, served) as one:
        yield one


def test_from_the_log_to_who_deleted_it(visit: Visit) -> None:
    """A reader asks for deletions of people, opens one, and comes to its object and to who did it."""
    page = visit.page
    assert "token" not in page.url
    page.get_by_label("Verb").fill("delete")
    page.get_by_label("Name", exact=True).fill("web")
    page.get_by_label("Name", exact=True).press("Enter")
    page.wait_for_url(re.compile(r"/log\?verb=delete&name=web$"))
    assert page.locator("#requests tbody tr").count() == 1
    assert "decklog query -f" in page.locator(".cli code").inner_text()
    page.locator("#requests td.time a").click()
    page.wait_for_url(re.compile("/request"))
    assert "acting as system:serviceaccount:shop:deployer" in page.locator(".six").inner_text()
    page.get_by_role("link", name="The life of deployments/web").click()
    page.wait_for_url(re.compile("/objects/apps/deployments/shop/web"))
    assert page.locator(".deeds > li").count() == 5
    page.locator(".deeds > li", has_text="bob@example.com patched").get_by_role("link", name="as it was then").click()
    assert "1.28.0-rc1" in page.locator("#manifest pre").inner_text()
    page.locator(".deeds .by").first.click()
    page.wait_for_url(re.compile(r"/who\?user=bob"))
    assert page.locator("h1").inner_text() == "bob@example.com"
    assert "sh -c env" in page.locator("main").inner_text()


def test_a_stretch_of_the_histogram_is_brushed(visit: Visit) -> None:
    """Dragging over bars asks for their time; a single bar is a link; chips take filters back."""
    page = visit.go("/log")
    box = page.locator(".histogram svg").bounding_box()
    assert box is not None
    before = int(page.locator(".total b").inner_text().replace(",", ""))
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("after=.*until="))
    brushed = int(page.locator(".total b").inner_text().replace(",", ""))
    assert 0 < brushed < before
    page.locator(".chips .clear a").click()
    page.wait_for_url(re.compile("/log$"))
    page.locator(".histogram svg a").nth(20).click()
    page.wait_for_url(re.compile("after=.*until="))


def test_the_histogram_is_brushed_with_the_keyboard(visit: Visit) -> None:
    """Arrows move over the bars, with Shift they stretch, Enter asks."""
    page = visit.go("/log")
    page.locator(".histogram svg a").first.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url(re.compile("after=.*until="))


def test_facets_narrow_down_and_leave_out(visit: Visit) -> None:
    """A value is asked for, and another left out; the table follows."""
    page = visit.go("/log")
    page.locator(".set", has_text="Namespace").get_by_role("link", name="shop", exact=True).click()
    page.wait_for_url(re.compile("namespace=shop"))
    assert set(page.locator("#requests td.namespace").all_inner_texts()) == {"shop"}
    page.get_by_role("link", name="Leave out get").click()
    page.wait_for_url(re.compile("verb=-get"))
    assert "get" not in page.locator("#requests td.verb").all_inner_texts()
    page.get_by_role("link", name="Older").click()
    page.wait_for_url(re.compile("before="))
    page.get_by_role("link", name="Newest").click()


def test_a_policy_is_loaded_judged_and_tried(visit: Visit, tmp_path: Path) -> None:
    """A file is loaded, its finding stands at its line, a request is explained, and the log replayed."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    page = visit.go("/policy")
    page.get_by_label("Load a file").set_input_files(path)
    page.wait_for_function("document.querySelector('#f-policy').value.includes('kube-scheduler')")
    page.get_by_role("button", name="Check", exact=True).click()
    assert "never" in page.locator("#L7 .remark").first.inner_text()
    page.get_by_label("As kubectl spells it").fill("create pods/exec web-0 -n shop")
    page.get_by_role("button", name="Explain", exact=True).click()
    assert "This rule decides." in page.locator("#L6").inner_text()
    page.get_by_role("button", name="Replay", exact=True).click()
    assert "it would keep" in page.get_by_role("region", name="Replayed").inner_text()


def test_status_is_told(visit: Visit) -> None:
    """How old the newest event is stands there, and that a log which is not written any more is silent."""
    page = visit.page
    page.get_by_role("link", name="Status").click()
    page.wait_for_url(re.compile("/status$"))
    assert "audit.log" in page.locator("main").inner_text()
    assert "silent since" in page.locator(".warning").inner_text()


def test_what_comes_is_shown_as_it_comes(chromium: Browser, tmp_path: Path) -> None:
    """Following shows a request within a second of its line; its text is text."""
    path = tmp_path / "audit.log"
    path.write_bytes(lines([event()]))
    with serving("-f", path) as one, visiting(chromium, one) as visit:
        page = visit.page
        page.get_by_role("button", name="Follow").click()
        page.get_by_role("button", name="Following", exact=True).wait_for()
        with path.open("ab") as file:
            file.write(lines([event(audit_id="new", user=User("<img src=x onerror=alert(1)>"))]))
        page.locator("#requests tr.fresh").wait_for(timeout=5_000)
        assert page.locator("#requests tr.fresh td.who").inner_text() == "<img src=x onerror=alert(1)>"
        page.get_by_role("button", name="Following", exact=True).click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [NARROW, WIDE, {"width": 2560, "height": 1200}], ids=["400", "1400", "2560"])
def test_pages_are_fit_to_be_read(chromium: Browser, served: Served, viewport: dict[str, int], scheme: str) -> None:
    """Labels, names, contrast and room are as they should be on every page, at every width, in light and dark."""
    with visiting(chromium, served, viewport=viewport, color_scheme=scheme) as visit:
        for name, target in PAGES.items():
            page = visit.go(target, REFUSED.get(target, 200))
            assert looked_over(page) == [], name
            if viewport != NARROW or scheme == "light":
                screenshot(page, f"{name}-{viewport['width']}-{scheme}")
        page = visit.go("/log?verb=delete&name=web")
        page.locator("#requests td.time a").first.click()
        assert looked_over(page) == []
        screenshot(page, f"request-{viewport['width']}-{scheme}")
        for deed in ("Explain", "Replay"):
            page = visit.go("/policy")
            page.get_by_label("The policy, YAML or JSON").fill(POLICY)
            page.get_by_label("As kubectl spells it").fill("list secrets -A")
            page.get_by_role("button", name=deed, exact=True).click()
            assert looked_over(page) == [], deed
            screenshot(page, f"policy-{deed.lower()}-{viewport['width']}-{scheme}")


def test_everything_works_without_script(chromium: Browser, served: Served) -> None:
    """Without JavaScript the same journey is there: forms, bars, facets, pages."""
    with visiting(chromium, served, java_script_enabled=False) as visit:
        page = visit.go("/log")
        page.get_by_label("Who").fill("bob*")
        page.get_by_role("button", name="Show").click()
        assert page.locator("#requests tbody tr").count() > 5
        page.locator(".histogram svg a").last.click(force=True)
        assert "after=" in page.url
        page.locator("#requests td.who a").first.click()
        assert page.locator("h1").inner_text() == "bob@example.com"
        assert page.get_by_role("button", name="Follow").count() == 0
        page.get_by_role("link", name="Policy").click()
        page.get_by_label("The policy, YAML or JSON").fill(POLICY)
        page.get_by_role("button", name="Check", exact=True).click()
        assert page.locator("#L7 .remark").count() > 0
        assert not page.get_by_label("Load a file").is_visible()


@pytest.mark.parametrize("target", PAGES.values(), ids=PAGES.keys())
def test_a_page_is_light(visit: Visit, target: str) -> None:
    """A page with everything that it loads weighs 150 KB at most."""
    sizes: list[int] = []
    visit.page.on("response", lambda answer: sizes.append(len(answer.body())))
    visit.go(target, REFUSED.get(target, 200))
    visit.page.wait_for_load_state("networkidle")
    assert 0 < sum(sizes) <= 150_000

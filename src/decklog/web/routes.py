"""Routes: the pages there are. A line a page, in the order of the navigation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from decklog.web.pages import log, objects, policy, request, status, who

if TYPE_CHECKING:
    from decklog.web.asking import Page

PAGES: Final[tuple[Page, ...]] = (log.PAGE, request.PAGE, objects.PAGE, who.PAGE, policy.PAGE, status.PAGE)

"""The application: each page at its address, its twin in JSON beside it, the live tail, and the files of all pages.

A page's value is made in a thread, under a deadline, `limits.AT_ONCE` at a time; template and twin show the same value.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from decklog.errors import DecklogError
from decklog.web import limits, search
from decklog.web.asking import Asked, FieldError, Fields, Page, RefusedError
from decklog.web.guard import READER, Guard, Refusal, Sessions, onward_from
from decklog.web.live import Live
from decklog.web.rendering import STATIC, Rendering, as_json
from decklog.web.routes import PAGES
from decklog.web.sheet import sheet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from starlette.requests import Request

    from decklog.web.data import Data
    from decklog.web.guard import Access, Scope
    from decklog.web.reading import Readings

JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
STREAM: Final = "text/event-stream"
TWIN: Final = ".json"
FORM_BYTES: Final = 1 << 20
"""Of a posted form: a policy may be long."""
FORM_S: Final = 20.0
"""How long a form may take to come."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class Pages:
    """The pages over one log or store."""

    def __init__(
        self,
        data: Data,
        readings: Readings,
        *,
        settings: Mapping[str, Any] | None = None,
        pages: Sequence[Page] = PAGES,
        clock: Callable[[], datetime] = _now,
        answer_s: float = limits.ANSWER_S,
        form_s: float = FORM_S,
    ) -> None:
        self._data = data
        self._readings = readings
        self._settings = settings or {}
        self._pages = pages
        self._clock = clock
        self._answer_s = answer_s
        self._form_s = form_s
        self._rendering = Rendering()
        self._turns = asyncio.Semaphore(limits.AT_ONCE)
        self._live = Live(data)

    def guarded(self, access: Access, sessions: Sessions | None = None) -> Guard:
        """Give the ASGI application, with its guard."""
        return Guard(self.application(), access, sessions or Sessions(), self.refusal)

    def application(self) -> Starlette:
        """Give the application without its guard; whoever is let in stands in the scope."""
        routes = [
            Route("/", self._home),
            Route(STATIC + "{name}", self._file),
            Route("/log/live", self._follow),
            Route("/log.csv", self._sheet),
        ]
        for page in self._pages:
            endpoint = functools.partial(self._page, page)
            methods = ["GET", "POST"] if page.posts else ["GET"]
            routes += [Route(page.path, endpoint, methods=methods), Route(page.path + TWIN, endpoint, methods=methods)]
            if page.deep:
                routes.append(Route(page.path + "/{rest:path}", endpoint, methods=methods))
        return Starlette(
            routes=routes,
            exception_handlers={404: self._missing, 405: self._missing, Exception: self._broken},
            lifespan=lambda _: self.life(),
        )

    @contextlib.asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """Record what is read, for as long as the block runs; then what was noted is handed over."""
        recording = asyncio.create_task(self._readings.run())
        try:
            yield
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._readings.drained(), 2)
            recording.cancel()

    def stop(self) -> None:
        """End what streams."""
        self._live.stop()

    async def _home(self, request: Request) -> Response:
        del request
        return RedirectResponse("/log", 303)

    async def _file(self, request: Request) -> Response:
        found = self._rendering.static.find(request.url.path)
        if found is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        return Response(found[1], media_type=found[0], headers={"cache-control": "public, max-age=31536000, immutable"})

    async def _follow(self, request: Request) -> Response:
        try:
            asked = await self._asked(request, ())
            wanted = search.wanted(asked.fields.without("until"), asked.now)
        except DecklogError as error:
            return self._refused(request, _refusal(error), is_twin=True)
        if request.method == "HEAD":  # there is no end to wait for
            return Response(media_type=STREAM)
        self._note(request, 200, "live")
        return self._live.stream(wanted)

    async def _sheet(self, request: Request) -> Response:
        try:
            asked = await self._asked(request, ())
            name, pieces = await self._in_turn(request, sheet, asked)
        except DecklogError as error:
            return self._refused(request, _refusal(error), is_twin=False)
        self._note(request, 200, "csv")
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(pieces, media_type="text/csv; charset=utf-8", headers=headers)

    async def _missing(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        title = "There is no such page." if status == 404 else "This page cannot be asked in that way."
        refused = RefusedError(status, title, "The pages are in the line at the top.")
        answer = self._refused(request, refused, is_twin=request.url.path.endswith(TWIN))
        answer.headers.update(getattr(error, "headers", None) or {})  # of 405: what is allowed
        return answer

    async def _page(self, page: Page, request: Request) -> Response:
        segments, is_twin = _segments(page, request)
        try:
            asked = await self._asked(request, segments)
            value = await self._in_turn(request, page.make, asked)
        except DecklogError as error:
            answer = self._refused(request, _refusal(error), is_twin=is_twin)
        except Exception as error:  # noqa: BLE001  # because: one page that is broken must not take its reason to the reader
            answer = await self._broken(request, error)
        else:
            status = getattr(value, "status", 200)
            if is_twin:
                answer = Response(as_json(value), status, media_type=JSON)
            else:
                values = self._frame(request, page) | {"page": value, "fields": asked.fields}
                answer = Response(self._rendering.html(page.template, values), status, media_type=HTML)
        self._note(request, answer.status_code, "json" if is_twin else "page")
        return answer

    async def _asked(self, request: Request, segments: tuple[str, ...]) -> Asked:
        return Asked(
            data=self._data,
            fields=Fields.parse(request.scope["query_string"].decode("latin-1")),
            now=self._clock(),
            deadline=limits.Deadline(self._answer_s),
            segments=segments,
            form=await _form(request, self._form_s) if request.method == "POST" else Fields(),
            reader=request.scope.get(READER, ""),
            settings=self._settings,
        )

    async def _in_turn(self, request: Request, make: Callable[[Asked], Any], asked: Asked) -> Any:
        """Make a page's value in a thread, when its turn comes; for who has gone meanwhile, nothing is made."""
        try:
            await asyncio.wait_for(self._turns.acquire(), limits.WAIT_S)
        except TimeoutError:
            raise RefusedError(
                503, "Too many questions are being answered just now.", "Ask again in a moment."
            ) from None
        try:
            if await request.is_disconnected():
                raise RefusedError(503, "Nobody waits for this any more.")
            return await _while_waited_for(request, asked.deadline, run_in_threadpool(make, asked))
        finally:
            self._turns.release()

    def _frame(self, request: Request | None, page: Page | None = None) -> dict[str, Any]:
        """Give what every template may show."""
        return {
            "title": page.title if page else "",
            "here": page.path if page else "",
            "pages": [one for one in self._pages if one.title],
            "source": self._data.title,
            "reader": request.scope.get(READER, "") if request else "",
            "twin": _twin(request) if page and request else "",
            "recorded": self._readings.recorded,
        }

    def _refused(self, request: Request, error: RefusedError, *, is_twin: bool) -> Response:
        if is_twin:
            body = as_json({"error": error.title, "advice": error.advice})
            return Response(body, error.status, media_type=JSON)
        values = self._frame(request) | {"error": error, "title": "Not shown"}
        return Response(self._rendering.html("refused.html", values), error.status, media_type=HTML)

    def refusal(self, refusal: Refusal, scope: Scope) -> bytes:
        """Make a page of what the guard refuses."""
        if scope["path"].endswith(TWIN):
            return as_json({"error": refusal.title, "advice": refusal.advice})
        target = onward_from(scope)
        return self._rendering.html("door.html", {"refusal": refusal, "target": target, "title": "decklog"})

    async def _broken(self, request: Request, error: Exception) -> Response:
        logger.error("a page could not be made", exc_info=error)
        refused = RefusedError(
            500, "This page is broken.", "The terminal where decklog web runs says why; please report it."
        )
        return self._refused(request, refused, is_twin=request.url.path.endswith(TWIN))

    def _note(self, request: Request, status: int, kind: str) -> None:
        query = request.scope["query_string"].decode("latin-1")
        self._readings.note(
            request.scope.get(READER, ""),
            request.scope["raw_path"].decode("latin-1") + ("?" + query if query else ""),
            status,
            kind=kind,
            source=request.client.host if request.client else "",
            agent=request.headers.get("user-agent", ""),
            verb="get" if request.method in {"GET", "HEAD"} else "create",
        )


def _refusal(error: DecklogError) -> RefusedError:
    """Give what is said of an error: of a field with its name."""
    if isinstance(error, RefusedError):
        return error
    return RefusedError(400, error.named if isinstance(error, FieldError) else str(error))


def _segments(page: Page, request: Request) -> tuple[tuple[str, ...], bool]:
    """Part what follows a page's address, from the raw path: a name may hold an encoded slash."""
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0].removeprefix(page.path)
    if path in {"", TWIN}:
        return (), path == TWIN
    is_twin = path.endswith(TWIN)
    parts = path.removesuffix(TWIN).strip("/").split("/")
    return tuple(unquote_to_bytes(part).decode("utf-8", "surrogateescape") for part in parts), is_twin


def _twin(request: Request) -> str:
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    return "" if request.method == "POST" else f"{path}{TWIN}{'?' + query if query else ''}"


async def _while_waited_for(request: Request, deadline: limits.Deadline, making: Coroutine[Any, Any, T]) -> T:
    """Give what is made; once the client has left, the deadline is ended, and with it the work."""
    work, leaving = asyncio.ensure_future(making), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            deadline.cancel()
        return await work  # because: its thread has its turn until it is over
    finally:
        leaving.cancel()
        if not work.done():  # because: the door closes
            deadline.cancel()
            work.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _form(request: Request, seconds: float) -> Fields:
    """Read a posted form (``application/x-www-form-urlencoded``), up to a size, and while there is time."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > FORM_BYTES:
                    raise RefusedError(413, "This is too much to post.", f"Post {FORM_BYTES >> 20} MiB at most.")
    except TimeoutError:
        raise RefusedError(408, f"The form did not come within {seconds:g} s.", "Post it again.") from None
    except ClientDisconnect:
        raise RefusedError(400, "The form was not sent to its end.", "Post it again.") from None
    return Fields.parse(body.decode("utf-8", "replace"))

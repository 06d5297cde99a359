"""Request: one request: the six answers, its stages on one time line, who it was, what it carried, what is near."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.ask.answers import six_answers
from decklog.ask.moments import microtime, seconds_between
from decklog.ask.rows import row
from decklog.audit.event import ObjectReference
from decklog.audit.query import Pattern, Query, is_machine
from decklog.web import links
from decklog.web.asking import Asked, Page, RefusedError
from decklog.web.cells import outcome, short
from decklog.web.documents import SHOWN_MARKUP, Body, body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.ask.requests import Request
    from decklog.ask.rows import Row
    from decklog.audit.event import Event, User

PATH: Final = "/request"
SHORTEST_BEGINNING: Final = 4
"""Characters of an audit ID that may stand for it."""
SHOWN: Final = 10
AROUND: Final = timedelta(minutes=5)
_SENTENCE: Final = 4000
"""Characters of an answer, of one request."""
_NOTHING: Final = ObjectReference()


class Sentence(Struct, frozen=True):
    """One of the six answers."""

    question: str
    text: str


class StageSeen(Struct, frozen=True, rename="camel"):
    """One stage."""

    stage: str
    time: str | None
    after_seconds: float | None
    """Since receipt."""
    place: float
    """On the time line, 0 to 100."""
    where: str


class Person(Struct, frozen=True):
    """A user, as the event has it."""

    title: str
    username: str
    uid: str
    groups: tuple[str, ...]
    extra: dict[str, str]
    machine: bool
    href: str


class Shown(Struct, frozen=True, rename="camel"):
    """One request."""

    request: Row
    outcome: str
    answers: tuple[Sentence, ...]
    stages: tuple[StageSeen, ...]
    people: tuple[Person, ...]
    bodies: tuple[Body, ...]
    annotations: dict[str, str]
    holds: tuple[str, ...]
    """What the record has, and what it has not."""
    near: tuple[tuple[str, str], ...]
    """Words and addresses."""


class RequestPage(Struct, frozen=True, rename="camel"):
    """The page."""

    uid: str
    requests: tuple[Shown, ...]
    number: int
    """With this audit ID; clients may choose it, so there may be several."""
    command: str


def make(asked: Asked) -> RequestPage:
    """Find a request by its audit ID."""
    uid = asked.fields.one("uid")
    if not uid:
        raise RefusedError(400, "Which request?", "Choose one in the log: its time leads to it.")
    found = _found(asked, uid)
    if not found:
        raise RefusedError(404, f"No request has the audit ID {uid[:100]}.", "It may be in another log or store.")
    command = links.command(("decklog", "show", uid, *asked.data.arguments))
    shown = found[:SHOWN]
    return RequestPage(uid, tuple(_shown(one, 1 / len(shown)) for one in shown), len(found), command)


def _found(asked: Asked, uid: str) -> list[Request]:
    cluster = asked.fields.one("cluster") or None
    exact, near = Pattern(uid), Pattern(uid, prefix=True)
    if received := asked.fields.one("at"):
        window = Query(audit_ids=(exact,), after=received, until=_just_after(received))
        if found := list(asked.data.requests((window,), asked.deadline, cluster)):
            return found
    if found := list(asked.data.requests((Query(audit_ids=(exact,)),), asked.deadline, cluster)):
        return found
    if len(uid) < SHORTEST_BEGINNING:
        return []
    return list(asked.data.requests((Query(audit_ids=(near,)),), asked.deadline, cluster))


def _just_after(received: str) -> str:
    try:
        return microtime(datetime.fromisoformat(received).astimezone(UTC) + timedelta(microseconds=1))
    except (ValueError, OverflowError):
        return received


def _shown(request: Request, share: float) -> Shown:
    """Show one request; `share`: what it may take of the page's room."""
    event = request.latest.event
    found = row(request)
    return Shown(
        request=found,
        outcome=outcome(found),
        answers=tuple(Sentence(one.question, _cut(one.text, int(_SENTENCE * share))) for one in six_answers(request)),
        stages=tuple(_stages(request)),
        people=tuple(_people(event)),
        bodies=tuple(_bodies(request, int(SHOWN_MARKUP * share))),
        annotations=dict(event.annotations),
        holds=tuple(_holds(request)),
        near=tuple(_near(found)),
    )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text) - longest:,} characters more)"


def _stages(request: Request) -> Iterator[StageSeen]:
    afters = [
        max(0.0, seconds_between(seen.event.request_received_timestamp, seen.event.stage_timestamp) or 0.0)
        for seen in request.stages
    ]
    longest = max(afters) or 1.0
    for seen, after in zip(request.stages, afters, strict=True):
        event = seen.event
        known = event.stage_timestamp is not None and event.request_received_timestamp is not None
        where = f"{seen.file}:{seen.number}"
        yield StageSeen(
            event.stage, event.stage_timestamp, after if known else None, round(100 * after / longest, 2), where
        )


def _people(event: Event) -> Iterator[Person]:
    acting = event.impersonated_user
    yield _person("Authenticated as" if acting is not None else "Who", event.user)
    if acting is not None:
        yield _person("Acting as", acting)


def _person(title: str, user: User) -> Person:
    extra = {key: ", ".join(values or ()) for key, values in user.extra.items()}
    href = links.to_user(user.username)
    return Person(title, user.username, user.uid, user.groups, extra, is_machine(user), href)


def _bodies(request: Request, room: int) -> Iterator[Body]:
    for attribute, title in (("request_object", "What was sent"), ("response_object", "What was answered")):
        for seen in reversed(request.stages):
            secret = (seen.event.object_ref or _NOTHING).resource == "secrets"
            if (found := body(title, getattr(seen.event, attribute), secret=secret, room=room)) is not None:
                yield found
                break


def _holds(request: Request) -> Iterator[str]:
    """Say what the record covers, so that nobody takes a gap for "nothing"."""
    event = request.latest.event
    yield f"Recorded at level {event.level}: " + {
        "Metadata": "who, what and how it ended; no bodies.",
        "Request": "with what was sent, without what was answered.",
        "RequestResponse": "with what was sent and answered.",
    }.get(event.level, "a level that Kubernetes does not know.")
    seen = [one.event.stage for one in request.stages]
    missing = [stage for stage in ("RequestReceived", "ResponseComplete") if stage not in seen]
    if not request.ended:
        yield "Its end is not in the log: it may be under way, or the end was lost or left out by the policy."
    elif "RequestReceived" in missing:
        yield "Its receipt was not recorded as an event of its own; the time of receipt is known all the same."


def _near(found: Row) -> Iterator[tuple[str, str]]:
    window = _around(found.time)
    if term := links.as_term("user", found.user) if found.user else "":
        yield "Everything this user did around then", links.to("/log", [("user", term), *window])
    if href := links.to_user(found.user):
        yield "All of this user", href
    if href := links.to_row_object(found):
        yield f"The life of {short(found.what, 80)}", href
    if term := links.as_term("namespace", found.namespace) if found.namespace else "":
        yield f"All around then in {short(found.namespace, 80)}", links.to("/log", [("namespace", term), *window])
    if found.source_ip and links.as_term("source-ip", found.source_ip):
        yield (
            f"All around then from {short(found.source_ip, 80)}",
            links.to("/log", [("source-ip", found.source_ip), *window]),
        )


def _around(time: str | None) -> list[tuple[str, str]]:
    try:
        when = datetime.fromisoformat(time or "").astimezone(UTC)
        return [("after", microtime(when - AROUND)), ("until", microtime(when + AROUND))]
    except (ValueError, OverflowError):
        return []


PAGE: Final = Page(PATH, "request.html", make, "")

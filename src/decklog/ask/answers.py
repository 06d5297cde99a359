"""The six answers about one request: who, when, in which namespace, from where, what was the response, what happened.

Sentences for people, made from all stages of the request. The text in them is foreign: whoever shows it escapes it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from decklog.ask.moments import in_words, seconds_between
from decklog.ask.rows import duration_seconds, is_dry_run, parameters
from decklog.ask.words import past
from decklog.audit.event import ObjectReference, Stage
from decklog.audit.query import COLLECTION_VERBS, object_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.ask.requests import Request
    from decklog.audit.event import Event, User

_DECISION: Final = "authorization.k8s.io/decision"
_REASON: Final = "authorization.k8s.io/reason"
_EXTRA: Final = "authentication.kubernetes.io/"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_NOTHING: Final = ObjectReference()


class Answer(NamedTuple):
    """One of the six."""

    question: str
    text: str


def six_answers(request: Request) -> list[Answer]:
    """Answer the six questions about `request`, in their order."""
    event = request.latest.event
    return [
        Answer("Who", _who(event)),
        Answer("When", _when(request)),
        Answer("Which namespace", _where_to(event)),
        Answer("From where", _from_where(event)),
        Answer("What response", _response(request)),
        Answer("What happened", " ".join(_happening(request))),
    ]


def _who(event: Event) -> str:
    if not event.user.username:
        return "Nobody known: the request was not authenticated."
    text = _person(event.user)
    if event.impersonated_user is None:
        return f"{text}."
    constraint = event.authentication_metadata.impersonation_constraint if event.authentication_metadata else ""
    allowed = f", allowed by {constraint}" if constraint else ""
    return f"{text}, acting as {_person(event.impersonated_user)}{allowed}. The rights were those of the latter."


def _person(user: User) -> str:
    details = [f"groups {', '.join(user.groups)}"] if user.groups else []
    details += [f"uid {user.uid}"] if user.uid else []
    details += [f"{key.removeprefix(_EXTRA)} {', '.join(values or ())}" for key, values in user.extra.items()]
    return f"{_called(user.username)}{' (' + '; '.join(details) + ')' if details else ''}"


def _called(username: str) -> str:
    if username == "system:anonymous":
        return "system:anonymous, nobody logged in"
    namespace, colon, name = username.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if username.startswith(_SERVICE_ACCOUNT) and colon:
        return f"{username}, the service account {name} of namespace {namespace}"
    return username or "nobody"


def _when(request: Request) -> str:
    first, last = request.stages[0].event, request.latest.event
    received = f"Received {_utc(last.request_received_timestamp)}"
    if last.stage == Stage.REQUEST_RECEIVED:
        return f"{received}; no later stage is in the log."
    took = duration_seconds(last)
    later = f", {in_words(took)} later" if took is not None else ""
    started = next((seen.event for seen in request.stages if seen.event.stage == Stage.RESPONSE_STARTED), first)
    answered = seconds_between(started.request_received_timestamp, started.stage_timestamp)
    early = f"; the answer began {in_words(answered)} later" if answered and started is not last else ""
    ended = "ended" if request.ended else f"latest stage ({last.stage}), not ended,"
    return f"{received}{early}; {ended} {_utc(last.stage_timestamp)}{later}."


def _utc(time: str | None) -> str:
    if time is None:
        return "at a time that was not recorded"
    return f"{time[:10]} {time[11:-1]} UTC" if time.endswith("Z") and len(time) == 27 else time


def _where_to(event: Event) -> str:
    ref = event.object_ref
    if ref is None:
        return f"None: {event.request_uri.partition('?')[0]} is not a resource."
    details = [f"uid {ref.uid}"] if ref.uid else []
    details += [f"resourceVersion {ref.resource_version}"] if ref.resource_version else []
    known = f" ({', '.join(details)})" if details else ""
    if ref.namespace:
        return f"{ref.namespace}; the object is {_object(event)}{known}."
    reach = (
        "all namespaces, or the object is of the whole cluster" if event.verb in COLLECTION_VERBS else "whole cluster"
    )
    return f"None ({reach}); the object is {_object(event)}{known}."


def _object(event: Event) -> str:
    ref = event.object_ref or _NOTHING
    group = f".{ref.api_group}" if ref.api_group else ""
    kind = f"{ref.resource or 'unknown resource'}{group}"
    name = object_name(event)
    return f"{kind} {name}" if name else f"{kind} (no single one)" if event.verb in COLLECTION_VERBS else kind


def _from_where(event: Event) -> str:
    *claimed, seen = event.source_ips or ("",)
    text = f"{seen}, the address that the server saw." if seen else "No address was recorded."
    if claimed:
        text += f" Claimed by headers of the client or of proxies, not proven: {', '.join(claimed)}."
    called = (
        f" The client calls itself {event.user_agent}." if event.user_agent else " The client does not name itself."
    )
    return text + called


def _response(request: Request) -> str:
    event = request.latest.event
    status = event.response_status
    if status is None:
        return f"None was recorded: the log shows the request up to {event.stage} only."
    text = f"{status.code} {_phrase(status.code)}".strip() if status.code else "No code was recorded"
    text += f", reason {status.reason}" if status.reason and status.reason != _phrase(status.code) else ""
    return f"{text}: {status.message}" if status.message else f"{text}."


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return ""


def _happening(request: Request) -> Iterator[str]:
    event = request.latest.event
    yield f"{_actor(event)} {_deed(event)}."
    if command := parameters(event).get("command"):
        yield f"The command: {' '.join(command)}."
    yield _authorization(event)
    yield from _recorded(event)


def _actor(event: Event) -> str:
    if event.impersonated_user is not None:
        return f"{event.user.username} as {event.impersonated_user.username}"
    return event.user.username or "Somebody"


def _deed(event: Event) -> str:
    subresource = event.object_ref.subresource if event.object_ref else ""
    code = event.response_status.code if event.response_status else 0
    if not 100 <= code < 400 or event.stage == Stage.PANIC:
        verb = f"{event.verb or 'send a request to'}{f' the {subresource} of' if subresource else ''}"
        return f"asked to {verb} {_target(event)}, {_failure(event, code)}"
    if is_dry_run(event):
        return f"tried out, as a dry run, to {event.verb} {_target(event)}; nothing was to be changed"
    return f"{past(event.verb, subresource)} {_target(event)}"


def _target(event: Event) -> str:
    if event.object_ref is None:
        return event.request_uri.partition("?")[0]
    namespace = event.object_ref.namespace
    return f"{_object(event)}{f' in namespace {namespace}' if namespace else ''}"


_FAILURES: Final = {
    0: "and the log does not tell what came of it",
    401: "and was turned away: not authenticated",
    403: "and was refused",
    404: "but there was no such thing",
    409: "but it conflicted with what was there",
    422: "but the server found it invalid",
    429: "but was told to come again later",
}


def _failure(event: Event, code: int) -> str:
    if event.stage == Stage.PANIC:
        return "and the server panicked over it"
    return _FAILURES.get(code) or ("but the server rejected it" if code < 500 else "but the server failed")


def _authorization(event: Event) -> str:
    decision = event.annotations.get(_DECISION)
    if decision is None:
        return "No decision of authorization was recorded."
    reason = event.annotations.get(_REASON)
    return f"Authorization: {decision}{f', {reason}' if reason else ', without a reason'}."


def _recorded(event: Event) -> Iterator[str]:
    """Tell what else the event holds; bodies by size only."""
    for what, body in (("request", event.request_object), ("response", event.response_object)):
        if size := len(bytes(body)):
            yield f"The {what} object is in the log ({size:,} bytes)."
    for key, value in event.annotations.items():
        if key not in {_DECISION, _REASON}:
            yield f"Annotation {key}: {value}."

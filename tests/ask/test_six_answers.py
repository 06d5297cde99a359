from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from ask.logs import event, life, ref
from decklog.ask.answers import six_answers
from decklog.ask.requests import Request, Seen
from decklog.audit.event import AuthenticationMetadata, Event, ObjectReference, Stage, Status, User

RECEIVED, STARTED, COMPLETE, PANIC = Stage
BEGUN = "Received 2026-03-01 10:00:00.000000 UTC"
LOST = Status(code=401)
CONFLICT = Status(code=409)
CLAIMED = "Claimed by headers of the client or of proxies, not proven:"
TARGET = "deployments.apps web in namespace shop"
ASKED = f"alice asked to delete {TARGET}"


def answers(*events: Event) -> dict[str, str]:
    stages = tuple(Seen(seen, "audit.log", number) for number, seen in enumerate(events, start=1))
    return dict(six_answers(Request(stages)))


def answer(question: str, **changes: Any) -> str:
    return answers(event(**changes))[question]


def test_the_six_answers_of_an_ordinary_deletion() -> None:
    """Who, when, where to, where from, what came back and what happened, in sentences."""
    assert answers(*life(RECEIVED, COMPLETE)) == {
        "Who": "alice (groups dev, system:authenticated).",
        "When": "Received 2026-03-01 10:00:00.000000 UTC; ended 2026-03-01 10:00:00.250000 UTC, 250 ms later.",
        "Which namespace": "shop; the object is deployments.apps web.",
        "From where": "10.0.0.7, the address that the server saw. Claimed by headers of the client or of proxies, "
        "not proven: 203.0.113.9. The client calls itself kubectl/v1.36.2.",
        "What response": "200 OK.",
        "What happened": "alice deleted deployments.apps web in namespace shop. "
        "Authorization: allow, RBAC: allowed by Role edit.",
    }


@pytest.mark.parametrize(
    ("changes", "who"),
    [
        ({"user": User()}, "Nobody known: the request was not authenticated."),
        ({"user": User(username="system:anonymous")}, "system:anonymous, nobody logged in."),
        (
            {"user": User(username="system:serviceaccount:shop:robot", uid="u1")},
            "system:serviceaccount:shop:robot, the service account robot of namespace shop (uid u1).",
        ),
        (
            {"user": User(username="a", extra={"authentication.kubernetes.io/pod-name": ("web-0",), "scopes": None})},
            "a (pod-name web-0; scopes ).",
        ),
        (
            {"user": User(username="alice"), "impersonated_user": User(username="bob", groups=("ops",))},
            "alice, acting as bob (groups ops). The rights were those of the latter.",
        ),
        (
            {
                "user": User(username="alice"),
                "impersonated_user": User(username="bob"),
                "authentication_metadata": AuthenticationMetadata("impersonate:user-info"),
            },
            "alice, acting as bob, allowed by impersonate:user-info. The rights were those of the latter.",
        ),
    ],
)
def test_who(changes: dict[str, Any], who: str) -> None:
    """The user with groups and credentials; both users of an impersonation; nobody where nobody logged in."""
    assert answer("Who", **changes) == who


@pytest.mark.parametrize(
    ("events", "when"),
    [
        (life(RECEIVED), f"{BEGUN}; no later stage is in the log."),
        (
            life(RECEIVED, STARTED),
            f"{BEGUN}; latest stage (ResponseStarted), not ended, 2026-03-01 10:00:00.250000 UTC, 250 ms later.",
        ),
        (
            [
                *life(RECEIVED, STARTED),
                *life(COMPLETE, stage_timestamp="2026-03-01T11:02:00.000000Z"),
            ],
            f"{BEGUN}; the answer began 250 ms later; ended 2026-03-01 11:02:00.000000 UTC, 1 h 2 min later.",
        ),
        (
            [event(request_received_timestamp=None, stage_timestamp=None)],
            "Received at a time that was not recorded; ended at a time that was not recorded.",
        ),
    ],
)
def test_when(events: list[Event], when: str) -> None:
    """Receipt, begin of the answer where it is told apart, end and duration; or that it has not ended."""
    assert answers(*events)["When"] == when


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"object_ref": None, "request_uri": "/healthz?x"}, "None: /healthz is not a resource."),
        ({"object_ref": ObjectReference("nodes", name="n1", uid="u", resource_version="7")},
         "None (whole cluster); the object is nodes n1 (uid u, resourceVersion 7)."),
        ({"object_ref": ref("secrets", ""), "verb": "list"},
         "None (all namespaces, or the object is of the whole cluster); the object is secrets (no single one)."),
        ({"object_ref": ref("secrets"), "verb": "list"}, "shop; the object is secrets (no single one)."),
        ({"object_ref": ObjectReference(name="odd")}, "None (whole cluster); the object is unknown resource odd."),
    ],
)  # fmt: skip
def test_which_namespace(changes: dict[str, Any], where: str) -> None:
    """The namespace and the object, or why there is none."""
    assert answer("Which namespace", **changes) == where


@pytest.mark.parametrize(
    ("addresses", "where"),
    [
        (("10.0.0.7",), "10.0.0.7, the address that the server saw."),
        ((), "No address was recorded."),
        (("1.1.1.1", "2.2.2.2", "10.0.0.7"), f"10.0.0.7, the address that the server saw. {CLAIMED} 1.1.1.1, 2.2.2.2."),
    ],
)  # fmt: skip
def test_from_where(addresses: tuple[str, ...], where: str) -> None:
    """Only the last address is what the server saw; the others anybody can claim."""
    assert answer("From where", source_ips=addresses, user_agent="") == f"{where} The client does not name itself."


@pytest.mark.parametrize(
    ("status", "response"),
    [
        (None, "None was recorded: the log shows the request up to ResponseComplete only."),
        (Status(code=201), "201 Created."),
        (Status(code=403, reason="Forbidden", message="no"), "403 Forbidden: no"),
        (Status(code=409, reason="AlreadyExists", message="there"), "409 Conflict, reason AlreadyExists: there"),
        (Status(code=299), "299."),
        (Status(message="Connection closed early"), "No code was recorded: Connection closed early"),
    ],
)
def test_what_response(status: Status | None, response: str) -> None:
    """Code in words, reason where it says more, message; or that none was recorded."""
    assert answer("What response", response_status=status) == response


@pytest.mark.parametrize(
    ("changes", "happened"),
    [
        ({}, f"alice deleted {TARGET}."),
        ({"response_status": Status(code=403)}, f"{ASKED}, and was refused."),
        ({"response_status": Status(code=404)}, f"{ASKED}, but there was no such thing."),
        ({"response_status": Status(code=418)}, f"{ASKED}, but the server rejected it."),
        ({"response_status": Status(code=503)}, f"{ASKED}, but the server failed."),
        ({"response_status": None}, f"{ASKED}, and the log does not tell what came of it."),
        ({"stage": PANIC}, f"{ASKED}, and the server panicked over it."),
        ({"request_uri": "/x?dryRun=All"},
         f"alice tried out, as a dry run, to delete {TARGET}; nothing was to be changed."),
        ({"user": User(), "verb": "get", "object_ref": None, "request_uri": "/version?t", "response_status": LOST},
         "Somebody asked to get /version, and was turned away: not authenticated."),
        ({"impersonated_user": User(username="bob")}, f"alice as bob deleted {TARGET}."),
        ({"verb": "patch", "object_ref": ref("deployments", name="web", subresource="scale")},
         "alice scaled deployments web in namespace shop."),
        ({"verb": "update", "object_ref": ref("pods", name="p", subresource="status"), "response_status": CONFLICT},
         "alice asked to update the status of pods p in namespace shop, but it conflicted with what was there."),
    ],
)  # fmt: skip
def test_what_happened(changes: dict[str, Any], happened: str) -> None:
    """The deed in the past tense if it succeeded, else what was asked and why it came to nothing."""
    assert (
        answer("What happened", annotations={}, **changes) == f"{happened} No decision of authorization was recorded."
    )


def test_what_happened_tells_the_command_and_the_annotations() -> None:
    """A session's command, the authorization, bodies by size, and whatever else was noted."""
    text = answer(
        "What happened",
        verb="create",
        request_uri="/api/v1/namespaces/shop/pods/web-0/exec?command=sh&command=-c&command=id&container=app",
        object_ref=ref("pods", name="web-0", subresource="exec"),
        response_status=Status(code=101),
        request_object=Raw(b"{}"),
        annotations={
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": "",
            "k8s.io/deprecated": "true",
        },
    )
    assert text == (
        "alice ran a command in pods web-0 in namespace shop. The command: sh -c id. Authorization: allow, without a "
        "reason. The request object is in the log (2 bytes). Annotation k8s.io/deprecated: true."
    )

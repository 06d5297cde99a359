"""Reviews: questions about users and permissions, asked as objects that are created and never kept.

Lives here: SelfSubjectReview (`kubectl auth whoami`), the access reviews (`kubectl auth can-i`), TokenReview.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from decklog.audit.event import User
from decklog.sandbox import resources as known
from decklog.sandbox import times
from decklog.sandbox.authorization import Question
from decklog.sandbox.documents import dig, text, texts
from decklog.sandbox.http import Answer
from decklog.sandbox.status import bad_request, invalid, required
from decklog.sandbox.submitted import submitted, write_options

if TYPE_CHECKING:
    from decklog.sandbox.authentication import Authenticator
    from decklog.sandbox.authorization import Authorizer
    from decklog.sandbox.http import Request
    from decklog.sandbox.objects import Object
    from decklog.sandbox.routing import Route
    from decklog.sandbox.times import Clock

REVIEWS: Final = frozenset(
    {
        known.SELF_SUBJECT_REVIEWS,
        known.TOKEN_REVIEWS,
        known.SELF_ACCESS_REVIEWS,
        known.SELF_RULES_REVIEWS,
        known.ACCESS_REVIEWS,
        known.LOCAL_ACCESS_REVIEWS,
    }
)
AUDIENCE: Final = "https://kubernetes.default.svc"


class Reviews:
    """Answers reviews."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer, clock: Clock) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._clock = clock

    async def create(self, request: Request, route: Route) -> Answer:
        """Answer a review: the object as it was asked, with its status."""
        value = await submitted(request, route.resource, write_options(request, "CreateOptions"))
        user = request.user or User()
        metadata: dict[str, Any] = {}
        match route.resource.kind:
            case "SelfSubjectReview":
                metadata = {"creationTimestamp": times.stamp(self._clock())}
                status: dict[str, Any] = {"userInfo": user_info(user)}
            case "TokenReview":
                status = self._token(value)
            case "SelfSubjectRulesReview":
                status = self._rules(user, value)
            case "SelfSubjectAccessReview":
                status = self._access(user, value)
            case _:
                status = self._access(_subject(value), _local(value, route))
        spec = {"spec": value["spec"]} if "spec" in value else {}
        return Answer(
            201,
            {"kind": value["kind"], "apiVersion": value["apiVersion"], "metadata": metadata, **spec, "status": status},
        )

    def _token(self, value: Object) -> dict[str, Any]:
        user = self._authenticator.token_user(text(value, "spec", "token"))
        if user is None:
            return {"user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": user_info(user), "audiences": [AUDIENCE]}

    def _access(self, user: User, value: Object) -> dict[str, Any]:
        verdict = self._authorizer.decide(user, _question(value))
        return {"allowed": verdict.allowed, **({"reason": verdict.reason} if verdict.reason else {})}

    def _rules(self, user: User, value: Object) -> dict[str, Any]:
        namespace = text(value, "spec", "namespace")
        if not namespace:
            raise bad_request("no namespace on request")
        rules = self._authorizer.rules_for(user, namespace)
        return {
            "resourceRules": [rule.rendered() for rule in rules if rule.resources],
            "nonResourceRules": [rule.rendered() for rule in rules if rule.paths],
            "incomplete": False,
        }


def user_info(user: User) -> dict[str, Any]:
    """Render a user as authentication.k8s.io does; what is empty is left out."""
    extra = {key: list(values or ()) for key, values in user.extra.items()}
    fields = {"username": user.username, "uid": user.uid, "groups": list(user.groups), "extra": extra}
    return {key: value for key, value in fields.items() if value}


def _question(value: Object) -> Question:
    spec = value.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise invalid("authorization.k8s.io", value["kind"], "", [required("spec", detail)])
    if path is not None:
        return Question(text(path, "verb"), path=text(path, "path") or "/")
    fields = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Question(*(text(resource, field) for field in fields))


def _subject(value: Object) -> User:
    spec = value.get("spec") or {}
    if not spec.get("user") and not spec.get("groups"):
        detail = "at least one of user or group must be specified"
        raise invalid("authorization.k8s.io", value["kind"], "", [required("spec.user", detail)])
    extra = {key: tuple(values) for key, values in (dig(spec, "extra") or {}).items()}
    return User(text(spec, "user"), text(spec, "uid"), tuple(texts(spec, "groups")), dict(extra))


def _local(value: Object, route: Route) -> Object:
    """Hold a local review to its namespace."""
    if route.resource is not known.LOCAL_ACCESS_REVIEWS:
        return value
    if text(value, "spec", "resourceAttributes", "namespace") != route.namespace:
        raise bad_request(f"spec.resourceAttributes.namespace must match namespace: {route.namespace}")
    return value

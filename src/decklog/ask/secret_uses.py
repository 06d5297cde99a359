"""Secret uses: who touched which secret, how, and how often; one value for each of these.

A list or a watch reaches all secrets of its namespace, or of all, and hands out their values: it is told as such. What
mints a token for a service account hands out a credential as well, so it stands here, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from decklog.ask.bodies import metadata, parsed
from decklog.ask.rows import Row, is_dry_run, row
from decklog.ask.words import past
from decklog.audit.query import COLLECTION_VERBS, Pattern, Query, ResourcePattern, admits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.ask.requests import Request
    from decklog.audit.event import Event

_SECRETS: Final = ResourcePattern(Pattern("secrets"), "")
_TOKENS: Final = ResourcePattern(Pattern("serviceaccounts"), "", Pattern("token"))
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which kubectl apply keeps a copy of all that was applied."""
_KEPT: Final = 5
_USES_KEPT: Final = 100_000


_WIRE: Final = {"source_ips": "sourceIPs", "user_agents": "userAgents", "values_recorded": "valuesRecorded"}


def _wire_name(name: str) -> str:
    return _WIRE.get(name, name)


class SecretUse(Struct, frozen=True, omit_defaults=True, rename=_wire_name):
    """What one user did with one secret, or with all of a namespace."""

    user: str
    impersonated: str
    verb: str
    resource: str
    """``secrets``, or ``serviceaccounts/token``."""
    namespace: str
    name: str
    """Empty: no single one."""
    count: int = 0
    denied: int = 0
    """Of the count those that were refused, failed or tried out; what is not known to have succeeded."""
    first: str = ""
    last: str = ""
    source_ips: tuple[str, ...] = ()
    user_agents: tuple[str, ...] = ()
    values_recorded: int = 0
    """Requests whose bodies in this log hold the values (or the token): the log is itself a secret then."""

    @property
    def who(self) -> str:
        """The user, and as whom."""
        return f"{self.user or '-'}{f' as {self.impersonated}' if self.impersonated else ''}"

    @property
    def did(self) -> str:
        """What was done, in the past tense."""
        return past(self.verb, self.resource.partition("/")[2])

    @property
    def what(self) -> str:
        """Which secret, in words."""
        if self.name:
            return f"{self.namespace}/{self.name}" if self.namespace else self.name
        if self.verb not in COLLECTION_VERBS:
            return f"{self.namespace}/?" if self.namespace else "?"
        return f"all of namespace {self.namespace}" if self.namespace else "all of all namespaces"


def queries(
    names: tuple[str, ...] = (), namespaces: tuple[str, ...] = (), verbs: tuple[Pattern, ...] = (), **filters: Any
) -> tuple[Query, ...]:
    """Give the queries that find uses of secrets, of those called so and of collections that reach them.

    `filters` are further fields of Query.
    """
    wanted = {"names": tuple(map(Pattern.parse, names)), "namespaces": tuple(map(Pattern.parse, namespaces)), **filters}
    secrets = Query(resources=(_SECRETS,), verbs=verbs, reach=True, **wanted)
    if names or not admits(verbs, "create"):
        return (secrets,)
    return secrets, Query(resources=(_TOKENS,), verbs=(Pattern("create"),), **wanted)


_Key = tuple[str, str, str, str, str, str]


def secret_uses(requests: Iterable[Request]) -> list[SecretUse]:
    """Group the uses; those that reach most first, then by number."""
    uses: dict[_Key, SecretUse] = {}
    for request in requests:
        found = row(request)
        resource = f"{found.resource}/{found.subresource}" if found.subresource else found.resource
        key = (found.user, found.impersonated_user, found.verb, resource, found.namespace, found.name)
        if key not in uses and len(uses) >= _USES_KEPT:
            key = ("(others)", "", "", "secrets", "", "")
        uses[key] = _counted(uses.get(key) or SecretUse(*key), found, request)
    return sorted(uses.values(), key=lambda use: (_reach(use), -use.count, use.first, use.who, use.what))


def _reach(use: SecretUse) -> int:
    is_one = use.name != "" or use.verb not in COLLECTION_VERBS
    return 2 if is_one else 1 if use.namespace else 0


def _counted(use: SecretUse, found: Row, request: Request) -> SecretUse:
    event = request.latest.event
    time = found.time or ""
    return replace(
        use,
        count=use.count + 1,
        denied=use.denied + (not 100 <= found.code < 400 or is_dry_run(event)),
        first=min(use.first or time, time),
        last=max(use.last, time),
        source_ips=_with(use.source_ips, found.source_ip),
        user_agents=_with(use.user_agents, found.user_agent),
        values_recorded=use.values_recorded + any(_holds_values(seen.event) for seen in request.stages),
    )


def _with(kept: tuple[str, ...], value: str) -> tuple[str, ...]:
    return kept if not value or value in kept or len(kept) >= _KEPT else (*kept, value)


def _holds_values(event: Event) -> bool:
    """Tell whether a body holds values: data of secrets, or a token; a body that cannot be read may."""
    return any(bytes(body) and _in(parsed(body)) for body in (event.request_object, event.response_object))


def _in(document: Any) -> bool:
    if document is None:
        return True
    if isinstance(document, list):  # a JSON patch, or what is no object
        return any(
            isinstance(step, dict) and str(step.get("path", "")).startswith(("/data", "/stringData"))
            for step in document
        )
    if not isinstance(document, dict):
        return False
    items = document.get("items")
    if isinstance(items, list):
        return any(map(_in, items))
    status = document.get("status")
    has_token = isinstance(status, dict) and bool(status.get("token"))
    annotations = metadata(document).get("annotations")
    has_copy = isinstance(annotations, dict) and _APPLIED in annotations
    return bool(document.get("data") or document.get("stringData")) or has_token or has_copy

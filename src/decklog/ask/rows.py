"""Row: what an answer says of one request, or of one event; a flat value without bodies, the shape of ``-o json``."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from decklog.ask.moments import seconds_between
from decklog.audit.event import ObjectReference, Stage
from decklog.audit.query import COLLECTION_VERBS, object_name
from decklog.sources.record import Provenance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.ask.requests import Request, Seen
    from decklog.audit.event import Event

SORTED_ROWS: Final = 10_000
"""Answers up to this length are sorted by time; longer ones come as the log has them."""

_NOTHING: Final = ObjectReference()
_NO_ENVELOPE: Final = Provenance("")
_DECISION: Final = "authorization.k8s.io/decision"

_WIRE: Final = {
    "api_group": "apiGroup",
    "audit_id": "auditID",
    "dry_run": "dryRun",
    "duration_seconds": "durationSeconds",
    "impersonated_user": "impersonatedUser",
    "request_uri": "requestURI",
    "source_ips": "sourceIPs",
    "user_agent": "userAgent",
}


def _wire_name(name: str) -> str:
    return _WIRE.get(name, name)


class Row(Struct, frozen=True, omit_defaults=True, kw_only=True, rename=_wire_name):
    """One request in an answer. In JSON the names are the event's own; what is empty is left out."""

    time: str | None
    """When it was received; MicroTime."""
    user: str
    impersonated_user: str = ""
    groups: tuple[str, ...] = ()
    verb: str
    api_group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    code: int = 0
    """HTTP status; 0: none was recorded."""
    reason: str = ""
    message: str = ""
    decision: str = ""
    """Of authorization: allow or forbid."""
    dry_run: bool = False
    """The request asked to change nothing."""
    duration_seconds: float | None = None
    """From receipt to the latest stage."""
    source_ips: tuple[str, ...] = ()
    user_agent: str = ""
    request_uri: str
    level: str
    stage: str
    """The latest seen."""
    stages: tuple[str, ...]
    audit_id: str
    file: str
    """Where the event of the latest stage stands."""
    line: int
    carrier: str = ""
    """Whose envelope it stood in: ``EKS``, ``GKE``, ``Fluent Bit``, …; empty: in none."""
    cluster: str = ""
    """The cluster that the envelope names."""
    synthesised: tuple[str, ...] = ()
    """Wire names of the event's fields that were made up, because the source does not have them."""
    declared: bool = False
    """Only the user says that the source is an audit log; its envelope does not."""

    @property
    def source_ip(self) -> str:
        """The address that the server saw; those before it are what the client's headers claim (spec §5.6)."""
        return self.source_ips[-1] if self.source_ips else ""

    @property
    def who(self) -> str:
        """The user, and as whom the request went on."""
        user = self.user or "-"
        return f"{user} as {self.impersonated_user}" if self.impersonated_user else user

    @property
    def resource_path(self) -> str:
        """``deployments.apps/scale``; empty for requests that are not about a resource."""
        group = f".{self.api_group}" if self.api_group else ""
        return f"{self.resource}{group}{'/' + self.subresource if self.subresource else ''}"

    @property
    def what(self) -> str:
        """The object as people write it: ``deployments/web``, ``pods/web/exec``, ``secrets/*``; else the URI's path."""
        if not self.resource:
            return self.request_uri.partition("?")[0]
        name = self.name or ("*" if self.verb in COLLECTION_VERBS else "?" if self.verb == "create" else "")
        return "/".join(filter(None, (self.resource, name, self.subresource)))

    @property
    def result(self) -> str:
        """The code, or why there is none."""
        if self.stage == Stage.PANIC:
            return f"{self.code or ''} panic".strip()
        if self.code:
            return f"{self.code} dry run" if self.dry_run else str(self.code)
        return "open" if self.stage != Stage.RESPONSE_COMPLETE else "-"


def row(request: Request) -> Row:
    """Flatten a request into its row."""
    return _row(request.latest, tuple(seen.event.stage for seen in request.stages))


def event_row(seen: Seen) -> Row:
    """Flatten a single event into a row."""
    return _row(seen, (seen.event.stage,))


def _row(seen: Seen, stages: tuple[str, ...]) -> Row:
    event = seen.event
    ref = event.object_ref or _NOTHING
    status = event.response_status
    whence = seen.provenance or _NO_ENVELOPE
    return Row(
        time=event.request_received_timestamp,
        user=event.user.username,
        impersonated_user=event.impersonated_user.username if event.impersonated_user else "",
        groups=event.user.groups,
        verb=event.verb,
        api_group=ref.api_group,
        resource=ref.resource,
        subresource=ref.subresource,
        namespace=ref.namespace,
        name=object_name(event),
        code=status.code if status else 0,
        reason=status.reason if status else "",
        message=status.message if status else "",
        decision=event.annotations.get(_DECISION, ""),
        dry_run=is_dry_run(event),
        duration_seconds=duration_seconds(event),
        source_ips=event.source_ips,
        user_agent=event.user_agent,
        request_uri=event.request_uri,
        level=event.level,
        stage=event.stage,
        stages=stages,
        audit_id=event.audit_id,
        file=seen.file,
        line=seen.number,
        carrier=whence.carrier,
        cluster=whence.cluster,
        synthesised=whence.synthesised,
        declared=whence.declared,
    )


def duration_seconds(event: Event) -> float | None:
    """Give the seconds from receipt to this stage; None at receipt itself, and where the times do not tell."""
    if event.stage == Stage.REQUEST_RECEIVED:
        return None
    return seconds_between(event.request_received_timestamp, event.stage_timestamp)


class _Options(Struct, frozen=True, rename={"dry_run": "dryRun"}):
    dry_run: tuple[str, ...] | None = None


_OPTIONS: Final = Decoder(_Options)


def is_dry_run(event: Event) -> bool:
    """Tell whether the request asked to change nothing: in its URI, or (deletions) in its body."""
    if "dryRun=" in event.request_uri and parameters(event).get("dryRun", [""])[0]:
        return True
    return event.verb in {"delete", "deletecollection"} and _asks_dry_run(event.request_object)


def _asks_dry_run(body: Raw) -> bool:
    try:
        return b'"dryRun"' in bytes(body) and bool(_OPTIONS.decode(body).dry_run)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return False


def parameters(event: Event) -> dict[str, list[str]]:
    """Give the query parameters of the request URI."""
    try:
        return parse_qs(event.request_uri.partition("?")[2], keep_blank_values=True)
    except ValueError:  # more fields than the parser takes
        return {}


def in_time_order(rows: Iterable[Row], limit: int = SORTED_ROWS) -> Iterator[Row]:
    """Sort up to `limit` rows by time of receipt; past that, give them as they come, so that memory stays bounded."""
    stream = iter(rows)
    first = list(islice(stream, limit + 1))
    if len(first) <= limit:
        first.sort(key=lambda row: row.time or "")
    return chain(first, stream)

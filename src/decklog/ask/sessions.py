"""Sessions: who ran commands in pods, attached, forwarded ports, copied files, or added debug containers; how long.

What was run is in the request URI (and in ``decklog/exec-*`` annotations of our gateway's events); what was typed is in
no audit log. A session starts with the stage ResponseStarted and ends with ResponseComplete; where a policy leaves a
stage out, that end is not known. Kubelet calls through a node's proxy reach the same, so they are listed, too.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from decklog.ask.bodies import parsed
from decklog.ask.moments import seconds_between
from decklog.ask.rows import Row, parameters, row
from decklog.audit.event import Stage
from decklog.audit.query import Pattern, Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.ask.requests import Request
    from decklog.audit.event import Event

_STREAMS: Final = ("exec", "attach", "portforward")
DEBUG: Final = "ephemeralcontainers"
_CONSOLES: Final = ("console", "vnc")
"""Of KubeVirt's virtual machines."""
_KUBELET: Final = re.compile(r"/proxy/(exec|run|attach|portForward)/([^/?]+)/([^/?]+)(?:/([^/?]+))?")
"""How the kubelet is asked: …/NAMESPACE/POD[/CONTAINER]."""
_PREFIX: Final = "decklog/exec-"
_WRITES: Final = (Pattern("update"), Pattern("patch"))

COPY: Final = "cp"
DEBUG_KIND: Final = "debug"


class Session(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One session, or one try."""

    row: Row
    kind: str
    """``exec``, ``cp`` (an exec of tar as kubectl cp sends it), ``attach``, ``portforward``, ``debug`` (an ephemeral
    container was added), ``console``, ``vnc``, or ``kubelet exec`` and the like, through a node's proxy."""
    namespace: str
    pod: str
    container: str = ""
    command: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    tty: bool = False
    stdin: bool = False
    start: str = ""
    """MicroTime; of the answer's start, where the log has that stage, else of receipt."""
    end: str = ""
    """Empty: not in the log."""
    duration_seconds: float | None = None
    opened: bool = False
    """The server let it through; whether the command could be started, the answer does not tell."""

    @property
    def state(self) -> str:
        """How it stands: refused, ended, open as far as the log shows, or added (a debug container's end is untold)."""
        if not self.opened:
            return f"refused ({self.row.result})" if self.row.code else "?"
        if self.kind == DEBUG_KIND:
            return "added"
        return "ended" if self.end else "open"


def queries(since: str | None = None, until: str | None = None, **filters: Any) -> tuple[Query, ...]:
    """Give the queries that find sessions; `filters` are further fields of Query."""
    window = {"since": since, "until": until, **filters}
    streams = tuple(map(Pattern, (*_STREAMS, *_CONSOLES, "proxy")))
    return (
        Query(subresources=streams, **window),
        Query(subresources=(Pattern(DEBUG),), verbs=_WRITES, **window),
    )


def sessions(requests: Iterable[Request]) -> Iterator[Session]:
    """Yield the sessions among requests, as they come."""
    for request in requests:
        event = request.latest.event
        subresource = event.object_ref.subresource if event.object_ref else ""
        if subresource in _STREAMS or subresource in _CONSOLES:
            yield _stream(request, event, subresource)
        elif subresource == DEBUG:
            yield _debug(request, event)
        elif subresource == "proxy" and (match := _KUBELET.search(event.request_uri)):
            yield _kubelet(request, event, match)


def _stream(request: Request, event: Event, subresource: str) -> Session:
    found = row(request)
    asked = parameters(event)
    noted = event.annotations
    command = tuple(asked.get("command", ())) or _noted_command(noted.get(f"{_PREFIX}command", ""))
    ports = tuple(asked.get("ports", ())) or tuple(filter(None, noted.get(f"{_PREFIX}ports", "").split(",")))
    return _timed(
        request,
        Session(
            found,
            COPY if subresource == "exec" and copies_files(command) else subresource,
            found.namespace,
            found.name,
            asked.get("container", [noted.get(f"{_PREFIX}container", "")])[0],
            command,
            ports,
            tty=_is_true(asked, noted, "tty"),
            stdin=_is_true(asked, noted, "stdin"),
        ),
    )


def _noted_command(text: str) -> tuple[str, ...]:
    try:
        command = json.loads(text)
    except ValueError:
        return (text,) if text else ()
    return tuple(map(str, command)) if isinstance(command, list) else (text,)


def _is_true(asked: dict[str, list[str]], noted: dict[str, str], name: str) -> bool:
    said = asked.get(name, [noted.get(f"{_PREFIX}{name}", "false")])[0]
    return said.lower() in {"1", "t", "true", ""}


def copies_files(command: tuple[str, ...]) -> bool:
    """Tell whether a command is the tar that kubectl cp runs: to or from standard input and output."""
    if len(command) < 3 or PurePosixPath(command[0]).name != "tar":
        return False
    flags = command[1].lstrip("-")
    return command[2] == "-" and flags.endswith("f") and flags.strip("cxmpf") == ""


def _debug(request: Request, event: Event) -> Session:
    found = row(request)
    spec = parsed(event.request_object)
    spec = spec.get("spec") if isinstance(spec, dict) else None
    containers = spec.get("ephemeralContainers") if isinstance(spec, dict) else None
    last = containers[-1] if isinstance(containers, list) and containers and isinstance(containers[-1], dict) else {}
    command = last.get("command")
    opened = 100 <= found.code < 400
    return Session(
        found,
        DEBUG_KIND,
        found.namespace,
        found.name,
        " ".join(filter(None, (str(last.get("name", "")), f"({last['image']})" if "image" in last else ""))),
        tuple(map(str, command)) if isinstance(command, list) else (),
        tty=last.get("tty") is True,
        stdin=last.get("stdin") is True,
        start=found.time or "",
        opened=opened and not found.dry_run,
    )


def _kubelet(request: Request, event: Event, match: re.Match[str]) -> Session:
    found = row(request)
    asked = parameters(event)
    command = asked.get("command") or asked.get("cmd") or []
    kind, namespace, pod, container = match.groups(default="")
    session = Session(found, f"kubelet {kind.lower()}", namespace, pod, container, tuple(command))
    return _timed(request, session)


def _timed(request: Request, session: Session) -> Session:
    """Add what the stages tell: 101 opens a session; a plain 200 does so for the kubelet's answers."""
    event = request.latest.event
    opened = 100 <= session.row.code < 400
    started = next((seen.event for seen in request.stages if seen.event.stage == Stage.RESPONSE_STARTED), None)
    start = (started.stage_timestamp if started else None) or event.request_received_timestamp or ""
    end = event.stage_timestamp or "" if event.stage in {Stage.RESPONSE_COMPLETE, Stage.PANIC} else ""
    return replace(
        session, start=start, end=end, opened=opened, duration_seconds=seconds_between(start, end) if opened else None
    )

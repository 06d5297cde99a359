"""``decklog policy explain``: which rule decides on a request, why none before it does, and what is then written."""

from __future__ import annotations

import sys
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.cli.flags import environment_name
from decklog.errors import DecklogError
from decklog.policy.releases import NEWEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from decklog.audit.attributes import Attributes
    from decklog.audit.event import Event, User
    from decklog.policy.explain import Explanation
    from decklog.policy.reader import Loaded

MOST_BYTES: Final = 64 << 20
"""Of a file that is no JSON lines: an event, or a list of them, written over several lines."""

_HELP: Final = """Explain which rule decides on a request, why none before it does, and what is written.

REQUEST as kubectl spells it: VERB TYPE [NAME], with short names, deployments.apps, TYPE/NAME and pods/exec; or
METHOD PATH. Or a recorded event: --event FILE, the first one or the one of an --audit-id. Without --as it is an
authenticated user whom no policy names.

\b
decklog policy explain policy.yaml --as alice --groups dev create pods/exec web-0 -n shop
decklog policy explain policy.yaml --as system:serviceaccount:shop:web list secrets -A
decklog policy explain policy.yaml --unauthenticated GET /apis/apps/v1/deployments
decklog policy explain policy.yaml --event audit.log --audit-id 2df91c98
"""


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say how its policy is read."""
    lenient = click.option(
        "--audit-policy-lenient",
        "lenient",
        is_flag=True,
        envvar=environment_name("--audit-policy-lenient"),
        help="Unknown and duplicate keys are warnings, as kube-apiserver has them.",
    )
    release = click.option(
        "--kubernetes",
        default=f"1.{NEWEST}",
        show_default=True,
        metavar="VERSION",
        help="Read the policy as this release of Kubernetes does.",
    )
    return release(lenient(command))


@click.command("explain", help=_HELP, epilog="Exit code 0: explained, whatever the level; 2: the input is wrong.")
@click.argument("file", metavar="FILE")
@click.argument("request", metavar="[REQUEST...]", nargs=-1)
@click.option("-n", "--namespace", default="", metavar="NAME", help="Of the request.")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="A list or watch of all namespaces.")
@click.option("--subresource", default="", metavar="NAME", help="Of the object; or write pods/exec.")
@click.option(
    "--as", "user", default="", metavar="USER", help="Who asks; a service account and a node get their groups."
)
@click.option("--groups", "--as-group", multiple=True, metavar="GROUP", help="Of the user; repeatable, or with commas.")
@click.option("--unauthenticated", is_flag=True, help="Nobody could be authenticated: a failed login.")
@click.option("--event", metavar="FILE", help="Explain a recorded event of this file; - is standard input.")
@click.option(
    "--audit-id", default="", metavar="ID", help="Which event of --event; its beginning will do. Default: the first."
)
@policy_options
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(
    file: str, request: tuple[str, ...], event: str | None, audit_id: str, lenient: bool, kubernetes: str, output: str,
    **asking: Any,
) -> None:  # fmt: skip
    """Explain a decision."""
    from decklog.policy.explain import explain  # noqa: PLC0415  # because: --help does not need the policy room
    from decklog.policy.reader import load  # noqa: PLC0415  # because: the same

    if event is None:
        attributes, user, notes = _asked(request, audit_id, **asking)
    else:
        if request or any(asking.values()):
            raise DecklogError("--event says who asks for what: leave out the request and its options")
        attributes, user, notes = _recorded(event, audit_id)
    loaded = load(file, lenient=lenient, kubernetes=kubernetes)
    _WRITERS[output](explain(loaded, attributes, user), loaded, file, notes)


def _asked(
    request: tuple[str, ...], audit_id: str, *, namespace: str, everywhere: bool, subresource: str, user: str,
    groups: tuple[str, ...], unauthenticated: bool,
) -> tuple[Attributes, User | None, tuple[str, ...]]:  # fmt: skip
    """Read the request and the caller from the command line."""
    from decklog.policy.kinds import built_in  # noqa: PLC0415  # because: the same
    from decklog.policy.request_text import caller, read_request  # noqa: PLC0415  # because: the same

    if audit_id:
        raise DecklogError("--audit-id names an event of a file: give --event FILE as well")
    words = [*request]
    if request:
        words += ["-n", namespace] if namespace else []
        words += ["-A"] if everywhere else []
        words += ["--subresource", subresource] if subresource else []
    read = read_request(words, built_in())
    return read.attributes, caller(user, groups, unauthenticated=unauthenticated), read.notes


# A recorded event


def _recorded(path: str, audit_id: str) -> tuple[Attributes, User | None, tuple[str, ...]]:
    from decklog.policy.recorded import attributes_of, of_event, user_of  # noqa: PLC0415  # because: only --event needs it

    event = next((each for each in _events(path) if each.audit_id.startswith(audit_id)), None)
    if event is None:
        wanted = f"with the audit ID {audit_id}" if audit_id else "at all"
        raise DecklogError(f"{path} has no audit event {wanted}: name an audit log, or an event in a file")
    recorded = of_event(event)
    notes = [f"event {event.audit_id} was recorded at level {event.level}, stage {event.stage}"]
    if event.impersonated_user is not None:
        notes.append("it was sent in another user's name, and a policy decides by the one who sent it")
    return attributes_of(recorded), user_of(recorded), tuple(notes)


def _events(path: str) -> Iterator[Event]:
    """Yield the events of a log, or of a file in which JSON is written over several lines."""
    from decklog.sources.places import find  # noqa: PLC0415  # because: the same
    from decklog.sources.reader import read  # noqa: PLC0415  # because: the same
    from decklog.sources.record import Coverage  # noqa: PLC0415  # because: the same

    stdin = sys.stdin.buffer if sys.stdin else BytesIO()  # a process may be started without one
    text = bytearray()
    for record in read(find((path,), stdin, rotated=True), Coverage()):
        if record.event is not None and not text:
            yield record.event
        elif text or _begins_document(record.line):
            text += record.line + b"\n"
            if len(text) > MOST_BYTES:
                raise DecklogError(f"{path} is no audit log, which has an event a line, and too large for one document")
    if text:
        yield from _of_document(bytes(text))


def _begins_document(line: bytes) -> bool:
    """Tell whether a line that is no event begins one that goes on below it, or a list; else it is a damaged line."""
    return line.rstrip().endswith((b"{", b"[", b",")) or b'"EventList"' in line


def _of_document(text: bytes) -> Iterator[Event]:
    """Read one event, a list of them, or what is neither line by line."""
    from decklog.audit.wire import WireError, decode_event, decode_list  # noqa: PLC0415  # because: only --event needs it

    with suppress(WireError):
        yield decode_event(text)
        return
    with suppress(WireError):
        yield from decode_list(text)
        return
    for line in text.splitlines():
        with suppress(WireError):
            yield decode_event(line)


# Printing


def _write_text(explanation: Explanation, loaded: Loaded, file: str, notes: tuple[str, ...]) -> None:
    from decklog.ask.terminal import visible  # noqa: PLC0415  # because: JSON does not need it
    from decklog.policy.explained import lines  # noqa: PLC0415  # because: --help does not need it

    for warning in loaded.warnings:
        click.echo(visible(str(warning)), err=True)
    head, *rest = lines(explanation, file)
    for line in (head, *(f"  note: {note}" for note in notes), *rest):
        click.echo(visible(line))


def _write_json(explanation: Explanation, loaded: Loaded, file: str, notes: tuple[str, ...]) -> None:
    from decklog.cli.printing import print_json  # noqa: PLC0415  # because: text does not need it
    from decklog.policy.explained import to_json  # noqa: PLC0415  # because: --help does not need it

    warnings = [str(warning) for warning in loaded.warnings]
    print_json({**to_json(explanation, file), "notes": list(notes), "warnings": warnings})


_WRITERS: Final[dict[str, Callable[..., None]]] = {"text": _write_text, "json": _write_json}

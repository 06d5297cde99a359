"""Opening: finds out what a text is that is no event by itself, and gives the messages in it.

Known by their keys are the envelopes of this package; besides, an EventList, an array, documents behind each other, and
one word before an event: the host (``oc adm node-logs``) or the time (a CloudWatch export task). Envelopes may hold
each other: Pub/Sub holds a LogEntry, Lambda's call a subscription record. A message of two words, such as a line of a
container runtime (``TIME stdout F …``), is none of these.

What fails in one element is that element's message; its neighbours are given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from decklog.audit import careful
from decklog.audit.jsontext import WireError
from decklog.audit.wire import split_list
from decklog.sources.carriers import aks, eks, gke, journald, shippers
from decklog.sources.carriers.envelope import Message, elements, inner, members, said
from decklog.sources.documents import documents
from decklog.sources.record import Provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from decklog.sources.carriers.envelope import Members

NESTED: Final = 4
"""So many envelopes may hold each other."""

_PREFIXED: Final = re.compile(
    rb"(?:(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))|(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252}))"
    rb"[ \t]+(?P<event>\{.*)",
    re.DOTALL,
)

_OBJECTS: Final = re.compile(rb"\[[ \t\r\n]*+\{")


class UnknownError(WireError):
    """A text is no envelope that is known."""


def open_text(text: bytes, *, declared: bool = False, nested: int = NESTED) -> Iterator[Message]:
    """Give the messages of `text`; raises UnknownError, or WireError if it is no JSON, before the first one.

    `declared`: see `envelope.whence`.
    """
    text = text.strip()
    if text.startswith(b"{"):
        try:
            envelope = members(text)
        except WireError:
            return _each(_glued(text), _opener(declared=declared, nested=nested))
        return _opened(envelope, text, declared=declared, nested=nested)
    if _OBJECTS.match(text):
        return _each(elements(text), _opener(declared=declared, nested=nested))
    if (found := _PREFIXED.fullmatch(text)) is not None:
        return iter([_prefixed(found)])
    raise UnknownError("not JSON")


def _opener(*, declared: bool, nested: int) -> Callable[[bytes], Iterator[Message]]:
    """Make the function that opens what stands in an envelope: an event is left as it is."""

    def open_inner(text: bytes) -> Iterator[Message]:
        if not nested:
            raise WireError(f"more than {NESTED} envelopes in each other")
        try:
            return open_text(text, declared=declared, nested=nested - 1)
        except UnknownError:
            return iter([Message(text)])

    return open_inner


def _each(texts: Iterable[bytes], opened: Callable[[bytes], Iterator[Message]]) -> Iterator[Message]:
    for text in texts:
        try:
            yield from opened(text)
        except WireError as error:
            yield Message(text, problem=str(error))


def _glued(text: bytes) -> list[bytes]:
    """Part documents that stand behind each other; WireError if the first is torn."""
    found = [piece for _, piece in documents([text], len(text)) if piece is not None]
    members(found[0])
    if len(found) < 2:
        raise WireError("not JSON")
    return found


def _opened(envelope: Members, text: bytes, *, declared: bool, nested: int) -> Iterator[Message]:
    if "kind" in envelope:
        if said(envelope["kind"]) == "EventList":
            return _items(text, said(envelope.get("apiVersion")))
        raise UnknownError("not an envelope")
    if "logEvents" in envelope and "messageType" in envelope:
        return eks.subscription(envelope)
    if "messageType" in envelope:
        return iter([Message(b"", other=True)])
    if "protoPayload" in envelope or (
        "logName" in envelope and ("textPayload" in envelope or "jsonPayload" in envelope)
    ):
        return gke.log_entry(envelope, text)
    if "category" in envelope and "properties" in envelope:
        return aks.record(envelope)
    held = _held(envelope)
    if held is not None:
        return _each(held, _opener(declared=declared, nested=nested))
    return _shipped(envelope, declared=declared)


def _held(envelope: Members) -> list[bytes] | None:
    """Give the envelopes in an envelope of envelopes; None if it is none."""
    if "records" in envelope:
        return elements(envelope["records"])
    if "awslogs" in envelope or "Records" in envelope:
        return eks.packed_records(envelope)
    if "receivedMessages" in envelope:
        return elements(envelope["receivedMessages"])
    message = inner(envelope, "message")
    if "data" in message:
        return [eks.unpacked(message["data"])]
    return None


def _shipped(envelope: Members, *, declared: bool) -> Iterator[Message]:
    if "MESSAGE" in envelope:
        return journald.entry(envelope, declared=declared)
    if "result" in envelope and "_raw" in inner(envelope, "result"):
        return shippers.search_result(envelope, declared=declared)
    key = shippers.message_key(envelope)
    if not key:
        raise UnknownError("not an envelope that is known")
    return shippers.shipped(envelope, key, declared=declared)


def _items(text: bytes, version: str) -> Iterator[Message]:
    """Open an EventList; its items do not say their version, so that an old one's are read here."""
    items = split_list(text)
    if version in {"", careful.V1}:
        return map(Message, items)
    return _each(items, lambda item: iter([Message(item, event=careful.read(item, version)[0])]))


def _prefixed(found: re.Match[bytes]) -> Message:
    """Give what stands behind one word: a host, or the time of a CloudWatch export."""
    line, time, host = found["event"], found["time"], found["host"]
    if time is not None:
        return eks.message(line, Provenance("CloudWatch export", "", (), {"time": time.decode()}))
    return Message(line, Provenance("host", "", (), {"host": host.decode()}))

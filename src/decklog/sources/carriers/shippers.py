"""Shippers: events in the records of Fluent Bit, Fluentd, Vector, Filebeat, Splunk, and OpenShift's log forwarding.

They carry anything, so their records are told by `envelope.whence`: by the path of the file that was read, a tag, a
source type. The event is a text (or an object) under one key, or its own keys stand among the envelope's.

| shape | key of the event |
|---|---|
| Fluent Bit, Fluentd | ``log`` |
| Vector, Filebeat, Graylog and OVH | ``message`` |
| Splunk: HTTP event, export, search result | ``event``, ``_raw``, ``result._raw`` |
| OpenShift's forwarding | ``structured``, or merged, the level then in ``k8s_audit_level`` |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import structs

from decklog.audit.event import Event
from decklog.sources.carriers.envelope import (
    OTHER,
    UNSAID,
    Message,
    all_said,
    claims_to_be_an_event,
    content,
    inner,
    members,
    said,
    whence,
)
from decklog.sources.record import Provenance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.sources.carriers.envelope import Members

_KEYS: Final = ("message", "log", "_raw", "event", "structured")
_CLUSTER_KEYS: Final = ("cluster", "cluster_name", "k8s.cluster.name", "kubernetes_cluster")
_ABOUT: Final = (
    "@timestamp",
    "date",
    "file",
    "filename",
    "host",
    "hostname",
    "index",
    "log_source",
    "log_type",
    "path",
    "source",
    "source_type",
    "sourcetype",
    "tag",
    "time",
    "timestamp",
)
_OWN: Final = frozenset(field.encode_name for field in structs.fields(Event)) | {
    "apiVersion",
    "kind",
    "metadata",
    "timestamp",
}
"""Keys of an event of any version."""


def message_key(envelope: Members) -> str:
    """Find the key under which a shipper's envelope holds its message; empty if it is no such envelope."""
    if "kind" in envelope:
        return ""
    return next((key for key in _KEYS if _holds_message(envelope.get(key, b"").lstrip(), key)), "")


def _holds_message(value: bytes, key: str) -> bool:
    """Tell whether a value is a message; an object under ``message`` or ``log`` may be about one, or a parsed event."""
    if value[:1] in _BEGINS[key]:
        return True
    return value.startswith(b"{") and key in {"message", "log"} and "auditID" in members(value)


_BEGINS: Final = {"message": {b'"'}, "log": {b'"'}, "_raw": {b'"'}, "event": {b'"', b"{"}, "structured": {b"{"}}


def shipped(envelope: Members, key: str, *, declared: bool) -> Iterator[Message]:
    """Open a shipper's record that holds its message under `key`."""
    value = envelope[key]
    line = value if value.lstrip().startswith(b"{") else content(value) or b""
    extra = inner(envelope, "fields") if key in {"event", "_raw"} else {}  # Splunk's indexed fields
    undeclared = whence({**extra, **envelope})
    problem = "" if declared and undeclared == UNSAID else undeclared
    if problem and not claims_to_be_an_event(line):
        yield OTHER
    else:
        provenance = _provenance(envelope, _carrier(envelope, key))
        yield Message(line, structs.replace(provenance, declared=undeclared != problem), problem=problem)


def search_result(envelope: Members, *, declared: bool) -> Iterator[Message]:
    """Open a line of a Splunk export."""
    result = inner(envelope, "result")
    return shipped(result, "_raw", declared=declared) if "_raw" in result else iter([OTHER])


def merged(line: bytes, event: Event) -> Message | None:
    """Look at an event with keys that no event has; None if there are none.

    Only what contradicts counts here (a container's output, another file): the line is the event.
    """
    envelope = members(line)
    extra = {key: value for key, value in envelope.items() if key not in _OWN}
    if not extra:
        return None
    problem = whence(extra)
    level = said(extra.get("k8s_audit_level"))
    if level:  # OpenShift's forwarding puts the severity of a log line where the audit level was
        event = structs.replace(event, level=level)
    provenance = _provenance(extra, "OpenShift" if "openshift" in extra or level else "shipper")
    return Message(line, provenance, event, "" if problem == UNSAID else problem)


def _carrier(envelope: Members, key: str) -> str:
    if key == "structured" or "openshift" in envelope:
        return "OpenShift"
    if key == "log":
        return "Fluent Bit"
    if key != "message":
        return "Splunk"
    return "Vector" if "source_type" in envelope else "Filebeat" if "log" in envelope else "shipper"


def _provenance(envelope: Members, carrier: str) -> Provenance:
    cluster = next((text for key in _CLUSTER_KEYS if (text := said(envelope.get(key)))), "")
    cluster = cluster or said(inner(envelope, "openshift").get("cluster_id"))
    path = said(inner(inner(envelope, "log"), "file").get("path"))
    return Provenance(carrier, cluster, (), {**all_said(envelope, *_ABOUT), **({"file": path} if path else {})})

"""Envelope: a JSON object round a message, and whether it says that the message comes from an audit log.

Duplicate keys: the last one counts. Whatever is wrong inside of a value (a lone surrogate, a number that nobody can
hold) is the value's own matter: members are raw JSON.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from decklog.audit import jsontext
from decklog.audit.event import Event  # noqa: TC001  # because: msgspec reads the annotation
from decklog.sources.record import Provenance  # noqa: TC001  # because: the same

Members = dict[str, bytes]
"""Key → raw JSON."""

SAID_BYTES: Final = 200
"""So much of each thing that an envelope says is kept."""


class Message(Struct, frozen=True):
    """What was taken out of an envelope."""

    line: bytes
    """Verbatim."""
    provenance: Provenance | None = None
    event: Event | None = None
    """Where the carrier has no event to hand over and one was made of what it has."""
    problem: str = ""
    """Why it must not be read as an event."""
    audit_id: str = ""
    """Of an event that the carrier cut short."""
    other: bool = False
    """Not from an audit log, and not claiming to be an event."""


OTHER: Final = Message(b"", other=True)
CONTAINER: Final = "a container's output: anybody who may start a pod could have written it"
UNSAID: Final = "in an envelope that does not say that it comes from an audit log (no path, no tag)"

_decode: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list: Final = msgspec.json.Decoder(list[Raw]).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_BLANK: Final = b" \t\r\n"


def members(data: bytes) -> Members:
    """Take a JSON object apart; WireError if it is none."""
    try:
        found = _decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        jsontext.check(data, max_depth=len(data))
        return dict(jsontext.members(data))
    return {key: bytes(value) for key, value in found.items()}


def inner(envelope: Members, key: str) -> Members:
    """Take the object at `key` apart; empty if there is none."""
    value = envelope.get(key, b"").lstrip(_BLANK)
    return members(value) if value.startswith(b"{") else {}


def elements(value: bytes | None) -> list[bytes]:
    """Take an array apart; empty if there is none. WireError if it is no JSON."""
    if value is None or not value.lstrip(_BLANK).startswith(b"["):
        return []
    try:
        return [bytes(element) for element in _decode_list(value)]
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        jsontext.check(value, max_depth=len(value))
        return jsontext.elements(value)


def content(value: bytes | None) -> bytes | None:
    r"""Give the bytes that a JSON string stands for; bytes in it that are no UTF-8 stay. None if it is no string."""
    if value is None or not value.lstrip(_BLANK).startswith(b'"'):
        return None
    try:
        return _decode_text(value).encode()
    except (msgspec.MsgspecError, UnicodeError):
        return jsontext.raw(jsontext.load(value))


def said(value: bytes | None) -> str:
    """Give a string, or a number as it is written, for people to read; shortened. Empty for anything else."""
    if value is None or value.lstrip(_BLANK)[:1] in {b"{", b"[", b""} or value in {b"null", b"true", b"false"}:
        return ""
    text = content(value)
    return jsontext.mend(jsontext.text(value if text is None else text))[:SAID_BYTES]


def all_said(envelope: Members, *keys: str) -> dict[str, str]:
    """Give what the envelope says under `keys`, as far as it does."""
    return {key: text for key in keys if (text := said(envelope.get(key)))}


# Where a message comes from

_CONTAINER_KEYS: Final = frozenset({
    "CONTAINER_ID",
    "CONTAINER_ID_FULL",
    "CONTAINER_NAME",
    "_p",
    "container",
    "container_id",
    "container_name",
    "docker",
    "kubernetes",
    "logtag",
    "pod",
    "pod_name",
    "stream",
})  # fmt: skip
"""Keys that only a record of a container's output has (Docker, CRI, the shippers' Kubernetes filters)."""
_PATH_KEYS: Final = ("file", "file_path", "filename", "filepath", "path", "source")
_TAG_KEYS: Final = ("@tag", "_tag", "fluent_tag", "sourcetype", "tag")
_CONTAINER_PATH: Final = re.compile(
    r"/(?:var/log/(?:containers|pods)|containers|lib/kubelet/pods|docker/containers)/|var\.log\.(?:containers|pods)\."
    r"|kube:container:|kubernetes_logs|docker_logs"
)
_AUDIT_PATH: Final = re.compile(
    r"/(?:[^/\0]+/)*(?:(?:kube|kubernetes|k8s|openshift|oauth|k3s|rke2)[a-z-]*[-_.])?audit(?:[-_.][^/]*)?"
)
_AUDIT_TAG: Final = re.compile(
    r"\.?(?:(?:kube|kubernetes|k8s|openshift|ocp|eks|aks|rke2|k3s)[:._-])?(?:(?:kube-?)?apiserver[:._-])?audit"
    r"(?:[:._-]?logs?)?(?:\.\*)?"
)


def whence(envelope: Members, *, declared: bool = False) -> str:
    """Say why a shipper's envelope is not that of an audit log; empty if it is.

    It is, if it names a file that is called as audit logs are and lies where no container writes, or bears a tag (or a
    source type) that is ``audit`` or ends so after the words of an API server, or is of OpenShift's ``log_type``
    ``audit``. Anything that tells a container's output outweighs all of that: JSON that a pod prints may be merged into
    the envelope, but cannot take keys out of it. `declared`: the user says that the source carries nothing but an audit
    log, so an envelope that says nothing will do.
    """
    if not _CONTAINER_KEYS.isdisjoint(envelope):
        return CONTAINER
    paths = [text for key in _PATH_KEYS if "/" in (text := said(envelope.get(key)))]
    paths += [path] if (path := said(inner(inner(envelope, "log"), "file").get("path"))) else []
    tags = [text for key in (*_TAG_KEYS, "source_type") if (text := said(envelope.get(key)))]
    if any(map(_CONTAINER_PATH.search, (*paths, *tags))):
        return CONTAINER
    if paths and not all(map(_AUDIT_PATH.fullmatch, paths)):
        return "from a file that is not called as audit logs are"
    if paths or declared or said(envelope.get("log_type")) == "audit" or any(map(_AUDIT_TAG.fullmatch, tags)):
        return ""
    return UNSAID


def claims_to_be_an_event(message: bytes) -> bool:
    """Tell whether a refused message should be named: it has an event's version in it."""
    return b"audit.k8s.io" in message

"""EKS: events in CloudWatch Logs.

A subscription record (to Kinesis, Firehose, Lambda) tells its origin by log group and stream: the control plane's are
``/aws/eks/CLUSTER/cluster`` and ``kube-apiserver-audit-…``, which only AWS can write. Everything else in it is another
stream. Lambda gets it packed in ``awslogs.data``, Kinesis in ``Records[].kinesis.data``.

A message longer than CloudWatch takes ends in ``[Truncated...]``: no JSON any more, but the audit ID stands in its
first part, and is kept.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import TYPE_CHECKING, Final

from decklog.audit.jsontext import WireError
from decklog.sources.carriers.envelope import OTHER, Message, all_said, content, elements, inner, members, said
from decklog.sources.packing import DamagedError, chunks
from decklog.sources.record import Provenance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.sources.carriers.envelope import Members

CARRIER: Final = "EKS"
MAX_UNPACKED_BYTES: Final = 64 << 20
"""A record of CloudWatch is at most 1 MB, packed; what unpacks to more than this is none."""

_GROUP: Final = re.compile(r"/aws/eks/([^/]+)/cluster")
_STREAM: Final = "kube-apiserver-audit-"
_CUT: Final = b"[Truncated...]"
_AUDIT_ID: Final = re.compile(rb'"auditID"[ \t]*:[ \t]*"([^"\\\x00-\x1f]{1,128})"')


def subscription(envelope: Members) -> Iterator[Message]:
    """Open a subscription record."""
    cluster = _GROUP.fullmatch(said(envelope.get("logGroup")))
    audit = cluster is not None and said(envelope.get("logStream")).startswith(_STREAM)
    if said(envelope.get("messageType")) != "DATA_MESSAGE" or cluster is None or not audit:
        yield OTHER
        return
    about = all_said(envelope, "owner", "logGroup", "logStream")
    for entry in elements(envelope.get("logEvents")):
        fields = members(entry)
        line = content(fields.get("message")) or b""
        yield message(line, Provenance(CARRIER, cluster[1], (), {**about, **all_said(fields, "id", "timestamp")}))


def message(line: bytes, provenance: Provenance) -> Message:
    """Give a message of an audit stream, and say so if CloudWatch has cut it."""
    if not line.endswith(_CUT):
        return Message(line, provenance)
    found = _AUDIT_ID.search(line)
    audit_id = found[1].decode("ascii", "replace") if found else ""
    return Message(line, provenance, problem="cut short by CloudWatch: too long for it", audit_id=audit_id)


def packed_records(envelope: Members) -> list[bytes]:
    """Give the text of each record that Lambda was handed, from CloudWatch itself or through Kinesis."""
    if "awslogs" in envelope:
        return [unpacked(inner(envelope, "awslogs").get("data"))]
    records = map(members, elements(envelope.get("Records")))
    return [unpacked(inner(record, "kinesis").get("data")) for record in records]


def unpacked(data: bytes | None) -> bytes:
    """Undo base64, and gzip if it is packed; WireError if it is neither."""
    text = content(data)
    if text is None:
        raise WireError("an envelope without its data")
    try:
        raw = base64.b64decode(text, validate=True)
        pieces, size = [], 0
        for piece in chunks(io.BytesIO(raw)):
            size += len(piece)
            if size > MAX_UNPACKED_BYTES:
                raise WireError(f"packed data of more than {MAX_UNPACKED_BYTES >> 20} MiB")
            pieces.append(piece)
    except (binascii.Error, DamagedError) as error:
        raise WireError(f"packed data that cannot be unpacked ({error})") from None
    return b"".join(pieces)

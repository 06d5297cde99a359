"""Submitted: the request's body, whether kube-apiserver would have recorded it, and what it tells of the object.

kube-apiserver records a body once it has decoded it: after authorisation, routing, content negotiation and the check of
the query's options, before names, admission and storage (spec §5.9). We see the answer only, and conclude from it which
of these gates the request had passed; the recorded corpus holds this to account.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Raw, Struct

from decklog.audit.event import NO_OBJECT, ObjectReference, Status
from decklog.recorder import objects, protobuf
from decklog.recorder.answers import by_authorizer, connects
from decklog.recorder.objects import UnreadableError

if TYPE_CHECKING:
    from decklog.audit.attributes import Attributes


class Submitted(Struct, frozen=True):
    """A request's body as it came from the client."""

    content_type: str = ""
    body: bytes = b""
    encoding: str = ""
    length: int | None = None
    """Bytes in all, where `body` holds only the first of them; None: `body` is whole."""
    whole: bool = True
    """False: the client went away before all had come."""

    @property
    def cut(self) -> bool:
        """Whether `body` is only the beginning."""
        return self.length is not None and self.length > len(self.body)


class Metadata(Struct, rename={"resource_version": "resourceVersion"}):
    """What an object's metadata adds to the reference."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None


class _Object(Struct):
    metadata: Metadata | None = None


WRITES: Final = frozenset({"create", "update"})
DELETES: Final = frozenset({"delete", "deletecollection"})

_NOT_REACHED: Final = frozenset({401, 405, 406, 413, 415, 429, 503})
"""Codes that come before any body is decoded."""

_ROUTER: Final = "the server could not find the requested resource"
_OPTIONS: Final = frozenset({"CreateOptions", "UpdateOptions", "PatchOptions", "DeleteOptions", "ListOptions"})
_NOT_DECODED: Final = re.compile(
    r"^[^(]*unrecognized \(must be of type |^[^(]*cannot be handled as a |^[^(]*strict decoding error"
    r"|^the API version in the data \(|^json: cannot unmarshal |^strconv\.|^invalid JSON patch"
    r"|^decoded object cannot be converted to |^unable to decode |^[^(]*unexpected EOF$"
    r"|^requested (?:\[|&user\.DefaultInfo\{).*without impersonating a user"
    r"|^invalid timeout specified in the request URL"
)


def was_recorded(attributes: Attributes, status: Status, *, is_status: bool) -> bool:
    """Conclude from the answer whether the body had been decoded when it was given."""
    code = status.code
    if code < 400:
        return True
    if code in _NOT_REACHED or not is_status:
        return False  # plain-text errors are written outside the handlers that decode
    if code == 403:
        return not by_authorizer(status)
    if code == 404:
        return status.message != _ROUTER
    if code == 422:
        return status.details is None or status.details.kind not in _OPTIONS or status.details.group != "meta.k8s.io"
    if code in {400, 500}:
        return _NOT_DECODED.search(status.message) is None
    return attributes.verb not in DELETES or code != 400


def was_taken(submitted: Submitted, code: int) -> bool:
    """Conclude it for other APIs, whose errors are no Status: by a legible body, unless the code refuses it unread."""
    return code < 400 or (code not in _NOT_REACHED and is_legible(submitted))


def takes_body(attributes: Attributes, *, typed: bool) -> bool:
    """Whether a body of such a request is an object that may be recorded."""
    if not attributes.resource_request:
        return not typed and attributes.verb in {"post", "put", "patch"}
    return attributes.verb in _RECORDED and not connects(attributes)


_RECORDED: Final = WRITES | DELETES | {"patch"}


def read_object(submitted: Submitted, attributes: Attributes, limit: int) -> tuple[Raw, str]:
    """Turn the body into what is recorded: (raw JSON, or empty; why it was left out or changed)."""
    if submitted.cut:
        return NO_OBJECT, f"omitted: {submitted.length} bytes, limit {len(submitted.body)}"
    if not submitted.whole:
        return NO_OBJECT, f"omitted: {len(submitted.body)} bytes were read, the rest never came"
    try:
        body = objects.inflate(submitted.body, submitted.encoding, limit)
        raw = objects.to_json(body, submitted.content_type)
    except UnreadableError as error:
        return objects.opaque(submitted.body), f"base64: {error}"
    return (_delete_options(raw) if attributes.verb in DELETES else raw), ""


def is_legible(submitted: Submitted) -> bool:
    """Whether the body is whole and can be read without schemas."""
    if not submitted.whole or submitted.cut or objects.media_type(submitted.content_type) == objects.PROTOBUF_TYPE:
        return False
    try:
        objects.to_json(submitted.body, submitted.content_type)
    except UnreadableError:
        return False
    return True


def _delete_options(raw: Raw) -> Raw:
    """DeleteOptions are recorded in the server's internal version, kind first (spec §5.9)."""
    try:
        pairs = objects.members(raw)
    except ValueError:
        return raw
    kind = next((value for key, value in pairs if key == "kind"), b'"DeleteOptions"')
    rest = [(key, value) for key, value in pairs if key not in {"kind", "apiVersion"}]
    return Raw(objects.join([("kind", kind), ("apiVersion", b'"meta.k8s.io/__internal"'), *rest]))


def metadata(submitted: Submitted, raw: Raw, limit: int = 1 << 20) -> Metadata:
    """Read the object's own name, namespace, uid and resourceVersion."""
    if objects.media_type(submitted.content_type) == objects.PROTOBUF_TYPE:
        try:
            return _protobuf_metadata(objects.inflate(submitted.body, submitted.encoding, limit))
        except ValueError:
            return Metadata()
    found = objects.read(raw, _Object)
    return (found.metadata if found is not None else None) or Metadata()


def _protobuf_metadata(body: bytes) -> Metadata:
    found = protobuf.object_meta(protobuf.unwrap(body)[2])
    return Metadata(found["name"], found["namespace"], found["uid"], found["resourceVersion"])


def refine(reference: ObjectReference, found: Metadata) -> ObjectReference:
    """Fill what the URL left empty from the object itself (spec §5.9)."""
    return ObjectReference(
        resource=reference.resource,
        namespace=reference.namespace or found.namespace or "",
        name=reference.name or found.name or "",
        uid=reference.uid or found.uid or "",
        api_group=reference.api_group,
        api_version=reference.api_version,
        resource_version=reference.resource_version or found.resource_version or "",
        subresource=reference.subresource,
    )

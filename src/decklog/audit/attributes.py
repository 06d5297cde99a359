"""Attributes: what a request is about; `resolve` reads them from method and target, as kube-apiserver does (spec §4).

What Kubernetes calls RequestInfo. Pure: no user, no clock, no body. Text that is no UTF-8 on the wire holds surrogate
escapes (`decklog.audit.jsontext.text`).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, structs

from decklog.audit import jsontext, selectors
from decklog.audit.selectors import SelectorError
from decklog.audit.target import PLAIN, ResolveError, first_values, parse
from decklog.audit.times import DurationError, parse_duration

__all__ = ["Attributes", "ResolveError", "deadline_problem", "is_long_running", "resolve"]


class Attributes(Struct, frozen=True, gc=False):
    """What kube-apiserver calls RequestInfo (spec §4): everything that method and target tell."""

    verb: str
    """``get``, ``list``, ``deletecollection`` …; empty for an unknown method on a resource; else the HTTP method."""
    path: str
    """The decoded path, without query."""
    resource_request: bool = False
    api_prefix: str = ""
    api_group: str = ""
    api_version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    parts: tuple[str, ...] = ()
    """The path from the resource on."""
    field_selector: str = ""
    """As it was given, unescaped; only for collections."""
    label_selector: str = ""
    request_uri: str = ""
    """Path and query as kube-apiserver renders them again (spec §5.4)."""
    long_running: bool = False


_VERBS: Final = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_LONG_RUNNING_VERBS: Final = frozenset({"watch", "proxy"})
_LONG_RUNNING_SUBRESOURCES: Final = frozenset({"attach", "exec", "proxy", "log", "portforward"})
_LONG_RUNNING_PATH: Final = "/debug/pprof/"
_NAMESPACE_SUBRESOURCES: Final = frozenset({"status", "finalize"})


def resolve(method: str, target: str | bytes) -> Attributes:
    """Read the attributes of a request from its method and its target as it stands in the request line.

    ResolveError for a request that kube-apiserver answers before it audits anything: its `status` says how.
    """
    raw = target if isinstance(target, bytes) else jsontext.raw(target)
    if raw.startswith(b"/") and not raw.translate(None, PLAIN):  # most targets: nothing to parse
        path = uri = raw.decode("ascii")
        query = origin = ""
    else:
        path, query, uri, origin = structs.astuple(parse(raw, method))
    parts = path.strip("/").split("/")
    prefix = parts[0]
    if len(parts) >= 3:
        if prefix == "api":
            return _resource(method, path, query, uri, origin, "api", "", parts[1], parts[2:])
        if prefix == "apis":
            if len(parts) >= 4:
                return _resource(method, path, query, uri, origin, "apis", parts[1], parts[2], parts[3:])
            return _no_resource(method, path, uri, "apis")
    return _no_resource(method, path, uri, "")


def _no_resource(method: str, path: str, uri: str, prefix: str) -> Attributes:
    verb = method.lower()
    lasting = verb in _LONG_RUNNING_VERBS or path.startswith(_LONG_RUNNING_PATH)
    return Attributes(verb, path, api_prefix=prefix, request_uri=uri, long_running=lasting)


def _resource(
    method: str,
    path: str,
    query: str,
    uri: str,
    origin: str,
    prefix: str,
    group: str,
    version: str,
    parts: list[str],
) -> Attributes:
    """Read a request below ``/api/VERSION/`` or ``/apis/GROUP/VERSION/``; `parts` is what follows, not empty."""
    verb = _VERBS.get(method, "")
    by_prefix = parts[0] in _LONG_RUNNING_VERBS
    if by_prefix:
        if len(parts) < 2:
            where = origin + uri
            raise ResolveError(f"unable to determine kind and namespace from url, {where}", 500)
        verb = parts[0]
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        # A request for the namespace itself, or for its status, keeps the namespace as its name too.
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    count = len(parts)
    name = parts[1] if count >= 2 else ""
    subresource = parts[2] if count >= 3 and verb != "proxy" else ""
    fields = labels = ""
    if not name and verb in {"get", "delete"}:
        options = first_values(query) if query else {}
        if verb == "get":
            verb, name = _collection(options)
        else:
            verb = "deletecollection"
        fields, labels = options.get("fieldSelector", ""), options.get("labelSelector", "")
    return Attributes(
        verb,
        path,
        True,  # noqa: FBT003  # because: keywords cost a third of the call
        prefix,
        group,
        version,
        namespace,
        parts[0],
        subresource,
        name,
        tuple(parts),
        fields,
        labels,
        uri,
        verb in _LONG_RUNNING_VERBS or subresource in _LONG_RUNNING_SUBRESOURCES,
    )


def _collection(query: dict[str, str]) -> tuple[str, str]:
    """Find verb and name of a GET without a name in its path: list or watch, and what the field selector demands."""
    verb = "watch" if "watch" in query and _is_true(query["watch"]) else "list"
    try:
        name = _required_name(query)
    except SelectorError:
        return verb, ""
    return verb, "" if name in {".", ".."} or "/" in name or "%" in name else name


def _required_name(query: dict[str, str]) -> str:
    """Give the name that the options of a list demand; SelectorError if any of the options cannot be read."""
    for option in ("limit", "timeoutSeconds"):
        if option in query and not selectors.is_int64(query[option]):
            raise SelectorError(f"{option} is not an integer")
    if labels := query.get("labelSelector"):
        selectors.check_labels(labels)
    fields = query.get("fieldSelector")
    return selectors.required_name(fields) if fields else ""


def _is_true(value: str) -> bool:
    return value.lower() not in {"0", "false"}


def is_long_running(attributes: Attributes) -> bool:
    """Tell whether a request lasts, for attributes that nothing resolved (of a recorded event, or written by hand)."""
    by_path = not attributes.resource_request and attributes.path.startswith(_LONG_RUNNING_PATH)
    by_subresource = attributes.resource_request and attributes.subresource in _LONG_RUNNING_SUBRESOURCES
    return attributes.verb in _LONG_RUNNING_VERBS or by_subresource or by_path


def deadline_problem(attributes: Attributes, target: str | bytes) -> str | None:
    """Give the message of the 400 for a ``?timeout=`` that is no Go duration; None if there is no problem (spec §5.7).

    Such a request is audited once, without its user. Long-running requests are not looked at. `target` is the one that
    `attributes` were resolved from.
    """
    if attributes.long_running or (b"?" if isinstance(target, bytes) else "?") not in target:  # type: ignore[operator]  # because: both are of one kind
        return None
    timeout = first_values(attributes.request_uri.partition("?")[2]).get("timeout")
    if not timeout:
        return None
    try:
        parse_duration(timeout)
    except DurationError as error:
        return f"invalid timeout specified in the request URL - {error}"
    return None

"""Writes events as no component of Kubernetes would, yet as JSON allows; and lines that are no events at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from random import Random

HEAD = '{"kind":"Event","apiVersion":"audit.k8s.io/v1",'
NAMES = ("web", "web-0", "webhook", "wéb<&>", "a/b", 'quo"te', "back\\slash", "")
USERS = ("alice", "system:serviceaccount:shop:web", "bob/ops", "w", "")
NAMESPACES = ("shop", "web", "")
VERBS = ("get", "create", "delete", "deletecollection", "list", "patch")
RESOURCES = ("deployments", "pods", "web")
SUBRESOURCES = ("", "log", "status")
IDS = ("id-1", "id-2", "id/<3>", "\N{SNOWMAN}", "id-11", "web", "")
AGENTS = ("kubectl/v1.36.2 (linux/amd64)", "web", "")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
TIMES = ("2026-03-01T10:00:00.000000Z", "2026-03-01T10:00:01.500000Z", "2026-03-01T12:00:01.500000+02:00")
POISON = (
    b"",
    b" \t",
    b"\xff\xfe",
    b"{",
    b"[",
    b'[{"kind":"Event"}',
    HEAD.encode() + b'"level":"Metadata","auditID":"id-1","stage":"Resp',
    HEAD.encode() + b'"level":"Metadata","auditID":"id-1","stage":"Panic","verb":"get","user":{"username":"\xff"}}',
    HEAD.encode() + b'"level":"Metadata","auditID":"id-1","stage":"Panic","verb":"\\ud800","requestURI":"/web"}',
    HEAD.encode() + b'"level":"Metadata","auditID":"id-2","stage":"Panic","requestObject":{"n":1e400}}',
    HEAD.encode()
    + b'"level":"Metadata","auditID":"id-2","stage":"Panic","requestObject":'
    + b"[" * 2000
    + b"]" * 2000
    + b"}",
    b'{"kind":"Event","apiVersion":"v1","metadata":{"name":"web"}}',
    b'2026-03-01T10:00:00Z AUDIT: id="id-1" stage="ResponseComplete" user="alice"',
    b'\xef\xbb\xbf{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-1","stage":"Panic"}',
    b"\r",
)


def _body(name: str, inner: str) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": name, "labels": {"app": inner}}, "auditID": inner}


events = st.fixed_dictionaries(
    {
        "level": st.sampled_from(("Metadata", "RequestResponse")),
        "auditID": st.sampled_from(IDS),
        "stage": st.sampled_from(STAGES),
        "requestURI": st.sampled_from(("/web?watch=1&a=<b>", "/healthz", "/api/v1/namespaces/shop/pods/web")),
        "verb": st.sampled_from(VERBS),
        "user": st.builds(lambda name, group: {"username": name, "groups": [group]}, *[st.sampled_from(USERS)] * 2),
        "objectRef": st.builds(
            lambda resource, namespace, name, subresource: {
                "resource": resource,
                "namespace": namespace,
                "name": name,
                "subresource": subresource,
            },
            st.sampled_from(RESOURCES),
            st.sampled_from(NAMESPACES),
            st.sampled_from(NAMES),
            st.sampled_from(SUBRESOURCES),
        ),
        "requestReceivedTimestamp": st.sampled_from(TIMES),
        "stageTimestamp": st.sampled_from(TIMES),
    },
    optional={
        "impersonatedUser": st.builds(lambda name: {"username": name}, st.sampled_from(USERS)),
        "userAgent": st.sampled_from(AGENTS),
        "responseStatus": st.sampled_from(({"metadata": {}, "code": 200}, {"metadata": {}, "code": 403})),
        "requestObject": st.builds(_body, st.sampled_from(NAMES), st.sampled_from(NAMES)),
        "responseObject": st.builds(_body, st.sampled_from(NAMES), st.sampled_from(IDS)),
        "annotations": st.builds(lambda text: {"note": text}, st.sampled_from(NAMES)),
    },
)


def plain(event: dict[str, Any]) -> bytes:
    """Write an event as kube-apiserver does."""
    text = HEAD + json.dumps(event, ensure_ascii=False, separators=(",", ":"))[1:]
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()


def odd(event: dict[str, Any], other: dict[str, Any], random: Random) -> bytes:
    """Write an event with any spelling of its strings, white space, order and doubled keys; the last of them counts."""
    members = list(event.items())
    random.shuffle(members)
    doubled = [(key, value) for key, value in other.items() if key in event and random.random() < 0.2]
    body = ",".join(
        f"{_spelled(key, random)}{_space(random)}:{_json(value, random)}" for key, value in doubled + members
    )
    head = (
        HEAD
        if random.random() < 0.7
        else random.choice(('{"apiVersion":"audit.k8s.io/v1","kind":"Event",', " " + HEAD))
    )
    return (head + body + _space(random) + "}").encode()


def _json(value: Any, random: Random) -> str:
    if isinstance(value, dict):
        inner = ",".join(f"{_spelled(key, random)}:{_json(item, random)}" for key, item in value.items())
        return f"{_space(random)}{{{inner}}}"
    if isinstance(value, list):
        return f"[{','.join(_json(item, random) for item in value)}]"
    return _space(random) + (_spelled(value, random) if isinstance(value, str) else str(value))


def _space(random: Random) -> str:
    return random.choice(("", "", "", " ", "\t"))


def _spelled(text: str, random: Random) -> str:
    if random.random() < 0.7:
        return json.dumps(text, ensure_ascii=random.random() < 0.5)
    return '"' + "".join(_char(char, random) for char in text) + '"'


def _char(char: str, random: Random) -> str:
    if random.random() < 0.3 or char in '"\\':
        return random.choice((f"\\u{ord(char):04x}", f"\\u{ord(char):04X}"))
    return "\\/" if char == "/" and random.random() < 0.5 else char


def carried(event: dict[str, Any], random: Random) -> bytes:
    """Write an event as others hand it on: behind a host's name, or as a text in an envelope."""
    text = plain(event).decode()
    if random.random() < 0.5:
        return f"node-1 {text}".encode()
    record = {
        "messageType": "DATA_MESSAGE",
        "owner": "1",
        "logGroup": "/aws/eks/prod/cluster",
        "logStream": "kube-apiserver-audit-1",
        "subscriptionFilters": ["all"],
        "logEvents": [{"id": "1", "timestamp": 1, "message": text}] * 2,
    }
    return json.dumps(record).encode()


def lines_of(some: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Write events in any way, other lines among them."""
    randoms = st.randoms(use_true_random=False)
    usual, unusual = st.builds(plain, some), st.builds(odd, some, some, randoms)
    return st.one_of(usual, usual, unusual, unusual, st.sampled_from(POISON), st.builds(carried, some, randoms))


lines = lines_of(events)
findable = lines_of(st.builds(lambda one, number: {**one, "auditID": f"id-{number}"}, events, st.integers(1, 12)))
"""Lines of events whose audit IDs can be looked for."""

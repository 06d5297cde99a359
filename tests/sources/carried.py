"""Hand-written samples of every envelope, made up; each holds the event that it is given."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

AUDIT_FILE = "/var/log/kubernetes/audit/audit.log"


def quoted(event: bytes) -> bytes:
    """The event as a JSON string, whatever bytes it holds."""
    text = json.dumps(event.decode("utf-8", "surrogateescape"), ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape")


def around(envelope: dict[str, Any], event: bytes) -> bytes:
    """The envelope, compact; where it says TEXT the event stands as a string, where RAW as it is."""
    whole = json.dumps(envelope, separators=(",", ":")).encode()
    return whole.replace(b'"TEXT"', quoted(event)).replace(b'"RAW"', event)


def subscription(*messages: bytes, **changes: Any) -> bytes:
    """A CloudWatch subscription record with a message each."""
    events = b",".join(
        b'{"id":"38%d","timestamp":1772359200250,"message":%s}' % (number, quoted(message))
        for number, message in enumerate(messages)
    )
    head = {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "/aws/eks/harbour/cluster",
        "logStream": "kube-apiserver-audit-0a1b",
        "subscriptionFilters": ["all"],
        **changes,
    }
    return json.dumps(head, separators=(",", ":")).encode()[:-1] + b',"logEvents":[' + events + b"]}"


def packed(text: bytes) -> bytes:
    return base64.b64encode(gzip.compress(text, mtime=0))


def azure(event: bytes, category: str = "kube-audit") -> bytes:
    """An Azure diagnostic record."""
    resource = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS/HARBOUR"
    properties = {"log": "TEXT", "stream": "stdout", "pod": "kube-apiserver-5d-x"}
    record = {
        "time": "2026-03-01T10:00:00.3Z",
        "category": category,
        "operationName": "Microsoft.ContainerService/managedClusters/diagnosticLogs/Read",
        "resourceId": resource,
        "properties": properties,
    }
    return around(record, event)


def journal(message: bytes, **changes: Any) -> bytes:
    """A journald entry; `message` is raw JSON."""
    entry = {
        "__REALTIME_TIMESTAMP": "1772359200250000",
        "_HOSTNAME": "cp-1",
        "_SYSTEMD_UNIT": "kube-apiserver.service",
        "_TRANSPORT": "stdout",
        "MESSAGE": "RAW",
        **changes,
    }
    return around(entry, message)


def merged(event: bytes, **extra: Any) -> bytes:
    """The event's own keys behind others."""
    return json.dumps(extra, separators=(",", ":")).encode()[:-1] + b"," + event[1:]


ENVELOPES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "EKS subscription record": ("EKS", subscription),
    "EKS to Lambda": ("EKS", lambda event: b'{"awslogs":{"data":"%s"}}' % packed(subscription(event))),
    "EKS through Kinesis": (
        "EKS",
        lambda event: b'{"Records":[{"kinesis":{"data":"%s"}}]}' % packed(subscription(event)),
    ),
    "CloudWatch export task": ("CloudWatch export", lambda event: b"2026-03-01T10:00:00.250Z " + event),
    "AKS record": ("AKS", azure),
    "AKS records": ("AKS", lambda event: b'{"records":[%s]}' % azure(event)),
    "AKS admin category": ("AKS", lambda event: azure(event, "kube-audit-admin")),
    "host and event": ("host", lambda event: b"cp-1.example.com " + event),
    "Fluent Bit, path": (
        "Fluent Bit",
        lambda event: around({"date": 1772359200.25, "filename": AUDIT_FILE, "log": "TEXT"}, event),
    ),
    "Fluent Bit, tag": ("Fluent Bit", lambda event: around({"date": 1, "tag": "kube.audit", "log": "TEXT"}, event)),
    "Vector": (
        "Vector",
        lambda event: around({"file": AUDIT_FILE, "host": "cp-1", "message": "TEXT", "source_type": "file"}, event),
    ),
    "Vector, parsed": (
        "Vector",
        lambda event: around({"file": AUDIT_FILE, "host": "cp-1", "message": "RAW", "source_type": "file"}, event),
    ),
    "Fluent Bit, parsed": (
        "Fluent Bit",
        lambda event: around({"date": 1, "tag": "kube.audit", "log": "RAW"}, event),
    ),
    "Filebeat": ("Filebeat", lambda event: around({"log": {"file": {"path": AUDIT_FILE}}, "message": "TEXT"}, event)),
    "Splunk HTTP event, object": (
        "Splunk",
        lambda event: around({"time": 1, "sourcetype": "kube:apiserver:audit", "event": "RAW"}, event),
    ),
    "Splunk HTTP event, text": ("Splunk", lambda event: around({"source": AUDIT_FILE, "event": "TEXT"}, event)),
    "Splunk export": (
        "Splunk",
        lambda event: around({"preview": False, "result": {"_raw": "TEXT", "source": AUDIT_FILE}}, event),
    ),
    "OpenShift, structured": (
        "OpenShift",
        lambda event: around(
            {"log_type": "audit", "openshift": {"cluster_id": "c-1"}, "structured": "RAW"},
            event,
        ),
    ),
    "journald, text": ("journald", lambda event: journal(quoted(event))),
    "journald, bytes": ("journald", lambda event: journal(str(list(event)).encode())),
    "merged keys": ("shipper", lambda event: merged(event, date=1772359200.25, host="cp-1")),
}
"""Name → carrier, and how it carries one event."""

GKE_ENTRY: dict[str, Any] = {
    "protoPayload": {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "authenticationInfo": {"principalEmail": "alice@example.com"},
        "authorizationInfo": [
            {
                "granted": True,
                "permission": "io.k8s.apps.v1.deployments.delete",
                "resource": "apps/v1/namespaces/shop/deployments/web",
            }
        ],
        "methodName": "io.k8s.apps.v1.deployments.delete",
        "resourceName": "apps/v1/namespaces/shop/deployments/web",
        "requestMetadata": {"callerIp": "203.0.113.9", "callerSuppliedUserAgent": "kubectl/v1.36.2"},
        "serviceName": "k8s.io",
        "status": {},
    },
    "insertId": "e1",
    "operation": {"id": "op-1", "producer": "k8s.io", "first": True, "last": True},
    "labels": {"authorization.k8s.io/reason": "", "authorization.k8s.io/decision": "allow"},
    "resource": {
        "type": "k8s_cluster",
        "labels": {"cluster_name": "harbour", "location": "europe-west1", "project_id": "p"},
    },
    "logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity",
    "timestamp": "2026-03-01T10:00:00.250123456Z",
}
"""A LogEntry of GKE."""

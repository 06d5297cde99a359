from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from ask.logs import event
from decklog.audit.wire import decode_event, encode_event, encode_list
from decklog.sources.places import Place
from decklog.sources.reader import read
from decklog.sources.record import Coverage, Record
from sources.carried import AUDIT_FILE, ENVELOPES, around, azure, journal, merged, packed, quoted, subscription

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = encode_event(event())


def read_bytes(data: bytes, **options: Any) -> tuple[list[Record], Coverage]:
    coverage = Coverage()
    return list(read([Place("-", io.BytesIO(data))], coverage, **options)), coverage


def numbered(number: int) -> bytes:
    return encode_event(event(audit_id=str(number)))


@pytest.mark.parametrize("shape", ENVELOPES)
def test_an_event_is_taken_out_of_its_envelope(shape: str) -> None:
    """The event is the one that was put in, its line is verbatim, and the provenance says who carried it."""
    carrier, wrap = ENVELOPES[shape]
    records, coverage = read_bytes(wrap(GOOD) + b"\n" + wrap(numbered(2)) + b"\n" + GOOD)
    assert [record.event for record in records] == [event(), event(audit_id="2"), event()], records
    assert [record.provenance.carrier for record in records[:2] if record.provenance] == [carrier, carrier]
    assert records[2].provenance is None
    assert decode_event(records[0].line) == event()
    assert (coverage.lines, coverage.bad_lines, coverage.others) == (3, 0, 0)


def with_body(body: bytes) -> bytes:
    return GOOD.replace(b',"requestReceivedTimestamp"', b',"requestObject":' + body + b',"requestReceivedTimestamp"')


HARMLESS: dict[str, bytes] = {
    "lone surrogate": with_body(b'"\\ud800"'),
    "1e400": with_body(b"1e400"),
    "5,000 digits": with_body(b"9" * 5000),
    "9,000 levels": with_body(b"[" * 9_000 + b"]" * 9_000),
    "byte 0xff": with_body(b'"\xff"'),
    "duplicate keys": with_body(b'{"a":1,"a":2}'),
}
POISON: dict[str, bytes] = {
    "lone surrogate for a code": GOOD.replace(b'"code":200', b'"code":"\\ud800"'),
    "1e400 for a code": GOOD.replace(b'"code":200', b'"code":1e400'),
    "5,000 digits for a code": GOOD.replace(b'"code":200', b'"code":' + b"9" * 5000),
    "20,000 levels": with_body(b"[" * 20_000 + b"]" * 20_000),
    "byte 0xff outside": b"\xff" + GOOD,
    "duplicate keys of another kind": GOOD.replace(b'"kind":"Event"', b'"kind":"Event","kind":"Pod"'),
    "cut off": GOOD[:300],
    "cut off in a key": GOOD[:10],
    "not JSON": b"hello there, world",
    "empty object": b"{}",
}
BATCHES: dict[str, Callable[[list[bytes]], bytes]] = {
    "lines": b"\n".join,
    "EKS record": lambda events: subscription(*events),
    "EKS records without line feeds": lambda events: b"".join(map(subscription, events)),
    "AKS records": lambda events: b'{"records":[%s]}' % b",".join(map(azure, events)),
    "AKS lines": lambda events: b"\n".join(map(azure, events)),
    "journald": lambda events: b"\n".join(journal(str(list(event)).encode()) for event in events),
    "Fluent Bit array": lambda events: (
        b"[%s]" % b",".join(around({"date": 1, "tag": "audit", "log": "TEXT"}, event) for event in events)
    ),
}
"""How three events travel together."""


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("poison", [*POISON, *HARMLESS])
def test_poison_hurts_only_itself_wherever_it_stands(poison: str, batch: str, place: int) -> None:
    """First, middle or last in a batch: poison is counted and named, and its neighbours are read."""
    events = [numbered(number) for number in range(3)]
    events[place] = (POISON | HARMLESS)[poison]
    records, coverage = read_bytes(BATCHES[batch](events))
    got = [record.event.audit_id for record in records if record.event and record.event.audit_id in {"0", "1", "2"}]
    assert got == [str(number) for number in range(3) if number != place]
    if poison in HARMLESS:
        assert (coverage.lines, coverage.bad_lines) == (3, 0), records
        carried = records[place].event
        assert carried is not None
        assert bytes(carried.request_object) in events[place]
    elif batch == "journald":
        assert coverage.bad_lines + coverage.others == 1
    else:
        assert coverage.bad_lines == 1
        assert 0 < len(coverage.bad_examples[0].problem) < 200


LISTS: dict[str, bytes] = {
    "EventList": encode_list([event(audit_id="0"), event(audit_id="1")]),
    "array": b"[" + numbered(0) + b"," + numbered(1) + b"]",
    "array over lines": b"[\n" + numbered(0) + b",\n" + numbered(1) + b"\n]\n",
    "pretty array": json.dumps([json.loads(numbered(0)), json.loads(numbered(1))], indent=2).encode(),
    "pretty events": b"\n".join(json.dumps(json.loads(numbered(number)), indent=4).encode() for number in (0, 1)),
    "pretty EventList": json.dumps(
        json.loads(encode_list([event(audit_id="0"), event(audit_id="1")])), indent=1
    ).encode(),
    "events behind each other": numbered(0) + numbered(1),
    "two lists": encode_list([event(audit_id="0")]) + encode_list([event(audit_id="1")]),
    "EKS records behind each other": subscription(numbered(0)) + subscription(numbered(1)),
    "Firehose in Firehose": subscription(numbered(0)) + b"\n" + subscription(numbered(1)),
    "byte order mark": b"\xef\xbb\xbf[" + numbered(0) + b"," + numbered(1) + b"]",
}


@pytest.mark.parametrize("shape", LISTS)
def test_lists_arrays_and_pretty_printed_events_are_read(shape: str) -> None:
    """Whatever holds events together, each is read, in order."""
    records, coverage = read_bytes(LISTS[shape])
    assert [record.event.audit_id for record in records if record.event] == ["0", "1"], records
    assert coverage.bad_lines == 0


V1BETA1 = (
    b'{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1","metadata":{"creationTimestamp":"2018-03-01T10:00:00Z"},'
    b'"level":"Metadata","timestamp":"2018-03-01T10:00:00Z","auditID":"b","stage":"ResponseComplete","requestURI":"/",'
    b'"verb":"get","user":{"username":"u"},"requestReceivedTimestamp":"2018-03-01T10:00:00.000001Z",'
    b'"stageTimestamp":"2018-03-01T10:00:00.000002Z"}'
)
V1ALPHA1 = (
    b'{"kind":"Event","apiVersion":"audit.k8s.io/v1alpha1","metadata":{},"level":"Metadata",'
    b'"timestamp":"2017-08-01T10:00:00Z","auditID":"a","stage":"ResponseComplete","requestURI":"/","verb":"get",'
    b'"user":{"username":"u"},"objectRef":{"resource":"deployments","apiVersion":"apps/v1"}}'
)


def test_old_versions_are_read_also_in_lists() -> None:
    """v1beta1 and v1alpha1, alone and as items of a list that alone says the version."""
    item = V1ALPHA1.replace(b'"kind":"Event","apiVersion":"audit.k8s.io/v1alpha1",', b"")
    of_list = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1alpha1","metadata":{},"items":[' + item + b"]}"
    records, coverage = read_bytes(V1BETA1 + b"\n" + V1ALPHA1 + b"\n" + of_list)
    assert [record.event.audit_id for record in records if record.event] == ["b", "a", "a"]
    assert records[1].event == records[2].event
    assert records[2].event is not None
    assert records[2].event.stage_timestamp == "2017-08-01T10:00:00.000000Z"
    assert coverage.bad_lines == 0


STDOUT: dict[str, bytes] = {
    "Docker's file": around({"log": "TEXT", "stream": "stdout", "time": "2026-03-01T10:00:00Z"}, GOOD),
    "CRI's line": b"2026-03-01T10:00:00.123456789Z stdout F " + GOOD,
    "kubectl logs --prefix": b"[pod/web-0/web] " + GOOD,
    "Fluent Bit with the Kubernetes filter": around(
        {"date": 1, "log": "TEXT", "tag": "audit", "kubernetes": {"pod_name": "web"}}, GOOD
    ),
    "Fluent Bit's tag of containers": around(
        {"date": 1, "log": "TEXT", "tag": "kube.var.log.containers.audit_shop_audit-1.log"}, GOOD
    ),
    "Fluent Bit, merged": merged(GOOD, date=1, stream="stdout", kubernetes={"pod_name": "web"}),
    "a pod's claim to be audit": around(
        {"tag": "kube.audit", "log_type": "audit", "file": AUDIT_FILE, "stream": "stdout", "log": "TEXT"}, GOOD
    ),
    "Vector's kubernetes_logs": around(
        {"file": "/var/log/pods/shop_web_1/web/0.log", "message": "TEXT", "source_type": "kubernetes_logs"}, GOOD
    ),
    "a file called audit.log in a pod": around({"file": "/var/log/pods/shop_web_1/audit.log", "message": "TEXT"}, GOOD),
    "Splunk's container": around({"sourcetype": "kube:container:audit", "event": "TEXT"}, GOOD),
    "journald of Docker": journal(quoted(GOOD), CONTAINER_NAME="k8s_kube-apiserver"),
    "another unit": journal(quoted(GOOD), _SYSTEMD_UNIT="nginx.service", SYSLOG_IDENTIFIER="kube-apiserver"),
    "another file": around({"file": "/srv/app.log", "message": "TEXT"}, GOOD),
}


@pytest.mark.parametrize("shape", STDOUT)
@pytest.mark.parametrize("declared", [False, True])
def test_what_anybody_could_have_printed_is_no_event(shape: str, declared: bool) -> None:
    """A forged event in a container's output is counted and named, also where the user trusts the source."""
    records, coverage = read_bytes(STDOUT[shape] + b"\n" + GOOD, declared=declared)
    assert [record.event is not None for record in records] == [False, True], records
    assert coverage.bad_lines == 1


SILENT: dict[str, bytes] = {
    "Fluent Bit": around({"date": 1772359200.25, "log": "TEXT"}, GOOD),
    "Vector": around({"host": "cp-1", "message": "TEXT", "timestamp": "2026-03-01T10:00:00Z"}, GOOD),
    "Splunk": around({"_raw": "TEXT"}, GOOD),
    "journald": journal(quoted(GOOD)).replace(b'"_SYSTEMD_UNIT":"kube-apiserver.service",', b""),
}


@pytest.mark.parametrize("shape", SILENT)
def test_an_envelope_that_says_nothing_needs_the_users_word(shape: str) -> None:
    """Without path or tag a message counts only where the user declares the source to be an audit log."""
    refused, coverage = read_bytes(SILENT[shape])
    assert [record.event for record in refused] == [None]
    assert coverage.bad_lines == 1
    taken, coverage = read_bytes(SILENT[shape], declared=True)
    assert [record.event for record in taken] == [event()]
    assert coverage.bad_lines == 0


OTHERS: dict[str, bytes] = {
    "CloudWatch's control message": subscription(b"CWL CONTROL MESSAGE", messageType="CONTROL_MESSAGE"),
    "another stream of EKS": subscription(b"I0301 klog text", logStream="kube-scheduler-0a1b"),
    "another group": subscription(GOOD, logGroup="/aws/containerinsights/harbour/application"),
    "another category of AKS": azure(b"I0301 klog text", "kube-scheduler"),
    "text of GKE": b'{"logName":"projects/p/logs/stdout","textPayload":"hello","resource":{"type":"k8s_container"}}',
    "klog text of the unit": journal(b'"I0301 10:00:00 server.go:1] ready"'),
    "a container's chatter": around({"log": "TEXT", "stream": "stdout"}, b"hello"),
}


@pytest.mark.parametrize("shape", OTHERS)
def test_other_streams_are_passed_over_and_counted(shape: str) -> None:
    """A hub carries more than audit events; the rest is neither an event nor a bad line."""
    records, coverage = read_bytes(OTHERS[shape] + b"\n" + GOOD)
    assert [record.event is not None for record in records] == [True]
    assert (coverage.lines, coverage.bad_lines, coverage.others) == (1, 0, 1)


def test_what_cloudwatch_has_cut_keeps_its_audit_id() -> None:
    """The event is lost, its ID is not; it is counted as cut."""
    cut = GOOD[:200] + b"[Truncated...]"
    records, coverage = read_bytes(subscription(numbered(0), cut, numbered(2)) + b"\n2026-03-01T10:00:00.250Z " + cut)
    assert [record.event.audit_id if record.event else record.audit_id for record in records] == [
        "0",
        event().audit_id,
        "2",
        event().audit_id,
    ]
    assert (coverage.cut, coverage.bad_lines) == (2, 2)
    assert records[1].line == cut
    assert records[1].problem == "cut short by CloudWatch: too long for it"


def test_provenance_is_what_the_envelope_says() -> None:
    """Cluster and whereabouts come from the envelope, never from the event."""
    records, _ = read_bytes(subscription(GOOD))
    assert records[0].provenance is not None
    assert records[0].provenance.cluster == "harbour"
    assert records[0].provenance.said["logStream"] == "kube-apiserver-audit-0a1b"
    assert records[0].provenance.synthesised == ()
    records, _ = read_bytes(azure(GOOD))
    assert records[0].provenance is not None
    assert records[0].provenance.cluster == "HARBOUR"


def test_openshifts_level_is_put_back() -> None:
    """Its forwarding writes a log's severity where the audit level was, and keeps that beside it."""
    line = merged(
        GOOD.replace(b'"level":"Metadata"', b'"level":"default"'), k8s_audit_level="Metadata", log_type="audit"
    )
    records, _ = read_bytes(line)
    assert records[0].event == event()
    assert records[0].provenance is not None
    assert records[0].provenance.carrier == "OpenShift"


BAD_ENVELOPES: dict[str, bytes] = {
    "no base64": b'{"awslogs":{"data":"%%%"}}',
    "no gzip inside": b'{"awslogs":{"data":"H4sIAAAA"}}',
    "no data": b'{"awslogs":{}}',
    "a bomb": b'{"awslogs":{"data":"%s"}}' % packed(b"\0" * (65 << 20)),
    "a number for a byte": journal(b"[1,2,300]"),
    "torn": subscription(GOOD)[:-20],
    "a null message": subscription(GOOD).replace(quoted(GOOD), b"null"),
    "left out by journalctl": journal(b"null"),
    "too many envelopes": (b'{"records":[' * 9 + GOOD + b"]}" * 9),
}


@pytest.mark.parametrize("shape", BAD_ENVELOPES)
def test_a_broken_envelope_is_a_bad_line(shape: str) -> None:
    """Whatever is wrong with an envelope: it is counted and named, and its neighbours are read."""
    records, coverage = read_bytes(GOOD + b"\n" + BAD_ENVELOPES[shape] + b"\n" + GOOD)
    assert [record.event is not None for record in records] == [True, False, True], records
    assert 0 < len(records[1].problem) < 200
    assert coverage.bad_lines == 1

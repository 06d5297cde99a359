"""Replays of tiny scenarios of our own; all of a kind run side by side in one process, as `make conformance` does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Raw

from decklog.audit.event import Event, Stage, Status, User
from decklog.audit.wire import encode_event, encode_list
from decklog.testing import event

ROOT: Final = Path(__file__).parents[1]
PROGRAM: Final = """
import json, sys
from pathlib import Path
from conformance import rotations, webhooks
tally = {"webhooks": webhooks, "rotations": rotations}[sys.argv[1]].replay(Path(sys.argv[2]))
print(json.dumps([str(tally), tally.fell, tally.excuses]))
"""

Row = dict[str, Any]
HELD = ""
POLICY: Final = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  users: [alice]\n"
ALICE: Final = User("alice", groups=("dev", "system:authenticated"))
HEADERS: Final = {
    "Host": "127.0.0.1:1234",
    "User-Agent": "Go-http-client/1.1",
    "Content-Length": "1",
    "Accept": "application/json, */*",
    "Content-Type": "application/json",
    "Accept-Encoding": "gzip",
}
TARGET: Final = "POST /audit?timeout=30s HTTP/1.1"
SERVER: Final = "server: 'http://127.0.0.1:1234/audit'"
SECURE: Final = "server: 'https://127.0.0.1:1234/audit', certificate-authority: /x"
BLOCKING: Final = ["--audit-webhook-mode=blocking", "--audit-webhook-initial-backoff=20ms"]
STRICT: Final = ["--audit-webhook-mode=blocking-strict", "--audit-webhook-initial-backoff=20ms"]
WAITS: Final = (0.0, 0.022, 0.033, 0.05, 0.075)
FAULT: Final = "E Error in audit plugin 'webhook' affecting {} audit events: "
UNKNOWN_CA: Final = FAULT.format(1) + "x509: certificate signed by unknown authority"
NOBODY: Final = FAULT.format(1) + "connection refused"
NO_JSON: Final = FAULT + "json: error calling MarshalJSON"


def replayed(kind: str, folder: Path) -> dict[str, str]:
    """Replay a folder; what became of each scenario: '' (held), 'fell: …' or 'excepted: …'."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert not done.stderr
    _, fell, excuses = json.loads(done.stdout)
    return {name: f"fell: {why}" for name, why in fell} | {name: f"excepted: {why}" for name, why in excuses}


# Webhook


def stages(number: int = 0, code: int = 200, **more: Any) -> tuple[Event, Event]:
    """Make both events of one request."""
    same: Row = {"audit_id": f"id-{number}", "request_uri": path(number), "user": ALICE, **more}
    received = event(**{**same, "stage": Stage.REQUEST_RECEIVED, "response_status": None, "annotations": {}})
    return received, event(**{"response_status": Status(code=code), **same})


def path(number: int = 0) -> str:
    """Say what was asked for."""
    return f"/api/v1/namespaces/shop/configmaps/c{number}"


def request(number: int = 0, t: float = 0.0, **more: Any) -> Row:
    """Make a request row that was answered with 200."""
    row = {"type": "request", "t": t, "method": "GET", "path": path(number), "who": "alice", "status": 200}
    return row | {"headers": [["Audit-Id", f"id-{number}"]], "body": "", "took": 0.02, **more}


def post(t: float, *events: Event, answer: Any = 200, line: str = TARGET, **more: Any) -> Row:
    """Make a post row."""
    headers = [list(pair) for pair in (HEADERS | more.pop("headers", {})).items()]
    row = {"type": "post", "t": t, "request_line": line, "headers": headers, "client_cert": None, "answer": answer}
    return row | {"body": encode_list(events).decode(), "answered_after": 0, **more}


def attempts(one: Event, answer: Any = 500, waits: tuple[float, ...] = WAITS) -> list[Row]:
    """Make the posts of an event that is never taken."""
    return [post(0.005 + sum(waits[: place + 1]), one, answer=answer) for place in range(len(waits))]


def refused(number: int = 0) -> Row:
    """Make a request row that strict mode refused."""
    return request(number, status=500, body=f'Internal Server Error: "{path(number)}": failed to store audit event\n')


def scenario(
    *rows: Row,
    flags: list[str] = BLOCKING,
    metrics: str = "",
    log: tuple[str, ...] = (),
    stop: int = 0,
    tls: str = "",
    audit_log: list[Event] | None = None,
    **more: Any,
) -> list[Row]:
    """Make the rows of a file; `tls` is the kubeconfig's user, who is talked to over TLS."""
    cluster = SECURE if tls else SERVER
    kubeconfig = (
        f"clusters: [{{name: a, cluster: {{{cluster}}}}}]\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n"
        f"users: [{{name: a, user: {{{tls}}}}}]\ncurrent-context: a\n"
    )
    meta = {"type": "meta", "flags": flags, "policy": POLICY, "kubeconfig": kubeconfig, **more}
    lines = [{"type": "apiserver_log", "line": line} for line in log]
    text = "\n".join(f"apiserver_audit_{line}" for line in metrics.split("; ") if line)
    if audit_log is not None:
        text_of = "".join(encode_event(one).decode() + "\n" for one in audit_log)
        lines.append({"type": "audit_log", "text": text_of})
    return [meta, *rows, *lines, {"type": "metrics", "text": text}, {"type": "stop", "posts_during_stop": stop}]


def legacy(one: Event, verb: str = "get") -> str:
    """Make the line in which a server's log names an event that it lost."""
    return (
        f'2026 AUDIT: id="{one.audit_id}" stage="{one.stage}" ip="::1" method="{verb}" user="alice" groups="\\"dev\\""'
    )


RECEIVED, COMPLETE = stages()
OTHER, OTHER_COMPLETE = stages(1)
TAKEN: Final = [post(0.005, RECEIVED), post(0.01, COMPLETE)]
LOST: Final = 'error_total{plugin="webhook"} 1; event_total 1; requests_rejected_total 1'
MARK: Final[Row] = {"annotations": {"audit.k8s.io/truncated": "true"}}
PATCHED: Final = stages(verb="patch")
LARGE: Final[Row] = {"body": json.dumps({"kind": "ConfigMap", "data": "x" * 2000}, separators=(",", ":"))}
TRUNCATING: Final = [*BLOCKING, "--audit-webhook-truncate-enabled", "--audit-webhook-truncate-max-event-size=1000"]
WHOLE: Final = POLICY.replace("Metadata", "RequestResponse")
DEEP: Final = stages(level="RequestResponse", **MARK)
LEAKED: Final = stages(level="RequestResponse", response_object=Raw(LARGE["body"].encode()), **MARK)[1]
CUT: Final = [post(0.005, DEEP[0]), post(0.01, DEEP[1])]
BATCH: Final = ["--audit-webhook-batch-max-wait=200ms"]


def changed(row: Row, headers: list[list[str]]) -> Row:
    """Give a post more headers."""
    return row | {"headers": [*row["headers"], *headers]}


def redirected(one: Event) -> tuple[Row, Row]:
    """Make a post that was answered with a redirect, and the request that followed it."""
    return post(0.005, one, answer=302), post(0.006, line="GET /elsewhere HTTP/1.1")


WEBHOOKS: Final[dict[str, tuple[list[Row], str]]] = {
    "taken": (scenario(request(), *TAKEN, metrics="event_total 2; requests_rejected_total 0"), HELD),
    "taken over TLS, with a token": (
        scenario(request(), *[changed(row, headers=[["Authorization", "Bearer s"]]) for row in TAKEN], tls="token: s"),
        HELD,
    ),
    "another body": (
        scenario(request(), *[row | {"body": row["body"].replace("[{", "[ {", 1)} for row in TAKEN]),
        "fell: RequestReceived of id-0: body",
    ),
    "another header": (
        scenario(request(), *[changed(row, headers=[["X", "1"]]) for row in TAKEN]),
        "fell: headers [('X', '1')]",
    ),
    "another path": (
        scenario(request(), *[row | {"request_line": "POST /x HTTP/1.1"} for row in TAKEN]),
        "fell: POST /audit?timeout=30s HTTP/1.1, the server's POST /x HTTP/1.1",
    ),
    "another plumbing": (
        scenario(request(), *TAKEN, log=("I Using audit backend: webhook",)),
        "fell: the nest is ignoreErrors<webhook>, the server's webhook",
    ),
    "another count of events": (scenario(request(), *TAKEN, metrics="event_total 3"), "fell: event_total 2"),
    "one post more": (
        scenario(request(), *TAKEN, post(0.02, *stages(7))),
        "fell: RequestReceived of id-7 and 1 more posted 0 times",
    ),
    "one post less": (
        scenario(request(), TAKEN[0]),
        "fell: posted ResponseComplete of id-0, which the server did not",
    ),
    "never taken": (scenario(refused(), *attempts(RECEIVED), flags=STRICT, metrics=LOST), HELD),
    "never answered": (scenario(refused(), *attempts(RECEIVED, "closed"), flags=STRICT, metrics=LOST), HELD),
    "given up early": (
        scenario(refused(), *attempts(RECEIVED)[:3], flags=STRICT),
        "fell: RequestReceived of id-0 posted 5 times",
    ),
    "waited too long": (
        scenario(refused(), *attempts(RECEIVED, waits=(0.0, 0.5, 0.03)), flags=STRICT),
        "the server waited 0.500 s before attempt 2, not 0.02 to 0.024 s",
    ),
    "waited as told": (
        scenario(request(took=1.1), post(0.005, RECEIVED, answer=429), post(1.006, RECEIVED), post(1.01, COMPLETE)),
        HELD,
    ),
    "not refused": (
        scenario(request(), *attempts(RECEIVED), flags=STRICT),
        "fell: GET /api/v1/namespaces/shop/configmaps/c0: refused",
    ),
    "refused without need": (scenario(refused(), TAKEN[0]), "GET /api/v1/namespaces/shop/configmaps/c0: not refused"),
    "nobody there": (scenario(refused(), flags=STRICT, metrics=LOST, log=(NOBODY,)), HELD),
    "a stranger there": (scenario(refused(), flags=STRICT, metrics=LOST, log=(UNKNOWN_CA,), tls=" "), HELD),
    "sent elsewhere": (
        scenario(request(), *[row for one in (RECEIVED, COMPLETE) for row in redirected(one)]),
        "excepted: redirects are not followed: 2 requests are not made",
    ),
    "cut to size": (
        scenario(request(**LARGE), *CUT, flags=TRUNCATING, metrics="event_total 2", policy=WHOLE),
        HELD,
    ),
    "a mark that leaks into the log": (
        scenario(request(**LARGE), *CUT, flags=TRUNCATING, policy=WHOLE, audit_log=[DEEP[0], LEAKED]),
        "excepted: the mark of truncation does not leak into the log",
    ),
    "a log": (scenario(request(), *TAKEN, audit_log=[RECEIVED, COMPLETE]), HELD),
    "a log that lacks a line": (scenario(request(), *TAKEN, audit_log=[COMPLETE]), "fell: 2 lines in the log"),
    "no JSON": (
        scenario(
            request(method="PATCH", took=0.2),
            request(1, t=0.2),
            *(post(0.005, PATCHED[0]), post(0.205, OTHER), post(0.21, OTHER_COMPLETE)),
            log=(NO_JSON.format(1), legacy(PATCHED[1], "patch")),
            metrics='error_total{plugin="webhook"} 1; event_total 4',
        ),
        "excepted: an event that cannot be encoded costs nothing but itself, and is not tried five times",
    ),
    "no JSON in a batch": (
        scenario(
            request(method="PATCH"),
            request(1, t=0.03),
            flags=BATCH,
            log=(NO_JSON.format(4), *(legacy(one, "patch") for one in PATCHED), legacy(OTHER), legacy(OTHER_COMPLETE)),
            metrics='error_total{plugin="webhook"} 4; event_total 4',
        ),
        "excepted: an event that cannot be encoded costs only itself",
    ),
    "a batch": (scenario(request(), request(1, t=0.03), post(0.15, *stages(), *stages(1)), flags=BATCH), HELD),
    "a batch in another order": (scenario(request(), post(0.15, COMPLETE, RECEIVED), flags=BATCH), HELD),
    "a batch at another time": (
        scenario(request(), post(0.19, *stages()), request(1, t=0.3), post(0.9, *stages(1)), flags=BATCH),
        "fell: RequestReceived of id-1 and 1 more: posted after 0.",
    ),
    "batches of one": (scenario(request(), *TAKEN, flags=["--audit-webhook-batch-max-size=1"]), HELD),
    "throttled": (
        scenario(
            request(),
            request(1, t=0.03),
            *(post(t, one) for t, one in zip((0.005, 0.01, 0.2, 0.4), (*stages(), *stages(1)), strict=True)),
            flags=[
                "--audit-webhook-batch-max-size=1",
                "--audit-webhook-batch-throttle-qps=5",
                "--audit-webhook-batch-throttle-burst=2",
            ],
        ),
        HELD,
    ),
    "the rest at the end": (scenario(request(), post(0.4, *stages()), flags=[], stop=1), HELD),
    "a full buffer": (
        scenario(
            request(),
            post(0.15, COMPLETE),
            flags=[*BATCH, "--audit-webhook-batch-buffer-size=1"],
            metrics='error_total{plugin="buffered"} 1',
        ),
        "excepted: which events find the buffer full is a matter of threads: 1 there, 0 here",
    ),
    "a flag that nobody knows": (
        scenario(request(), flags=["--audit-webhook-colour=red"]),
        "fell: cannot be replayed: ValueError: --audit-webhook-colour is no flag of ours",
    ),
}


@pytest.fixture(scope="module")
def webhooks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Replay all webhook scenarios at once."""
    folder = tmp_path_factory.mktemp("webhook")
    for name, (rows, _) in WEBHOOKS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return replayed("webhooks", folder)


@pytest.mark.parametrize("name", WEBHOOKS)
def test_a_webhook_scenario_is_judged(webhooks: dict[str, str], name: str) -> None:
    """What is equal holds, what differs is told, what differs on purpose is excepted with its reason."""
    expected = WEBHOOKS[name][1]
    verdict = webhooks.get(name, HELD)
    assert expected in verdict if expected else not verdict, verdict


# Rotation


def row(name: str, size: int, lines: int, mode: str = "0o600", **more: Any) -> Row:
    """Make a row of a listing."""
    return {"name": name, "size": size, "mode": mode, "lines": lines, "ends_with_newline": size > 0, **more}


def rotation(flags: list[str], end: list[Row], metrics: tuple[str, ...], **more: Any) -> Row:
    """Make a file: a log that is empty at the start, unless told otherwise."""
    start = [row("audit.log", 0, 0)]
    same = {"flags": flags, "listing_at_start": start, "listing_at_end": end, "apiserver_log": [], "work": []}
    return same | {"metrics": [f"apiserver_audit_{line}" for line in metrics]} | more


BACKUP: Final = "audit-2026-01-01T00-00-0{}.000.log"
ONE_MIB: Final = ["--audit-log-maxsize=1"]
PIECE: Final = 400_000
SNAPSHOTS: Final = [
    [["audit.log", PIECE]],
    [["audit.log", 2 * PIECE]],
    [[BACKUP.format(1), 2 * PIECE], ["audit.log", PIECE]],
]
ROTATED: Final = [row(BACKUP.format(1), 2 * PIECE, 2), row("audit.log", PIECE, 1)]
THREE: Final = ("event_total 3",)
TORN: Final = row("audit.log", 100_000, 3) | {"ends_with_newline": False, "error": "unterminated string (char 20000)"}
TOO_LONG: Final = (
    "E Error in audit plugin 'log' affecting 1 audit events: write length 1500000 exceeds maximum file size"
)
OVER_SIZE: Final = [row("audit.log", 1_200_000, 10, "0o644"), row("other.log", 0, 0, "0o644")]
BATCHED: Final = ["--audit-log-mode=batch"]
THROTTLED: Final = [f"--audit-log-batch-throttle-{word}" for word in ("enable", "qps=10", "burst=1")]
MOMENT: Final = "2026-01-01T00:00:00.{}00"

ROTATIONS: Final[dict[str, tuple[Row, str]]] = {
    "rotated": (rotation(ONE_MIB, ROTATED, THREE, snapshots=SNAPSHOTS), HELD),
    "never rotated": (
        rotation(
            ["--audit-log-maxsize=0"],
            [row("audit.log", 3 * PIECE, 3)],
            THREE,
            snapshots=[[["audit.log", PIECE * number]] for number in (1, 2, 3)],
        ),
        HELD,
    ),
    "rotated too late": (
        rotation(["--audit-log-maxsize=2"], [row("audit.log", 3 * PIECE, 3)], THREE, snapshots=SNAPSHOTS),
        "fell: audit.log holds 1200000 bytes after a write, the server's 400000",
    ),
    "another mode": (
        rotation(ONE_MIB, [ROTATED[0], ROTATED[1] | {"mode": "0o644"}], THREE, snapshots=SNAPSHOTS),
        "fell: in the end: ['audit.log 400000 B 0o600 1 lines'], the server's ['audit.log 400000 B 0o644 1 lines']",
    ),
    "another count of losses": (
        rotation(ONE_MIB, ROTATED, (*THREE, 'error_total{plugin="log"} 1'), snapshots=SNAPSHOTS),
        "fell: error_total",
    ),
    "packed": (
        rotation(
            [*ONE_MIB, "--audit-log-compress"],
            [row(BACKUP.format(1) + ".gz", 99, 2), ROTATED[1]],
            THREE,
            snapshots=SNAPSHOTS,
        ),
        HELD,
    ),
    "too large at the start": (
        rotation(
            ONE_MIB,
            [row(BACKUP.format(1), 1_200_000, 10, "0o644"), row("audit.log", PIECE, 1, "0o644"), OVER_SIZE[1]],
            ("event_total 1",),
            listing_at_start=OVER_SIZE,
            snapshots=[[["audit.log", PIECE], ["other.log", 0]]],
        ),
        HELD,
    ),
    "a line too long": (
        rotation(
            ONE_MIB, [row("audit.log", 2000, 2)], (*THREE, 'error_total{plugin="log"} 1'), apiserver_log=[TOO_LONG]
        ),
        "excepted: a line longer than maxsize is kept",
    ),
    "moved away": (
        rotation(
            ONE_MIB,
            [row("audit.log", 900, 1)],
            ("event_total 4",),
            after_rename=[row("moved.log", 2000, 2)],
            after_unlink=[],
            work=[{}, {}, {}, "1 x 201"],
        ),
        "excepted: a log that is renamed or removed is noticed",
    ),
    "a full disk": (
        rotation([], [], ("event_total 6", 'error_total{plugin="log"} 3'), small_ls=[TORN], work=[{}] * 3),
        HELD,
    ),
    "a full disk refuses": (
        rotation(
            ["--audit-log-mode=blocking-strict"],
            [],
            ("event_total 5", 'error_total{plugin="log"} 2', "requests_rejected_total 1"),
            small_ls=[TORN],
            work=[{}] * 3,
        ),
        HELD,
    ),
    "printed": (rotation([], [], THREE, listing_at_start=[], stdout_audit_lines=3), HELD),
    "printed less": (
        rotation([], [], THREE, listing_at_start=[], stdout_audit_lines=2),
        "fell: lines on standard output: 3, the server's 2",
    ),
    "throttled": (
        rotation(
            [*BATCHED, *THROTTLED],
            [row("audit.log", 2000, 2, mtime=MOMENT.format("1"))],
            THREE,
            right_after=[row("audit.log", 1000, 1, mtime=MOMENT.format("0"))],
        ),
        HELD,
    ),
    "a full buffer": (
        rotation(
            [*BATCHED, "--audit-log-batch-buffer-size=2"],
            [row("audit.log", 2000, 2)],
            (*THREE, 'error_total{plugin="buffered"} 1'),
        ),
        "excepted: which events find the buffer full is a matter of threads: 1 there, 0 here",
    ),
    "legacy": (rotation(["--audit-log-format=legacy"], [row("audit.log", 3000, 3)], THREE), HELD),
}


@pytest.fixture(scope="module")
def rotations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Replay all rotation scenarios at once."""
    folder = tmp_path_factory.mktemp("rotation")
    for name, (content, _) in ROTATIONS.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return replayed("rotations", folder)


@pytest.mark.parametrize("name", ROTATIONS)
def test_a_rotation_scenario_is_judged(rotations: dict[str, str], name: str) -> None:
    """What is equal holds, what differs is told, what differs on purpose is excepted with its reason."""
    expected = ROTATIONS[name][1]
    verdict = rotations.get(name, HELD)
    assert expected in verdict if expected else not verdict, verdict

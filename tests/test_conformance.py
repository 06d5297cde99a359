from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

RIGHT: dict[str, dict[str, Any]] = {
    "sourceips-cases.jsonl": {
        "expected": ["1.2.3.4"], "remoteAddr": "1.2.3.4:99", "xForwardedFor": None, "xRealIp": None,
    },
    "policy-checker-cases.jsonl": {
        "name": "everything",
        "policy": {"rules": [{"level": "Metadata"}]},
        "attributes": {
            "user": "tim", "groups": [], "verb": "get", "namespace": "", "apiGroup": "", "resource": "pods",
            "subresource": "", "name": "", "path": "/api/v1/pods", "resourceRequest": True,
        },
        "expected": {"level": "Metadata", "omitManagedFields": False, "omitStages": []},
    },
}  # fmt: skip
POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n"
REQUEST = {
    "seq": 0, "case": "get", "identity": "anon", "method": "GET", "path": "/version", "headers": [["User-Agent", "x"]],
    "auditID": "id-1", "response": {"status": 200, "headers": [["Audit-Id", "id-1"]], "body": {"len": 2, "text": "ok"}},
    "event_lines": [0],
}  # fmt: skip
ANONYMOUS = {"user": {"username": "system:anonymous", "groups": ["system:unauthenticated"]}}
LINE = (
    '{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-1","stage":"ResponseComplete",'
    '"requestURI":"/version","verb":"get","user":{"username":"system:anonymous","groups":["system:unauthenticated"]},'
    '"sourceIPs":["127.0.0.1"],"userAgent":"x","responseStatus":{"metadata":{},"code":200},'
    '"requestReceivedTimestamp":"2026-01-02T03:04:05.000000Z","stageTimestamp":"2026-01-02T03:04:05.000000Z"}'
)


def conformance(*arguments: object) -> tuple[int, str, str]:
    """Run the tool as `make conformance` does."""
    done = subprocess.run(
        [sys.executable, "-m", "conformance", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def run_in(folder: Path, line: str = LINE) -> Path:
    """Write a recorded run of one request."""
    run = folder / "a-run"
    run.mkdir()
    (run / "policy.yaml").write_text(POLICY)
    (run / "requests.jsonl").write_text(json.dumps(REQUEST) + "\n")
    (run / "audit.log").write_text(line + "\n")
    (folder / "identities.json").write_text(json.dumps({"identities": {"anon": ANONYMOUS}}))
    return run


@pytest.mark.parametrize("name", RIGHT)
def test_a_table_is_found_by_its_name_and_counted(tmp_path: Path, name: str) -> None:
    """One line a file, passed of total."""
    (tmp_path / name).write_text(json.dumps(RIGHT[name]) + "\n")
    assert conformance(tmp_path)[:2] == (0, f"{Path(name).stem} 1/1\n")


def test_a_row_that_falls_short_is_named_and_fails_the_run(tmp_path: Path) -> None:
    """Exit code 1."""
    row = RIGHT["sourceips-cases.jsonl"] | {"expected": ["9.9.9.9"]}
    (tmp_path / "sourceips-cases.jsonl").write_text(json.dumps(row) + "\n")
    code, out, err = conformance(tmp_path)
    assert (code, out) == (1, "sourceips-cases 0/1\n")
    assert "9.9.9.9" in err


def test_a_golden_row_asks_for_nothing_that_no_fact_shows(tmp_path: Path) -> None:
    """How the server prints a uid without a user is recorded nowhere: such a row is named, not guessed."""
    config = {"authenticated": True, "constrainedImpersonation": False, "level": "Metadata", "omitStages": None}
    row = {
        "name": "a uid only", "handler": "handler writes body ok", "authorizer": "allow, empty reason",
        "config": {**config, "sinkFailsAtStage": ""},
        "request": {"method": "GET", "path": "/version", "headers": {"Impersonate-Uid": ["u"]}}, "events": [],
    }  # fmt: skip
    (tmp_path / "lifecycle-golden.jsonl").write_text(json.dumps(row) + "\n")
    code, out, err = conformance(tmp_path)
    assert (code, out) == (1, "lifecycle-golden 0/1\n")
    assert "['impersonate-uid'] without a user" in err


@pytest.mark.parametrize("deep", [True, False])
def test_a_recorded_run_is_replayed_through_recorder_and_gateway(tmp_path: Path, deep: bool) -> None:
    """Given alone, or in a folder of runs: once through the recorder, once on the wire."""
    run = run_in(tmp_path)
    assert conformance(run if not deep else tmp_path)[:2] == (0, "a-run 1/1 events\na-run-gateway 1/1 events\n")


def test_an_event_that_differs_is_told_with_its_field(tmp_path: Path) -> None:
    """Where the two part."""
    run = run_in(tmp_path, LINE.replace('"verb":"get"', '"verb":"list"'))
    code, out, err = conformance(run)
    assert (code, out) == (1, "a-run 0/1 events\na-run-gateway 0/1 events\n")
    assert "verb" in err


def _startup(folder: Path, **changes: Any) -> tuple[int, str, str]:
    """Judge one start of a server with a policy that it refused."""
    row = {
        "case": "row", "policy": POLICY.replace("Metadata", "metadata"), "flags": [], "started": False, "error_line":
        'E1 1 run.go:72] "command failed" err="loading audit policy file: rules[0].level: Unsupported value: '
        '\\"metadata\\": supported values: \\"None\\", \\"Metadata\\", \\"Request\\", \\"RequestResponse\\": from file '
        '/etc/kubernetes/x"', "log_lines": [],
    }  # fmt: skip
    (folder / "badpolicy.jsonl").write_text(json.dumps(row | changes) + "\n")
    return conformance(folder)


def test_a_policy_is_refused_as_the_server_refused_it(tmp_path: Path) -> None:
    """Refused, with the server's field and cause."""
    assert _startup(tmp_path)[:2] == (0, "badpolicy 1/1\n")


FALLS_BACK = "W1124 1 reader.go:81] Audit policy contains errors, falling back to lenient decoding: "
WARNED = [
    f"{FALLS_BACK}strict decoding error: yaml: unmarshal errors:",
    '  line 6: key "omitStages" already set in map',
    'I1124 1 reader.go:99] "Load audit policy rules success" policyCnt=1',
    "I1124 1 audit.go:344] Using audit backend: ignoreErrors<log>",
]
TWICE = f"{POLICY}omitStages: [Panic]\n"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({}, "", id="as it was"),
        pytest.param({"policy": POLICY}, "warning: ''", id="no warning"),
        pytest.param({"flags": ["--audit-log-mode=batch"]}, "backends: 'buffered<log>'", id="other backends"),
        pytest.param({"started": False}, "started: True instead of False", id="the server refused"),
        pytest.param({"flags": ["--audit-log-format=xml"]}, "invalid audit log format xml", id="a flag"),
        pytest.param({"flags": ["--audit-log-path=/dev/null/x"]}, "error: 'ensureLogFile: '", id="no such directory"),
    ],
)
def test_a_start_is_held_to_what_the_server_said(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """The warning with all its lines, the number of rules and the nest of backends are compared, and told."""
    row = {"policy": TWICE, "started": True, "error_line": None, "log_lines": WARNED}
    code, out, err = _startup(tmp_path, **{**row, **changes})
    assert (code, out) == ((1, "badpolicy 0/1\n") if says else (0, "badpolicy 1/1\n"))
    assert says in err


@pytest.mark.parametrize("name", ["sourceips-cases.jsonl", "badpolicy.jsonl", "webhook/", "rotation/"])
def test_nothing_to_hold_is_not_held(tmp_path: Path, name: str) -> None:
    """A table or folder that lost its rows must not pass."""
    path = tmp_path / name
    path.mkdir() if name.endswith("/") else path.touch()
    code, out, err = conformance(tmp_path)
    assert (code, out) == (1, f"{path.stem} 0/1\n")
    assert "nothing to hold" in err


def test_an_empty_folder_is_the_user_s_input(tmp_path: Path) -> None:
    """Exit code 2, and what to do."""
    code, _, err = conformance(tmp_path)
    assert code == 2
    assert "give a folder" in err


def _lifecycle(folder: Path, **changes: Any) -> tuple[int, str, str]:
    """Judge one lifecycle row of a GET that should leave the events given."""
    row = {
        "name": "row", "handler": "handler writes body ok", "authorizer": "allow, empty reason",
        "config": {"authenticated": True, "constrainedImpersonation": False, "level": "Metadata", "omitStages": None,
                   "sinkFailsAtStage": "", "timeoutMs": 60000},
        "request": {"method": "GET", "path": "/version", "headers": {}}, "events": [],
    }  # fmt: skip
    (folder / "lifecycle-golden.jsonl").write_text(json.dumps(row | changes) + "\n")
    return conformance(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"handler": "handler dances"}, "NotToldError: handler: handler dances", id="unknown handler"),
        pytest.param({"authorizer": "shrugs"}, "NotToldError: authorizer: shrugs", id="unknown authorizer"),
        pytest.param({"config": {}}, "KeyError: 'authenticated'", id="row without a setting"),
    ],
)
def test_a_row_that_cannot_be_replayed_fails_alone(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """It counts as failed and is named, and the file keeps its count."""
    code, out, err = _lifecycle(tmp_path, **changes)
    assert (code, out) == (1, "lifecycle-golden 0/1\n")
    assert says in err


def test_an_unresolvable_request_leaves_no_event(tmp_path: Path) -> None:
    """The server answers a bare watch path before it audits."""
    request = {"method": "GET", "path": "/api/v1/watch", "headers": {}}
    assert _lifecycle(tmp_path, request=request)[:2] == (0, "lifecycle-golden 1/1\n")


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        pytest.param({"authorizer": "authorizer: allow, reason 'why'"}, "'why'", id="reason of an allow"),
        pytest.param({"authorizer": "allow, reason 'why', error 'x'"}, "'code': 200", id="allow with an error"),
        pytest.param({"authorizer": "authorizer: deny, reason 'it's so'"}, '"it\'s so"', id="apostrophe"),
        pytest.param({"handler": "handler panics with http.ErrAbortHandler"}, "net/http: abort Handler", id="abort"),
        pytest.param({"handler": "handler panics with int 42"}, "panic'd: 42", id="panic with an int"),
        pytest.param({"handler": "handler panics with the string boom"}, "panic'd: boom", id="panic with the string"),
        pytest.param({"handler": "handler panics: boom"}, "panic'd: boom", id="panic with a colon"),
        pytest.param({"handler": "handler writes 404"}, "'code': 404", id="writes"),
        pytest.param({"handler": "handler answers status 404"}, "'code': 404", id="answers"),
        pytest.param({"handler": "handler calls WriteHeader(404)"}, "'code': 404", id="WriteHeader"),
        pytest.param({"handler": "handler returns 429"}, "'code': 429", id="returns 429"),
        pytest.param({"handler": "handler calls Flush and writes nothing"}, "'code': 200", id="flush"),
    ],
)
def test_the_words_of_a_lifecycle_row_are_understood(tmp_path: Path, changes: dict[str, Any], shown: str) -> None:
    """The events that are written show what the words say."""
    assert shown in _lifecycle(tmp_path, **changes)[2]


def test_a_run_without_identities_says_what_is_missing(tmp_path: Path) -> None:
    """The file is named, with where it is looked for."""
    run = run_in(tmp_path)
    (tmp_path / "identities.json").unlink()
    code, _, err = conformance(run)
    assert code == 1
    assert "a-run: no identities.json with 'anon' stands in it or one folder up" in err

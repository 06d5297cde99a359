from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from decklog.amounts import binary_size
from decklog.enable.cis import checks
from decklog.enable.findings import Severity
from decklog.enable.manifest import StaticPod
from decklog.enable.policy_of import policy_of, release_of
from decklog.enable.preflight import findings
from decklog.enable.sizes import kept, log_files, span_in_words
from decklog.errors import DecklogError
from enable.control_plane import AUDIT, METADATA, MOUNTS, manifest, node, pod

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from decklog.enable.findings import Finding

RULES = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
WEBHOOK = {"--audit-webhook-config-file": "/etc/kubernetes/webhook.yaml"}
PLENTY = 1 << 50


def found(root: Path, flags: dict[str, str | None] | None = None, free: int = PLENTY, **more: Any) -> list[Finding]:
    changed = AUDIT | (flags or {})
    used = {name: value for name, value in changed.items() if value is not None}
    return list(findings(pod(used, **more), root, free=lambda _: free))


def codes(found: list[Finding], severity: Severity) -> set[str]:
    return {each.code for each in found if each.severity is severity}


def test_nothing_is_wrong_with_what_is_right(tmp_path: Path) -> None:
    """A manifest with its mounts, its policy and its directory has no grave finding, and no mount is blamed."""
    node(tmp_path, b"")
    told = found(tmp_path)
    assert not codes(told, Severity.GRAVE)
    assert {code for code in codes(told, Severity.WARNING) if not code.startswith("policy-DL")} == set()


GRAVE_FLAGS: dict[str, tuple[dict[str, str | None], str, str]] = {
    "a mode that there is not": ({"--audit-log-mode": "Batch"}, "flags-refused", "invalid audit log mode Batch"),
    "a negative age": ({"--audit-log-maxage": "-1"}, "flags-refused", "--audit-log-maxage -1 can't be a negative"),
    "throttled without a rate": (
        {"--audit-log-mode": "batch", "--audit-log-batch-throttle-enable": "true"},
        "flags-refused",
        "throttle QPS 0, must be a positive number",
    ),
    "a batch smaller than an event": (
        {"--audit-log-truncate-max-batch-size": "10"},
        "flags-refused",
        "max batch size 10, must be greater than max event size",
    ),
    "a version of old": ({"--audit-log-version": "audit.k8s.io/v1beta1"}, "flags-refused", "invalid group version"),
    "a number that is none": ({"--audit-log-maxsize": "100MB"}, "flag-value", "a whole number"),
    "a number that Go cannot hold": ({"--audit-log-maxage": "9223372036854775808"}, "flag-value", "a whole number"),
    "a rate that is no number": ({"--audit-log-batch-throttle-qps": "nan"}, "flag-value", "a number"),
    "a rate without end": ({"--audit-log-batch-throttle-qps": "1e400"}, "flag-value", "a number"),
    "a duration without its unit": ({**WEBHOOK, "--audit-webhook-batch-max-wait": "10"}, "flag-value", "a duration"),
    "a flag that there is not": ({"--audit-log-max-size": "100"}, "flag-unknown", "no flag --audit-log-max-size"),
    "a flag that there was": ({"--audit-dynamic-configuration": "true"}, "flag-unknown", "does not know"),
    "no policy": ({"--audit-policy-file": None}, "policy-unset", "auditing is off"),
    "nowhere to go": (
        dict.fromkeys(AUDIT) | {"--audit-policy-file": AUDIT["--audit-policy-file"]},
        "nowhere",
        "goes nowhere",
    ),
}


@pytest.mark.parametrize("case", GRAVE_FLAGS)
def test_flags_that_kube_apiserver_refuses_are_grave(case: str, tmp_path: Path) -> None:
    """What kube-apiserver would not start with, or would record nothing with, is told, in its words."""
    flags, code, says = GRAVE_FLAGS[case]
    node(tmp_path, b"")
    told = [each for each in found(tmp_path, flags) if each.code == code]
    assert told
    assert told[0].severity is Severity.GRAVE
    assert says in told[0].what
    assert told[0].do


def test_a_finding_names_the_line(tmp_path: Path) -> None:
    """A finding about a flag stands at the flag's line."""
    node(tmp_path, b"")
    (told,) = [each for each in found(tmp_path, {"--audit-log-maxage": "-1"}) if each.code == "flags-refused"]
    assert pod(AUDIT).data.splitlines()[told.line - 1] == b"    - --audit-log-maxage=30"


POLICIES = {
    "it is not there": (None, Severity.GRAVE, "policy-missing"),
    "it is empty": ("", Severity.GRAVE, "policy-DL000"),
    "it has no rules": (RULES + "[]\n", Severity.GRAVE, "policy-DL000"),
    "it is no YAML": ("a: [", Severity.GRAVE, "policy-DL000"),
    "it records nothing": (RULES + "- level: None\n", Severity.GRAVE, "policy-DL501"),
    "a star before 1.36": (RULES + "- level: Metadata\n  resources: [{group: '*'}]\n", Severity.GRAVE, "policy-DL000"),
    "an unknown key": (RULES + "- level: Metadata\n  verb: [get]\n", Severity.WARNING, "policy-DL001"),
    "secrets with their values": (RULES + "- level: RequestResponse\n", Severity.WARNING, "policy-DL301"),
    "no exec": (
        RULES + "- {level: None, resources: [{group: '', resources: [pods/exec]}]}\n- level: Metadata\n",
        Severity.WARNING,
        "policy-DL513",
    ),
}


@pytest.mark.parametrize("case", POLICIES)
def test_the_policy_is_judged_as_the_image_reads_it(case: str, tmp_path: Path) -> None:
    """What the policy does under the image's Kubernetes is found before the API server is restarted."""
    text, severity, code = POLICIES[case]
    node(tmp_path, b"")
    place = tmp_path / "etc/kubernetes/audit-policy.yaml"
    place.unlink() if text is None else place.write_text(text)
    assert code in codes(found(tmp_path), severity)


def test_a_star_is_a_group_from_1_36_on(tmp_path: Path) -> None:
    """The same policy is fine for a newer image."""
    node(tmp_path, b"", RULES + "- level: Metadata\n  resources: [{group: '*'}]\n")
    assert not codes(found(tmp_path, image="kube-apiserver:v1.36.0"), Severity.GRAVE)


CERTS, POLICY, LOG = MOUNTS
MOUNTED: dict[str, tuple[tuple[tuple[str, str, str, bool], ...], Severity, str]] = {
    "no policy": ((CERTS, LOG), Severity.GRAVE, "policy-unmounted"),
    "no log": ((CERTS, POLICY), Severity.GRAVE, "log-unmounted"),
    "a log that is read-only": (
        (CERTS, POLICY, ("log", "/var/log/kubernetes/audit", "Directory", True)),
        Severity.GRAVE,
        "log-read-only",
    ),
    "a log as a file": (
        (CERTS, POLICY, ("log", "/var/log/kubernetes/audit/audit.log", "FileOrCreate", False)),
        Severity.WARNING,
        "log-file-mounted",
    ),
}


@pytest.mark.parametrize("case", MOUNTED)
def test_mounts_are_followed(case: str, tmp_path: Path) -> None:
    """Missing and read-only mounts are found."""
    mounts, severity, code = MOUNTED[case]
    node(tmp_path, b"")
    assert code in codes(found(tmp_path, mounts=mounts), severity)


def test_a_directory_that_kubelet_made_in_the_policys_place_is_found(tmp_path: Path) -> None:
    """A directory where the policy should be is what a mount of the wrong type leaves behind."""
    node(tmp_path, b"")
    place = tmp_path / "etc/kubernetes/audit-policy.yaml"
    place.unlink()
    place.mkdir()
    assert "policy-directory" in codes(found(tmp_path), Severity.GRAVE)


def test_a_file_in_the_way_of_the_logs_directory_is_found(tmp_path: Path) -> None:
    """Where a file is in the way, the log's directory cannot be made."""
    node(tmp_path, b"")
    (tmp_path / "var/log/kubernetes/audit").rmdir()
    (tmp_path / "var/log/kubernetes/audit").write_text("")
    assert "log-directory" in codes(found(tmp_path), Severity.GRAVE)


def test_a_disk_that_is_too_small_is_found(tmp_path: Path) -> None:
    """maxsize times maxbackup + 1 is compared with what is free and what the log has already."""
    node(tmp_path, b"")
    told = [each for each in found(tmp_path, free=1099 << 20) if each.code == "disk-space"]
    assert told
    assert "may take 1.1 GiB" in told[0].what
    assert not [each for each in found(tmp_path, free=1100 << 20) if each.code == "disk-space"]
    (tmp_path / "var/log/kubernetes/audit/audit.log").write_bytes(bytes(1 << 20))
    assert not [each for each in found(tmp_path, free=1099 << 20) if each.code == "disk-space"]


def test_a_log_without_end_is_found(tmp_path: Path) -> None:
    """No limit on files, or a size of 0 from 1.36 on, is told; before 1.36, 0 is 100 MiB."""
    node(tmp_path, b"")
    assert "log-unbounded" in codes(found(tmp_path, {"--audit-log-maxbackup": "0"}), Severity.WARNING)
    zero: dict[str, str | None] = {"--audit-log-maxsize": "0"}
    assert "log-unbounded" in codes(found(tmp_path, zero, image="kube-apiserver:v1.36.1"), Severity.WARNING)
    assert "log-unbounded" not in codes(found(tmp_path, zero), Severity.WARNING)


def test_the_webhooks_kubeconfig_and_its_files_are_followed(tmp_path: Path) -> None:
    """The webhook's kubeconfig, and each certificate that it names, has to be mounted and there."""
    node(tmp_path, b"")
    flags: dict[str, str | None] = dict(WEBHOOK)
    assert "webhook-unmounted" in codes(found(tmp_path, flags), Severity.GRAVE)
    mounts = (*MOUNTS, ("webhook", "/etc/kubernetes/webhook.yaml", "File", True))
    assert "webhook-missing" in codes(found(tmp_path, flags, mounts=mounts), Severity.GRAVE)
    (tmp_path / "etc/kubernetes/webhook.yaml").write_text(
        "clusters: [{name: a, cluster: {server: 'https://r', certificate-authority: pki/audit-ca.crt}}]\n"
        "contexts: [{name: c, context: {cluster: a}}]\ncurrent-context: c\n"
    )
    assert "webhook-file-missing" in codes(found(tmp_path, flags, mounts=mounts), Severity.GRAVE)
    (tmp_path / "etc/kubernetes/pki/audit-ca.crt").write_text("")
    assert not codes(found(tmp_path, flags, mounts=mounts), Severity.GRAVE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clusters: [{name: a, cluster: {server: 'https://r'}}]\n", "no server defined"),
        ("current-context: c\n", "'c' is not among the contexts"),
        ("[]\n", "is a mapping"),
    ],
)
def test_a_kubeconfig_that_leads_nowhere_is_grave(text: str, says: str, tmp_path: Path) -> None:
    """Without a server of its current context kube-apiserver does not start, whatever else is in it."""
    node(tmp_path, b"")
    (tmp_path / "etc/kubernetes/webhook.yaml").write_text(text)
    mounts = (*MOUNTS, ("webhook", "/etc/kubernetes/webhook.yaml", "File", True))
    (told,) = (each for each in found(tmp_path, dict(WEBHOOK), mounts=mounts) if each.severity is Severity.GRAVE)
    assert told.code == "webhook-kubeconfig"
    assert says in told.what


INVALID = {
    "two volumes of one name": (
        "  volumes:\n",
        "  volumes:\n  - {name: audit-log, emptyDir: {}}\n",
        "(lines 28, 37)",
        37,
    ),
    "two mounts at one path": (
        "    volumeMounts:\n",
        "    volumeMounts:\n    - {name: certs, mountPath: /etc/kubernetes/pki}\n",
        "'/etc/kubernetes/pki' (lines 18, 19)",
        19,
    ),
    "readOnly is a text": ("readOnly: false", 'readOnly: "false"', "readOnly is 'false', and neither true", 26),
    "readOnly is a list": ("readOnly: false", "readOnly: [false]", "neither true nor false", 26),
    "a name is a number": ("- name: certs\n", "- name: 5\n", "name is '5', and no text", 18),
    "a path is a switch": ("      path: /etc/kubernetes/pki\n", "      path: on\n", "path is 'on', and no text", 30),
    "a type that there is not": ("DirectoryOrCreate", "Folder", "no type 'Folder' of a hostPath", 31),
    "a mount without its volume": (
        "    - name: certs\n",
        "    - name: cert\n",
        "a volume 'cert' that is not there",
        18,
    ),
}


def test_a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    """Nobody writes to the pipe: reading it would have no end, for kube-apiserver as for us."""
    node(tmp_path, b"")
    (tmp_path / "etc/kubernetes/audit-policy.yaml").unlink()
    for name in ("audit-policy.yaml", "webhook.yaml"):
        os.mkfifo(tmp_path / "etc/kubernetes" / name)
    flags: dict[str, str | None] = dict(WEBHOOK)
    mounts = (*MOUNTS, ("webhook", "/etc/kubernetes/webhook.yaml", "File", True))
    assert codes(found(tmp_path, flags, mounts=mounts), Severity.GRAVE) == {"policy-no-file", "webhook-no-file"}
    assert "no plain file" in checks(pod(AUDIT), tmp_path)[-1].reason
    with pytest.raises(DecklogError, match="no plain file"):
        policy_of(pod(AUDIT), tmp_path)


@pytest.mark.parametrize(("old", "new", "says", "line"), INVALID.values(), ids=INVALID)
def test_a_pod_that_is_not_valid_is_grave(old: str, new: str, says: str, line: int, tmp_path: Path) -> None:
    """What Kubernetes refuses of mounts and volumes is named with its line: kubelet would run nothing of the pod."""
    node(tmp_path, b"")
    text = manifest(AUDIT).decode()
    assert old in text
    read = StaticPod.read(text.replace(old, new, 1).encode(), "m.yaml")
    told = [each for each in findings(read, tmp_path) if each.line == line and says in each.what]
    assert [each.severity for each in told] == [Severity.GRAVE]


@contextmanager
def somebody() -> Iterator[None]:
    """Be nobody in particular for a moment, if we are root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_who_may_not_look_is_told_so(tmp_path: Path) -> None:
    """Who may not look at policy and log gets warnings, not a claim that they are missing."""
    node(tmp_path, b"")
    for folder in ("etc/kubernetes", "var/log/kubernetes"):
        (tmp_path / folder).chmod(0)
    with somebody():
        told = found(tmp_path)
    for folder in ("etc/kubernetes", "var/log/kubernetes"):
        (tmp_path / folder).chmod(0o755)
    assert not codes(told, Severity.GRAVE)
    assert {"policy-unread", "log-unread"} <= codes(told, Severity.WARNING)


@pytest.mark.parametrize(
    ("image", "release"),
    [
        ("registry.k8s.io/kube-apiserver:v1.30.0", "1.30"),
        ("localhost:5000/kube-apiserver:v1.31.2@sha256:abc", "1.31"),
        ("rancher/hardened-kubernetes:v1.29.3-rke2r1-build20240315", "1.29"),
        ("registry.k8s.io/kube-apiserver@sha256:abc", None),
        ("localhost:5000/kube-apiserver", None),
        ("kube-apiserver:latest", None),
        ("", None),
    ],
)
def test_the_tag_says_the_version(image: str, release: str | None) -> None:
    """The image's tag says which Kubernetes it is, where there is one."""
    told = release_of(image)
    assert (str(told) if told else None) == release


def test_defaults_are_the_releases(tmp_path: Path) -> None:
    """Without flags older releases keep everything, newer ones 100 files of 100 MiB for a year."""
    old, new = kept(pod({})), kept(pod({}, image="kube-apiserver:v1.36.0"))
    assert (old.max_bytes, old.max_age_days) == (None, None)
    assert new.max_bytes is not None
    assert binary_size(new.max_bytes) == "9.9 GiB"
    assert log_files(pod({}), tmp_path) is None


@pytest.mark.parametrize(
    ("days", "words"),
    [(13.14, "13.1 days"), (1.5, "36 hours"), (0.04, "58 minutes"), (0.001, "86 seconds"), (0.0, "0 seconds")],
)
def test_a_span_is_told_as_people_do(days: float, words: str) -> None:
    """Days, and for less of them hours, minutes and seconds."""
    assert span_in_words(days) == words


def passed(root: Path, flags: dict[str, str] | None = None) -> dict[str, bool]:
    return {check.id: check.passed for check in checks(pod(AUDIT if flags is None else flags), root)}


def test_cis_passes_what_is_right(tmp_path: Path) -> None:
    """The benchmark's values and a policy that records everything pass."""
    node(tmp_path, b"")
    assert passed(tmp_path) == dict.fromkeys(("1.2.16", "1.2.17", "1.2.18", "1.2.19", "3.2.1", "3.2.2"), True)


def test_cis_fails_what_is_missing_and_says_why(tmp_path: Path) -> None:
    """Nothing set, nothing passes; each says why, with the default of the image's release."""
    node(tmp_path, b"")
    told = checks(pod({}), tmp_path)
    assert not any(check.passed for check in told)
    assert told[1].reason == "it is not set (Kubernetes 1.30: no limit)"


CIS = {
    "too short": ({"--audit-log-maxage": "7"}, METADATA, "1.2.17", "7 days are fewer than 30"),
    "no limit": ({"--audit-log-maxbackup": "0"}, METADATA, "1.2.18", "0 is no limit"),
    "nothing recorded": ({}, RULES + "- level: None\n", "3.2.1", "a scanner is content"),
    "reads of secrets not recorded": (
        {},
        RULES + "- {level: None, verbs: [get, list]}\n- level: Metadata\n",
        "3.2.2",
        "not recorded: get secrets",
    ),
    "no policy there": ({"--audit-policy-file": "/nowhere.yaml"}, METADATA, "3.2.2", "no hostPath volume leads to"),
}


@pytest.mark.parametrize("case", CIS)
def test_cis_asks_what_comes_of_it(case: str, tmp_path: Path) -> None:
    """A flag that is set, or a policy that is there, is not enough."""
    flags, policy, number, reason = CIS[case]
    node(tmp_path, b"", policy)
    (check,) = [each for each in checks(pod(AUDIT | flags), tmp_path) if each.id == number]
    assert not check.passed
    assert reason in check.reason


def test_a_policy_that_a_restart_removes_is_found(tmp_path: Path) -> None:
    """A policy below /tmp is gone after the next start of the host, and the API server does not start without it."""
    node(tmp_path, b"")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/policy.yaml").write_text(METADATA)
    mounts = (("policy", "/tmp/policy.yaml", "File", True), LOG)
    told = found(tmp_path, {"--audit-policy-file": "/tmp/policy.yaml"}, mounts=mounts)
    assert "policy-volatile" in codes(told, Severity.WARNING)
    assert not codes(told, Severity.GRAVE)

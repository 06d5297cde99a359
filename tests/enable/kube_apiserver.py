"""What kube-apiserver would do with a manifest's container: its audit flags read and judged, its files looked for.

Written from the flags' table and the order of validation in kube-apiserver's own documentation, and independent of what
decklog reads flags with.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from enable.layouts import command_line, container

TEXT, NUMBER, DECIMAL, SWITCH, DURATION = "string", "int", "float", "bool", "duration"
COMMON = {
    "mode": TEXT,
    "version": TEXT,
    "batch-buffer-size": NUMBER,
    "batch-max-size": NUMBER,
    "batch-max-wait": DURATION,
    "batch-throttle-enable": SWITCH,
    "batch-throttle-qps": DECIMAL,
    "batch-throttle-burst": NUMBER,
    "truncate-enabled": SWITCH,
    "truncate-max-batch-size": NUMBER,
    "truncate-max-event-size": NUMBER,
}
FLAGS = {
    "--audit-policy-file": TEXT,
    "--audit-log-path": TEXT,
    "--audit-log-format": TEXT,
    "--audit-log-maxsize": NUMBER,
    "--audit-log-maxage": NUMBER,
    "--audit-log-maxbackup": NUMBER,
    "--audit-log-compress": SWITCH,
    "--audit-webhook-config-file": TEXT,
    "--audit-webhook-initial-backoff": DURATION,
    "--audit-webhook-batch-initial-backoff": DURATION,
    **{f"--audit-{name}-{flag}": kind for name in ("log", "webhook") for flag, kind in COMMON.items()},
}
VALUES = {
    NUMBER: re.compile(r"[-+]?(0x[0-9a-fA-F]+|[0-9]+)"),
    DECIMAL: re.compile(r"[-+]?[0-9]*\.?[0-9]+(e[-+]?[0-9]+)?"),
    SWITCH: re.compile(r"1|t|T|TRUE|true|True|0|f|F|FALSE|false|False"),
    DURATION: re.compile(r"0|[-+]?([0-9]*\.?[0-9]+(ns|us|µs|ms|s|m|h))+"),
    TEXT: re.compile(r".*", re.DOTALL),
}
DEFAULTS = {
    "log": {"buffer": 10_000, "batch": 1, "throttle": False, "qps": 0.0, "burst": 0, "mode": "blocking"},
    "webhook": {"buffer": 10_000, "batch": 400, "throttle": True, "qps": 10.0, "burst": 15, "mode": "batch"},
}


def parse(words: list[str]) -> dict[str, str]:
    """Read the command line; an audit flag that there is not, or a value that is none, is an AssertionError."""
    assert words[0].rpartition("/")[2] == "kube-apiserver"
    found: dict[str, str] = {}
    rest = [re.sub(r"\$\$", "$", word) for word in words[1:]]
    while rest:
        word, *rest = rest
        assert word.startswith("--"), f"accepts no arguments: {word!r}"
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if not name.startswith("--audit-"):
            if not equals and rest and not rest[0].startswith("--"):
                rest = rest[1:]
            continue
        assert name in FLAGS, f"unknown flag: {name}"
        if not equals and FLAGS[name] == SWITCH:
            value = "true"
        elif not equals:
            value, *rest = rest
        assert VALUES[FLAGS[name]].fullmatch(value), f"invalid argument {value!r} for {name}"
        found[name] = value
    return found


def refusals(flags: dict[str, str]) -> list[str]:
    """What validation refuses before the server starts."""
    found = []
    for name, switch in (("log", "--audit-log-path"), ("webhook", "--audit-webhook-config-file")):
        if flags.get(switch):
            found += list(_backend(name, flags))
    for name in ("maxage", "maxbackup", "maxsize"):
        if flags.get("--audit-log-path") and int(flags.get(f"--audit-log-{name}", "1"), 0) < 0:
            found.append(f"--audit-log-{name} can't be a negative number")
    if flags.get("--audit-log-format", "json") not in {"json", "legacy"}:
        found.append("invalid audit log format")
    return found


def _backend(name: str, flags: dict[str, str]) -> list[str]:
    def value(flag: str, default: object) -> str:
        return flags.get(f"--audit-{name}-{flag}", str(default))

    known = DEFAULTS[name]
    found = []
    mode = value("mode", known["mode"])
    if mode not in {"batch", "blocking", "blocking-strict"}:
        found.append(f"invalid audit {name} mode {mode}")
    if mode == "batch":
        found += [
            f"invalid audit batch {name} {flag}"
            for flag, default in (("batch-buffer-size", known["buffer"]), ("batch-max-size", known["batch"]))
            if int(value(flag, default), 0) <= 0
        ]
        if value("batch-throttle-enable", known["throttle"]).lower() in {"1", "t", "true"}:
            if float(value("batch-throttle-qps", known["qps"])) <= 0:
                found.append(f"invalid audit batch {name} throttle QPS")
            if int(value("batch-throttle-burst", known["burst"]), 0) <= 0:
                found.append(f"invalid audit batch {name} throttle burst")
    event = int(value("truncate-max-event-size", 102_400), 0)
    if event <= 0 or int(value("truncate-max-batch-size", 10_485_760), 0) < event:
        found.append(f"invalid audit truncate {name} sizes")
    if value("version", "audit.k8s.io/v1") != "audit.k8s.io/v1":
        found.append("invalid group version")
    return found


def host_file(pod: dict[str, Any], path: str) -> tuple[str, bool]:
    """Where a path of the container lies on the host, and whether it may be written; AssertionError: nowhere."""
    best: dict[str, Any] | None = None
    for mount in container(pod).get("volumeMounts") or []:
        at = posixpath.normpath(mount["mountPath"])
        inside = path == at or path.startswith(at.rstrip("/") + "/")
        if inside and (best is None or len(at) > len(posixpath.normpath(best["mountPath"]))):
            best = mount
    assert best is not None, f"{path} is in no mount"
    (volume,) = (each for each in pod["spec"]["volumes"] if each["name"] == best["name"])
    host = volume["hostPath"]
    rest = posixpath.relpath(path, posixpath.normpath(best["mountPath"]))
    if host.get("type") == "File":
        assert rest == "." or best.get("subPath"), f"{path} lies in a file"
    return posixpath.normpath(posixpath.join(host["path"], best.get("subPath", ""), rest)), not best.get(
        "readOnly", False
    )


def starts_and_logs(pod: dict[str, Any]) -> dict[str, str]:
    """Check all of it: the API server starts, finds its policy, and can write its log. Gives the audit flags."""
    flags = parse(command_line(pod))
    assert not refusals(flags), refusals(flags)
    names = [volume["name"] for volume in pod["spec"].get("volumes") or []]
    assert len(names) == len(set(names)), "volume names have to differ"
    paths = [posixpath.normpath(mount["mountPath"]) for mount in container(pod).get("volumeMounts") or []]
    assert len(paths) == len(set(paths)), "mount paths have to differ"
    assert {mount["name"] for mount in container(pod).get("volumeMounts") or []} <= set(names), (
        "a mount's volume is missing"
    )
    for name in ("--audit-policy-file", "--audit-webhook-config-file"):
        if flags.get(name):
            host_file(pod, flags[name])
    log = flags.get("--audit-log-path", "-")
    if log != "-":
        _, writable = host_file(pod, log)
        assert writable, "the log's directory is read-only"
        assert log not in paths, "a log that is a mount of its own cannot be renamed"
    return flags

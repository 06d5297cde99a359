from __future__ import annotations

import json
import random
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from decklog.enable.conflict import Conflict
from decklog.enable.edit import Edit, plan, unified_diff
from decklog.enable.manifest import StaticPod
from decklog.enable.wanted import AuditWanted
from enable.corpus import FLAG, KUBEADM, LOG, MOUNT, POLICY, SEED, TUTORIAL, Case
from enable.layouts import command_line, container, flags, lay_out
from enable.refusals import REFUSALS, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CASES = {**FLAG, **MOUNT}


def edit(data: bytes, wanted: Mapping[str, Any]) -> Edit:
    return plan(StaticPod.read(data, "m.yaml"), AuditWanted(**wanted))


def lines_of(diff: bytes, sign: str) -> list[str]:
    return [line[1:] for line in diff.decode().split("\n")[2:] if line.startswith(sign)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("variant", ["as it is", "CRLF", "no last line end", "BOM", "header", "second document"])
def test_only_what_is_meant_changes(case: Case, variant: str) -> None:
    """The diff of a manifest holds the intended lines and no other, whatever its line ends and what is around it."""
    text = case.manifest
    text = {
        "as it is": text,
        "CRLF": text.replace("\n", "\r\n"),
        "no last line end": text.rstrip("\n"),
        "BOM": f"\ufeff{text}",
        "header": f"%YAML 1.1\n---\n# {'x' * 40}\n{text}",
        "second document": f"---\n{text}---\nkind: [\nignored, by kubelet\n",
    }[variant]
    end = "\r" if variant == "CRLF" else ""
    found = edit(text.encode(), case.wanted)
    expected_out, expected_in = (each.split("\n") if each else [] for each in (case.out, case.put))
    last = b"\n" if variant == "no last line end" else b""
    diff = unified_diff(found.old + last, found.new + last, "m")
    assert [line.removesuffix(end) for line in lines_of(diff, "-")] == expected_out
    assert [line.removesuffix(end) for line in lines_of(diff, "+")] == expected_in
    if variant == "CRLF":
        assert found.new.count(b"\n") == found.new.count(b"\r\n")
    if variant == "no last line end":
        assert not found.new.endswith(b"\n")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_reread_it_says_what_was_wanted_and_nothing_is_left_to_do(case: Case) -> None:
    """PyYAML reads the wanted flags and all others as before; the same command again changes no byte."""
    found = edit(case.manifest.encode(), case.wanted)
    if "$(" not in str(case.wanted):
        old, new = (yaml.safe_load(each) for each in (case.manifest, found.new))
        if command_line(old)[0] == "kube-apiserver":
            assert meant(flags(command_line(new))) == meant(
                {**flags(command_line(old)), **AuditWanted(**case.wanted).given()}
            )
        assert without_flags_and_mounts(new) == without_flags_and_mounts(old)
    again = edit(found.new, case.wanted)
    assert again.new == found.new
    assert not again.changes
    assert bool(found.changes) == (found.new != case.manifest.encode())


def meant(found: dict[str, str]) -> dict[str, str]:
    return {name: str(int(value, 0)) if value.startswith("0x") else value for name, value in found.items()}


def without_flags_and_mounts(pod: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(json.dumps(pod))
    for key in ("command", "args", "volumeMounts"):
        container(kept).setdefault("name", "kube-apiserver")
        container(kept).pop(key, None)
        container(kept)["image"] = "kube-apiserver"
    kept["spec"].pop("volumes", None)
    return kept


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_what_must_not_be_guessed_at_is_refused_with_its_line(case: Refusal) -> None:
    """A conflict names the file, the line, what is wrong and what to do."""
    with pytest.raises(Conflict) as caught:
        edit(case.manifest.encode(), case.wanted)
    assert case.says in str(caught.value)
    assert caught.value.line == case.line
    assert str(caught.value).startswith(f"m.yaml:{case.line}: " if case.line else "m.yaml: ")
    assert caught.value.do


def test_from_kubeadms_manifest_to_the_tutorials() -> None:
    """One command makes of a plain kubeadm manifest what the tutorial's has: its flags, its mounts, its volumes."""
    new, end = yaml.safe_load(edit(KUBEADM.encode(), SEED).new), yaml.safe_load(TUTORIAL)
    audit = {name: value for name, value in flags(command_line(new)).items() if "audit" in name}
    assert audit == {name: value for name, value in flags(command_line(end)).items() if "audit" in name}
    for found, expected in (
        (container(new)["volumeMounts"][-2:], container(end)["volumeMounts"]),
        (new["spec"]["volumes"][-2:], end["spec"]["volumes"]),
    ):
        assert json.loads(json.dumps(found)) == json.loads(json.dumps(expected).replace('audit/"', 'audit"'))


JSON = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"command": ["kube-apiserver", "--v=2"]}]}}


@pytest.mark.parametrize("indent", [None, 0, 2, 4, "\t"])
def test_json_stays_json(indent: int | str | None) -> None:
    """A JSON manifest is laid out as before: dense, spaced, or over lines with the indentation that it has."""
    for text in (json.dumps(JSON, indent=indent), json.dumps(JSON, separators=(",", ":"))):
        found = edit(text.encode(), SEED)
        new = json.loads(found.new)
        assert flags(command_line(new)) == {"--v": "2", **AuditWanted(**SEED).given()}
        if text.startswith('{"apiVersion":"v1"'):
            assert found.new.decode() == json.dumps(new, separators=(",", ":"))
        elif indent != 0:
            assert found.new.decode() == json.dumps(new, indent=indent)


NAMES = {
    "plain": ("kube-apiserver.yaml", "kube-apiserver.yaml"),
    "letters": ("käse.yaml", "käse.yaml"),
    "a terminal's escapes": ("a\x1b]0;x\x07\n+++ b", r'"a\033]0;x\007\012+++ b"'),
    "a blank": ("my manifest.yaml", '"my manifest.yaml"'),
    "quotes": ('a"b\\c', r'"a\042b\134c"'),
    "read from right to left": ("a\u202eb", r'"a\342\200\256b"'),
    "no UTF-8": ("a\udcffb", r'"a\377b"'),
}


@pytest.mark.parametrize(("path", "shown"), NAMES.values(), ids=NAMES)
def test_a_files_name_cannot_write_into_the_diff(path: str, shown: str) -> None:
    """The head of a diff is two lines whatever the file is called, and patch(1) reads the name back."""
    head = edit(KUBEADM.encode(), {"log_maxage": 30}).diff(path).split(b"\n")[:3]
    assert head[:2] == [f"--- {shown}".encode(), f"+++ {shown}".encode()]
    assert head[2].startswith(b"@@")


def test_a_lone_carriage_return_ends_no_line_of_a_diff(tmp_path: Path) -> None:
    """To YAML it ends a line, to patch(1) it does not: the diff is in patch's lines."""
    old = KUBEADM.replace("    - --advertise-address=10.0.0.2\n", "    - --advertise-address=10.0.0.2\r").encode()
    old = old.replace(b"status: {}\n", b"status: {}\r# the end\n")
    assert old.count(b"\r") == 2
    found = edit(old, {"policy_file": POLICY})
    diff = found.diff("m.yaml")
    assert b"No newline" not in diff
    assert b" status: {}\r# the end\n" in diff
    if shutil.which("patch"):
        target = tmp_path / "m.yaml"
        target.write_bytes(old)
        subprocess.run(["patch", "-s", "--binary", str(target)], input=diff, check=True)
        assert target.read_bytes() == found.new


def test_dots_that_end_the_document_are_yaml() -> None:
    """``...`` at the end of a file is left where it is, and so is one in a quoted text."""
    text = KUBEADM.replace("  labels:", '    note: "see\n      ...\n      below"\n  labels:') + "...\n# the end\n"
    found = edit(text.encode(), {"log_maxage": 30})
    assert lines_of(found.diff("m"), "+") == ["    - --audit-log-maxage=30"]


def a_pod(made: random.Random) -> dict[str, Any]:
    command = ["kube-apiserver", "--advertise-address=10.0.0.2", "--allow-privileged"]
    for name, value in (
        ("--audit-log-maxage", "5"),
        ("--audit-log-path", LOG),
        ("--audit-policy-file", "/etc/p/p.yaml"),
    ):
        command += made.choice([[], [], [f"{name}={value}"], [name, value]])
    split = made.choice([1, len(command)])
    box: dict[str, Any] = {"name": "kube-apiserver", "image": "x/kube-apiserver:v1.31.2", "command": command[:split]}
    if split < len(command):
        box["args"] = command[split:]
    certs, logs = {"path": "/etc/ssl/certs"}, {"path": "/var/log/kubernetes/audit/"}
    mounts = [{"name": "c", "mountPath": certs["path"], "readOnly": True}, {"mountPath": logs["path"], "name": "l"}]
    volumes = [{"hostPath": certs, "name": "c"}, {"name": "l", "hostPath": {**logs, "type": "DirectoryOrCreate"}}]
    size = made.choice([0, 1, 2])
    spec: dict[str, Any] = {"containers": [box], "hostNetwork": True}
    if size or made.random() < 0.5:
        box["volumeMounts"], spec["volumes"] = mounts[:size], volumes[:size]
    if made.random() < 0.3:
        other = {
            "name": "other",
            "command": ["sh", "-c", "a: b # c"],
            "volumeMounts": [],
            "args": ["--audit-log-maxage=1"],
        }
        spec["containers"].insert(made.choice([0, 1]), other)
    items = list(box.items())
    made.shuffle(items)
    spec["containers"][spec["containers"].index(box)] = dict(items)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"n": "yes", "t": "a: b"}},
        "spec": spec,
    }


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**48))
def test_any_layout_is_edited_in_place_or_refused(seed: int) -> None:
    """In a layout made at random the wanted is put in, all else is as before, and a second edit changes nothing."""
    made = random.Random(seed)
    pod = a_pod(made)
    text = lay_out(pod, made)
    found = edit(text.encode(), SEED)
    new = next(iter(yaml.load_all(found.new, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))))
    assert flags(command_line(new)) == {**flags(command_line(pod)), **AuditWanted(**SEED).given()}
    for path, read_only in ((POLICY, True), (LOG, False)):
        mount = max(
            (m for m in container(new)["volumeMounts"] if path.startswith(m["mountPath"])),
            key=lambda m: len(m["mountPath"]),
        )
        assert mount.get("readOnly", False) is read_only
        (volume,) = (each for each in new["spec"]["volumes"] if each["name"] == mount["name"])
        assert volume["hostPath"]["path"].rstrip("/") == mount["mountPath"].rstrip("/")
    for was, now in ((container(pod), container(new)), (pod["spec"], new["spec"])):
        for key in ("volumes", "volumeMounts"):
            assert (now.get(key) or [])[: len(was.get(key) or [])] == (was.get(key) or [])
    assert without_flags_and_mounts(new) == without_flags_and_mounts(pod)
    assert edit(found.new, SEED).new == found.new
    assert_only_insertions(text, found.new.decode(), changed=["5", "/etc/p/p.yaml", " []", " [ ]", " [  ]", "[]"])


def assert_only_insertions(old: str, new: str, changed: list[str]) -> None:
    """Every character of the old text stands in the new one in its order, but those of the values that were changed."""
    for value in changed:
        old = old.replace(value, "")
    at = 0
    for character in old:
        at = new.find(character, at) + 1
        assert at > 0, "a character is gone"

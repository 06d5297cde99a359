from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from decklog.enable.edit import plan
from decklog.enable.manifest import StaticPod
from decklog.enable.wanted import FLAGS, AuditWanted
from decklog.options import Seconds, flags
from enable import kube_apiserver
from enable.corpus import FLAG, KUBEADM, MOUNT, SEED, TUTORIAL, Case
from enable.kube_apiserver import starts_and_logs

if TYPE_CHECKING:
    from collections.abc import Mapping

CASES = {name: case for name, case in {**FLAG, **MOUNT}.items() if "go-runner" not in name and "Kubernetes" not in name}


def edited(text: str, wanted: Mapping[str, Any]) -> Any:
    return yaml.safe_load(plan(StaticPod.read(text.encode(), "m.yaml"), AuditWanted(**wanted)).new)


@pytest.mark.parametrize("case", [case for name, case in CASES.items() if "emptyDir" not in name])
def test_what_is_written_starts_and_logs(case: Case) -> None:
    """Every edited manifest of the corpus is one that kube-apiserver would start with, and find its files."""
    starts_and_logs(edited(case.manifest, case.wanted))


def test_the_tutorials_values_start_and_log() -> None:
    """The flags that the tutorial ends with, from kubeadm's manifest and from its own, are the same."""
    assert starts_and_logs(edited(KUBEADM, SEED)) == starts_and_logs(yaml.safe_load(TUTORIAL))


def test_every_audit_flag_passes_through() -> None:
    """Each flag that kube-apiserver has is one of ours, takes the same, and arrives as it was given."""
    kinds = {str: "string", int: "int", float: "float", bool: "bool", Seconds: "duration"}
    ours = {flag.name: kinds[flag.type] for flag in flags(AuditWanted)}
    assert ours == kube_apiserver.FLAGS
    assert set(FLAGS) == set(kube_apiserver.FLAGS)


SAMPLES = {
    "string": st.just("/srv/a/b.yaml"),
    "int": st.integers(1, 10**6),
    "float": st.floats(0.25, 1000, allow_nan=False),
    "bool": st.booleans(),
    "duration": st.integers(1, 10**6).map(lambda ms: Seconds(ms / 1000)),
}
CHOICES = {"--audit-log-format": ["json", "legacy"], "--audit-log-mode": ["batch", "blocking"]}
CHOICES["--audit-webhook-mode"] = ["batch", "blocking-strict"]


@st.composite
def any_wanted(draw: st.DrawFn) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for flag in flags(AuditWanted):
        if "initial_backoff" in flag.field or not draw(st.booleans()):
            continue
        kind = kube_apiserver.FLAGS[flag.name]
        value: st.SearchStrategy[Any] = SAMPLES[kind]
        if flag.name in CHOICES:
            value = st.sampled_from(CHOICES[flag.name])
        elif flag.name == "--audit-log-path":
            value = st.sampled_from(["/srv/audit/a.log", "/etc/kubernetes/audit/x/a.log", "-"])
        elif flag.name.endswith("version"):
            value = st.just("audit.k8s.io/v1")
        elif "truncate-max" in flag.name:
            value = st.just(1_000_000)
        wanted[flag.field] = draw(value)
    for name in ("log", "webhook"):  # truncation is judged even where it is off
        if wanted.get(f"{name}_truncate_max_batch_size"):
            wanted[f"{name}_truncate_max_event_size"] = 1000
        elif wanted.get(f"{name}_truncate_max_event_size"):
            wanted[f"{name}_truncate_max_event_size"] = 100_000
        if wanted.get(f"{name}_batch_throttle_enable"):
            wanted |= {f"{name}_batch_throttle_qps": 5.5, f"{name}_batch_throttle_burst": 7}
    return wanted


@settings(max_examples=100, deadline=None)
@given(any_wanted())
def test_any_flags_start_and_arrive(wanted: dict[str, Any]) -> None:
    """Whatever flags are given, kube-apiserver reads just these values, and finds the files that they name."""
    read = starts_and_logs(edited(KUBEADM, wanted))
    assert read == AuditWanted(**wanted).given()

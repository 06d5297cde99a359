from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from decklog.assembly import Audited, backend_of, log_to
from decklog.audit.sink import DeliveryError
from decklog.backends.log import LogOptions
from decklog.config import AuditOptions
from decklog.errors import DecklogError
from decklog.metrics import AuditCounters
from decklog.policy.options import PolicyOptions
from decklog.testing import event

if TYPE_CHECKING:
    from pathlib import Path

    from decklog.asgi import Receive, Scope, Send


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that never answers."""


MODES = {"blocking": "blocking<log>", "blocking-strict": "log", "batch": "batch<log>"}


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_is_a_wrapping(tmp_path: Path, mode: str) -> None:
    """Strict is the bare log, blocking is blocking<…>."""
    assert str(log_to(str(tmp_path / "audit.log"), mode=mode)) == MODES[mode]


def test_a_log_that_cannot_be_written_is_told_before_serving() -> None:
    """A device at the path is no log."""

    async def enter() -> None:
        async with log_to("/dev/full"):
            pass

    with pytest.raises(DecklogError, match="/dev/full"):
        asyncio.run(enter())


def test_the_legacy_format_is_a_line_of_text(tmp_path: Path) -> None:
    """--audit-log-format=legacy."""
    path = tmp_path / "audit.log"

    async def write() -> None:
        async with log_to(str(path), format="legacy") as backend:
            backend.process([event()])

    asyncio.run(write())
    assert b' AUDIT: id="00000000-0000-4000-8000-000000000001" stage="ResponseComplete"' in path.read_bytes()


def test_wrong_options_are_told_at_once() -> None:
    """Every one of them, before anything is opened."""
    with pytest.raises(DecklogError, match=r"--audit-log-maxage -1.*--audit-log-maxsize -2"):
        log_to("audit.log", max_age_days=-1, max_size_mib=-2)


PLUMBING = {
    "nothing": (False, False, "auditing is off: no --audit-log-path, no --audit-webhook-config-file, no --store"),
    "a policy alone": (True, False, "auditing is off: no --audit-log-path, no --audit-webhook-config-file, no --store"),
    "a log alone": (False, True, "auditing is off: no --audit-policy-file"),
    "both": (True, True, "blocking<log>"),
}


@pytest.mark.parametrize("name", PLUMBING)
def test_auditing_needs_a_policy_and_a_log(tmp_path: Path, name: str) -> None:
    """What is missing is said."""
    has_policy, has_log, expected = PLUMBING[name]
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n")
    options = AuditOptions(
        policy=PolicyOptions(file=str(policy) if has_policy else ""),
        log=LogOptions(path=str(tmp_path / "audit.log") if has_log else ""),
    )
    audited = Audited(silent, options, identify=lambda _: None)
    assert audited.plumbing == expected
    assert (audited.app is silent) is (expected != "blocking<log>")


def test_a_backend_may_have_a_policy_of_its_own(tmp_path: Path) -> None:
    """The nest says so; a strict one may not, as it could let a request through unrecorded; a bad file is refused."""
    own = tmp_path / "own.yaml"
    own.write_text(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: None\n  verbs: [get]\n- level: Metadata\n"
    )
    log = LogOptions(path=str(tmp_path / "audit.log"), policy_file=str(own))
    counters = AuditCounters()
    backend, _ = backend_of(AuditOptions(log=log), counters)
    assert str(backend) == "filtered<blocking<log>>"
    with pytest.raises(DecklogError, match="--audit-log-policy-file could leave out"):
        AuditOptions(log=replace(log, mode="blocking-strict")).check()
    own.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\n")
    with pytest.raises(DecklogError, match="a policy needs a rule"):
        backend_of(AuditOptions(log=log), counters)


def test_a_strict_log_on_standard_output_needs_a_place_for_intents(tmp_path: Path) -> None:
    """Where the policy omits RequestReceived there must be a file, and standard output has none beside it."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n"
    )
    options = AuditOptions(policy=PolicyOptions(file=str(policy)), log=LogOptions(path="-", mode="blocking-strict"))
    with pytest.raises(DecklogError, match="needs --audit-intent-path FILE"):
        Audited(silent, options, identify=lambda _: None)


def test_the_applications_lifespan_is_its_own(tmp_path: Path) -> None:
    """The door's end waits for the application, not for the trail, which is drained after it."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n")
    options = AuditOptions(policy=PolicyOptions(file=str(policy)), log=LogOptions(path=str(tmp_path / "audit.log")))
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del send
        asked.append(f"{scope['type']} {(await receive())['type']}")

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: object) -> None:
        asked.append(repr(message))

    async def live() -> None:
        await Audited(app, options, identify=lambda _: None).app({"type": "lifespan"}, receive, send)

    asyncio.run(live())
    assert asked == ["lifespan lifespan.startup"]


def test_a_lenient_policy_s_findings_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With their place."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  verb: [get]\n")
    options = AuditOptions(policy=PolicyOptions(file=str(policy), lenient=True))
    Audited(silent, options, identify=lambda _: None)
    assert f"{policy}:5:3: warning: rules[0].verb" in caplog.text


def test_delivery_errors_say_how_many_events_and_why() -> None:
    """Never what was in them."""
    assert str(DeliveryError("log", 2, "No space left on device")) == (
        "audit backend log: 2 events not stored: No space left on device"
    )

"""Flag checks: what kube-apiserver would refuse of the audit flags, in its own words (spec §7), and what they lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from decklog.backends.log_options import LogOptions
from decklog.backends.webhook_options import WebhookOptions
from decklog.enable.findings import Finding, Severity
from decklog.enable.wanted import FLAGS, Takes, meaning
from decklog.options import flags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.enable.manifest import StaticPod

_PREFIX: Final = "--audit-"
_LOG: Final = "--audit-log-path"
_WEBHOOK: Final = "--audit-webhook-config-file"
_POLICY: Final = "--audit-policy-file"
_TAKES: Final = {
    Takes.NUMBER: "a whole number",
    Takes.DECIMAL: "a number",
    Takes.SWITCH: "true or false",
    Takes.DURATION: "a duration with its unit, as in 30s",
}


def check(pod: StaticPod) -> Iterator[Finding]:
    """Check the audit flags of a manifest."""
    yield from _each(pod)
    for options in (LogOptions, WebhookOptions):
        yield from _refused(pod, options)
    yield from _together(pod)


def line_of(pod: StaticPod, flag: str) -> int:
    """Give the line of the flag that counts; 0: it is not there."""
    found = pod.flags.get(flag, ())
    return found[-1].line if found else 0


def _each(pod: StaticPod) -> Iterator[Finding]:
    for name, found in pod.flags.items():
        if not name.startswith(_PREFIX):
            continue
        last = found[-1]
        takes = FLAGS.get(name)
        if takes is None:
            what = f"there is no flag {name}, and kube-apiserver does not start with one that it does not know"
            yield Finding(Severity.GRAVE, "flag-unknown", what, "take it out, or spell it right", last.line)
            continue
        if len({at.value for at in found}) > 1:
            values = " and ".join(repr(at.value) for at in found)
            what = f"{name} is given several times ({values}), and the last one counts"
            yield Finding(Severity.WARNING, "flag-twice", what, "leave one of them", last.line)
        if meaning(takes, last.value) is None:
            what = f"{name}={last.value[:60]!r}: kube-apiserver reads {_TAKES[takes]} there, and does not start"
            yield Finding(Severity.GRAVE, "flag-value", what, f"give {_TAKES[takes]}", last.line)


def _refused(pod: StaticPod, options: type[Any]) -> Iterator[Finding]:
    """Let the options of our own backends, which are kube-apiserver's, say what is wrong."""
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for flag in flags(options):
        text = pod.value(flag.name)
        takes = FLAGS.get(flag.name)
        if takes is None or flag.name not in pod.flags:
            continue
        read = meaning(takes, text)
        if read is not None:
            values[flag.field] = read / 1e9 if takes is Takes.DURATION and isinstance(read, int) else read
            lines[flag.name] = line_of(pod, flag.name)
    for problem in options(**values).problems():
        name = next((name for name in lines if _is_about(problem, name)), "")
        what = f"kube-apiserver would not start: {problem}"
        yield Finding(Severity.GRAVE, "flags-refused", what, "change the value", lines.get(name, 0))


def _is_about(problem: str, name: str) -> bool:
    """Whether a problem is about a flag: it names it, or has the words of its name in it."""
    words = name.removeprefix("--audit-").split("-")
    return problem.startswith(name) or all(word in problem.replace("size", "size ").split() for word in words)


def _together(pod: StaticPod) -> Iterator[Finding]:
    has_log, has_webhook, has_policy = (bool(pod.value(name)) for name in (_LOG, _WEBHOOK, _POLICY))
    if not has_policy:
        lead = "a log or webhook is set, but no policy" if has_log or has_webhook else "no policy is set"
        what = f"{lead} ({_POLICY}): auditing is off, and nothing is recorded"
        yield Finding(Severity.GRAVE, "policy-unset", what, f"give {_POLICY} FILE", line_of(pod, _LOG))
    elif not has_log and not has_webhook:
        what = f"a policy is set, but neither {_LOG} nor {_WEBHOOK}: what it records goes nowhere"
        yield Finding(Severity.GRAVE, "nowhere", what, f"give {_LOG} FILE", line_of(pod, _POLICY))
    for there, switch, prefix in ((has_log, _LOG, "--audit-log-"), (has_webhook, _WEBHOOK, "--audit-webhook-")):
        idle = [name for name in pod.flags if name.startswith(prefix) and name != switch]
        if idle and not there:
            what = f"{', '.join(idle[:3])}{' …' * (len(idle) > 3)} without {switch}: nothing comes of it"
            do = f"give {switch}, or take it out"
            yield Finding(Severity.WARNING, "flags-idle", what, do, line_of(pod, idle[0]))

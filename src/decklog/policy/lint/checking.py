"""Checking: one policy file through every family of checks, for one release of Kubernetes or several.

What a check says for every release asked about is said once; what holds for some of them names them. A file with keys
that are unknown or twice is checked as kube-apiserver would read it, after the errors; any other error ends it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from decklog.policy.evaluator import Evaluator
from decklog.policy.findings import Finding, PolicyError, Severity
from decklog.policy.kinds import Kinds, built_in
from decklog.policy.lint import bodies, changes, coverage, identities, lists, names, reach, volume
from decklog.policy.lint.described import described, entry_described
from decklog.policy.lint.remarks import Remark, Subject, encodable, listed
from decklog.policy.reader import Loaded, parse
from decklog.policy.releases import NEWEST, Release, parse_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from decklog.policy.kinds import Kind
    from decklog.policy.lint.coverage import Topic
    from decklog.policy.lint.reach import Reached

_STAR_SINCE: Final = 36
_ADVICE: Final = re.compile(r"""((?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^'":])+): (.+)""", re.DOTALL)
"""What is wrong and what would be right, as the reader joins them; a colon within quotes is the user's."""
_WORD: Final = re.compile(r"[a-z][a-z0-9./-]{0,60}")
_PLACE: Final = re.compile(r"rules\[(\d{1,9})\](?:\.resources\[(\d{1,9})\])?")


class Verdict(Struct, frozen=True):
    """What the API server of one release does with the file."""

    release: str
    starts: bool
    says: str
    """Its error, or its warning before it falls back to lenient decoding; empty: nothing."""


class Report(Struct, frozen=True):
    """Everything that is said of one file."""

    source: str
    remarks: tuple[Remark, ...]
    """Errors and warnings in the order of the file."""
    verdicts: tuple[Verdict, ...]
    reached: tuple[Reached, ...] = ()
    """For each rule whether some request is decided by it; empty: the policy does not load."""
    topics: tuple[Topic, ...] = ()
    """What CIS 3.2.2 asks for, by first match; empty: the policy does not load."""

    @property
    def errors(self) -> int:
        """How many remarks keep the policy from being used."""
        return sum(remark.severity is Severity.ERROR for remark in self.remarks)

    @property
    def warnings(self) -> int:
        """How many do not."""
        return len(self.remarks) - self.errors


def check(
    data: bytes,
    *,
    source: str,
    kubernetes: Sequence[str] = (),
    lenient: bool = False,
    discovered: Iterable[Kind] = (),
    strict_mode: bool = False,
    tick: Callable[[], object] = lambda: None,
) -> Report:
    """Check a policy of YAML or JSON; `source` is how remarks name it.

    `kubernetes`: the releases to check for, the newest known if none is named; DecklogError for one that is no
    version. `lenient`: unknown and duplicate keys are warnings, as kube-apiserver has them. `discovered`: what a
    cluster serves besides the built-in resources. `strict_mode`: the log is written in mode blocking-strict. `tick` is
    called at each rule: how long a check takes grows with the square of their number, and what it raises ends it.
    """
    releases = [parse_release(name) for name in kubernetes] or [Release(NEWEST)]
    served = tuple(discovered)
    discovered_groups = frozenset(kind.group for kind in served)
    kinds = Kinds(kind for kind in built_in() if kind.group not in discovered_groups) | served
    readings = _readings(data, source, releases, lenient=lenient)
    found = [
        (release, _of_release(readings[release.minor], release, source, kinds, served, tick)) for release in releases
    ]
    subject = next((subject for _, (_, subject) in found if subject is not None), None)
    said = [(release, _with_lost_names(remarks, data)) for release, (remarks, _) in found]
    reached: tuple[Reached, ...] = ()
    topics: tuple[Topic, ...] = ()
    if subject is not None:
        reached = reach.reach(subject)
        topics = coverage.topics(subject)
        general = [*_general(subject, reached, strict_mode=strict_mode)]
        general += _depends(subject) if not kubernetes else []
        said += [(release, general) for release, (_, of) in found if of is not None]
    verdicts = tuple(_verdict(release, readings[release.minor]) for release in releases)
    return Report(source, _merged(said, releases), verdicts, reached, topics)


def unreadable(source: str, error: PolicyError) -> Report:
    """Report a file whose bytes could not be had."""
    remarks = (structs.replace(_of_finding(finding, None), source=source) for finding in error.findings)
    return Report(source, tuple(remarks), ())


class _Reading(Struct, frozen=True):
    strict: Loaded | PolicyError
    lenient: Loaded | PolicyError


def _readings(data: bytes, source: str, releases: list[Release], *, lenient: bool) -> dict[int, _Reading]:
    """Read the file once for all releases that read it alike."""
    alike: dict[tuple[object, ...], _Reading] = {}
    read: dict[int, _Reading] = {}
    for release in releases:
        key = (release.star_group, release.omit_managed_fields, release.versions, release.tells)
        if key not in alike:
            strict = _read(data, source, release, lenient=lenient)
            needs_second = isinstance(strict, PolicyError) and not lenient
            alike[key] = _Reading(strict, _read(data, source, release, lenient=True) if needs_second else strict)
        read[release.minor] = alike[key]
    return read


def _read(data: bytes, source: str, release: Release, *, lenient: bool) -> Loaded | PolicyError:
    try:
        return parse(data, source=source, lenient=lenient, kubernetes=str(release))
    except PolicyError as error:
        return error


def _of_release(
    reading: _Reading,
    release: Release,
    source: str,
    kinds: Kinds,
    served: tuple[Kind, ...],
    tick: Callable[[], object],
) -> tuple[list[Remark], Subject | None]:
    """Give what is said of the file for one release, and the subject of all other checks if it can be read."""
    findings = reading.strict.findings if isinstance(reading.strict, PolicyError) else reading.strict.warnings
    loaded = reading.lenient
    if isinstance(loaded, PolicyError):
        return [_of_finding(finding, None) for finding in findings], None
    subject = Subject(
        loaded.policy,
        loaded.positions,
        source,
        release,
        kinds,
        frozenset(kind.group for kind in served),
        Evaluator(loaded.policy),
        tick,
    )
    remarks = [_of_finding(finding, subject) for finding in findings]
    return [*remarks, *names.check(subject)], subject


def _of_finding(finding: Finding, subject: Subject | None) -> Remark:
    text, write = finding.text, ""
    code = "DL000" if finding.severity is Severity.ERROR else "DL003"
    if finding.reference.startswith("unknown field"):
        code = "DL001"
    elif "stands here twice" in text or "<<" in text:
        code = "DL002"
    elif finding.path.endswith("].group") and "without the version" in text:
        code = "DL101"
    if code in {"DL001", "DL002"} and subject is not None:
        text = f"{text.rstrip('?')}{_consequence(finding.path, subject)}"
    parted = _ADVICE.match(text)
    if code in {"DL000", "DL003", "DL101"} and parted is not None:
        text, write = parted[1], parted[2]
    place = (finding.line, finding.column, encodable(finding.path))
    return Remark(
        code, finding.source, *place, encodable(text), encodable(write or _write(code)), severity=finding.severity
    )


def _with_lost_names(remarks: list[Remark], data: bytes) -> list[Remark]:
    """Add to `resource:` for `resources:` that its names are singular, too, where they look so in that line."""
    told = []
    for remark in remarks:
        if remark.code == "DL001" and remark.path.endswith("].resource"):
            lines = data.decode("utf-8", "replace").splitlines()
            line = lines[remark.line - 1][remark.column - 1 :] if remark.line <= len(lines) else ""
            names = [name for name in _WORD.findall(line.partition("resource")[2].partition("]")[0]) if name[-1] != "s"]
            if names:
                plural = f"{remark.write}; and its names in the plural, not {listed(names)}"
                told.append(structs.replace(remark, write=plural))
                continue
        told.append(remark)
    return told


def _write(code: str) -> str:
    return {
        "DL001": "the key as Kubernetes spells it, or take it out",
        "DL002": "the key once",
    }.get(code, "what the message says")


def _consequence(path: str, subject: Subject) -> str:
    """Say what the rule, or the entry of its resources, matches without the key."""
    place = _PLACE.match(path)
    if place is None or int(place[1]) >= len(subject.policy.rules):
        return ""
    rule = subject.policy.rules[int(place[1])]
    if place[2] and int(place[2]) < len(rule.resources):
        return f" (kube-apiserver drops the key: the entry is then {entry_described(rule.resources[int(place[2])])})"
    return f" (kube-apiserver drops the key: the rule then matches {described(rule)})"


def _general(subject: Subject, reached: tuple[Reached, ...], *, strict_mode: bool) -> Iterator[Remark]:
    """Run the checks that are the same for every release."""
    yield from lists.check(subject)
    if coverage.records_nothing(subject):
        yield coverage.nothing(subject)
        return
    yield from reach.check(subject, reached)
    yield from identities.check(subject)
    yield from bodies.check(subject)
    yield from volume.check(subject, strict_mode=strict_mode)
    yield from changes.check(subject)
    yield from coverage.check(subject, strict_mode=strict_mode)


def _depends(subject: Subject) -> list[Remark]:
    """Tell of what older releases refuse, where none was asked about."""
    stars = [
        f"rules[{index}].resources[{number}].group"
        for index, rule in subject.rules
        for number, entry in enumerate(rule.resources)
        if entry.group == "*"
    ]
    if not stars or subject.release.minor < _STAR_SINCE:
        return []
    text = f'group: "*" is every group since Kubernetes 1.{_STAR_SINCE}; before, kube-apiserver does not start with it'
    return [subject.remark("DL020", stars[0], text, "the groups by name, if the policy is for older clusters, too")]


def _verdict(release: Release, reading: _Reading) -> Verdict:
    outcome = reading.lenient if isinstance(reading.strict, PolicyError) else reading.strict
    if isinstance(outcome, PolicyError):
        reference = outcome.reference
        return Verdict(str(release), starts=not reference, says=encodable(reference or outcome.reference_warning))
    return Verdict(str(release), starts=True, says=encodable(outcome.reference_warning))


def _merged(said: list[tuple[Release, list[Remark]]], releases: list[Release]) -> tuple[Remark, ...]:
    """Say what holds for all releases once, and of the rest for which it holds."""
    holds: dict[Remark, list[str]] = {}
    for release, remarks in said:
        for remark in remarks:
            names_of = holds.setdefault(remark, [])
            if str(release) not in names_of:
                names_of.append(str(release))
    merged = [
        remark
        if len(names_of) == len({str(each) for each in releases})
        else structs.replace(remark, releases=tuple(names_of))
        for remark, names_of in holds.items()
    ]
    return tuple(sorted(merged, key=lambda remark: (remark.line, remark.column, remark.severity, remark.code)))

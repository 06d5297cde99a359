"""Policy: findings at the lines of a policy, why a request is decided as it is, and what it would keep of the log."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from decklog.errors import DecklogError
from decklog.policy.deciding import decide_by
from decklog.policy.explain import explain, listed
from decklog.policy.explained import answers, asked, by
from decklog.policy.findings import PolicyError
from decklog.policy.kinds import built_in
from decklog.policy.lint import check
from decklog.policy.reader import parse, read
from decklog.policy.releases import NEWEST
from decklog.policy.replay import Replay
from decklog.policy.request_text import caller, read_request
from decklog.web import links
from decklog.web.asking import Asked, Page, RefusedError
from decklog.web.limits import TooBroadError

if TYPE_CHECKING:
    from decklog.policy.lint import Report as Checked
    from decklog.policy.lint.remarks import Remark
    from decklog.policy.reader import Loaded
    from decklog.policy.replay import Report, Share, Volume

PATH: Final = "/policy"
SPANS: Final = (("15m", "quarter of an hour", 15), ("1h", "hour", 60), ("24h", "day", 24 * 60))
"""Value, words, minutes."""
SHOWN_SHARES: Final = 10
SHOWN_LINES: Final = 5000
"""Of a policy; findings past them are in the JSON twin."""
_PASTED: Final = "policy"


class Note(Struct, frozen=True):
    """One finding."""

    severity: str
    code: str
    text: str
    why: str
    write: str


class Line(Struct, frozen=True):
    """One line of the policy."""

    number: int
    text: str
    notes: tuple[Note, ...]
    mark: str
    """What the explained request has to do with the rule that begins here: ``passed``, ``decides`` or nothing."""
    said: str
    """Why it passed the rule."""


class Explained(Struct, frozen=True):
    """Why one request is decided as it is."""

    request: str
    user: str
    line: int
    """Of the rule that decides; 0: none does."""
    answers: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


class Kept(Struct, frozen=True, rename="camel"):
    """What is recorded and what would be kept of it."""

    name: str
    line: int
    """Of a rule; 0: this is no rule."""
    level: str
    events: int
    bytes: int
    kept_events: int
    kept_bytes: int

    @property
    def share(self) -> int:
        """Of the bytes, in percent."""
        return round(100 * self.kept_bytes / self.bytes) if self.bytes else 0


class Replayed(Struct, frozen=True):
    """What the policy makes of the last events of the log."""

    first: str | None
    last: str | None
    whole: Kept
    lowered: int
    rules: tuple[Kept, ...]
    users: tuple[Kept, ...]
    resources: tuple[Kept, ...]
    unknown: tuple[str, ...]
    day_gb: tuple[float, float] | None
    """Recorded and kept in a day, at this rate."""


class PolicyPage(Struct, frozen=True, rename="camel"):
    """The page."""

    policy: str
    source: str
    request: str
    user: str
    groups: str
    unauthenticated: bool
    span: str
    problems: dict[str, str]
    """By field, what could not be read."""
    release: str = f"1.{NEWEST}"
    lines: tuple[Line, ...] = ()
    unplaced: tuple[Note, ...] = ()
    """Findings about the policy as a whole."""
    errors: int = 0
    warnings: int = 0
    starts: bool | None = None
    """Whether kube-apiserver would; None: there is no policy yet."""
    says: str = ""
    """What kube-apiserver says of it."""
    command: str = ""
    explained: Explained | None = None
    replayed: Replayed | None = None
    status: int = 200

    @property
    def spans(self) -> tuple[tuple[str, str], ...]:
        """What can be chosen."""
        return tuple((value, words) for value, words, _ in SPANS)


def make(asked_for: Asked) -> PolicyPage:
    """Judge what was sent; at a first look the policy that the command line names."""
    form = asked_for.form
    problems: dict[str, str] = {}
    source = str(asked_for.settings.get("policy") or "")
    if form.pairs:
        source, text = _PASTED, form.one("policy").replace("\r\n", "\n")
    else:
        text = _own(source, problems)
    judged: dict[str, Any] = {}
    if text.strip():
        judged = _judged(asked_for, text, source, problems)
    elif form.pairs:
        problems["policy"] = "paste a policy first"
    return PolicyPage(
        policy=text,
        source=source,
        request=form.one("request"),
        user=form.one("user"),
        groups=form.one("groups"),
        unauthenticated="unauthenticated" in form,
        span=form.one("span", "1h"),
        problems=problems,
        status=400 if problems else 200,
        **judged,
    )


def _judged(asked_for: Asked, text: str, source: str, problems: dict[str, str]) -> dict[str, Any]:
    """Give what the page says of a policy; what of the form cannot be read goes into `problems`."""
    data = text.encode("utf-8", "surrogateescape")
    checked = _checked(asked_for, data, source)
    loaded = _loaded(data, source)
    deed = asked_for.form.one("do", "check")
    explained, passed = _explained(asked_for, loaded, problems) if deed == "explain" else (None, {})
    verdict = checked.verdicts[0]
    return {
        "lines": _lines(text, checked, passed, explained.line if explained else 0),
        "unplaced": tuple(_note(remark) for remark in checked.remarks if not remark.line),
        "errors": checked.errors,
        "warnings": checked.warnings,
        "starts": verdict.starts,
        "says": verdict.says,
        "command": _command(asked_for, deed),
        "explained": explained,
        "replayed": _replayed(asked_for, loaded, problems) if deed == "replay" else None,
    }


def _checked(asked_for: Asked, data: bytes, source: str) -> Checked:
    try:
        return check(data, source=source, tick=asked_for.deadline.check)
    except TooBroadError as error:
        raise RefusedError(
            503,
            f"This policy has too many rules for a page: it was not checked within {error.seconds:g} s.",
            f"Let the command line check it, which has the time: {_command(asked_for, 'check')}",
        ) from None


def _own(source: str, problems: dict[str, str]) -> str:
    if not source:
        return ""
    try:
        return read(source).decode("utf-8", "surrogateescape")
    except PolicyError as error:
        problems["policy"] = str(error)
        return ""


def _loaded(data: bytes, source: str) -> Loaded | None:
    try:
        return parse(data, source=source)
    except PolicyError:  # the check has found it, too
        return None


def _lines(text: str, checked: Checked, passed: dict[int, str], decides: int) -> tuple[Line, ...]:
    notes: dict[int, list[Note]] = {}
    for remark in checked.remarks:
        notes.setdefault(remark.line, []).append(_note(remark))
    texts = text.split("\n")
    if texts[-1] == "" and len(texts) not in notes:
        texts.pop()
    return tuple(
        Line(
            number,
            written,
            tuple(notes.get(number, ())),
            "decides" if number == decides else "passed" if number in passed else "",
            passed.get(number, ""),
        )
        for number, written in enumerate(texts[:SHOWN_LINES], start=1)
    )


def _note(remark: Remark) -> Note:
    return Note(str(remark.severity), remark.code, remark.text, remark.why, remark.write)


# Explaining


def _explained(
    asked_for: Asked, loaded: Loaded | None, problems: dict[str, str]
) -> tuple[Explained | None, dict[int, str]]:
    """Explain one request; give besides, by line, why it passed the rules before."""
    form = asked_for.form
    try:
        wanted = read_request(form.one("request"), built_in())
    except DecklogError as error:
        problems["request"] = str(error)
        return None, {}
    try:
        unauthenticated = "unauthenticated" in form
        user = caller(form.one("user"), (form.one("groups"),), unauthenticated=unauthenticated)
    except DecklogError as error:
        problems["user"] = str(error)
        return None, {}
    if loaded is None:
        problems["policy"] = "the policy has errors, so it decides nothing: mend them first"
        return None, {}
    explanation = explain(loaded, wanted.attributes, user)
    passed = {
        each.line: f"{each.difference.field}: {each.difference.text}"
        for each in explanation.rules
        if each.difference is not None
    }
    matching = explanation.rules[-1] if explanation.decision.rule is not None else None
    said = Explained(
        asked(explanation.attributes),
        by(explanation.user),
        matching.line if matching else 0,
        tuple(answers(explanation)),
        wanted.notes,
    )
    return said, passed


# Replaying


def _replayed(asked_for: Asked, loaded: Loaded | None, problems: dict[str, str]) -> Replayed | None:
    if loaded is None:
        problems["policy"] = "the policy has errors, so it keeps nothing: mend them first"
        return None
    minutes = {value: minutes for value, _, minutes in SPANS}.get(asked_for.form.one("span", "1h"))
    if minutes is None:
        problems["span"] = f"choose one of {listed([value for value, _, _ in SPANS])}"
        return None
    newest = asked_for.data.newest(asked_for.deadline)
    if newest is None:
        problems["span"] = "the log has no events yet: there is nothing to replay"
        return None
    run = Replay(decide_by(loaded.policy), [rule.level for rule in loaded.policy.rules])
    run.extend(asked_for.data.lines(_earlier(newest, minutes), asked_for.deadline))
    return _report(run.report(), loaded)


def _earlier(time: str, minutes: int) -> str:
    """Give the MicroTime so many minutes before another."""
    try:
        earlier = datetime.fromisoformat(time) - timedelta(minutes=minutes)
    except (ValueError, OverflowError):
        return ""
    return earlier.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _report(report: Report, loaded: Loaded) -> Replayed:
    lines = [loaded.positions.get(f"rules[{place}]") for place in range(len(loaded.policy.rules))]
    rules = []
    for each in report.rules:
        at = lines[each.rule] if each.rule is not None else None
        name = "no rule matches" if each.rule is None else f"rule {each.rule}"
        rules.append(_kept(name, each.before, each.after, at.line if at else 0, each.level))
    rates = report.rate_before, report.rate_after
    return Replayed(
        report.first,
        report.last,
        _kept("", report.before, report.after),
        report.lowered,
        tuple(rules),
        _largest(report.users),
        _largest(report.resources),
        report.unknown,
        (rates[0].gb_a_day, rates[1].gb_a_day) if rates[0] and rates[1] else None,
    )


def _largest(shares: tuple[Share, ...]) -> tuple[Kept, ...]:
    return tuple(_kept(share.name or "none", share.before, share.after) for share in shares[:SHOWN_SHARES])


def _kept(name: str, before: Volume, after: Volume, line: int = 0, level: str = "") -> Kept:
    return Kept(name, line, level, before.events, before.bytes, after.events, after.bytes)


# The same on the command line


def _command(asked_for: Asked, deed: str) -> str:
    """Write the command that answers the same, of a policy in a file."""
    form = asked_for.form
    file = str(asked_for.settings.get("policy") or "policy.yaml")
    if deed == "explain" and form.one("request"):
        who = [f"--as={form.one('user')}"] if form.one("user") else []
        who += [f"--groups={form.one('groups')}"] if form.one("groups") else []
        who += ["--unauthenticated"] if "unauthenticated" in form else []
        return links.command(["decklog", "policy", "explain", file, *who, *form.one("request").split()])
    if deed == "replay":
        sources = asked_for.data.arguments
        files = [word for word in sources if word not in {"-f", "--no-rotated"}]
        if "--store" not in sources:
            return links.command(["decklog", "policy", "replay", file, *files])
        return ""  # the command replays files
    return links.command(["decklog", "policy", "check", file])


PAGE: Final = Page(PATH, "policy.html", make, "Policy", posts=True)

"""Coverage: what a policy never records (DL501 to DL513, DL530), and the topics of CIS by first match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from decklog.audit.event import Level, Stage
from decklog.policy.lint.probes import ANONYMOUS, OTHER, SOMEBODY, Answer, ask, by_rule, request, service_account
from decklog.policy.lint.remarks import listed
from decklog.policy.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.policy.lint.probes import Probe
    from decklog.policy.lint.remarks import Remark, Subject

_POD: Final = f"/api/v1/namespaces/{OTHER}/pods"
_SERVICE: Final = f"/api/v1/namespaces/{OTHER}/services"
_SECRET: Final = f"/api/v1/namespaces/{OTHER}/secrets"
_CONFIGMAP: Final = f"/api/v1/namespaces/{OTHER}/configmaps"
_DEPLOYMENT: Final = f"/apis/apps/v1/namespaces/{OTHER}/deployments"

_SECRETS: Final = (
    request("get secrets", "GET", f"{_SECRET}/{OTHER}"),
    request("list secrets of all namespaces", "GET", "/api/v1/secrets"),
    request("create secrets", "POST", _SECRET),
    request("update configmaps", "PUT", f"{_CONFIGMAP}/{OTHER}"),
    request("get configmaps", "GET", f"{_CONFIGMAP}/{OTHER}"),
    request("create tokenreviews", "POST", "/apis/authentication.k8s.io/v1/tokenreviews"),
    request("get secrets by a service account", "GET", f"{_SECRET}/{OTHER}", service_account("default", OTHER)),
)
_WORKLOADS: Final = (
    request("create pods", "POST", _POD),
    request("patch pods", "PATCH", f"{_POD}/{OTHER}"),
    request("delete pods", "DELETE", f"{_POD}/{OTHER}"),
    request("deletecollection of pods", "DELETE", _POD),
    request("create deployments", "POST", _DEPLOYMENT),
    request("update deployments", "PUT", f"{_DEPLOYMENT}/{OTHER}"),
    request("delete deployments", "DELETE", f"{_DEPLOYMENT}/{OTHER}"),
)
_TUNNELS: Final = (
    *(
        request(f"{word} pods/{name}", method, f"{_POD}/{OTHER}/{name}")
        for name in ("exec", "portforward", "proxy")
        for word, method in (("create", "POST"), ("get", "GET"))
    ),
    request("get services/proxy", "GET", f"{_SERVICE}/{OTHER}/proxy"),
)
_CIS: Final = (("DL511", _SECRETS), ("DL512", _WORKLOADS), ("DL513", _TUNNELS))
_FAILED_LOGINS: Final = (
    request("GET of pods", "GET", "/api/v1/pods", None),
    request("POST of pods", "POST", _POD, None),
    request("GET of secrets", "GET", "/api/v1/secrets", None),
    request("GET of /", "GET", "/", None),
    request("GET of /api", "GET", "/api", None),
)
_ANONYMOUS: Final = (
    request("/api", "GET", "/api", ANONYMOUS),
    request("/apis", "GET", "/apis", ANONYMOUS),
    request("/apis/apps/v1", "GET", "/apis/apps/v1", ANONYMOUS),
    request("/version", "GET", "/version", ANONYMOUS),
)
_FALLING: Final = (
    request("node proxy", "GET", f"/api/v1/nodes/{OTHER}/proxy/"),
    request("lists of pods", "GET", "/api/v1/pods"),
    request("changes of custom resources", "POST", f"/apis/decklog-other.example/v1/namespaces/{OTHER}/things"),
    request("anonymous requests", "GET", "/", ANONYMOUS),
    request("failed authentication", "GET", "/api/v1/pods", None),
    request("reads of roles", "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", SOMEBODY),
)


class Topic(Struct, frozen=True):
    """One request that CIS 3.2.2 wants recorded, and what the policy does with it."""

    code: str
    """The remark that is made where it is not recorded."""
    request: str
    level: Level
    rule: int | None
    """From 0; None: no rule matches."""
    line: int
    """Of the rule; 0: none."""


def topics(subject: Subject) -> tuple[Topic, ...]:
    """Say by which rule and at which level each request of CIS 3.2.2 is recorded."""
    return tuple(
        Topic(code, answer.probe.says, answer.level, answer.index, _line(subject, answer.index))
        for code, probes in _CIS
        for answer in ask(subject, probes)
    )


def records_nothing(subject: Subject) -> bool:
    """Whether every rule is at None."""
    return all(rule.level == Level.NONE for _, rule in subject.rules)


def nothing(subject: Subject) -> Remark:
    """Say that every rule is at None."""
    text = "every rule is at None: auditing is on, and nothing is recorded"
    instead = "at least a last rule with level: Metadata, and omitStages: [RequestReceived]"
    return subject.remark("DL501", "rules", text, instead)


def check(subject: Subject, *, strict_mode: bool) -> Iterator[Remark]:
    """Find what is never recorded. `strict_mode`: the log is written blocking-strict."""
    yield from _catch_all(subject)
    yield from _failed_logins(subject)
    if strict_mode:
        yield from _strict(subject)
    for code, probes in _CIS:
        yield from _unrecorded(subject, code, probes)
    yield from _anonymous(subject)


def _line(subject: Subject, index: int | None) -> int:
    return 0 if index is None else subject.line(index)


def _catch_all(subject: Subject) -> Iterator[Remark]:
    unrestricted = ("users", "user_groups", "verbs", "resources", "namespaces", "non_resource_urls")
    if any(not any(getattr(rule, name) for name in unrestricted) for _, rule in subject.rules):
        return
    probes = (*_FALLING, *_TUNNELS, *_WORKLOADS, *_SECRETS)
    falling = [answer.probe.says for answer in ask(subject, probes) if answer.index is None]
    said = _falls(subject, falling)
    if said:
        text = f"no rule matches everything that is left; not recorded are, among others, {said}"
        yield subject.remark("DL502", "rules", text, "a last rule that is nothing but level: Metadata")


def _falls(subject: Subject, falling: list[str]) -> str:
    """Say what falls through; empty: nothing does, the rules together match everything."""
    if falling:
        return listed(falling, 10)
    from decklog.policy.space import Witness, first_match_witness  # noqa: PLC0415  # because: most policies end in a catch-all, and need no proof

    with_last = structs.replace(subject.policy, rules=(*subject.policy.rules, Rule(level=Level.METADATA)))
    found = first_match_witness(with_last, len(subject.policy.rules))
    if not isinstance(found, Witness):
        return ""
    attributes = found.attributes
    return f"{attributes.verb} {attributes.resource or attributes.path}"


def _failed_logins(subject: Subject) -> Iterator[Remark]:
    """Find failed logins that go unseen: a 401 is one event, at the stage ResponseStarted, of nobody."""
    unseen = [
        answer
        for answer in ask(subject, _FAILED_LOGINS)
        if answer.level is Level.NONE or Stage.RESPONSE_STARTED in answer.omitted
    ]
    for index, answers in by_rule(unseen).items():
        requests = listed([answer.probe.says for answer in answers])
        if answers[0].level is Level.NONE:
            cause = "no rule matches" if index is None else "they match this rule, which is at None"
            instead = "a last rule at Metadata without users and groups, which nobody authenticated has"
        else:
            cause = "ResponseStarted is omitted, the only stage that they have"
            instead = "omitStages without ResponseStarted"
        path = "rules" if index is None else f"rules[{index}]"
        yield subject.remark("DL503", path, f"failed authentication is not recorded ({requests}): {cause}", instead)


def _strict(subject: Subject) -> Iterator[Remark]:
    instead = "nothing in omitStages but Panic, or blocking instead of blocking-strict"
    if Stage.REQUEST_RECEIVED in subject.policy.omit_stages:
        text = "RequestReceived is omitted, so that blocking-strict never refuses a request that it cannot record"
        yield subject.remark("DL504", "omitStages", text, instead)
        return
    for index, rule in subject.rules:
        if rule.level != Level.NONE and Stage.REQUEST_RECEIVED in rule.omit_stages:
            text = "this rule omits RequestReceived, so that blocking-strict never refuses its requests"
            yield subject.remark("DL504", f"rules[{index}].omitStages", text, instead)


def _unrecorded(subject: Subject, code: str, probes: tuple[Probe, ...]) -> Iterator[Remark]:
    unseen: list[Answer] = [answer for answer in ask(subject, probes) if answer.level is Level.NONE]
    for index, answers in by_rule(unseen).items():
        names = listed([answer.probe.says for answer in answers])
        path = "rules" if index is None else f"rules[{index}]"
        text = f"not recorded: {names} ({subject.where(index)})"
        yield subject.remark(code, path, text, "a rule for them at Metadata, before this one")


def _anonymous(subject: Subject) -> Iterator[Remark]:
    for index, answers in by_rule(ask(subject, _ANONYMOUS)).items():
        names = listed([answer.probe.says for answer in answers])
        if answers[0].level is Level.NONE and names != "/version":
            path = "rules" if index is None else f"rules[{index}]"
            text = f"anonymous requests for {names} are not recorded ({subject.where(index)})"
            instead = "userGroups: [system:authenticated] for what is noise, so that strangers are recorded"
            yield subject.remark("DL530", path, text, instead)

"""Bodies: credentials that a policy writes into the log, and lists of everything (DL301 to DL305).

For each rule that records bodies it is asked whether some request for the resource is decided by that rule: first
match, so that a rule for secrets further up keeps a catch-all below it clean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.audit.event import Level
from decklog.policy.lint.probes import ask, by_rule, first_for, request
from decklog.policy.lint.remarks import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.policy.lint.remarks import Remark, Subject

_WRITES: Final = ("create", "update", "patch")
_READS: Final = ("get", "list", "delete", "deletecollection")


class _Topic(Struct, frozen=True):
    """Objects whose content should not be in a log."""

    code: str
    group: str
    resource: str
    subresource: str
    by_request: tuple[str, ...]
    """Verbs whose request has the credential in it."""
    by_answer: tuple[str, ...]
    """Verbs whose answer has it."""
    what: str
    """What is then in the log."""

    @property
    def name(self) -> str:
        """``serviceaccounts/token``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


_TOPICS: Final[tuple[_Topic, ...]] = (
    _Topic("DL301", "", "secrets", "", _WRITES, (*_READS, *_WRITES), "the values of Secrets"),
    _Topic(
        "DL302", "authentication.k8s.io", "tokenreviews", "", ("create",), ("create",), "the token that is reviewed"
    ),
    _Topic("DL302", "", "serviceaccounts", "token", (), ("create",), "the new token of a service account"),
    _Topic("DL303", "", "configmaps", "", _WRITES, (*_READS, *_WRITES), "the content of ConfigMaps"),
)
_OPENSHIFT: Final = tuple(
    _Topic("DL304", group, resource, "", _WRITES, (*_READS, *_WRITES), what)
    for group, resource, what in (
        ("oauth.openshift.io", "oauthaccesstokens", "access tokens (by their hash)"),
        ("oauth.openshift.io", "oauthauthorizetokens", "authorization codes (by their hash)"),
        ("oauth.openshift.io", "oauthclients", "the secrets of OAuth clients"),
        ("machineconfiguration.openshift.io", "machineconfigs", "files of nodes, pull secrets among them"),
        ("machineconfiguration.openshift.io", "controllerconfigs", "pull secrets and kubelet credentials"),
    )
)
_LISTS: Final = (
    request("pods", "GET", "/api/v1/pods"),
    request("nodes", "GET", "/api/v1/nodes"),
    request("deployments", "GET", "/apis/apps/v1/deployments"),
    request("customresourcedefinitions", "GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
)


def check(subject: Subject) -> Iterator[Remark]:
    """Find the rules that record what should not be in a log."""
    topics = _TOPICS
    if any(entry.group.endswith(".openshift.io") for _, rule in subject.rules for entry in rule.resources):
        topics += _OPENSHIFT
    for index, _ in subject.rules:
        level = subject.level(index)
        if level.at_least(Level.REQUEST):
            for topic in topics:
                yield from _topic(subject, index, level, topic)
    yield from _lists(subject)


def _topic(subject: Subject, index: int, level: Level, topic: _Topic) -> Iterator[Remark]:
    verbs = topic.by_answer if level is Level.REQUEST_RESPONSE else topic.by_request
    verb = first_for(subject, index, topic.group, topic.resource, topic.subresource, verbs) if verbs else ""
    if not verb:
        return
    group = topic.group or '""'
    text = f"records {topic.what}: {verb} {topic.name} is decided by this rule (line {subject.line(index)}) at {level}"
    instead = f"before this rule: level: Metadata, resources: [{{group: {group}, resources: [{topic.name}]}}]"
    yield subject.remark(topic.code, f"rules[{index}]", text, instead)


def _lists(subject: Subject) -> Iterator[Remark]:
    for index, answers in by_rule(ask(subject, _LISTS)).items():
        if subject.level(index) is Level.REQUEST_RESPONSE:
            names = listed([answer.probe.says for answer in answers])
            text = f"a list of all {names} is recorded with every object in it"
            instead = "before this rule: level: Metadata, verbs: [get, list, watch], with the same resources"
            yield subject.remark("DL305", f"rules[{index}]", text, instead)

"""The registry of codes: each kind of remark once, with why it matters. Codes never change their meaning.

DL0 the file and its rules as a whole; DL1 names; DL2 identities; DL3 bodies; DL4 volume; DL5 what is missing. The page
``docs/policy/findings.md`` has one section a code; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Code(Struct, frozen=True):
    """One kind of remark."""

    id: str
    name: str
    """A few words, for a list."""
    why: str
    """One sentence."""


CODES: Final = {
    code.id: code
    for code in (
        Code(
            "DL000",
            "the policy does not load",
            "A policy that does not load records nothing: kube-apiserver does not start with it, or we do not.",
        ),
        Code(
            "DL001",
            "unknown key",
            "kube-apiserver drops a key that it does not know, so that the rule matches more than it seems to say.",
        ),
        Code("DL002", "duplicate key", "Of a key that stands twice only the last one counts."),
        Code("DL003", "odd file", "Part of the file is not read as it looks, or not by every release."),
        Code(
            "DL010",
            "unreachable rule",
            "Earlier rules match every request that this one matches, and the first rule that matches decides.",
        ),
        Code(
            "DL011",
            "redundant rule",
            "Without the rule every request would be decided just the same; what it seems to do is done elsewhere.",
        ),
        Code("DL020", "depends on the release", "Other releases of Kubernetes read the same file differently."),
        Code(
            "DL101",
            "group with a version",
            "The group of a request has no version in it, so that the entry matches nothing.",
        ),
        Code("DL102", "unknown group", "No request is about a group that does not exist: the entry matches nothing."),
        Code(
            "DL103", "kind for resource", "Requests are about resources (pods), not kinds (Pod): this matches nothing."
        ),
        Code(
            "DL104",
            "singular or short name",
            "Requests name resources in the plural and in full: this matches nothing.",
        ),
        Code("DL105", "resource not in the group", "No request is about a resource that the group does not have."),
        Code(
            "DL106",
            "resource not served by the release",
            "No request is about what the API server does not serve.",
        ),
        Code("DL107", "subresource that does not exist", "No request is about it: this matches nothing."),
        Code(
            "DL108",
            "subresource forgotten",
            "A resource does not stand for its subresources, which are requests of their own: exec, token, scale ….",
        ),
        Code("DL109", "pods/* includes pods", "NAME/* stands for the resource itself, too, not only what is below it."),
        Code(
            "DL110",
            "empty namespace",
            'namespaces: [""] stands for requests without a namespace: cluster-scoped objects and lists over all.',
        ),
        Code("DL111", "verb that does not exist", "A verb that no request has matches nothing."),
        Code(
            "DL112",
            "exec by WebSocket escapes",
            "kubectl opens exec, attach and port-forward by WebSocket, which is the verb get; create is the old SPDY.",
        ),
        Code(
            "DL113",
            "writing verb forgotten",
            "The same change can be made with another verb, and is then recorded less or not at all.",
        ),
        Code(
            "DL114",
            "wildcard that is none",
            "* means something in resources, groups (all of it) and at the end of URLs; elsewhere it is a letter.",
        ),
        Code(
            "DL115",
            "URL that is a resource's",
            "Below /api/VERSION/ and /apis/GROUP/VERSION/ requests are about resources, and URLs are not looked at.",
        ),
        Code(
            "DL116",
            "namespace of a cluster-scoped resource",
            "A request for a cluster-scoped resource has no namespace, so that the rule never matches it.",
        ),
        Code(
            "DL201", "identity that is dead", "Nobody comes under this name on a cluster of today: it matches nothing."
        ),
        Code(
            "DL202",
            "controller under another name",
            "The controller comes as a service account of its own, so that the rule does not match it.",
        ),
        Code(
            "DL203",
            "a whole group goes unrecorded",
            "Whoever steals one credential of the group does everything unseen.",
        ),
        Code(
            "DL204",
            "object that is dead",
            "No component of today reads or writes this object: the rule matches nothing.",
        ),
        Code("DL301", "secrets recorded", "The values of Secrets stand in the audit log, for whoever may read it."),
        Code("DL302", "tokens recorded", "A token in the audit log is a credential for whoever may read it."),
        Code(
            "DL303",
            "ConfigMaps recorded",
            "ConfigMaps hold passwords more often than one would wish; CIS 3.2.2 wants Metadata at most.",
        ),
        Code("DL304", "credentials recorded", "These objects hold credentials, which then stand in the audit log."),
        Code(
            "DL305",
            "whole lists recorded",
            "At RequestResponse a list is recorded with every object in it, which can be megabytes an event.",
        ),
        Code(
            "DL401",
            "RequestReceived not omitted",
            "Each request is then recorded twice, and the first event has nothing that the second has not.",
        ),
        Code("DL402", "leases recorded", "Every node and controller renews its lease every few seconds."),
        Code("DL403", "events recorded", "Events are chatter of components about what is recorded anyway."),
        Code("DL404", "health probes recorded", "Probes come every few seconds for ever, and say nothing."),
        Code(
            "DL405",
            "discovery and metrics recorded",
            "Every client asks for OpenAPI and discovery, and monitoring for metrics, all day long.",
        ),
        Code(
            "DL406",
            "self-reviews recorded",
            "What may I do and who am I are asked by consoles and proxies all day; nothing is changed.",
        ),
        Code(
            "DL407",
            "status and watches of components recorded",
            "Kubelets and controllers report status all day; the most frequent changes of a cluster, and no person's.",
        ),
        Code(
            "DL501",
            "nothing is recorded",
            "Auditing looks enabled, and CIS 3.2.1 passes a scanner, but nothing is kept.",
        ),
        Code("DL502", "no catch-all", "What no rule matches is not recorded, and new APIs fall through in silence."),
        Code(
            "DL503",
            "authentication failures invisible",
            "Guessed and stolen credentials that no longer work go unseen.",
        ),
        Code(
            "DL504",
            "strict mode is void",
            "blocking-strict refuses a request by its RequestReceived event; where that is omitted it refuses nothing.",
        ),
        Code(
            "DL511",
            "CIS 3.2.2: access to secrets is not recorded",
            "CIS 3.2.2 wants access to Secrets, ConfigMaps and TokenReviews recorded at Metadata.",
        ),
        Code(
            "DL512",
            "CIS 3.2.2: changes of pods and deployments are not recorded",
            "CIS 3.2.2 wants changes of pods and deployments recorded.",
        ),
        Code(
            "DL513",
            "CIS 3.2.2: exec, port-forward or proxy is not recorded",
            "CIS 3.2.2 wants the use of pods/exec, pods/portforward, pods/proxy and services/proxy recorded.",
        ),
        Code(
            "DL520",
            "changes that matter without their content",
            "At Metadata the log says that a role or a webhook was changed, not what it now says.",
        ),
        Code("DL521", "changes that matter are dropped", "Who may do what can then be changed without a trace."),
        Code(
            "DL522",
            "group forgotten",
            "The policy names the groups whose bodies it wants; these it does not name, nor any custom resource.",
        ),
        Code("DL530", "anonymous discovery invisible", "Looking around without credentials is how an attack begins."),
    )
}

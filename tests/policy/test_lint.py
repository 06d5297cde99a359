from __future__ import annotations

import pytest

from decklog.policy.lint import CODES
from policy.linting import CATCH_ALL, HEAD, codes, remarks, report

PLAIN = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
BODIES = "- level: Request\n  resources: [{group: "

# name, rules, code, line:column, and words of the text or the advice
CASES = [
    (
        "version for a group",
        "- {level: Metadata, resources: [{group: v1, resources: [pods]}]}\n",
        "DL101",
        "5:41",
        ["'v1' is a version", "core group"],
    ),
    (
        "core for the core group",
        "- {level: Metadata, resources: [{group: core, resources: [pods]}]}\n",
        "DL102",
        "5:41",
        ["no group", 'group: ""'],
    ),
    (
        "short group",
        "- {level: Metadata, resources: [{group: rbac, resources: [roles]}]}\n",
        "DL102",
        "5:41",
        ["rbac.authorization.k8s.io"],
    ),
    (
        "misspelled group",
        "- {level: Metadata, resources: [{group: rbac.authorisation.k8s.io}]}\n",
        "DL102",
        "5:41",
        ["rbac.authorization.k8s.io"],
    ),
    (
        "resource for group",
        "- {level: Metadata, resources: [{group: deployments}]}\n",
        "DL102",
        "5:41",
        ["deployments"],
    ),
    ("kind", '- {level: Metadata, resources: [{group: "", resources: [Pod]}]}\n', "DL103", "5:57", ["'Pod'", "pods"]),
    (
        "kind in the wrong group",
        '- {level: Metadata, resources: [{group: "", resources: [Deployment]}]}\n',
        "DL103",
        "5:57",
        ["deployments below group: apps"],
    ),
    (
        "kind of a custom resource",
        "- {level: Metadata, resources: [{group: shop.example, resources: [Cart]}]}\n",
        "DL103",
        "5:67",
        ["plural"],
    ),
    (
        "singular",
        "- {level: Metadata, resources: [{group: apps, resources: [deployment]}]}\n",
        "DL104",
        "5:59",
        ["singular", "deployments"],
    ),
    (
        "singular with subresource",
        '- {level: Metadata, resources: [{group: "", resources: [pod/exec]}]}\n',
        "DL104",
        "5:57",
        ["pods/exec"],
    ),
    (
        "short name",
        '- {level: Metadata, resources: [{group: "", resources: [cm]}]}\n',
        "DL104",
        "5:57",
        ["short name", "configmaps"],
    ),
    (
        "singular of a custom resource",
        "- {level: Metadata, resources: [{group: shop.example, resources: [cart]}]}\n",
        "DL104",
        "5:67",
        ["looks like a singular"],
    ),
    (
        "resource of another group",
        '- {level: Metadata, resources: [{group: "", resources: [deployments]}]}\n',
        "DL105",
        "5:57",
        ["not in the core group but in apps"],
    ),
    (
        "resource that does not exist",
        "- {level: Metadata, resources: [{group: authentication.k8s.io, resources: [tokenrequests]}]}\n",
        "DL105",
        "5:76",
        ["serviceaccounts/token"],
    ),
    (
        "misspelled resource",
        '- {level: Metadata, resources: [{group: "", resources: [replicacontrollers]}]}\n',
        "DL105",
        "5:57",
        ["replicationcontrollers"],
    ),
    (
        "subresource for a resource",
        '- {level: Metadata, resources: [{group: "", resources: [exec]}]}\n',
        "DL105",
        "5:57",
        ["pods/exec"],
    ),
    (
        "group that is gone",
        "- {level: Metadata, resources: [{group: extensions}]}\n",
        "DL106",
        "5:41",
        ["not served since 1.22", "apps"],
    ),
    (
        "resource that is gone",
        "- {level: Metadata, resources: [{group: policy, resources: [podsecuritypolicies]}]}\n",
        "DL106",
        "5:61",
        ["gone since 1.25"],
    ),
    (
        "subresource that does not exist",
        '- {level: Metadata, resources: [{group: "", resources: [pods/logs]}]}\n',
        "DL107",
        "5:57",
        ["'logs'", "pods/log"],
    ),
    (
        "any such subresource",
        "- {level: Metadata, resources: [{group: apps, resources: ['*/exec']}]}\n",
        "DL107",
        "5:59",
        ["*/scale"],
    ),
    (
        "pods without exec",
        '- {level: RequestResponse, resources: [{group: "", resources: [pods]}]}\n',
        "DL108",
        "5:64",
        ["pods/exec", "pods/ephemeralcontainers", "at Metadata and not at RequestResponse"],
    ),
    (
        "service accounts without token",
        '- {level: Request, resources: [{group: "", resources: [serviceaccounts]}]}\n',
        "DL108",
        "5:56",
        ["serviceaccounts/token"],
    ),
    (
        "family",
        '- {level: Metadata, resources: [{group: "", resources: ["pods/*"]}]}\n',
        "DL109",
        "5:57",
        ["'pods' itself, too"],
    ),
    (
        "family and the resource",
        '- {level: Metadata, resources: [{group: "", resources: [pods, "pods/*"]}]}\n',
        "DL109",
        "5:63",
        ["adds nothing"],
    ),
    ("empty namespace", '- {level: Metadata, namespaces: ["", shop]}\n', "DL110", "5:34", ["without a namespace"]),
    (
        "HTTP's verb on resources",
        "- {level: Metadata, verbs: [post], resources: [{group: apps}]}\n",
        "DL111",
        "5:29",
        ["create"],
    ),
    (
        "resources' verb on URLs",
        '- {level: Metadata, verbs: [list], nonResourceURLs: ["/api"]}\n',
        "DL111",
        "5:29",
        ["get"],
    ),
    ("permission for a verb", "- {level: Metadata, verbs: [impersonate]}\n", "DL111", "5:29", ["permission of RBAC"]),
    ("verb in capitals", "- {level: Metadata, verbs: [GET]}\n", "DL111", "5:29", ["lower case"]),
    ("misspelled verb", "- {level: Metadata, verbs: [udpate]}\n", "DL111", "5:29", ["update"]),
    (
        "exec by create only",
        '- {level: Request, verbs: [create], resources: [{group: "", resources: [pods/exec]}]}\n',
        "DL112",
        "5:3",
        ["pods/exec by WebSocket (get)", "verbs: [get, create]"],
    ),
    (
        "create forgotten",
        '- {level: Request, verbs: [update, patch, delete], resources: [{group: "", resources: [configmaps]}]}\n',
        "DL113",
        "5:20",
        ["create is recorded less", "verbs: [update, patch, delete, create]"],
    ),
    (
        "wildcard in a user",
        '- {level: None, users: ["system:serviceaccount:shop:*"]}\n',
        "DL114",
        "5:25",
        ["a letter", "system:serviceaccounts:shop"],
    ),
    ("wildcard for nodes", '- {level: None, users: ["system:node:*"]}\n', "DL114", "5:25", ["system:nodes"]),
    ("wildcard in a namespace", "- {level: None, namespaces: [kube-*]}\n", "DL114", "5:30", ["each of the namespaces"]),
    ("wildcard for all verbs", '- {level: None, verbs: ["*"], users: [x]}\n', "DL114", "5:25", ["no verbs at all"]),
    (
        "wildcard within a resource",
        '- {level: Metadata, resources: [{group: apps, resources: ["deploy*"]}]}\n',
        "DL114",
        "5:59",
        ["NAME/*"],
    ),
    (
        "URL of a resource",
        "- {level: None, nonResourceURLs: [/api/v1/pods]}\n",
        "DL115",
        "5:35",
        ["group and resources"],
    ),
    ("URL with a query", '- {level: None, nonResourceURLs: ["/healthz?verbose"]}\n', "DL115", "5:35", ["/healthz"]),
    (
        "namespace of nodes",
        '- {level: Metadata, namespaces: [shop], resources: [{group: "", resources: [nodes]}]}\n',
        "DL116",
        "5:77",
        ["nodes have no namespace"],
    ),
    ("dead user", "- {level: None, users: [system:unsecured]}\n", "DL201", "5:25", ["insecure port"]),
    ("dead kubelet", "- {level: None, users: [kubelet]}\n", "DL201", "5:25", ["system:nodes"]),
    (
        "autoscaler's metrics",
        "- {level: None, users: ['system:kube-controller-manager'], resources: [{group: metrics.k8s.io}]}\n",
        "DL202",
        "5:25",
        ["horizontal-pod-autoscaler"],
    ),
    (
        "a whole group",
        "- {level: None, userGroups: ['system:serviceaccounts:kube-system']}\n",
        "DL203",
        "5:30",
        ["kube-system", "secrets"],
    ),
    (
        "dead lock",
        '- {level: None, resources: [{group: "", resources: [configmaps], resourceNames: [controller-leader]}]}\n',
        "DL204",
        "5:82",
        ["lease"],
    ),
    (
        "secrets in bodies",
        f'{BODIES}""}}]\n',
        "DL301",
        "5:3",
        ["create secrets is decided by this rule (line 5) at Request"],
    ),
    ("token reviews in bodies", f"{BODIES}authentication.k8s.io}}]\n", "DL302", "5:3", ["tokenreviews"]),
    (
        "tokens in bodies",
        '- {level: RequestResponse, resources: [{group: "", resources: [serviceaccounts/token]}]}\n',
        "DL302",
        "5:3",
        ["serviceaccounts/token"],
    ),
    (
        "config maps of one namespace",
        f'{BODIES}"", resources: [configmaps]}}]\n  namespaces: [kube-system]\n',
        "DL303",
        "5:3",
        ["configmaps"],
    ),
    (
        "OpenShift's machine configs",
        f"{BODIES}machineconfiguration.openshift.io, resources: [machineconfigs]}}]\n",
        "DL304",
        "5:3",
        ["pull secrets"],
    ),
    (
        "lists in bodies",
        '- {level: RequestResponse, resources: [{group: "", resources: [pods]}]}\n',
        "DL305",
        "5:3",
        ["list of all pods"],
    ),
    ("leases", "", "DL402", "5:3", ["kubelet's lease"]),
    ("events", "", "DL403", "5:3", ["core events", "events.k8s.io"]),
    ("health", "", "DL404", "5:3", ["/livez", "/readyz*"]),
    ("discovery", "", "DL405", "5:3", ["/openapi/v2", "/metrics"]),
    ("self-reviews", "", "DL406", "5:3", ["selfsubjectaccessreviews"]),
    ("status", "", "DL407", "5:3", ["node status"]),
    (
        "secrets dropped",
        '- {level: None, resources: [{group: "", resources: [secrets]}]}\n',
        "DL511",
        "5:3",
        ["get secrets", "line 5"],
    ),
    (
        "pods dropped",
        '- {level: None, verbs: [delete], resources: [{group: "", resources: [pods]}]}\n',
        "DL512",
        "5:3",
        ["delete pods"],
    ),
    (
        "exec dropped",
        '- {level: None, resources: [{group: "", resources: [pods/exec]}]}\n',
        "DL513",
        "5:3",
        ["create pods/exec", "get pods/exec"],
    ),
    ("RBAC without content", f'{BODIES}"", resources: [pods]}}]\n', "DL520", "7:3", ["clusterrolebindings"]),
    (
        "API services dropped",
        "- {level: None, resources: [{group: apiregistration.k8s.io}]}\n",
        "DL521",
        "5:3",
        ["apiservices"],
    ),
    (
        "anonymous dropped",
        '- {level: None, userGroups: ["system:unauthenticated"], nonResourceURLs: ["/api*"]}\n',
        "DL530",
        "5:3",
        ["/apis", "system:authenticated"],
    ),
]


@pytest.mark.parametrize(("name", "rules", "code", "place", "says"), CASES, ids=[case[0] for case in CASES])
def test_a_mistake_is_told(name: str, rules: str, code: str, place: str, says: list[str]) -> None:
    """Each mistake is told once at its place, with what it is and what to write instead."""
    found = [each for each in remarks(rules + CATCH_ALL, code) if f"{each.line}:{each.column}" == place]
    assert len(found) == 1, [str(each) for each in report(rules + CATCH_ALL).remarks]
    for words in says:
        assert words in f"{found[0].text}: {found[0].write}"


# name, rules and the code that must not be said
CLEAN = [
    (
        "token request at Request",
        '- {level: Request, resources: [{group: "", resources: [serviceaccounts/token]}]}\n',
        "DL302",
    ),
    (
        "secrets guarded above",
        (
            '- {level: Metadata, resources: [{group: "", resources: [secrets]}]}\n'
            '- {level: Request, resources: [{group: ""}]}\n'
        ),
        "DL301",
    ),
    (
        "secrets deleted at Request",
        '- {level: Request, verbs: [delete], resources: [{group: "", resources: [secrets]}]}\n',
        "DL301",
    ),
    (
        "secrets of the group for reads",
        '- {level: Request, verbs: [get, list, watch], resources: [{group: ""}]}\n',
        "DL301",
    ),
    (
        "custom resource",
        "- {level: Metadata, resources: [{group: shop.example, resources: [carts, carts/status]}]}\n",
        "DL105",
    ),
    (
        "add-on of Kubernetes",
        "- {level: Metadata, resources: [{group: snapshot.storage.k8s.io, resources: [volumesnapshots]}]}\n",
        "DL102",
    ),
    ("every group", '- {level: Metadata, resources: [{group: "*", resources: [carts]}]}\n', "DL105"),
    (
        "namespaces in a namespace",
        '- {level: Metadata, namespaces: [shop], resources: [{group: "", resources: [namespaces]}]}\n',
        "DL116",
    ),
    ("pods/* has exec", '- {level: RequestResponse, resources: [{group: "", resources: ["pods/*"]}]}\n', "DL108"),
    (
        "exec named elsewhere",
        (
            '- {level: Request, resources: [{group: "", resources: [pods]}]}\n'
            '- {level: Metadata, resources: [{group: "", resources: ["pods/*"]}]}\n'
        ),
        "DL108",
    ),
    (
        "log of a rule without get",
        '- {level: Request, verbs: [patch], resources: [{group: "", resources: [serviceaccounts]}]}\n',
        "DL108",
    ),
    (
        "exec both ways",
        '- {level: Request, verbs: [get, create], resources: [{group: "", resources: [pods/exec]}]}\n',
        "DL112",
    ),
    (
        "all writing verbs",
        "- {level: Request, verbs: [create, update, patch, delete, deletecollection], resources: [{group: apps}]}\n",
        "DL113",
    ),
    ("reading verbs", "- {level: Request, verbs: [get, list], resources: [{group: apps}]}\n", "DL113"),
    ("prefix", '- {level: None, nonResourceURLs: ["/api*", "/healthz*"]}\n', "DL114"),
    ("versions are discovery", '- {level: None, nonResourceURLs: ["/api/v1", "/apis/apps/v1"]}\n', "DL115"),
    ("proxy is a verb", "- {level: Metadata, verbs: [proxy], users: [x]}\n", "DL111"),
    ("HTTP's verbs on URLs", "- {level: Metadata, verbs: [get, post, head], nonResourceURLs: [/]}\n", "DL111"),
    ("either verb where both are meant", "- {level: Metadata, verbs: [list, post], users: [x]}\n", "DL111"),
    ("the group's reads", "- {level: None, userGroups: ['system:nodes'], verbs: [get]}\n", "DL203"),
    ("leases at None", "- {level: None, resources: [{group: coordination.k8s.io}]}\n", "DL402"),
    ("health at None", '- {level: None, nonResourceURLs: ["/livez*", "/readyz*", "/healthz*"]}\n', "DL404"),
    ("Metadata for all", "", "DL520"),
    ("a catch-all", "", "DL502"),
    (
        "created secrets have no name yet",
        '- {level: Request, verbs: [create], resources: [{group: "", resources: [secrets], resourceNames: [x]}]}\n',
        "DL301",
    ),
    (
        "token reviews have no namespace",
        "- {level: Request, namespaces: [shop], resources: [{group: authentication.k8s.io}]}\n",
        "DL302",
    ),
    (
        "a service account has its groups",
        (
            '- {level: Metadata, userGroups: ["system:serviceaccounts:shop"]}\n'
            '- {level: Request, users: ["system:serviceaccount:shop:cart"], resources: [{group: ""}]}\n'
        ),
        "DL301",
    ),
    (
        "deletions at Metadata say all there is",
        "- {level: Request, verbs: [create, update, patch], resources: [{group: apps}]}\n",
        "DL113",
    ),
]


@pytest.mark.parametrize(("name", "rules", "code"), CLEAN, ids=[case[0] for case in CLEAN])
def test_what_is_right_is_not_told(name: str, rules: str, code: str) -> None:
    """What only looks like a mistake is passed over."""
    assert remarks(rules + CATCH_ALL, code) == []


def test_request_received_is_told_once_or_for_each_rule() -> None:
    """Omitted nowhere: one remark on the policy; omitted here and there: one on each rule that does not."""
    assert [remark.path for remark in remarks("- level: Metadata\n", "DL401", head=PLAIN)] == ["rules"]
    mixed = "- level: Request\n  users: [x]\n- level: Metadata\n  omitStages: [RequestReceived]\n"
    assert [remark.path for remark in remarks(mixed, "DL401", head=PLAIN)] == ["rules[0]"]
    assert remarks("- level: Metadata\n", "DL401", head=PLAIN, strict_mode=True) == []


def test_strict_mode_needs_request_received() -> None:
    """Only where the log is written blocking-strict, an omitted RequestReceived is told."""
    assert remarks(CATCH_ALL, "DL504") == []
    assert [remark.path for remark in remarks(CATCH_ALL, "DL504", strict_mode=True)] == ["omitStages"]
    rule = "- level: Metadata\n  omitStages: [RequestReceived]\n"
    found = remarks(rule, "DL504", head=PLAIN, strict_mode=True)
    assert [remark.path for remark in found] == ["rules[0].omitStages"]


def test_a_policy_that_records_nothing_is_told_that_alone() -> None:
    """Where every rule is at None, nothing else is worth a word."""
    assert codes(report("- level: None\n").remarks) == {"DL501"}


def test_what_falls_through_is_named() -> None:
    """Without a last rule for the rest it is said what no rule matches."""
    (found,) = remarks("- {level: Metadata, verbs: [create, update, patch, delete]}\n", "DL502")
    assert "get pods/exec" in found.text
    assert "failed authentication" in found.text


@pytest.mark.parametrize(
    "rules",
    [
        '- {level: Metadata, resources: [{group: "*"}]}\n- {level: Metadata, nonResourceURLs: ["*"]}\n',
        (
            '- {level: Request, users: [x]}\n- {level: Metadata, resources: [{group: "*"}]}\n'
            '- {level: None, nonResourceURLs: ["*"]}\n'
        ),
    ],
)
def test_rules_that_together_match_everything_are_a_catch_all(rules: str) -> None:
    """A catch-all may be made of several rules."""
    assert remarks(rules, "DL502") == []


@pytest.mark.parametrize(
    ("rules", "head", "says"),
    [
        ('- {level: Metadata, userGroups: ["system:authenticated"]}\n', HEAD, "no rule matches"),
        ("- level: Metadata\n", HEAD.replace("RequestReceived", "ResponseStarted"), "ResponseStarted is omitted"),
        ('- {level: None, resources: [{group: "", resources: [pods]}]}\n- level: Metadata\n', HEAD, "this rule"),
    ],
)
def test_failed_logins_that_go_unseen_are_told(rules: str, head: str, says: str) -> None:
    """A 401 is one event of nobody at ResponseStarted: rules by user, None and that stage omitted lose it."""
    (found,) = remarks(rules, "DL503", head=head)
    assert says in found.text


def test_groups_that_were_forgotten_are_named() -> None:
    """A policy that names the groups whose bodies it wants is told of those it does not name."""
    groups = ", ".join(f"{{group: {group}}}" for group in ("apps", "batch", "autoscaling", "policy"))
    (found,) = remarks(f"- {{level: Request, resources: [{groups}]}}\n{CATCH_ALL}", "DL522")
    assert "discovery.k8s.io" in found.text
    assert "every custom resource" in found.text


def test_every_code_has_a_reason_and_is_in_order() -> None:
    """Codes are sorted and unique, and each says why in one sentence."""
    assert list(CODES) == sorted(CODES)
    for code in CODES.values():
        assert code.why.endswith((".", "…."))
        assert code.name

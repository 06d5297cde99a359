"""The mistakes of public policies, each as the few lines that make it; and the page that lists them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from decklog.policy.lint import CODES
from policy.linting import CATCH_ALL, codes, report

DOCS = Path(__file__).parents[2] / "docs" / "policy"
BARE = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"


def rule(level: str, groups: str = "", **more: str) -> str:
    """Write one rule: `groups` as ``apps:deployments,jobs apps core:pods``, `more` as lists in flow style."""
    entries = []
    for word in groups.split():
        group, _, resources = word.partition(":")
        named = f", resources: [{resources}]" if resources else ""
        entries.append(f"{{group: {'' if group == 'core' else group}{named}}}".replace("group: ,", 'group: "",'))
    lines = [f"- level: {level}", *(f"  {key}: [{value}]" for key, value in more.items())]
    text = ", ".join(entries).replace("{group: }", '{group: ""}')
    return "\n".join([*lines, *([f"  resources: [{text}]"] if entries else [])]) + "\n"


BODY_GROUPS = (
    "core admissionregistration.k8s.io apps authentication.k8s.io authorization.k8s.io batch extensions"
    " settings.k8s.io rbac.authorization.k8s.io"
)
DOCS_SAMPLE = (
    rule("RequestResponse", "core:pods")
    + rule("None", "core:configmaps").replace("[configmaps]", "[configmaps], resourceNames: [controller-leader]")
    + rule("None", "core:services", users='"system:kube-proxy"', verbs="watch")
    + rule("Metadata", "core:secrets,configmaps")
    + rule("Request", "core extensions")
    + CATCH_ALL
)
# policy, its essence, the head if it is not ours, and the codes that have to be said of it
PUBLIC = [
    (
        "aks-engine",
        rule("Request", "core:configmaps", namespaces="kube-system")
        + rule("Request", "core:secrets")
        + rule("Request", "core extensions")
        + CATCH_ALL,
        "",
        {"DL301", "DL303", "DL011", "DL106"},
    ),
    (
        "openshift-allrequestbodies",
        rule("None", userGroups='"system:authenticated", "system:unauthenticated"', nonResourceURLs='"/api*"')
        + rule("Metadata", "core:secrets authentication.k8s.io:tokenrequests").replace(
            "}]", "}, {group: machineconfiguration.openshift.io, resource: [machineconfig]}]"
        )
        + "- level: RequestResponse\n",
        "",
        {"DL001", "DL105", "DL303", "DL402", "DL530"},
    ),
    (
        "openshift-default",
        rule("None", userGroups='"system:unauthenticated"', nonResourceURLs='"/api*", /healthz')
        + rule("None", 'apiserver.openshift.io:carts,"carts/*"', namespaces='""')
        + rule("RequestResponse", "oauth.openshift.io:oauthaccesstokens", verbs="create, update, patch, delete")
        + CATCH_ALL,
        "",
        {"DL530", "DL109", "DL110", "DL304", "DL113"},
    ),
    (
        "kubespray",
        rule("None", "core:services", users='"system:kube-proxy"', verbs="watch")
        + rule("None", "core:configmaps", users='"system:unsecured"')
        + rule("None", "core:nodes", users="kubelet")
        + rule("None", "metrics.k8s.io", users='"system:kube-controller-manager"', verbs="get, list")
        + rule("Metadata", "core:secrets,configmaps,serviceaccounts/token authentication.k8s.io:tokenreviews")
        + rule("Request", BODY_GROUPS, verbs="get, list, watch")
        + rule("RequestResponse", BODY_GROUPS)
        + CATCH_ALL,
        "",
        {"DL201", "DL202", "DL106", "DL112", "DL522", "DL402", "DL403", "DL404", "DL405", "DL407"},
    ),
    ("k8s-docs", DOCS_SAMPLE, "", {"DL204", "DL201", "DL305", "DL108", "DL403", "DL520", "DL106"}),
    ("seed", DOCS_SAMPLE + CATCH_ALL, "", {"DL010", "DL204", "DL201", "DL305", "DL108", "DL403", "DL520"}),
    (
        "falco",
        rule("RequestResponse", "core:pods,deployments")
        + rule("RequestResponse", "rbac.authorization.k8s.io:clusterroles,clusterrolebindings")
        + rule("RequestResponse", "core:configmaps")
        + CATCH_ALL,
        "",
        {"DL105", "DL520", "DL303"},
    ),
    (
        "ibm-legacy",
        rule("None", userGroups='"system:serviceaccounts:kube-system"')
        + rule("Request", "core:pods,replicacontrollers", verbs="create, update, patch")
        + rule("None", "apiregistration.k8s.io")
        + rule("Metadata", verbs="create, update, delete, patch"),
        BARE,
        {"DL203", "DL502", "DL503", "DL112", "DL113", "DL105", "DL521", "DL401", "DL513", "DL530"},
    ),
    (
        "khi-tutorial",
        rule("Metadata", "core:configmaps,secrets") + "- level: RequestResponse\n",
        BARE,
        {"DL302", "DL401"},
    ),
    ("k3s-hardening", CATCH_ALL, BARE, {"DL401", "DL402", "DL403", "DL404"}),
    ("gardener-default", "- level: None\n", BARE, {"DL501"}),
    ("rke2-default", "- level: None\n", BARE, {"DL501"}),
    ("audicia", rule("None", nonResourceURLs='"/healthz*", "/livez*", "/readyz*"') + CATCH_ALL, "", {"DL402", "DL403"}),
    ("stig-v242403", "- level: RequestResponse\n", BARE, {"DL301", "DL302", "DL303", "DL401"}),
    (
        "eks",
        rule("Request", "core:configmaps", verbs="update, patch, delete").replace(
            "[configmaps]", "[configmaps], resourceNames: [aws-auth]"
        )
        + rule("Request", "core:serviceaccounts/token")
        + rule("Metadata", omitStages="RequestReceived"),
        BARE,
        {"DL113", "DL401"},
    ),
]


@pytest.mark.parametrize(("policy", "essence", "head", "said"), PUBLIC, ids=[case[0] for case in PUBLIC])
def test_the_mistakes_of_public_policies_are_told(policy: str, essence: str, head: str, said: set[str]) -> None:
    """Each mistake that is known of a public policy, and that its file shows, is told."""
    found = report(essence, head=head) if head else report(essence)
    assert said <= codes(found.remarks)


def test_the_old_version_of_eks_policy_is_refused() -> None:
    """A policy of audit.k8s.io/v1beta1 is refused by servers of today."""
    found = report(CATCH_ALL, head=BARE.replace("/v1\n", "/v1beta1\n"))
    assert codes(found.remarks) == {"DL000"}


@pytest.mark.parametrize(("policy", "said"), [(case[0], case[3]) for case in PUBLIC], ids=[case[0] for case in PUBLIC])
def test_the_page_lists_what_is_said_of_each(policy: str, said: set[str]) -> None:
    """The page's row of a policy has every code that is said of its mistakes."""
    page = (DOCS / "check.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| {re.escape(policy)} \|.*$", page, re.MULTILINE)
    assert said <= set(re.findall(r"DL\d{3}", row))


def test_the_page_of_findings_has_a_section_for_each_code() -> None:
    """Every code is documented: its name, its reason, what to write, an example."""
    page = (DOCS / "findings.md").read_text("utf-8")
    sections = dict(re.findall(r"^### (DL\d{3})\b(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(CODES)
    for code, text in sections.items():
        assert CODES[code].name in text.split("\n")[0]
        assert CODES[code].why in " ".join(text.split())
        assert "**Write" in text
        assert "```" in text

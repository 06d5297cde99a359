from __future__ import annotations

import pytest

from decklog.policy.rules import GroupResources, Policy, Rule
from decklog.policy.validate import INVALID, NOT_SUPPORTED, REQUIRED, aggregate, validate

STAGES = "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic"
LEVELS = 'supported values: "None", "Metadata", "Request", "RequestResponse"'
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
SLASH = "non-resource URL rules must begin with a '/' character"
STAR = "non-resource URL wildcards '*' must be the final character of the rule"


def group(name: str) -> Policy:
    return Policy((Rule("None", resources=(GroupResources(name),)),))


def urls(*specs: str) -> Policy:
    return Policy((Rule("None", non_resource_urls=specs),))


@pytest.mark.parametrize(
    ("policy", "violations"),
    [
        (Policy(omit_stages=("Panic", "panic")), [(INVALID, "omitStages[1]", "panic", STAGES)]),
        (Policy(omit_stages=("",)), [(INVALID, "omitStages[0]", "", STAGES)]),
        (Policy((Rule("None", omit_stages=("X",)),)), [(INVALID, "rules[0].omitStages[0]", "X", STAGES)]),
        (Policy((Rule(""),)), [(REQUIRED, "rules[0].level", "", "")]),
        (Policy((Rule("None"), Rule("none"))), [(NOT_SUPPORTED, "rules[1].level", "none", LEVELS)]),
        (Policy((Rule("None "),)), [(NOT_SUPPORTED, "rules[0].level", "None ", LEVELS)]),
        (urls("x"), [(INVALID, "rules[0].nonResourceURLs[0]", "x", SLASH)]),
        (urls("*", ""), [(INVALID, "rules[0].nonResourceURLs[1]", "", SLASH)]),
        (urls("/a*b", "/a*"), [(INVALID, "rules[0].nonResourceURLs[0]", "/a*b", STAR)]),
        (urls("/a**"), [(INVALID, "rules[0].nonResourceURLs[0]", "/a**", STAR)]),
        (urls("**"), [(INVALID, "rules[0].nonResourceURLs[0]", "**", each) for each in (SLASH, STAR)]),
        (group("apps/v1"), [(INVALID, "rules[0].resources.group", "apps/v1", SUBDOMAIN)]),
        (group("Apps"), [(INVALID, "rules[0].resources.group", "Apps", SUBDOMAIN)]),
        (group("apps\n"), [(INVALID, "rules[0].resources.group", "apps\n", SUBDOMAIN)]),
        (group("*.k8s.io"), [(INVALID, "rules[0].resources.group", "*.k8s.io", SUBDOMAIN)]),
        (group("a..b"), [(INVALID, "rules[0].resources.group", "a..b", SUBDOMAIN)]),
        (group("a-"), [(INVALID, "rules[0].resources.group", "a-", SUBDOMAIN)]),
        (group("é"), [(INVALID, "rules[0].resources.group", "é", SUBDOMAIN)]),
        (group("٣"), [(INVALID, "rules[0].resources.group", "٣", SUBDOMAIN)]),
        (group("a" * 254), [(INVALID, "rules[0].resources.group", "a" * 254, "must be no more than 253 characters")]),
        (
            group("A" * 254),
            [(INVALID, "rules[0].resources.group", "A" * 254, f"must be no more than 253 characters,{SUBDOMAIN}")],
        ),
        (
            Policy((Rule("None", resources=(GroupResources("", (), ("a", "b")),)),)),
            [
                (
                    INVALID,
                    "rules[0].resources.resourceNames",
                    ("a", "b"),
                    "using resourceNames requires at least one resource",
                )
            ],
        ),
        (
            Policy((Rule("None", namespaces=("",), non_resource_urls=("/x",)),)),
            [
                (
                    INVALID,
                    "rules[0].nonResourceURLs",
                    ("/x",),
                    "rules cannot apply to both regular resources and non-resource URLs",
                )
            ],
        ),
    ],
)
def test_violation(policy: Policy, violations: list[tuple[object, ...]]) -> None:
    """What a policy may not say is found with kube-apiserver's type, field, value and detail."""
    assert [(each.type, each.field, each.bad_value, each.detail) for each in validate(policy)] == violations


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy((Rule("Metadata"),)),
        urls("*", "/", "/*", "/healthz*"),
        group(""),
        group("*"),
        group("a.b-c.d0"),
        group("a" * 253),
        group(f"{'a' * 100}.io"),
        Policy((Rule("None", users=("", "*"), verbs=("GET", "*"), namespaces=("Bad_NS",), user_groups=("",)),)),
        Policy((Rule("None", resources=(GroupResources("", ("", "*", "**", "pods", "pods", "a/b/c"), ("*",)),)),)),
        Policy((Rule("None", omit_stages=("Panic", "Panic")),), omit_stages=("Panic",)),
    ],
    ids=repr,
)
def test_valid(policy: Policy) -> None:
    """Users, verbs, namespaces, resources and names may be anything; labels may be long; wildcards may overlap."""
    assert validate(policy) == []


def test_star_before_1_36() -> None:
    """Before Kubernetes 1.36, '*' was no group."""
    (violation,) = validate(group("*"), star_group=False)
    assert violation.message == f'rules[0].resources.group: Invalid value: "*": {SUBDOMAIN}'
    assert violation.text == "'*' is not an API group before Kubernetes 1.36: name the groups"


def test_order_and_paths() -> None:
    """Violations come in kube-apiserver's order; our paths have the indexes that its fields lack."""
    policy = Policy(
        rules=(
            Rule(
                "X",
                non_resource_urls=("a*b",),
                resources=(GroupResources("ok"), GroupResources("A", (), ("n",))),
                omit_stages=("B",),
            ),
        ),
        omit_stages=("A",),
    )
    assert [violation.path for violation in validate(policy)] == [
        "omitStages[0]",
        "rules[0].level",
        "rules[0].nonResourceURLs[0]",
        "rules[0].nonResourceURLs[0]",
        "rules[0].resources[1].group",
        "rules[0].resources[1].resourceNames",
        "rules[0].omitStages[0]",
        "rules[0].nonResourceURLs",
    ]


def test_aggregate() -> None:
    """Nothing is nothing, one line stands bare, several in brackets, equal ones once; values are quoted as Go does."""
    assert aggregate([]) == ""
    assert aggregate(validate(Policy((Rule(""),)))) == "rules[0].level: Required value"
    two_alike = Policy((Rule("None", resources=(GroupResources("A"), GroupResources("A"))),))
    assert aggregate(validate(two_alike)) == f'rules[0].resources.group: Invalid value: "A": {SUBDOMAIN}'
    quoted = Policy((Rule('"\t<\u202e'), Rule("None", namespaces=("a",), non_resource_urls=("/<>",))))
    assert aggregate(validate(quoted)) == (
        f'[rules[0].level: Unsupported value: "\\"\\t<\\u202e": {LEVELS}, '
        'rules[1].nonResourceURLs: Invalid value: ["/\\u003c\\u003e"]: '
        "rules cannot apply to both regular resources and non-resource URLs]"
    )


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("apps/v1", "without the version it is 'apps'"),
        ("Apps", "in lower case it is 'apps'"),
        ("core group", "one looks like 'apps' or 'rbac.authorization.k8s.io', and the core group is ''"),
    ],
)
def test_advice(name: str, advice: str) -> None:
    """A group that is none is told with what it could be."""
    assert validate(group(name))[0].text == f"{name!r} is not an API group: {advice}"


def test_long_values_are_cut() -> None:
    """A value of a megabyte makes no message of a megabyte, and its matching does not run away."""
    for name in ("a-" * 500_000, "a" * 1_000_000 + "!", "." * 1_000_000, "a." * 500_000):
        assert len(validate(group(name))[0].text) < 250

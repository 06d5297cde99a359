"""Named requests and named rules → answer. Each table is decided twice: rule by rule, and from the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decklog.audit.attributes import Attributes
from decklog.audit.event import User
from decklog.policy.evaluator import Evaluator
from decklog.policy.matching import first_match
from decklog.policy.rules import GroupResources, Policy, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.audit.decision import Decision

    Decide = Callable[[Policy, Attributes, User | None], Decision]


def on(
    resource: str, subresource: str = "", *, group: str = "", namespace: str = "", name: str = "", verb: str = "get"
) -> Attributes:
    return Attributes(
        verb=verb,
        path="/not/looked/at",
        resource_request=True,
        api_group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def at(path: str, verb: str = "get") -> Attributes:
    return Attributes(verb=verb, path=path)


JANE = User("jane", groups=("dev", "on-call"))

REQUESTS = {
    "a pod": on("pods", namespace="shop", name="web-0"),
    "a pod's log": on("pods", "log", namespace="shop", name="web-0"),
    "a pod's status": on("pods", "status", namespace="shop", name="web-0", verb="patch"),
    "pods of all namespaces": on("pods", verb="list"),
    "a new pod": on("pods", namespace="shop", verb="create"),
    "pods watched by name": on("pods", namespace="shop", name="web-0", verb="watch"),
    "a secret": on("secrets", namespace="shop", name="key"),
    "a node": on("nodes", name="n1"),
    "a deployment": on("deployments", group="apps", namespace="shop", name="web"),
    "a deployment's scale": on("deployments", "scale", group="apps", namespace="shop", name="web", verb="update"),
    "a custom resource": on("boats", group="example.com", namespace="shop", name="ark"),
    "the namespace shop": on("namespaces", namespace="shop", name="shop"),
    "OPTIONS on a pod": on("pods", namespace="shop", name="web-0", verb=""),
    "/healthz": at("/healthz"),
    "/healthz/etcd": at("/healthz/etcd"),
    "/healthzz": at("/healthzz"),
    "/metrics": at("/metrics"),
    "/metrics/": at("/metrics/"),
    "/apis": at("/apis"),
    "POST /metrics": at("/metrics", "post"),
}

PODS = ["a pod", "pods of all namespaces", "a new pod", "pods watched by name", "OPTIONS on a pod"]
POD_SUBRESOURCES = ["a pod's log", "a pod's status"]
CORE = [*PODS, *POD_SUBRESOURCES, "a secret", "a node", "the namespace shop"]
APPS = ["a deployment", "a deployment's scale"]
RESOURCES = [*CORE, *APPS, "a custom resource"]
PATHS = [name for name, attributes in REQUESTS.items() if not attributes.resource_request]
WITHOUT_NAMESPACE = ["pods of all namespaces", "a node"]


def core(*resources: str, names: tuple[str, ...] = ()) -> tuple[GroupResources, ...]:
    return (GroupResources("", resources, names),)


def urls(*specs: str) -> Rule:
    return Rule("Metadata", non_resource_urls=specs)


RULES: dict[str, tuple[Rule, list[str]]] = {
    "a rule that says nothing matches everything": (Rule("Metadata"), [*RESOURCES, *PATHS]),
    # Resources
    "'pods' is plain pods only": (Rule("Metadata", resources=core("pods")), PODS),
    "'pods/log' is that subresource only": (Rule("Metadata", resources=core("pods/log")), ["a pod's log"]),
    "'pods/*' is plain pods, too": (Rule("Metadata", resources=core("pods/*")), [*PODS, *POD_SUBRESOURCES]),
    "'*' is everything of the group": (Rule("Metadata", resources=core("*")), CORE),
    "'*/status' needs a subresource": (Rule("Metadata", resources=core("*/status")), ["a pod's status"]),
    "'*/*' matches nothing real": (Rule("Metadata", resources=core("*/*")), []),
    "'*/' matches nothing real": (Rule("Metadata", resources=core("*/")), []),
    "'po*' is literal": (Rule("Metadata", resources=core("po*")), []),
    "'pods/lo*' is literal": (Rule("Metadata", resources=core("pods/lo*")), []),
    "'Pods' is another word than 'pods'": (Rule("Metadata", resources=core("Pods")), []),
    "the core group, no resources": (Rule("Metadata", resources=(GroupResources(),)), CORE),
    "apps, no resources": (Rule("Metadata", resources=(GroupResources("apps"),)), APPS),
    "'apps/v1' is no group": (Rule("Metadata", resources=(GroupResources("apps/v1"),)), []),
    "group '*'": (Rule("Metadata", resources=(GroupResources("*"),)), RESOURCES),
    "group '*', '*/scale'": (
        Rule("Metadata", resources=(GroupResources("*", ("*/scale",)),)),
        ["a deployment's scale"],
    ),
    "deployments under the core group": (Rule("Metadata", resources=core("deployments")), []),
    "two entries: either": (
        Rule("Metadata", resources=(*core("secrets"), GroupResources("apps", ("deployments",)))),
        ["a secret", "a deployment"],
    ),
    # Names
    "by name: creates and plain lists have none": (
        Rule("Metadata", resources=core("pods", names=("web-0",))),
        ["a pod", "pods watched by name", "OPTIONS on a pod"],
    ),
    "the name '' is a request that names nothing": (
        Rule("Metadata", resources=core("pods", names=("",))),
        ["pods of all namespaces", "a new pod"],
    ),
    "'*' is no wildcard for names": (Rule("Metadata", resources=core("pods", names=("*",))), []),
    "names of one entry do not bind the next": (
        Rule("Metadata", resources=(*core("pods", names=("other",)), *core("pods"))),
        PODS,
    ),
    "names without resources are not looked at": (
        Rule("Metadata", resources=(GroupResources("", (), ("other",)),)),
        CORE,
    ),
    # Namespaces
    "namespace shop": (
        Rule("Metadata", namespaces=("shop",)),
        [name for name in RESOURCES if name not in WITHOUT_NAMESPACE],
    ),
    "namespace '': cluster-scoped and lists over all, not a Namespace itself, no URL": (
        Rule("Metadata", namespaces=("",)),
        WITHOUT_NAMESPACE,
    ),
    "'*' is no wildcard for namespaces": (Rule("Metadata", namespaces=("*",)), []),
    "namespace and resource: both": (
        Rule("Metadata", resources=core("pods"), namespaces=("",)),
        ["pods of all namespaces"],
    ),
    # Verbs
    "verbs": (Rule("Metadata", verbs=("list", "create")), ["pods of all namespaces", "a new pod"]),
    "'GET' is another word than 'get'": (Rule("Metadata", verbs=("GET",)), []),
    "'*' is no wildcard for verbs": (Rule("Metadata", verbs=("*",)), []),
    "the verb of a URL is its method": (Rule("Metadata", verbs=("post",)), ["POST /metrics"]),
    "the verb '' is a method that Kubernetes does not know": (Rule("Metadata", verbs=("",)), ["OPTIONS on a pod"]),
    # Who
    "user": (Rule("Metadata", users=("joe", "jane")), [*RESOURCES, *PATHS]),
    "another user": (Rule("Metadata", users=("joe",)), []),
    "'*' is no wildcard for users": (Rule("Metadata", users=("*",)), []),
    "one group of several": (Rule("Metadata", user_groups=("ops", "on-call")), [*RESOURCES, *PATHS]),
    "no group": (Rule("Metadata", user_groups=("ops",)), []),
    "'*' is no wildcard for groups": (Rule("Metadata", user_groups=("*",)), []),
    "user and group: both": (Rule("Metadata", users=("jane",), user_groups=("ops",)), []),
    # URLs
    "a URL is exact": (urls("/metrics"), ["/metrics", "POST /metrics"]),
    "'/healthz*' is a prefix, also of itself": (urls("/healthz*"), ["/healthz", "/healthz/etcd", "/healthzz"]),
    "'/healthz/*' is not '/healthz'": (urls("/healthz/*"), ["/healthz/etcd"]),
    "the URL '*' is every path and no resource": (urls("*"), PATHS),
    "'/healthz**' loses all its stars": (urls("/healthz**"), ["/healthz", "/healthz/etcd", "/healthzz"]),
    "a '*' inside is literal": (urls("/hea*hz"), []),
    "namespaces turn URLs off": (
        Rule("Metadata", namespaces=("shop",), non_resource_urls=("/metrics",), verbs=("post",)),
        [],
    ),
}


@pytest.fixture(params=["rule by rule", "from the index"])
def decide(request: pytest.FixtureRequest) -> Decide:
    if request.param == "rule by rule":
        return first_match
    return lambda policy, attributes, user: Evaluator(policy).decide(attributes, user)


@pytest.mark.parametrize("rule", RULES)
def test_rule(decide: Decide, rule: str) -> None:
    """A rule matches just the requests that stand beside it."""
    policy = Policy(rules=(RULES[rule][0],))
    matched = [name for name, attributes in REQUESTS.items() if decide(policy, attributes, JANE).level == "Metadata"]
    assert sorted(matched) == sorted(RULES[rule][1])


@pytest.mark.parametrize(
    ("rule", "user", "matches"),
    [
        (Rule("Metadata", users=("jane",)), None, False),
        (Rule("Metadata", user_groups=("dev",)), None, False),
        (Rule("Metadata", verbs=("get",)), None, True),
        (Rule("Metadata"), None, True),
        (Rule("Metadata", users=("",)), User(), True),
        (Rule("Metadata", users=("",)), None, False),
        (Rule("Metadata", user_groups=("",)), User("x", groups=("",)), True),
        (Rule("Metadata", user_groups=("dev",)), User("jane"), False),
        (Rule("Metadata", users=("system:anonymous",)), User("system:anonymous"), True),
    ],
    ids=str,
)
def test_who(decide: Decide, rule: Rule, user: User | None, matches: bool) -> None:
    """A request without a user matches no rule that asks for one; an empty name is a name."""
    assert (decide(Policy(rules=(rule,)), REQUESTS["a pod"], user).level == "Metadata") is matches


def test_first_match_wins_even_if_it_is_none(decide: Decide) -> None:
    """The first rule that matches decides, also when its level is None, and is named."""
    policy = Policy(rules=(Rule("Request", users=("joe",)), Rule("None", users=("jane",)), Rule("RequestResponse")))
    decision = decide(policy, REQUESTS["a pod"], JANE)
    assert (decision.level, decision.rule) == ("None", 1)


def test_no_match(decide: Decide) -> None:
    """Without a rule that matches, the level is None, with the policy's own stages and managed fields."""
    policy = Policy((Rule("Request", users=("joe",)),), omit_stages=("Panic",), omit_managed_fields=True)
    decision = decide(policy, REQUESTS["a pod"], JANE)
    assert decision.rule is None
    assert decision.level == "None"
    assert decision.omit_stages == {"Panic"}
    assert decision.omit_managed_fields


@pytest.mark.parametrize(
    ("policy_stages", "rule_stages", "omitted"),
    [
        ((), (), set()),
        (("Panic",), (), {"Panic"}),
        ((), ("Panic", "Panic"), {"Panic"}),
        (("RequestReceived", "Panic"), ("Panic", "ResponseStarted"), {"RequestReceived", "Panic", "ResponseStarted"}),
    ],
)
def test_stages(
    decide: Decide, policy_stages: tuple[str, ...], rule_stages: tuple[str, ...], omitted: set[str]
) -> None:
    """What the policy omits and what the rule omits are omitted both."""
    policy = Policy((Rule("Metadata", omit_stages=rule_stages),), omit_stages=policy_stages)
    assert decide(policy, REQUESTS["a pod"], JANE).omit_stages == omitted


@pytest.mark.parametrize("policy_says", [False, True])
@pytest.mark.parametrize("rule_says", [None, False, True])
def test_managed_fields(decide: Decide, policy_says: bool, rule_says: bool | None) -> None:
    """A rule that says nothing of managed fields leaves it to the policy; one that does has the last word."""
    policy = Policy((Rule("Metadata", omit_managed_fields=rule_says),), omit_managed_fields=policy_says)
    expected = policy_says if rule_says is None else rule_says
    assert decide(policy, REQUESTS["a pod"], JANE).omit_managed_fields is expected

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decklog.audit.event import Level
from decklog.errors import DecklogError
from decklog.policy.discovery import parse as parse_discovery
from decklog.policy.findings import Severity
from decklog.policy.lint import check
from decklog.policy.matching import matching_rule
from decklog.policy.rules import to_json
from decklog.policy.validate import validate
from policy.linting import CATCH_ALL, HEAD, codes, remarks, report
from policy.random_policies import random_policy, random_request

TUTORIAL = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  resources: [{group: "", resources: [pods]}]
- level: Metadata
  omitStages: [RequestReceived]
- level: Metadata
"""


def test_a_second_catch_all_is_unreachable() -> None:
    """The rule below a catch-all never decides, and the catch-all's line is named; the catch-all itself is kept."""
    found = report("", head=TUTORIAL)
    (dead,) = [remark for remark in found.remarks if remark.code == "DL010"]
    assert (dead.line, dead.column, dead.path) == (9, 3, "rules[2]")
    assert "the rule on line 7 matches everything" in dead.text
    assert [remark.path for remark in found.remarks if remark.code == "DL011"] == ["rules[1].omitStages"]


def test_rules_are_unreachable_by_several_together() -> None:
    """The proof is against all earlier rules, not one by one."""
    rules = (
        "- {level: None, verbs: [get, list, watch]}\n- {level: None, users: [x]}\n"
        "- {level: Metadata, users: [x], verbs: [get, create]}\n"
        '- {level: Request, resources: [{group: "*"}]}\n- {level: Request, nonResourceURLs: ["*"]}\n'
        "- {level: Metadata}\n"
    )
    found = {remark.path: remark.text for remark in remarks(rules, "DL010")}
    assert list(found) == ["rules[2]", "rules[5]"]
    assert "line 6 matches" in found["rules[2]"]
    assert "lines 8 and 9 together match" in found["rules[5]"]


def test_a_rule_that_no_request_can_be_like_is_told() -> None:
    """A rule that matches nothing at all is unreachable without others' help."""
    (dead,) = remarks(f'- {{level: Request, resources: [{{group: "", resources: [a/b/c]}}]}}\n{CATCH_ALL}', "DL010")
    assert "no request can be" in dead.text


def test_a_redundant_rule_names_what_decides_the_same() -> None:
    """A rule whose requests the next one would decide just so is told with that rule's line."""
    rules = f'- {{level: Metadata, resources: [{{group: "", resources: [secrets]}}]}}\n{CATCH_ALL}'
    (found,) = remarks(rules, "DL011")
    assert "without it the rule on line 6 decides" in found.text


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_reported_rules_never_decide_and_the_others_have_a_witness(seed: int) -> None:
    """No random request is decided by a rule reported unreachable; each other rule's witness is decided by it."""
    draw = random.Random(seed)
    policy = random_policy(draw)
    if validate(policy):
        return
    found = check(json.dumps(to_json(policy)).encode(), source="p")
    dead = {int(remark.path[6:].partition("]")[0]) for remark in found.remarks if remark.code == "DL010"}
    for _ in range(40):
        assert matching_rule(policy, *random_request(draw)) not in dead
    for reached in found.reached:
        if reached.index not in dead and not all(rule.level == Level.NONE for rule in policy.rules):
            assert reached.witness is not None
            assert matching_rule(policy, reached.witness.attributes, reached.witness.user) == reached.index


LOST_KEY = f"- level: Metadata\n  resources:\n  - group: apps\n    resource: [deployment]\n{CATCH_ALL}"


def test_an_unknown_key_is_an_error_with_its_consequence() -> None:
    """Refused by us, with what kube-apiserver would then match; what else there is to say is said, too."""
    found = report(LOST_KEY)
    (error,) = [remark for remark in found.remarks if remark.severity is Severity.ERROR]
    assert (error.code, error.line, error.column) == ("DL001", 8, 5)
    assert "did you mean 'resources'" in error.text
    assert "the entry is then all of the group 'apps'" in error.text
    assert "DL402" in codes(found.remarks)
    assert found.errors == 1


def test_an_unknown_key_is_a_warning_where_kube_apiserver_is_followed() -> None:
    """With lenient loading the same is a warning."""
    found = report(LOST_KEY, lenient=True)
    assert found.errors == 0
    (warning,) = [remark for remark in found.remarks if remark.code == "DL001"]
    assert warning.severity is Severity.WARNING


def test_a_lost_key_with_singular_names_is_told_of_both() -> None:
    """Mending the key alone would leave names that match nothing."""
    (error,) = [remark for remark in report(LOST_KEY).remarks if remark.code == "DL001"]
    assert "its names in the plural, not deployment" in error.write


def test_a_group_with_its_version_is_an_error_with_its_code() -> None:
    """kube-apiserver refuses the slash; the code is that of versions in groups."""
    (error,) = report(f"- {{level: None, resources: [{{group: apps/v1}}]}}\n{CATCH_ALL}").remarks
    assert (error.code, error.severity, error.line) == ("DL101", Severity.ERROR, 5)
    assert error.write == "without the version it is 'apps'"


def test_a_colon_of_the_user_does_not_part_the_advice() -> None:
    """What is wrong and what to write are told apart outside of quoted values only."""
    (error,) = report("- {level: None, nonResourceURLs: ['x: y']}\n").remarks
    assert error.text == "'x: y' does not begin with '/'"
    assert error.write.startswith("write the path")


def test_a_duplicate_key_of_a_rule_tells_what_it_matches() -> None:
    """Of a list written twice only the last counts, and it is said what the rule then matches."""
    found = report(f"- level: None\n  users: [jane]\n  users: [joe]\n{CATCH_ALL}")
    (error,) = [remark for remark in found.remarks if remark.severity is Severity.ERROR]
    assert error.code == "DL002"
    assert "the rule then matches every request by 'joe'" in error.text


def test_all_errors_are_told_and_nothing_else() -> None:
    """A policy that cannot be read has its errors, all of them, and no warnings about rules."""
    found = report("- level: Everything\n- {level: None, omitStages: [Start]}\n")
    assert [(remark.code, remark.line) for remark in found.remarks] == [("DL000", 5), ("DL000", 6)]
    assert found.remarks[0].write
    assert found.topics == ()


STAR = f'- {{level: Request, verbs: [create], resources: [{{group: "*", resources: [carts]}}]}}\n{CATCH_ALL}'


def test_releases_that_refuse_a_policy_are_named() -> None:
    """Asked for several releases, it is said which start with the policy, and what the others say."""
    found = report(STAR, kubernetes=["1.34", "1.35", "1.36", "1.37"])
    assert [(each.release, each.starts) for each in found.verdicts] == [
        ("1.34", False),
        ("1.35", False),
        ("1.36", True),
        ("1.37", True),
    ]
    assert "rules[0].resources.group" in found.verdicts[0].says
    (error,) = [remark for remark in found.remarks if remark.code == "DL000"]
    assert error.releases == ("1.34", "1.35")
    assert "DL020" not in codes(found.remarks)


def test_a_policy_for_new_releases_only_says_so() -> None:
    """Without a release asked for, it is said that older ones do not start with every group."""
    (found,) = remarks(STAR, "DL020")
    assert (found.path, found.line) == ("rules[0].resources[0].group", 5)


def test_resources_that_come_and_go_are_told_for_their_releases() -> None:
    """A resource that only some of the releases serve is told with those that do not."""
    rules = f"- {{level: Metadata, resources: [{{group: policy, resources: [podsecuritypolicies]}}]}}\n{CATCH_ALL}"
    (found,) = remarks(rules, "DL106", kubernetes=["1.24", "1.25", "1.26"])
    assert found.releases == ("1.25", "1.26")


def test_what_holds_for_all_releases_is_said_once() -> None:
    """A remark that does not depend on the release names none."""
    found = report(CATCH_ALL, kubernetes=["1.24", "1.30", "1.37"])
    assert all(remark.releases == () for remark in found.remarks)
    assert len(found.remarks) == len({(remark.code, remark.path, remark.text) for remark in found.remarks})


def test_a_cluster_s_own_resources_are_known() -> None:
    """With discovery a custom resource is right, and a misspelled or singular one is told."""
    document = {
        "kind": "APIResourceList",
        "groupVersion": "shop.example/v1",
        "resources": [{"name": "carts", "singularName": "cart", "namespaced": True, "kind": "Cart"}],
    }
    served = parse_discovery(json.dumps(document).encode(), source="d")

    def told(resource: str) -> list[str]:
        rules = f"- {{level: Metadata, resources: [{{group: shop.example, resources: [{resource}]}}]}}\n{CATCH_ALL}"
        found = report(rules, discovered=served)
        return [remark.write for remark in found.remarks if remark.line == 5 and remark.code in {"DL104", "DL105"}]

    assert told("carts") == []
    assert told("cart") == ["carts"]
    assert told("cats") == ["carts"]


def test_a_whole_cluster_serves_nothing_else() -> None:
    """With discovery of a whole cluster, groups that it does not list are told, custom ones and built-in ones."""
    lists = [
        {"kind": "APIResourceList", "groupVersion": version, "resources": [{"name": name, "kind": "X"}]}
        for version, name in (("v1", "pods"), ("apps/v1", "deployments"), ("rbac.authorization.k8s.io/v1", "roles"))
    ]
    served = parse_discovery(json.dumps(lists).encode(), source="d")
    rules = "- {level: Metadata, resources: [{group: shop.example}, {group: batch}, {group: apps}]}\n"
    found = [remark.code for remark in report(rules + CATCH_ALL, discovered=served).remarks if remark.line == 5]
    assert [code for code in found if code in {"DL102", "DL106"}] == ["DL102", "DL106"]


def test_cis_topics_are_answered_by_first_match() -> None:
    """What CIS 3.2.2 asks for is answered with level and rule, whatever other rules say in their text."""
    everybody = '- level: None\n  userGroups: ["system:authenticated"]\n'
    secrets_too = '- {level: Metadata, resources: [{group: "", resources: [secrets]}]}\n'
    rules = f"{everybody}{secrets_too}{CATCH_ALL}"
    found = report(rules)
    secrets = next(topic for topic in found.topics if topic.request == "get secrets")
    assert (secrets.level, secrets.rule, secrets.line) == (Level.NONE, 0, 5)
    assert {"DL511", "DL512", "DL513"} <= codes(found.remarks)


def test_a_release_that_is_none_is_refused() -> None:
    """A word that is no version is the user's mistake."""
    with pytest.raises(DecklogError, match="not a version"):
        check((HEAD + CATCH_ALL).encode(), source="p", kubernetes=["newest"])


SOUND = """\
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*"]
- level: None
  userGroups: ["system:authenticated"]
  nonResourceURLs: ["/api*", "/openapi/*", /version, /metrics]
- level: None
  resources:
  - {group: "", resources: [events]}
  - {group: events.k8s.io, resources: [events]}
  - {group: authorization.k8s.io, resources: [selfsubjectaccessreviews, selfsubjectrulesreviews]}
  - {group: authentication.k8s.io, resources: [selfsubjectreviews]}
- level: None
  userGroups: ["system:nodes"]
  verbs: [get, update, patch]
  resources:
  - {group: coordination.k8s.io, resources: [leases]}
  - {group: "", resources: [nodes/status, pods/status]}
- level: None
  users: ["system:kube-scheduler", "system:kube-controller-manager"]
  resources: [{group: coordination.k8s.io, resources: [leases]}]
- level: None
  users: ["system:serviceaccount:kube-system:kube-proxy"]
  verbs: [watch]
- level: None
  users: ["system:serviceaccount:kube-system:horizontal-pod-autoscaler"]
  resources: [{group: metrics.k8s.io}]
- level: Metadata
  resources:
  - group: ""
    resources: [secrets, configmaps, serviceaccounts/token, pods/exec, pods/attach, pods/portforward, services/proxy]
  - {group: authentication.k8s.io, resources: [tokenreviews]}
- level: Request
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
"""


def test_a_sound_policy_has_nothing_said_of_it() -> None:
    """A policy with bodies, without secrets and noise, passes with no remark, for every release of today."""
    assert report(SOUND).remarks == ()
    assert report(SOUND, kubernetes=["1.26", "1.30", "1.37"]).remarks == ()


def test_whoever_waits_may_end_a_check() -> None:
    """The search for witnesses grows with the square of the rules: it looks up at each of them."""
    left = iter(range(300))

    def tick() -> None:
        if next(left, None) is None:
            raise TimeoutError

    rules = (HEAD + "- level: None\n" * 1000).encode()
    with pytest.raises(TimeoutError):
        check(rules, source="policy.yaml", tick=tick)

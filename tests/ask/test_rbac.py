from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import pytest
import yaml
from msgspec import Raw
from msgspec.structs import replace

from ask.logs import event, lines, ref
from decklog.ask.grants import grants, not_granted, read_manifests, unused
from decklog.ask.rbac import Permission, Usage, roles, usage
from decklog.ask.rbac_yaml import manifests
from decklog.ask.requests import merge
from decklog.audit.event import ObjectReference, Status, User
from decklog.audit.query import Query
from decklog.errors import DecklogError
from decklog.sources.places import find
from decklog.sources.reader import read
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from decklog.audit.event import Event

FORBIDDEN = {"authorization.k8s.io/decision": "forbid"}


def used(subject: str, *events: Event) -> Usage:
    numbered = [event_of(one, number) for number, one in enumerate(events)]
    records = read(find(["-"], BytesIO(lines(numbered))), Coverage())
    return usage(merge(records, Query()), subject)


def event_of(one: Event, number: int) -> Event:
    return replace(one, audit_id=f"id-{number}")


def rules(found: Usage, namespace: str = "shop") -> list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]:
    chosen = [role for role in roles(found.used) if role.namespace == namespace]
    return [(rule.verbs, rule.resources or rule.paths, rule.names) for rule in chosen[0].rules]


@pytest.mark.parametrize(
    ("one", "rule"),
    [
        (event(verb="get"), (("get",), ("deployments",), ("web",))),
        (event(verb="create"), (("create",), ("deployments",), ())),
        (event(verb="list", object_ref=ref("pods", name="web")), (("list",), ("pods",), ())),
        (event(verb="deletecollection", object_ref=ref("pods")), (("deletecollection",), ("pods",), ())),
        (event(verb="create", object_ref=ref("pods", name="", group="")), (("create",), ("pods",), ())),
        (
            event(verb="create", object_ref=ref("pods", name="web-0", subresource="exec")),
            (("create",), ("pods/exec",), ("web-0",)),
        ),
    ],
)
def test_what_a_request_needs(one: Event, rule: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]) -> None:
    """Names restrict where the path has one; never create and list, whatever name the event shows."""
    assert rules(used("alice", one)) == [rule]


def test_many_names_are_none() -> None:
    """A rule does not list more names than a person would."""
    events = [event(verb="get", object_ref=ref("pods", name=f"web-{number}")) for number in range(6)]
    assert rules(used("alice", *events)) == [(("get",), ("pods",), ())]
    assert rules(used("alice", *events[:5]))[0][2] == tuple(f"web-{number}" for number in range(5))


def test_a_patch_that_creates_needs_create() -> None:
    """Server-side apply of an object that was not there asks for create, too."""
    assert rules(used("alice", event(verb="patch", response_status=Status(code=201)))) == [
        (("create",), ("deployments",), ()),
        (("patch",), ("deployments",), ("web",)),
    ]


def test_paths_and_cluster_scope_take_a_cluster_role() -> None:
    """What has no namespace stands in a ClusterRole, paths among it."""
    found = used(
        "alice",
        event(verb="get", object_ref=None, request_uri="/healthz?verbose"),
        event(verb="list", object_ref=ref("nodes", "")),
    )
    assert rules(found, "") == [(("list",), ("nodes",), ()), (("get",), ("/healthz",), ())]


def test_the_refused_is_no_use() -> None:
    """What was refused is kept apart, and no role allows it."""
    found = used("alice", event(annotations=FORBIDDEN, response_status=Status(code=403)))
    assert found.used == {}
    assert list(found.refused) == [Permission("delete", "apps", "deployments", "shop", "web")]


@pytest.mark.parametrize(
    "one",
    [
        event(verb="get", object_ref=None, request_uri="/*"),
        event(verb="get", object_ref=ref("*", "shop", "web")),
        event(verb="*"),
        event(verb="get", object_ref=ref("pods", group="*")),
    ],
)
def test_a_star_in_a_request_never_becomes_a_star_in_a_rule(one: Event) -> None:
    """Who asks for a thing literally called * is not given everything."""
    found = used("alice", one)
    assert (found.used, len(found.starred)) == ({}, 1)


def test_acting_as_somebody_else() -> None:
    """Who impersonates needs to; what is then done, the other needs."""
    both = event(impersonated_user=User("bob", groups=("ops", "system:authenticated")))
    assert [(one.resource, one.name) for one in used("alice", both).used] == [("users", "bob"), ("groups", "ops")]
    assert [one.resource for one in used("bob", both).used] == ["deployments"]
    account = event(impersonated_user=User("system:serviceaccount:shop:web"))
    assert list(used("alice", account).used) == [Permission("impersonate", "", "serviceaccounts", "shop", "web")]


def test_members_use_what_a_group_needs() -> None:
    """For a group, what its members did counts."""
    found = used("dev", event(verb="get"))
    assert rules(found) == [(("get",), ("deployments",), ("web",))]
    assert not found.is_user


def test_manifests_are_yaml_whatever_the_log_holds() -> None:
    """A hostile name stays a text: it begins no key, no comment and no document."""
    evil = 'x"\n---\nkind: ClusterRoleBinding # \x1b[2J\u2028'
    found = used("alice", event(verb="get", object_ref=ObjectReference("pods", "shop", evil)))
    text = "\n".join(manifests(roles(found.used), "alice", name="used", is_group=False))
    role, binding = yaml.safe_load_all(text)
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "resourceNames": [evil], "verbs": ["get"]}]
    assert binding["subjects"] == [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "alice"}]
    assert "id-0" in text


def test_the_made_roles_grant_what_was_used() -> None:
    """Whatever was used, the roles that are made of it allow it, and nothing of them is idle."""
    found = used(
        "system:serviceaccount:shop:web",
        *(
            event(verb=verb, user=User("system:serviceaccount:shop:web"), object_ref=ref(resource, namespace, name))
            for verb in ("get", "list", "create", "delete", "watch")
            for resource in ("pods", "deployments")
            for namespace in ("shop", "")
            for name in ("a", "")
        ),
    )
    subject = "system:serviceaccount:shop:web"
    text = "\n".join(manifests(roles(found.used), subject, name="used", is_group=False))
    held = grants(read_manifests({"made.yaml": text.encode()}), subject, found.groups)
    assert not_granted(held, found.used) == []
    assert unused(held, found.used) == []


MANIFESTS = b"""
apiVersion: v1
kind: List
items:
- kind: Role
  metadata: {name: edit, namespace: shop}
  rules:
  - {apiGroups: [apps], resources: [deployments, statefulsets], verbs: [get, delete]}
  - {apiGroups: [""], resources: ["*"], verbs: ["*"]}
- kind: RoleBinding
  metadata: {name: edit, namespace: shop}
  roleRef: {kind: Role, name: edit}
  subjects: [{kind: Group, name: dev}]
- kind: ClusterRole
  metadata: {name: other}
  rules: [{nonResourceURLs: ["/health*"], verbs: [get]}]
"""


def test_granted_and_not_used() -> None:
    """Whole rules, resources and verbs that nobody used are told; what a star was used for, too."""
    found = used("alice", event(verb="get"), event(verb="get", object_ref=ref("pods", name="web")))
    held = grants(read_manifests({"m.yaml": MANIFESTS}), "alice", found.groups)
    assert [(one.source, one.verbs, one.what) for one in unused(held, found.used)] == [
        ("Role edit of namespace shop, rule 1", ("delete",), "deployments"),
        ("Role edit of namespace shop, rule 1", ("get", "delete"), "statefulsets"),
        ("Role edit of namespace shop, rule 2", ("* (used: get)",), "*"),
    ]


def test_used_and_not_granted() -> None:
    """What these manifests do not allow is told: another namespace, another group, a role that is not bound."""
    found = used(
        "alice",
        event(verb="get", object_ref=ref("deployments", "bank", "web", "apps")),
        event(verb="get", object_ref=None, request_uri="/healthz"),
    )
    held = grants(read_manifests({"m.yaml": MANIFESTS}), "alice", found.groups)
    assert [one.namespace or one.path for one in not_granted(held, found.used)] == ["bank", "/healthz"]


def test_bad_yaml_is_named() -> None:
    """A file that is no YAML is said to be none."""
    with pytest.raises(DecklogError, match=r"m\.yaml: no YAML"):
        read_manifests({"m.yaml": b"{"})
    assert read_manifests({"m.yaml": b"- 1\n- kind: Role\n---\nkind: Pod\n"}) == []


def test_a_list_that_selects_a_name_is_granted_by_that_name() -> None:
    """The authorizer asks for the name of metadata.name=…, so a role by names allows such a list, and no other."""
    role = b"kind: Role\nmetadata: {name: r, namespace: shop}\nrules:\n- {apiGroups: [''], resources: [pods],"
    granted = grants(read_manifests({"r": role + b" resourceNames: [web], verbs: [list]}"}), "alice", ())
    one = used("alice", event(verb="list", object_ref=ref("pods", name="web")))
    every = used("alice", event(verb="list", object_ref=ref("pods")))
    assert not_granted(granted, one.used) == []
    assert [permission.verb for permission in not_granted(granted, every.used)] == ["list"]
    assert rules(used("alice", *(event(verb="list", object_ref=ref("pods", name=n)) for n in ("a", "", "b")))) == [
        (("list",), ("pods",), ())
    ]


def test_an_object_made_with_a_generated_name_needs_create_alone() -> None:
    """The name that the server made up is in no rule, although the answer shows it: at the create there was none."""
    made = event(
        verb="create",
        object_ref=ref("pods"),
        request_object=Raw(b'{"metadata":{"generateName":"job-"}}'),
        response_object=Raw(b'{"metadata":{"generateName":"job-","name":"job-x1"}}'),
    )
    assert rules(used("alice", made)) == [(("create",), ("pods",), ())]

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.audit.event import User
from decklog.errors import DecklogError
from decklog.policy.explained import asked
from decklog.policy.kinds import Kind, built_in
from decklog.policy.request_text import caller, read_request

AUTHENTICATED = "system:authenticated"


def understood(text: str) -> str:
    """What the server sees, in one line: verb, group, resource/subresource, namespace, name; or verb and path."""
    a = read_request(text, built_in()).attributes
    if not a.resource_request:
        return f"{a.verb} {a.path}"
    what = "/".join(filter(None, (a.resource, a.subresource)))
    return f"{a.verb} {a.api_group or 'core'} {what} {a.namespace or '-'} {a.name or '-'}"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("create pods/exec web-0 -n shop", "create core pods/exec shop web-0"),
        ("get pods/web-0/log -n shop", "get core pods/log shop web-0"),
        ("get pods web-0 --subresource=log -n shop", "get core pods/log shop web-0"),
        ("get pods/web-0 --subresource log -n shop", "get core pods/log shop web-0"),
        ("get deployments.apps -A", "list apps deployments - -"),
        ("get deployments.v1.apps web -nshop", "get apps deployments shop web"),
        ("get deploy/web --namespace=shop", "get apps deployments shop web"),
        ("-n shop get Deployment web", "get apps deployments shop web"),
        ("get po -n shop", "list core pods shop -"),
        ("watch svc -A", "watch core services - -"),
        ("list pods web-0 -n shop", "list core pods shop web-0"),
        ("watch pods/web-0 -A", "watch core pods - web-0"),
        ("update cm settings -n shop", "update core configmaps shop settings"),
        ("patch deploy/scale web -n shop", "patch apps deployments/scale shop web"),
        ("patch ing/web -n shop", "patch networking.k8s.io ingresses shop web"),
        ("get ev -n shop", "list core events shop -"),
        ("get ev.events.k8s.io -n shop", "list events.k8s.io events shop -"),
        ("get roles.rbac -A", "list rbac.authorization.k8s.io roles - -"),
        ("get psp restricted", "get policy podsecuritypolicies - restricted"),
        ("delete secrets -n shop", "deletecollection core secrets shop -"),
        ("delete secret/db -n shop", "delete core secrets shop db"),
        ("create sa/token web -n shop", "create core serviceaccounts/token shop web"),
        ("create secret db -n shop", "create core secrets shop -"),
        ("get ns shop", "get core namespaces shop shop"),
        ("create ns shop", "create core namespaces - -"),
        ("get nodes n1 -n shop", "get core nodes - n1"),
        ("get nodes/n1/proxy", "get core nodes/proxy - n1"),
        ("get widgets.example.com w -n shop", "get example.com widgets shop w"),
        ("patch widgets.example.com/status w -n shop", "patch example.com widgets/status shop w"),
        ("get widgets.v1beta1.example.com", "list example.com widgets - -"),
        ("GET /apis/apps/v1/namespaces/x/deployments?watch=1", "watch apps deployments x -"),
        ("POST /api/v1/namespaces/shop/pods/web-0/exec", "create core pods/exec shop web-0"),
        ("POST /apis/example.com/v1/widgets", "create example.com widgets - -"),
        ("get /healthz", "get /healthz"),
        ("GET /version", "get /version"),
        ("HEAD /livez", "head /livez"),
        ("get /api/v1/pods", "list core pods - -"),
    ],
)
def test_a_request_is_what_a_server_would_see(text: str, seen: str) -> None:
    """Words and paths end in the attributes that an API server resolves."""
    assert understood(text) == seen


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("get pods -n shop", "get without a name is a list"),
        ("delete pods -n shop", "its verb is deletecollection"),
        ("create pods web -n shop", "the request has no name"),
        ("get pods web", "-n default"),
        ("get nodes n1 -n shop", "-n shop is left out"),
        ("get widgets.example.com w", "without namespaces"),
    ],
)
def test_what_the_words_hide_is_noted(text: str, note: str) -> None:
    """Whatever was added or left out is told."""
    assert note in " / ".join(read_request(text, built_in()).notes)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "no request is given"),
        ("get", "write VERB TYPE"),
        ("GET pods", "a path has to follow GET"),
        ("exec web-0 sh", "write create pods/exec NAME"),
        ("logs web-0", "write get pods/log NAME"),
        ("gte pods", "did you mean get?"),
        ("frobnicate pods", "verbs are get, list"),
        ("post pods", "write create"),
        ("list /api/v1/pods", "write GET PATH"),
        ("FROB /healthz", "is no HTTP method"),
        ("GET /healthz now", "the path says it all"),
        ("GET /api/v1/watch", "is answered 500 before it is audited"),
        ("get podz", "did you mean pod"),
        ("get deploymnts.apps", "did you mean deployments"),
        ("get gadgets.apps", "is not a resource of the group apps"),
        ("get widgets", "write a custom one with its group"),
        ("get widgets.Example_com", "write RESOURCE or RESOURCE.GROUP"),
        ("get pods/log", "Name the object"),
        ("list pods/log web-0", "belongs to one object"),
        ("update pods", "needs the name"),
        ("deletecollection pods web", "write delete TYPE NAME"),
        ("get pods web -A", "-A is for list and watch"),
        ("create pods -A", "-A is for list and watch"),
        ("get pods -A -n shop", "give one of them"),
        ("get pods -n", "needs a value"),
        ("get pods -o yaml", "flags are -n NAMESPACE"),
        ("get pods web db api", "one word too many"),
        ("get pods/a/b/c", "is not an object"),
        ("get pods/", "is not an object"),
        ("get pods/log web --subresource exec", "give one of them"),
        ("get pods 'web", "has a quote that does not end"),
        ("get pods 'a b'", "cannot be a name"),
    ],
)
def test_what_is_no_request_says_what_to_write(text: str, advice: str) -> None:
    """A slip is told with what would be right."""
    with pytest.raises(DecklogError) as raised:
        read_request(text, built_in())
    assert advice in str(raised.value)
    assert "\n" not in str(raised.value)


def test_words_of_a_shell_and_one_quoted_text_are_the_same() -> None:
    """Quoting the whole request changes nothing."""
    words = ["create", "pods/exec", "web-0", "-n", "shop"]
    assert read_request(words, built_in()) == read_request([" ".join(words)], built_in())


@given(
    st.sampled_from(tuple(built_in())),
    st.sampled_from(["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]),
    st.sampled_from(["shop", "kube-system"]),
    st.from_regex(r"[a-z0-9][a-z0-9.:-]{0,20}[a-z0-9]", fullmatch=True),
    st.booleans(),
)
def test_every_built_in_resource_can_be_written(kind: Kind, verb: str, space: str, name: str, below: bool) -> None:
    """What is written with its group is seen with that group, and writing it again from there gives the same."""
    with_name = below or verb in {"get", "update", "patch", "delete"}
    if below and (not kind.subresources or verb in {"list", "watch", "deletecollection"}):
        return
    what = f"{kind.qualified}/{kind.subresources[0]}" if below else kind.qualified
    text = f"{verb} {what}{f' {name}' if with_name else ''}{f' -n {space}' if kind.namespaced else ''}"
    seen = read_request(text, built_in()).attributes
    assert (seen.verb, seen.api_group, seen.resource) == (verb, kind.group, kind.resource)
    assert seen.subresource == (kind.subresources[0] if below else "")
    assert seen.name == (name if with_name else "")
    if kind.namespaced:
        assert seen.namespace == space
        assert read_request(asked(seen), built_in()).attributes == seen


@pytest.mark.parametrize(
    ("name", "groups", "expected"),
    [
        ("alice", ["dev,ops", "dev"], ("alice", "dev", "ops", AUTHENTICATED)),
        ("", [], ("somebody", AUTHENTICATED)),
        (
            "system:serviceaccount:shop:web",
            ["extra"],
            (
                "system:serviceaccount:shop:web",
                "system:serviceaccounts",
                "system:serviceaccounts:shop",
                "extra",
                AUTHENTICATED,
            ),
        ),
        ("system:node:n1", [], ("system:node:n1", "system:nodes", AUTHENTICATED)),
        ("system:anonymous", [], ("system:anonymous", "system:unauthenticated")),
    ],
)
def test_a_caller_has_the_groups_that_authentication_adds(
    name: str, groups: list[str], expected: tuple[str, ...]
) -> None:
    """Service accounts, nodes and the anonymous are completed."""
    assert caller(name, groups) == User(expected[0], groups=expected[1:])


def test_who_is_not_authenticated_is_nobody() -> None:
    """Nobody has neither name nor groups, and a service account needs both of its names."""
    assert caller(unauthenticated=True) is None
    with pytest.raises(DecklogError, match="neither name nor groups"):
        caller("alice", unauthenticated=True)
    with pytest.raises(DecklogError, match="neither name nor groups"):
        caller("", ["dev"], unauthenticated=True)
    with pytest.raises(DecklogError, match="is no service account"):
        caller("system:serviceaccount:shop")

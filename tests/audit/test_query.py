from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from ask.logs import event, ref
from decklog.audit.event import Event, Stage, Status, User
from decklog.audit.query import CodePattern, Pattern, Query, ResourcePattern, admits, object_name

HIDDEN = event(object_ref=None, request_uri="/healthz?verbose", verb="get")
LISTED = event(verb="list", object_ref=ref("deployments", "shop", group="apps"))
LISTED_ALL = event(verb="list", object_ref=ref("deployments", "", group="apps"))


def patterns(*texts: str) -> tuple[Pattern, ...]:
    return tuple(map(Pattern.parse, texts))


@pytest.mark.parametrize(
    ("pattern", "covered", "not_covered"),
    [
        ("web", ["web"], ["web-1", "", "we"]),
        ("web*", ["web", "web-1"], ["we", "", "aweb"]),
        ("*", ["web"], [""]),
        ("-web", ["web"], ["web-1"]),
        ("-*", ["web"], [""]),
        ("-", ["-"], ["", "web"]),
        ("we*b", ["we*b"], ["weeb"]),
    ],
)
def test_a_pattern_is_a_text_or_a_beginning(pattern: str, covered: list[str], not_covered: list[str]) -> None:
    """A text covers itself, a trailing star any rest, a star alone what is not empty; negation is left to `admits`."""
    parsed = Pattern.parse(pattern)
    assert all(parsed.covers(value) for value in covered)
    assert not any(parsed.covers(value) for value in not_covered)


@pytest.mark.parametrize(
    ("texts", "value", "admitted"),
    [
        ((), "anything", True),
        (("a", "b"), "b", True),
        (("a", "b"), "c", False),
        (("-a",), "b", True),
        (("-a",), "a", False),
        (("-a", "-b"), "b", False),
        (("sys*", "-system:node"), "system:node", False),
        (("sys*", "-system:node"), "system:kube", True),
        (("-*",), "", True),
        (("-*",), "x", False),
    ],
)
def test_wanted_values_are_or_and_unwanted_ones_all_hold(texts: tuple[str, ...], value: str, admitted: bool) -> None:
    """One wanted value is enough, one unwanted is too many, and without wanted ones all others pass."""
    assert admits(patterns(*texts), value) is admitted


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("deployments", ref("deployments", group="apps"), ref("pods")),
        ("deployments.apps", ref("deployments", group="apps"), ref("deployments", group="extensions")),
        ("deployments.*", ref("deployments", group="extensions"), ref("pods")),
        ("*.apps", ref("statefulsets", group="apps"), ref("pods")),
        ("pods.", ref("pods"), ref("pods", group="metrics.k8s.io")),
        ("pods", ref("pods", subresource="log"), ref("podtemplates")),
        ("pods/log", ref("pods", subresource="log"), ref("pods")),
        ("pods/-*", ref("pods"), ref("pods", subresource="log")),
        ("pods/*", ref("pods", subresource="log"), ref("pods")),
        (
            "roles.rbac.authorization.k8s.io",
            ref("roles", group="rbac.authorization.k8s.io"),
            ref("roles", group="apps"),
        ),
        ("config*", ref("configmaps"), ref("secrets")),
    ],
)
def test_a_resource_is_written_as_kubectl_writes_it(pattern: str, yes: Any, no: Any) -> None:
    """RESOURCE[.GROUP][/SUBRESOURCE], with a star for any, covers the right references."""
    assert ResourcePattern.parse(pattern).covers(yes)
    assert not ResourcePattern.parse(pattern).covers(no)
    negated = ResourcePattern.parse(f"-{pattern}")
    assert admits((negated,), no)
    assert not admits((negated,), yes)


@pytest.mark.parametrize(("text", "low", "high"), [("403", 403, 403), ("4xx", 400, 499), ("5XX", 500, 599)])
def test_a_code_is_a_number_or_a_class(text: str, low: int, high: int) -> None:
    """403 is one code, 4xx a hundred."""
    assert CodePattern.parse(text) == CodePattern(low, high)
    assert CodePattern.parse(f"-{text}") == CodePattern(low, high, negated=True)


@pytest.mark.parametrize("text", ["", "4", "4x", "40x", "xx", "ok", "4000", "٤٠٣"])
def test_what_is_no_code_is_refused(text: str) -> None:
    """A text that is no HTTP code is a ValueError which says what would be one."""
    with pytest.raises(ValueError, match="such as 403"):
        CodePattern.parse(text)


PASSING: dict[str, Query] = {
    "nothing asked": Query(),
    "verb": Query(verbs=patterns("create", "delete")),
    "resource": Query(resources=(ResourcePattern.parse("deployments.apps"),)),
    "no subresource": Query(subresources=patterns("-*")),
    "namespace": Query(namespaces=patterns("shop")),
    "name": Query(names=patterns("we*")),
    "user": Query(users=patterns("alice", "bob")),
    "not impersonated": Query(impersonated=patterns("-*")),
    "group": Query(groups=patterns("dev")),
    "user agent": Query(user_agents=patterns("kubectl/*")),
    "audit ID": Query(audit_ids=patterns("11111111*")),
    "path": Query(paths=patterns("/apis/apps/*")),
    "code": Query(codes=(CodePattern.parse("2xx"),)),
    "stage": Query(stages=patterns("ResponseComplete")),
    "since, while under way": Query(since="2026-03-01T10:00:00.100000Z"),
    "until, just after": Query(until="2026-03-01T10:00:00.000001Z"),
}
FAILING: dict[str, Query] = {
    "verb": Query(verbs=patterns("-delete")),
    "resource": Query(resources=(ResourcePattern.parse("pods"),)),
    "subresource": Query(subresources=patterns("scale")),
    "namespace": Query(namespaces=patterns("-*")),
    "name": Query(names=patterns("we")),
    "user": Query(users=patterns("Alice")),
    "impersonated": Query(impersonated=patterns("*")),
    "group": Query(groups=patterns("-dev")),
    "user agent": Query(user_agents=patterns("-kubectl*")),
    "audit ID": Query(audit_ids=patterns("2*")),
    "path": Query(paths=patterns("/api/*")),
    "code": Query(codes=(CodePattern.parse("-2xx"),)),
    "stage": Query(stages=patterns("Panic")),
    "since, after its end": Query(since="2026-03-01T10:00:01.000000Z"),
    "until, at its receipt": Query(until="2026-03-01T10:00:00.000000Z"),
}


@pytest.mark.parametrize("name", PASSING)
def test_an_event_passes_a_filter(name: str) -> None:
    """Each field of a query, alone, finds the event that has what it asks for."""
    assert PASSING[name].matches(event())


@pytest.mark.parametrize("name", FAILING)
def test_an_event_fails_a_filter(name: str) -> None:
    """Each field of a query, alone, leaves out the event that lacks what it asks for."""
    assert not FAILING[name].matches(event())


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(paths=patterns("/healthz")), True),
        (Query(resources=(ResourcePattern.parse("-pods"),)), True),
        (Query(resources=(ResourcePattern.parse("*"),)), False),
        (Query(namespaces=patterns("shop")), False),
        (Query(names=patterns("*")), False),
    ],
)
def test_a_request_about_no_resource_has_no_object(query: Query, found: bool) -> None:
    """Fields of the object are empty for a path such as /healthz, whose query is not part of the path."""
    assert query.matches(HIDDEN) is found


def test_an_event_without_times_is_in_no_window() -> None:
    """Who asks for a window is not answered with events that say no time."""
    timeless = event(request_received_timestamp=None, stage_timestamp=None)
    assert Query().matches(timeless)
    assert not Query(since="2026-01-01T00:00:00.000000Z").matches(timeless)
    assert not Query(until="2027-01-01T00:00:00.000000Z").matches(timeless)


@pytest.mark.parametrize(
    ("found", "namespace", "reach", "expected"),
    [
        (LISTED, "shop", True, True),
        (LISTED, "shop", False, False),
        (LISTED, "other", True, False),
        (LISTED_ALL, "shop", True, True),
        (LISTED_ALL, "shop", False, False),
        (event(object_ref=ref("deployments", name="api", group="apps")), "shop", True, False),
        (event(verb="create", object_ref=ref("deployments", group="apps")), "shop", True, False),
    ],
)
def test_a_collection_request_may_reach_an_object(found: Event, namespace: str, reach: bool, expected: bool) -> None:
    """With `reach`, a list without a name counts for every object of its namespace, or of all."""
    query = Query(names=patterns("web"), namespaces=patterns(namespace), reach=reach)
    assert query.matches(found) is expected


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"metadata":{"name":"web-x7k2p","generateName":"web-"}}', "web-x7k2p"),
        (b'{"metadata":{"name":1}}', ""),
        (b'{"metadata":null}', ""),
        (b'{"metadata":{"name":"\\ud800"}}', ""),
        (b"[" * 5000 + b"]" * 5000, ""),
        (b"", ""),
    ],
)
def test_a_generated_name_is_in_the_answer(body: bytes, name: str) -> None:
    """An object made with generateName is called what the recorded answer says, if it can be read."""
    made = event(verb="create", object_ref=ref("pods"), response_object=Raw(body))
    assert object_name(made) == name
    assert Query(names=patterns("web-*")).matches(made) is (name != "")


def test_both_sides_of_an_impersonation_can_be_asked_for() -> None:
    """The user is who authenticated, `impersonated` as whom the request went on; a group may be of either."""
    swapped = event(impersonated_user=User(username="bob", groups=("ops",)))
    assert Query(users=patterns("alice"), impersonated=patterns("bob"), groups=patterns("ops")).matches(swapped)
    assert not Query(users=patterns("bob")).matches(swapped)


texts = st.sampled_from(["", "a", "ab", "abc", "b", "-a", "*", "a*"])
words = st.lists(st.sampled_from(["a", "ab", "a*", "-a", "-a*", "*", "-*", "b"]), max_size=3).map(
    lambda w: patterns(*w)
)
events = st.builds(
    lambda verb, user, name, namespace, code, stage: event(
        verb=verb,
        user=User(username=user),
        object_ref=ref("pods", namespace, name),
        response_status=Status(code=code),
        stage=stage,
    ),
    texts,
    texts,
    texts,
    texts,
    st.sampled_from([0, 200, 403]),
    st.sampled_from(list(Stage)),
)
queries = st.builds(Query, verbs=words, users=words, names=words, namespaces=words, reach=st.booleans())


@given(events, queries)
def test_what_matches_also_passes_the_lasting_part(found: Event, query: Query) -> None:
    """The part of a filter that holds at every stage never excludes what the whole filter admits."""
    assert not query.matches(found) or query.lasting(found)


@given(texts, words)
def test_admitting_equals_its_definition(value: str, terms: tuple[Pattern, ...]) -> None:
    """Some wanted pattern covers the value (if any is wanted), and no unwanted one does."""
    wanted = [term for term in terms if not term.negated]
    expected = (not wanted or any(term.covers(value) for term in wanted)) and not any(
        term.covers(value) for term in terms if term.negated
    )
    assert admits(terms, value) is expected


@given(events, queries)
def test_asking_less_never_finds_less(found: Event, query: Query) -> None:
    """A filter with one field emptied admits all that it admitted before."""
    if query.matches(found):
        assert Query(users=query.users, names=query.names, namespaces=query.namespaces, reach=query.reach).matches(
            found
        )
        assert Query(verbs=query.verbs, users=query.users).matches(found)

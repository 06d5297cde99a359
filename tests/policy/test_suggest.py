from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from decklog.audit.event import NO_OBJECT, Level, Stage, Status, User
from decklog.policy.deciding import decide_by
from decklog.policy.matching import first_match
from decklog.policy.reader import parse
from decklog.policy.recorded import attributes_of, of_event, user_of
from decklog.policy.replay import replay
from decklog.policy.suggest import suggest
from policy.recorded_logs import component, full, line, ref

if TYPE_CHECKING:
    from decklog.audit.event import Event
    from decklog.policy.rules import Policy

NODE = component("node:n1", "system:nodes")
SCHEDULER = component("kube-scheduler")
ROBOT = component("serviceaccount:ops:robot", "system:serviceaccounts")
ANYONE = User("system:anonymous", groups=("system:unauthenticated",))


def about(resource: str, verb: str, user: User, group: str = "", subresource: str = "", **more: Any) -> dict[str, Any]:
    return {
        "verb": verb,
        "user": user,
        "object_ref": ref(resource, "x", group, subresource, "shop"),
        "request_uri": f"/namespaces/shop/{resource}/x",
        **more,
    }


def path(uri: str, user: User) -> dict[str, Any]:
    return {"verb": "get", "user": user, "object_ref": None, "request_uri": uri}


NOISE = {
    "lease": about("leases", "update", NODE, "coordination.k8s.io"),
    "election": about("leases", "update", SCHEDULER, "coordination.k8s.io"),
    "event": about("events", "create", SCHEDULER, "events.k8s.io"),
    "status": about("pods", "patch", NODE, "", "status"),
    "review": about("subjectaccessreviews", "create", ROBOT, "authorization.k8s.io"),
    "watch": about("endpointslices", "watch", ROBOT, "discovery.k8s.io"),
    "probe": path("/readyz?verbose", ANYONE),
    "discovery": path("/apis/apps/v1", ROBOT),
}
MATTERS = {
    "change": about("deployments", "patch", User("alice"), "apps"),
    "robot's change": about("deployments", "patch", ROBOT, "apps"),
    "secret read": about("secrets", "get", NODE),
    "secret write": about("secrets", "update", ROBOT),
    "token": about("serviceaccounts", "create", NODE, "", "token"),
    "exec": about("pods", "create", ROBOT, "", "exec"),
    "exec over WebSocket": about("pods", "get", ROBOT, "", "exec"),
    "person reads": about("pods", "list", User("alice")),
    "person's lease": about("leases", "delete", User("alice"), "coordination.k8s.io"),
    "refused": about("nodes", "list", ROBOT, response_status=Status(code=403)),
    "anonymous discovery": path("/api", ANYONE),
    "roles read": about("roles", "list", ROBOT, "rbac.authorization.k8s.io"),
}


def log() -> list[bytes]:
    noise = [line(**each) for each in NOISE.values() for _ in range(20)]
    received = [line(stage=Stage.REQUEST_RECEIVED, response_status=None, **each) for each in NOISE.values()]
    return [*noise, *received, *(line(**each) for each in MATTERS.values())]


def level(policy: Policy, event: Event) -> Level:
    recorded = of_event(event)
    return first_match(policy, attributes_of(recorded), user_of(recorded)).level


@pytest.mark.parametrize("name", NOISE)
def test_noise_that_the_log_shows_is_dropped(name: str) -> None:
    """What components do all day is not recorded."""
    assert level(suggest(log()).policy, full(**NOISE[name])) is Level.NONE


@pytest.mark.parametrize("name", MATTERS)
def test_what_matters_is_kept(name: str) -> None:
    """Changes, secrets, ways in, people, refusals and whatever is unknown stay in the log."""
    assert level(suggest(log()).policy, full(**MATTERS[name])) is not Level.NONE


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("change", Level.REQUEST),
        ("secret write", Level.METADATA),
        ("token", Level.METADATA),
        ("exec", Level.METADATA),
        ("person reads", Level.METADATA),
    ],
)
def test_bodies_are_kept_of_changes_and_never_of_secrets(name: str, wanted: Level) -> None:
    """A change says what was asked for; a secret's value is in no log."""
    assert level(suggest(log()).policy, full(**MATTERS[name])) is wanted


def test_only_what_the_log_shows_is_dropped() -> None:
    """A component that was not seen is recorded, and a quiet log gets no rule of level None."""
    other = full(**about("leases", "update", component("stranger"), "coordination.k8s.io"))
    assert level(suggest(log()).policy, other) is not Level.NONE
    quiet = suggest([line(**each) for each in MATTERS.values()])
    assert not quiet.dropped
    assert all(rule.level != "None" for rule in quiet.policy.rules)
    assert suggest([]).policy.rules[-1].level == "Metadata"


def test_whoever_was_refused_is_recorded() -> None:
    """A component that was refused something of a class keeps all its events of that class."""
    refused = line(**about("leases", "get", SCHEDULER, "coordination.k8s.io", response_status=Status(code=403)))
    policy = suggest([*log(), refused]).policy
    assert level(policy, full(**NOISE["election"])) is not Level.NONE
    assert level(policy, full(**NOISE["lease"])) is Level.NONE
    probe = line(**{**path("/readyz", ANYONE), "response_status": Status(code=401)})
    assert level(suggest([*log(), probe]).policy, full(**NOISE["probe"])) is not Level.NONE


def test_small_noise_gets_no_rule() -> None:
    """Below the least share, a rule is not worth its line."""
    assert not suggest(log(), least_share=0.5).dropped
    assert len(suggest(log(), least_share=0).dropped) == len(suggest(log()).dropped)


def test_the_text_is_the_policy() -> None:
    """The file loads without an error or a warning, as exactly the policy that was meant; each rule has its comment."""
    made = suggest(log())
    loaded = parse(made.text.encode(), source="suggested")
    assert (loaded.policy, loaded.warnings) == (made.policy, ())
    assert len(made.comments) == len(made.policy.rules)
    for each, comment in zip(made.dropped, made.comments[2:], strict=False):
        assert f"{100 * each.events / len(log()):.1f} % of this log's events" in comment
        assert f"# {comment}\n" in made.text


def test_hostile_names_stay_names() -> None:
    """A user's name cannot end its line, begin a rule, or leave its quotes."""
    name = 'system:x"]\n- level: None # '
    lines = [line(**{**NOISE["watch"], "user": User(name)}) for _ in range(3)]
    made = suggest(lines)
    assert parse(made.text.encode(), source="suggested").policy == made.policy
    assert (name,) in [rule.users for rule in made.policy.rules]


def test_the_log_without_bodies_says_so() -> None:
    """What bodies will cost cannot be told from a log that has none, and the file says that."""
    bare = [line(level="Metadata", request_object=NO_OBJECT, response_object=NO_OBJECT)]
    assert "holds no bodies" in suggest(bare).text
    assert "holds no bodies" not in suggest(log()).text


def test_replay_proves_the_saving() -> None:
    """Replayed over its own log, the suggestion drops exactly what its comments claim."""
    made, lines = suggest(log()), log()
    report = replay(lines, decide_by(made.policy), [rule.level for rule in made.policy.rules])
    dropped = {share.rule: share.before.events for share in report.rules if share.level == "None"}
    assert list(dropped.values()) == [each.events for each in made.dropped]
    assert report.after.events == len(MATTERS)

"""Random policies and requests of few words, so that rules and requests meet, for the proofs about policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decklog.audit.attributes import Attributes
from decklog.audit.event import User
from decklog.policy.rules import GroupResources, Policy, Rule

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
USERS = ("jane", "joe", "*", "")
GROUPS = ("dev", "ops", "all", "*")
VERBS = ("get", "list", "create", "")
NAMESPACES = ("", "shop", "lab", "*")
API_GROUPS = ("", "apps", "*", "example.com")
SPECS = (
    "pods",
    "pods/log",
    "pods/*",
    "*",
    "*/log",
    "*/*",
    "*/scale",
    "jobs",
    "jobs/scale",
    "",
    "/log",
    "/*",
    "a/b/c",
    "**",
)
RESOURCES = ("pods", "jobs", "*", "", "nodes", "**")
SUBRESOURCES = ("", "", "log", "scale", "*", "status")
NAMES = ("", "web", "db", "*")
URLS = ("*", "/*", "/", "/a", "/a*", "/ab*", "/a/*", "/a/b", "/a**", "/b")
PATHS = ("", "*", "/", "/a", "/ab", "/abc", "/a/", "/a/b", "/a/c", "/b", "/c", "/a*")


def random_policy(draw: random.Random, most: int = 6) -> Policy:
    rules = tuple(_rule(draw) for _ in range(draw.randint(1, most)))
    return Policy(rules, _some(draw, STAGES, 0.2), draw.random() < 0.2)


def changed(draw: random.Random, policy: Policy) -> Policy:
    """The policy with a rule changed, taken out, put in or moved, as an author would."""
    rules = list(policy.rules)
    for _ in range(draw.randint(1, 2)):
        place = draw.randrange(len(rules) + 1)
        match draw.randrange(3):
            case 0:
                rules[place : place + 1] = [_rule(draw)]
            case 1:
                rules.insert(place, _rule(draw))
            case _ if len(rules) > 1:
                moved = rules.pop(min(place, len(rules) - 1))
                if draw.random() < 0.5:
                    rules.insert(draw.randrange(len(rules) + 1), moved)
    return Policy(tuple(rules), policy.omit_stages, policy.omit_managed_fields)


def random_request(draw: random.Random) -> tuple[Attributes, User | None]:
    user = None if draw.random() < 0.1 else User(draw.choice(USERS), groups=_some(draw, GROUPS, 0.6))
    if draw.random() < 0.3:
        return Attributes(draw.choice(VERBS), draw.choice(PATHS), api_group="apps", namespace="shop"), user
    return (
        Attributes(
            draw.choice((*VERBS, "watch")),
            draw.choice(PATHS),
            resource_request=True,
            api_group=draw.choice(API_GROUPS),
            resource=draw.choice(RESOURCES),
            subresource=draw.choice(SUBRESOURCES),
            namespace=draw.choice(NAMESPACES),
            name=draw.choice(NAMES),
        ),
        user,
    )


def _rule(draw: random.Random) -> Rule:
    kind = draw.random()
    return Rule(
        draw.choice(LEVELS),
        users=_some(draw, USERS, 0.3),
        user_groups=_some(draw, GROUPS, 0.3),
        verbs=_some(draw, VERBS, 0.4),
        resources=tuple(_entry(draw) for _ in range(draw.randint(1, 3))) if kind < 0.5 else (),
        namespaces=_some(draw, NAMESPACES, 0.3) if kind < 0.7 else (),
        non_resource_urls=_some(draw, URLS, 0.9) if kind >= 0.65 else (),
        omit_stages=_some(draw, STAGES, 0.2),
        omit_managed_fields=draw.choice((None, None, True, False)),
    )


def _entry(draw: random.Random) -> GroupResources:
    return GroupResources(draw.choice(API_GROUPS), _some(draw, SPECS, 0.8), _some(draw, NAMES, 0.3))


def _some(draw: random.Random, words: Sequence[str], often: float) -> tuple[str, ...]:
    """One to three of the words, or none."""
    return tuple(draw.sample(words, draw.randint(1, 3))) if draw.random() < often else ()

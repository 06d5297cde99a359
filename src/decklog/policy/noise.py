"""Noise: what of a log's traffic may go unrecorded, as rules with their share of the volume.

A kind of request is noise if it is one of the classes below, was sent by a component of the cluster (or is a probe),
and was never refused in this log. Never noise: what people do, secrets and tokens, ways into containers and nodes, and
roles. A rule names the components that were seen, and no others. Its lists are a product, wider than what was seen: so
a component that was refused anything of a class is left out of that class (of reads: the resource is left out).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.policy.rules import GroupResources, Rule
from decklog.policy.traffic import ANONYMOUS, NODES, PEOPLE, Count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from decklog.policy.traffic import Kind, Traffic

READS: Final = ("get", "list", "watch")
MOST_READERS: Final = 20
"""So many components get a rule about what they read, the loudest first."""
_PROBES: Final = ("/healthz", "/livez", "/readyz", "/metrics", "/version")
_DISCOVERY: Final = ("/api", "/apis", "/openapi")
_PRECIOUS: Final = frozenset({"secrets", "configmaps", "serviceaccounts", "tokenreviews", "certificatesigningrequests"})
_PRECIOUS_GROUPS: Final = frozenset({"rbac.authorization.k8s.io", "authentication.k8s.io", "certificates.k8s.io"})
_NOBODY: Final = frozenset({PEOPLE, ANONYMOUS})
"""Who is no component."""
_WAYS_IN: Final = frozenset({"exec", "attach", "portforward", "proxy", "log", "ephemeralcontainers", "token"})


class Noise(Struct, frozen=True):
    """A rule of level None, and what it drops of the log."""

    title: str
    rule: Rule
    events: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Class:
    """A kind of noise that components make."""

    title: str
    has: Callable[[Kind], bool]
    by_reader: bool = False
    """Whether each component gets a rule of its own."""


def _is_lease(kind: Kind) -> bool:
    return kind.api_group == "coordination.k8s.io" and kind.resource == "leases" and kind.verb != "deletecollection"


def _is_event(kind: Kind) -> bool:
    return kind.resource == "events" and kind.api_group in {"", "events.k8s.io"} and kind.verb != "deletecollection"


def _is_node_report(kind: Kind) -> bool:
    return (
        kind.who == NODES
        and (kind.api_group, kind.subresource) == ("", "status")
        and kind.resource in {"nodes", "pods"}
        and kind.verb in {"patch", "update"}
    )


def _is_access_review(kind: Kind) -> bool:
    return kind.api_group == "authorization.k8s.io" and kind.verb == "create"


def _is_read(kind: Kind) -> bool:
    return (
        kind.verb in READS
        and bool(kind.resource)
        and kind.resource not in _PRECIOUS
        and kind.api_group not in _PRECIOUS_GROUPS
        and kind.subresource not in _WAYS_IN
    )


_CLASSES: Final = (
    _Class("leases: leader elections and heartbeats", _is_lease),
    _Class("events, which are kept in the cluster for an hour and tell what happened, not who did it", _is_event),
    _Class("kubelets that report the status of nodes and pods", _is_node_report),
    _Class("access reviews that components ask for", _is_access_review),
    _Class("reads of one component", _is_read, by_reader=True),
)


def noise(traffic: Traffic, least_share: float) -> tuple[Noise, ...]:
    """Find the rules, each of at least `least_share` (0 to 1) of the events or of the bytes."""
    found = [*_paths(traffic), *_by_components(traffic, least_share)]
    total = traffic.total
    return tuple(
        each for each in found if each.events >= least_share * total.events or each.bytes >= least_share * total.bytes
    )


def _paths(traffic: Traffic) -> Iterator[Noise]:
    """Find probes, whoever sends them, and discovery by whoever has a name."""
    probes = _under(traffic, _PROBES, lambda _: True)
    if probes:
        yield _of_paths("probes, metrics and versions", probes)
    named = _under(traffic, _DISCOVERY, lambda kind: kind.who != ANONYMOUS)
    if named:
        yield _of_paths("discovery and OpenAPI, by whoever is authenticated", named, ("system:authenticated",))


def _of_paths(title: str, found: dict[str, Count], groups: tuple[str, ...] = ()) -> Noise:
    rule = Rule("None", user_groups=groups, verbs=("get",), non_resource_urls=tuple(sorted(found)))
    return Noise(title, rule, *_sum(found.values()))


def _under(traffic: Traffic, roots: tuple[str, ...], may: Callable[[Kind], bool]) -> dict[str, Count]:
    """Sum the GETs of paths at or below `roots`, by pattern; a pattern of which anything was refused is left alone."""
    found: dict[str, Count] = {}
    for kind, count in traffic.kinds.items():
        root = next((root for root in roots if kind.path == root or kind.path.startswith(f"{root}/")), "")
        if root and kind.verb == "get" and may(kind):
            total = found.setdefault(root if kind.path == root else f"{root}/*", Count())
            total.events += count.events
            total.bytes += count.bytes
            total.refused += count.refused
    return {url: count for url, count in found.items() if not count.refused}


def _by_components(traffic: Traffic, least_share: float) -> Iterator[Noise]:
    taken: dict[int, dict[Kind, Count]] = defaultdict(dict)
    refused: set[tuple[object, ...]] = set()
    for kind, count in traffic.kinds.items():
        number = next((number for number, each in enumerate(_CLASSES) if each.has(kind)), None)
        if number is None or kind.who in _NOBODY or not kind.resource:
            continue
        taken[number][kind] = count
        if count.refused:
            refused.add(_scope(number, kind))
    for number in sorted(taken):
        each = _CLASSES[number]
        kinds = {kind: count for kind, count in taken[number].items() if _scope(number, kind) not in refused}
        if each.by_reader:
            yield from _readers(kinds, each.title, least_share)
        else:
            yield from _together(kinds, each.title)


def _scope(number: int, kind: Kind) -> tuple[object, ...]:
    """Give what is left out when a kind was refused."""
    if _CLASSES[number].by_reader:
        return (number, kind.who, kind.api_group, kind.resource, kind.subresource)
    return (number, kind.who)


def _together(kinds: dict[Kind, Count], title: str) -> Iterator[Noise]:
    """Make one rule of the components that have names of their own, and one of the nodes, which are a group."""
    nodes = {kind: count for kind, count in kinds.items() if kind.who == NODES}
    others = {kind: count for kind, count in kinds.items() if kind.who != NODES}
    if nodes:
        yield _noise(title, nodes, Rule("None", user_groups=(NODES,)))
    if others:
        yield _noise(title, others, Rule("None", users=tuple(sorted({kind.who for kind in others}))))


def _readers(kinds: dict[Kind, Count], title: str, least_share: float) -> Iterator[Noise]:
    by_who: dict[str, dict[Kind, Count]] = defaultdict(dict)
    for kind, count in kinds.items():
        by_who[kind.who][kind] = count
    loudest = sorted(by_who, key=lambda who: (-sum(count.events for count in by_who[who].values()), who))
    for who in loudest[: MOST_READERS if least_share else None]:
        rule = Rule("None", user_groups=(NODES,)) if who == NODES else Rule("None", users=(who,))
        yield _noise("reads of the kubelets" if who == NODES else title, by_who[who], rule)


def _noise(title: str, kinds: dict[Kind, Count], rule: Rule) -> Noise:
    groups: dict[str, set[str]] = defaultdict(set)
    for kind in kinds:
        groups[kind.api_group].add(f"{kind.resource}/{kind.subresource}" if kind.subresource else kind.resource)
    whole = Rule(
        rule.level,
        users=rule.users,
        user_groups=rule.user_groups,
        verbs=tuple(sorted({kind.verb for kind in kinds})),
        resources=tuple(GroupResources(group, tuple(sorted(groups[group]))) for group in sorted(groups)),
    )
    return Noise(title, whole, *_sum(kinds.values()))


def _sum(counts: Iterable[Count]) -> tuple[int, int]:
    listed = list(counts)
    return sum(count.events for count in listed), sum(count.bytes for count in listed)

"""Who: what one user did: verbs by resources as a heat table, from where, denials, sessions, and the least role.

Without a user, those who did most: people and machines apart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from decklog.ask.rbac import roles, usage
from decklog.ask.rbac_yaml import manifests
from decklog.ask.sessions import Session, sessions
from decklog.ask.sessions import queries as session_queries
from decklog.ask.top import NONE
from decklog.audit.query import Pattern
from decklog.web import links, search
from decklog.web.asking import Asked, Fields, Page
from decklog.web.cells import Cell, cells
from decklog.web.data import Covered, Facet, Look, Wanted
from decklog.web.histogram import Histogram, histogram
from decklog.web.limits import HELD_REQUESTS
from decklog.web.scanned import held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from decklog.ask.rows import Row
    from decklog.web.data import Uses

PATH: Final = "/who"
SHOWN_RESOURCES: Final = 25
SHOWN_DENIALS: Final = 15
SHOWN_SESSIONS: Final = 15
ENTERED: Final = frozenset(("exec", "attach", "portforward", "ephemeralcontainers", "proxy", "console", "vnc"))
"""Subresources by which one gets into a pod."""
WRITTEN_REQUESTS: Final = 500
"""The role of somebody who made more is written when it is asked for."""
MOST_READ: Final = 2000
FEW_SESSIONS: Final = 60
"""So many are read as they are."""
HEATS: Final = 8
VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
TIMES: Final = ("since", "until", "after", "cluster")


class Heat(Struct, frozen=True):
    """One cell: how often a verb was used on a resource."""

    count: int
    failed: int
    heat: int
    """0 to `HEATS`: by the logarithm."""
    href: str


class HeatRow(Struct, frozen=True):
    """One resource."""

    resource: str
    cells: tuple[Heat, ...]


class Place(Struct, frozen=True):
    """One value of a field, how often, and the log of it."""

    value: str
    count: int
    href: str


class Stay(Struct, frozen=True, rename="camel"):
    """A session in a pod."""

    session: Session
    words: str
    href: str


class Somebody(Struct, frozen=True):
    """One user in the list of users."""

    name: str
    count: int
    share: int
    href: str


class WhoPage(Struct, frozen=True, rename="camel"):
    """The page."""

    user: str
    total: int = 0
    first: str | None = None
    last: str | None = None
    verbs: tuple[str, ...] = ()
    heat: tuple[HeatRow, ...] = ()
    more_resources: int = 0
    histogram: Histogram | None = None
    places: dict[str, tuple[Place, ...]] = {}
    denials: tuple[Row, ...] = ()
    denials_total: int = 0
    denials_log: str = ""
    sessions: tuple[Stay, ...] = ()
    sessions_log: str = ""
    acted_as: int = 0
    """Requests that others made as this user."""
    acted_as_log: str = ""
    role: tuple[str, ...] = ()
    role_note: str = ""
    write_role: str = ""
    """The address that has the role written, where it takes a while."""
    commands: tuple[str, ...] = ()
    log: str = ""
    people: tuple[Somebody, ...] = ()
    machines: tuple[Somebody, ...] = ()
    covered: Covered = Covered()

    @property
    def denied(self) -> list[tuple[Cell, ...]]:
        """The table of denials."""
        return [cells(one) for one in self.denials]


def make(asked: Asked) -> WhoPage:
    """Tell what somebody did."""
    user = asked.fields.one("user")
    window = search.wanted(asked.fields.only(TIMES), asked.now)
    return _one(asked, user, window) if user else _everybody(asked, window)


def _everybody(asked: Asked, window: Wanted) -> WhoPage:
    look = asked.data.look(window, asked.deadline, limit=1)
    people, machines = (_somebodies(look, name, asked.fields) for name in ("user", "machine"))
    return WhoPage("", look.total, people=people, machines=machines, covered=look.covered)


def _somebodies(look: Look, name: str, fields: Fields) -> tuple[Somebody, ...]:
    values = look.facets.get(name, Facet(())).values
    most = max((count for _, count in values), default=1)
    kept = fields.only(TIMES)
    return tuple(
        Somebody(
            value, count, max(1, round(100 * count / most)), links.fitting(links.to(PATH, [("user", value), *kept]))
        )
        for value, count in values
        if value
    )


def _one(asked: Asked, user: str, window: Wanted) -> WhoPage:
    me = (Pattern(user),)
    mine = Wanted(replace(window.query, users=me), window.cluster)
    uses = asked.data.uses(mine, asked.deadline)
    fields = Fields([("user", links.as_term("user", user)), *asked.fields.only(TIMES)])
    bars = (fields, "/log") if _names(fields) else (Fields([("user", user), *asked.fields.only(TIMES)]), PATH)
    acting_term = links.as_term("as", user)
    has_failed = any(bad for _, _, _, bad in uses.cells)
    acting = Wanted(replace(window.query, impersonated=me), window.cluster)
    denied, acted = asked.data.together(
        lambda: _few(asked, mine, SHOWN_DENIALS, decisions=(Pattern("forbid"),)) if has_failed else Look(()),
        lambda: _few(asked, acting, 1),
    )
    stays, sessions_log = _stays(asked, mine, fields, uses)
    role, note = _role(asked, mine, user, uses)
    verbs = _verbs(verb for verb, _, _, _ in uses.cells)
    heat = _heat(uses, verbs, fields)
    return WhoPage(
        user=user,
        total=uses.total,
        first=uses.first,
        last=uses.last,
        verbs=verbs,
        heat=heat[:SHOWN_RESOURCES],
        more_resources=max(0, len(heat) - SHOWN_RESOURCES),
        histogram=histogram(uses.timeline, *bars) if uses.timeline is not None else None,
        places={name: _places(name, facet, fields) for name, facet in uses.facets.items()},
        denials=denied.rows,
        denials_total=denied.total,
        denials_log=_to_log(fields, ("decision", "forbid")),
        sessions=stays,
        sessions_log=sessions_log,
        acted_as=acted.total,
        acted_as_log=links.to("/log", [("as", acting_term), *asked.fields.only(TIMES)]) if acting_term else "",
        role=role,
        role_note=note,
        write_role=""
        if role or note
        else links.to(PATH, [("user", user), *asked.fields.only(TIMES), ("role", "1")], "role"),
        commands=_commands(asked, user),
        log=_to_log(fields),
    )


def _names(fields: Fields) -> bool:
    """Tell whether the log can be asked for this user alone: ``alice*`` would ask for others, too."""
    return "user" in fields


def _to_log(fields: Fields, *more: tuple[str, str]) -> str:
    """Give the address of the log of this user; empty where no filter names them."""
    return links.to("/log", [*fields, *more]) if _names(fields) else ""


def _few(asked: Asked, wanted: Wanted, limit: int, **changes: tuple[Pattern, ...]) -> Look:
    query = Wanted(replace(wanted.query, **changes), wanted.cluster)
    return asked.data.look(query, asked.deadline, limit=limit, around=False)


def _verbs(found: Iterable[str]) -> tuple[str, ...]:
    known = dict.fromkeys(found)
    return (*(verb for verb in VERBS if verb in known), *(verb for verb in known if verb not in VERBS))[:16]


def _heat(uses: Uses, verbs: tuple[str, ...], fields: Fields) -> tuple[HeatRow, ...]:
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for verb, resource, count, bad in uses.cells:
        counts.setdefault(resource, {})[verb] = count, bad
    most = max((count for _, _, count, _ in uses.cells), default=1)
    often = sorted(counts, key=lambda name: (-sum(count for count, _ in counts[name].values()), name))
    return tuple(
        HeatRow(name, tuple(_cell(name, verb, counts[name].get(verb, (0, 0)), most, fields) for verb in verbs))
        for name in often
    )


def _cell(resource: str, verb: str, counted: tuple[int, int], most: int, fields: Fields) -> Heat:
    count, bad = counted
    if not count:
        return Heat(0, 0, 0, "")
    heat = 1 + round((HEATS - 1) * math.log(count) / math.log(most)) if most > 1 else HEATS
    term, said = links.as_term("resource", "" if resource == NONE else resource), links.as_term("verb", verb)
    href = _to_log(fields, ("verb", said), ("resource", term)) if said and term else ""
    return Heat(count, bad, heat, href)


def _places(name: str, facet: Facet, fields: Fields) -> tuple[Place, ...]:
    found = []
    for value, count in facet.values:
        term = links.as_term(name, value)
        found.append(Place(value or "none", count, _to_log(fields, (name, term)) if term else ""))
    return tuple(found)


def _stays(asked: Asked, mine: Wanted, fields: Fields, uses: Uses) -> tuple[tuple[Stay, ...], str]:
    count = sum(count for _, resource, count, _ in uses.cells if resource.partition("/")[2] in ENTERED)
    if not count:
        return (), ""
    query = mine.query
    queries = session_queries(query.since, query.until, after=query.after, users=query.users)
    if count > FEW_SESSIONS:  # rows first: they say from when on whole events are worth reading
        looks = asked.data.together(*[_newest(asked, Wanted(one, mine.cluster)) for one in queries])
        queries = tuple(
            replace(one, after=look.rows[-1].time) for one, look in zip(queries, looks, strict=True) if look.rows
        )
    requests, _ = held(asked.data.requests(queries, asked.deadline, mine.cluster), MOST_READ)
    stays = sorted(sessions(requests), key=lambda one: one.start or one.row.time or "", reverse=True)
    shown = tuple(
        Stay(one, " ".join(one.command) or " ".join(one.ports), links.to_request(one.row.audit_id, one.row.time))
        for one in stays[:SHOWN_SESSIONS]
    )
    return shown, _to_log(fields, ("subresource", "exec,attach,portforward"))


def _newest(asked: Asked, wanted: Wanted) -> Callable[[], Look]:
    return lambda: asked.data.look(wanted, asked.deadline, limit=SHOWN_SESSIONS, around=False)


def _role(asked: Asked, mine: Wanted, user: str, uses: Uses) -> tuple[tuple[str, ...], str]:
    """Write the least role for what was done; of somebody who did very much only if it fits."""
    if uses.total > WRITTEN_REQUESTS and not asked.fields.one("role"):
        return (), ""
    if uses.total > HELD_REQUESTS:
        return (), (
            f"This user made more than {HELD_REQUESTS:,} requests in this time. Ask for a shorter one, "
            "or let the command line write the role:"
        )
    query = mine.query
    own = [query, replace(query, users=(), impersonated=query.users)]
    requests, complete = held(asked.data.requests(own, asked.deadline, mine.cluster))
    found = usage(requests, user)
    lines = tuple(manifests(roles(found.used), user, name="used", is_group=False))
    return lines, "" if complete else f"Made of the first {HELD_REQUESTS:,} requests only."


def _commands(asked: Asked, user: str) -> tuple[str, ...]:
    times = tuple(links.flags(asked.fields.only(("since", "until", "cluster"))))
    own = ("--", user) if user.startswith("-") else (user,)
    return (links.command(("decklog", "rbac", *asked.data.arguments, *times, *own)),)


PAGE: Final = Page(PATH, "who.html", make, "Who")

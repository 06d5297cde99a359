"""Narrowing: the one set of filters, for every command that reads a log; its argument `filters` is a Filters.

A question that says part of a filter itself (``exec`` its subresources, ``who`` its object) leaves those options out;
whatever else is asked narrows its answer down.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from decklog.ask.filters import annotated, codes, failed, listed, networks, patterns, resources
from decklog.ask.moments import moment, span_us
from decklog.audit.query import Query
from decklog.cli.completing import LEVELS, STAGES, VERBS, resource_names, values
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from decklog.cli.objects import Thing
    from decklog.cli.searching import Search

    _Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FILTERS_HELP: Final = """\b
A repeated filter is "or", different filters are "and". A value may end in *
for any rest, or begin with - for "not" (write --user=-system:*).
Counts are of requests, not of events."""

_NO_FILTER: Final = Query()


class Filters(Struct, frozen=True):
    """What the options ask for, without the window of time: that is the search's."""

    query: Query = _NO_FILTER

    @property
    def of_events(self) -> bool:
        """Whether single events are asked for: a request has several stages, so a stage is an event's."""
        return bool(self.query.stages)

    def queries(self, search: Search, things: Iterable[Thing] = ()) -> tuple[Query, ...]:
        """Give the filters: one, or one for each object that was named."""
        query = replace(self.query, since=search.since, until=search.until)
        named = tuple(things)
        if named and (query.resources or query.names):
            raise DecklogError("TYPE/NAME says what --resource and --name say: give one of them")
        return tuple(thing.within(query) for thing in named) or (query,)

    def fields(self, search: Search) -> dict[str, Any]:
        """Give the fields of Query that ask something, the window's among them: to narrow a question's own query."""
        query = replace(self.query, since=search.since, until=search.until)
        return {name: value for name, value in msgspec.structs.asdict(query).items() if value != _DEFAULTS[name]}


_DEFAULTS: Final = msgspec.structs.asdict(_NO_FILTER)


def filtered(*, without: Iterable[str] = ()) -> _Decorator:
    """Make a decorator that gives a command the filters, and its argument `filters` what they ask for.

    `without`: names of parameters (``verb``, ``human``) that the command does not take, because it says them itself.
    """
    left_out = frozenset(without)
    chosen = [option for name, option in _OPTIONS if name not in left_out]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_filters(*args: Any, **given: Any) -> Any:
            mine = {name: given.pop(name) for name in _NAMES - left_out}
            return command(*args, **given, filters=Filters(_query(mine)))

        with_options: Callable[..., Any] = with_filters
        for option in reversed(chosen):
            with_options = option(with_options)
        return with_options

    return decorate


def _query(given: dict[str, Any]) -> Query:
    """Read the options; what is not given asks nothing."""

    def texts(name: str) -> tuple[str, ...]:
        return given.get(name) or ()

    if texts("namespace") and given.get("all_namespaces"):
        raise DecklogError("-n and -A contradict each other: give one of them")
    if "" in texts("text"):
        raise DecklogError("--text is empty: give a text that stands in the events")
    after = given.get("after")
    return Query(
        verbs=listed(texts("verb")),
        resources=resources(texts("resource")),
        subresources=listed(texts("subresource")),
        names=patterns(texts("name")),
        namespaces=listed(texts("namespace")),
        users=patterns(texts("user")),
        impersonated=patterns(texts("impersonated")),
        groups=patterns(texts("group")),
        human=given.get("human"),
        user_agents=patterns(texts("user_agent")),
        source_ips=networks(texts("source_ip")),
        paths=patterns(texts("path")),
        codes=failed(codes(texts("code"))) if given.get("failed_only") else codes(texts("code")),
        decisions=listed(texts("decision")),
        stages=listed(texts("stage")),
        levels=listed(texts("level")),
        annotations=annotated(texts("annotation")),
        field_managers=patterns(texts("field_manager")),
        slower_than_us=_span(given, "slower_than", "--slower-than"),
        faster_than_us=_span(given, "faster_than", "--faster-than"),
        texts=texts("text"),
        audit_ids=patterns(texts("audit_id")),
        after=moment(after, datetime.now(UTC)) if after else None,
    )


def _span(given: dict[str, Any], name: str, option: str) -> int | None:
    text = given.get(name)
    return None if text is None else span_us(text, option)


_OPTIONS: Final[tuple[tuple[str, _Decorator], ...]] = (
    (
        "verb",
        click.option(
            "--verb",
            multiple=True,
            metavar="VERB",
            shell_complete=values(VERBS),
            help="get, list, watch, create, update, patch, delete ...",
        ),
    ),
    (
        "resource",
        click.option(
            "--resource",
            multiple=True,
            metavar="TYPE",
            shell_complete=resource_names,
            help="Any name that kubectl takes: deploy, pods.metrics.k8s.io.",
        ),
    ),
    (
        "subresource",
        click.option("--subresource", multiple=True, metavar="NAME", help="status, exec, log ...; -* for none."),
    ),
    ("name", click.option("--name", multiple=True, metavar="NAME", help="Of the object.")),
    (
        "namespace",
        click.option("-n", "--namespace", multiple=True, metavar="NAME", help="Of the object; -* for none."),
    ),
    (
        "all_namespaces",
        click.option("-A", "--all-namespaces", is_flag=True, help="Any namespace: so it is without -n."),
    ),
    ("user", click.option("--user", multiple=True, metavar="NAME", help="Who authenticated.")),
    (
        "impersonated",
        click.option(
            "--as", "impersonated", multiple=True, metavar="NAME", help="As whom the request went on; * for anyone."
        ),
    ),
    (
        "group",
        click.option("--group", multiple=True, metavar="NAME", help="Of the user, or of whom the request went on as."),
    ),
    (
        "human",
        click.option(
            "--humans",
            "human",
            flag_value=True,
            type=bool,
            default=None,
            help="Only what people did: not system:*, service accounts or nodes, unless they act as somebody.",
        ),
    ),
    ("human", click.option("--machines", "human", flag_value=False, type=bool, help="Only what these did.")),
    (
        "user_agent",
        click.option("--user-agent", multiple=True, metavar="TEXT", help="What the client calls itself."),
    ),
    (
        "source_ip",
        click.option(
            "--source-ip",
            multiple=True,
            metavar="CIDR",
            help="An address or a network; also one that the client only claims.",
        ),
    ),
    (
        "path",
        click.option("--path", multiple=True, metavar="PATH", help="Of the request URI, without its query."),
    ),
    (
        "code",
        click.option(
            "--code", "--http-status-code", "code", multiple=True, metavar="CODE", help="Of the answer: 201, 4xx."
        ),
    ),
    ("failed_only", click.option("--failed-only", is_flag=True, help="Only answers from 400 on.")),
    (
        "decision",
        click.option(
            "--decision",
            multiple=True,
            metavar="WORD",
            shell_complete=values(("allow", "forbid")),
            help="Of authorization: allow, forbid.",
        ),
    ),
    (
        "stage",
        click.option(
            "--stage",
            multiple=True,
            metavar="STAGE",
            shell_complete=values(STAGES),
            help="Single events of this stage; where requests are summed up, those whose latest stage it is.",
        ),
    ),
    (
        "level",
        click.option(
            "--level", multiple=True, metavar="LEVEL", shell_complete=values(LEVELS), help="At which it was recorded."
        ),
    ),
    (
        "annotation",
        click.option(
            "--annotation",
            multiple=True,
            metavar="KEY[=VALUE]",
            help="An annotation of the event; both may end in *.",
        ),
    ),
    (
        "field_manager",
        click.option("--field-manager", multiple=True, metavar="NAME", help="As the request URI names it."),
    ),
    (
        "slower_than",
        click.option("--slower-than", metavar="TIME", help="Only what took longer, such as 500ms, 2s, 1m30s."),
    ),
    ("faster_than", click.option("--faster-than", metavar="TIME", help="Only what took less time.")),
    (
        "text",
        click.option(
            "--text", multiple=True, metavar="TEXT", help="Stands anywhere in the event, as it is or as JSON has it."
        ),
    ),
    ("audit_id", click.option("--uid", "audit_id", multiple=True, metavar="AUDIT-ID", help="Audit ID.")),
    (
        "after",
        click.option(
            "--after", metavar="TIME", help="Only requests that were received at TIME or later (see --since)."
        ),
    ),
)
_NAMES: Final = frozenset(name for name, _ in _OPTIONS)

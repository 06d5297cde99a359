"""Narrowing: the filters of the commands that count, as one decorator; its argument `query` is a Query."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.ask.filters import codes, listed, patterns, resources
from decklog.audit.query import Query
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.cli.searching import Search

FILTERS_HELP: Final = """\b
A repeated filter is "or", different filters are "and". A value may end in *
for any rest, or begin with - for "not" (write --user=-system:*).
Counts are of requests, not of events."""


def narrowed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the filters of ``decklog query``; stands above `search_options`, whose window it takes."""

    @functools.wraps(command)
    def with_query(
        *args: Any,
        search: Search,
        verb: tuple[str, ...],
        resource: tuple[str, ...],
        subresource: tuple[str, ...],
        name: tuple[str, ...],
        namespace: tuple[str, ...],
        all_namespaces: bool,
        user: tuple[str, ...],
        impersonated: tuple[str, ...],
        group: tuple[str, ...],
        user_agent: tuple[str, ...],
        path: tuple[str, ...],
        code: tuple[str, ...],
        failed_only: bool,
        **values: Any,
    ) -> Any:
        if namespace and all_namespaces:
            raise DecklogError("-n and -A contradict each other: give one of them")
        query = Query(
            verbs=listed(verb),
            resources=resources(resource),
            subresources=listed(subresource),
            names=patterns(name),
            namespaces=patterns(namespace),
            users=patterns(user),
            impersonated=patterns(impersonated),
            groups=patterns(group),
            user_agents=patterns(user_agent),
            paths=patterns(path),
            codes=codes((*code, *(("4xx", "5xx") if failed_only else ()))),
            since=search.since,
            until=search.until,
        )
        return command(*args, search=search, query=query, **values)

    with_options: Callable[..., Any] = with_query
    for option in reversed(_OPTIONS):
        with_options = option(with_options)
    return with_options


_OPTIONS: Final = (
    click.option("--verb", multiple=True, metavar="VERB", help="get, list, watch, create, update, patch, delete ..."),
    click.option(
        "--resource", multiple=True, metavar="TYPE", help="Any name that kubectl takes: deploy, pods.metrics.k8s.io."
    ),
    click.option("--subresource", multiple=True, metavar="NAME", help="status, exec, log ...; -* for none."),
    click.option("--name", multiple=True, metavar="NAME", help="Of the object."),
    click.option("-n", "--namespace", multiple=True, metavar="NAME", help="Of the object; -* for none."),
    click.option("-A", "--all-namespaces", is_flag=True, help="Any namespace: so it is without -n."),
    click.option("--user", multiple=True, metavar="NAME", help="Who authenticated."),
    click.option(
        "--as", "impersonated", multiple=True, metavar="NAME", help="As whom the request went on; * for anyone."
    ),
    click.option("--group", multiple=True, metavar="NAME", help="Of the user, or of whom the request went on as."),
    click.option("--user-agent", multiple=True, metavar="TEXT", help="What the client calls itself."),
    click.option("--path", multiple=True, metavar="PATH", help="Of the request URI, without its query."),
    click.option("--code", multiple=True, metavar="CODE", help="Of the answer: 201, 4xx."),
    click.option("--failed-only", is_flag=True, help="Only answers from 400 on."),
)

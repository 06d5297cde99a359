"""``decklog query``: the requests, or single events, that pass a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from decklog.audit.query import Query
from decklog.cli.filters import codes, listed, patterns, resources
from decklog.cli.searching import ROWS_HELP, answer, search_options
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from decklog.cli.searching import Search


_HELP: Final = """List the requests that pass a filter.

A repeated option is "or", different options are "and". A value may end in * for any rest, or begin with - for
"not" (write --user=-system:*).

\b
decklog query audit.log --verb delete --resource deploy -n shop
decklog query -f /var/log/kubernetes --user=-system:* --code 403 --since 2h -o wide
zcat old.gz | decklog query - --resource secrets --events -o jsonl
"""


@click.command("query", help=_HELP, epilog=ROWS_HELP)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@click.option("--verb", multiple=True, metavar="VERB", help="get, list, watch, create, update, patch, delete ...")
@click.option(
    "--resource", multiple=True, metavar="TYPE", help="Any name that kubectl takes: deploy, pods.metrics.k8s.io."
)
@click.option("--subresource", multiple=True, metavar="NAME", help="status, exec, log ...; -* for none.")
@click.option("--name", multiple=True, metavar="NAME", help="Of the object.")
@click.option("-n", "--namespace", multiple=True, metavar="NAME", help="Of the object; -* for none.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Any namespace: so it is without -n.")
@click.option("--user", multiple=True, metavar="NAME", help="Who authenticated.")
@click.option("--as", "impersonated", multiple=True, metavar="NAME", help="As whom the request went on; * for anyone.")
@click.option("--group", multiple=True, metavar="NAME", help="Of the user, or of whom the request went on as.")
@click.option("--user-agent", multiple=True, metavar="TEXT", help="What the client calls itself.")
@click.option("--path", multiple=True, metavar="PATH", help="Of the request URI, without its query.")
@click.option("--code", multiple=True, metavar="CODE", help="Of the answer: 201, 4xx.")
@click.option("--failed-only", is_flag=True, help="Only answers from 400 on.")
@click.option("--stage", multiple=True, metavar="STAGE", help="Latest stage seen; with --events, the event's stage.")
@click.option("--uid", "audit_id", multiple=True, metavar="AUDIT-ID", help="Audit ID.")
@click.option("--events", is_flag=True, help="Single events instead of requests; -o json and jsonl give them verbatim.")
@search_options()
def command(
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
    stage: tuple[str, ...],
    audit_id: tuple[str, ...],
    events: bool,
) -> None:
    """List the requests that pass a filter."""
    if namespace and all_namespaces:
        raise DecklogError("-n and -A contradict each other: give one of them")
    query = Query(
        verbs=listed(verb),
        resources=resources(resource),
        subresources=listed(subresource),
        names=patterns(name),
        namespaces=listed(namespace),
        users=patterns(user),
        impersonated=patterns(impersonated),
        groups=patterns(group),
        user_agents=patterns(user_agent),
        paths=patterns(path),
        codes=codes((*code, *(("4xx", "5xx") if failed_only else ()))),
        stages=listed(stage),
        audit_ids=patterns(audit_id),
        since=search.since,
        until=search.until,
    )
    answer(search, query, events=events)

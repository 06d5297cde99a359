"""``decklog query``: the requests, or single events, that pass a filter; ``decklog tail`` goes on with what comes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.ask.filters import annotated, codes, listed, networks, patterns, resources
from decklog.ask.moments import moment, span_us
from decklog.audit.query import Query
from decklog.cli.completing import LEVELS, STAGES, VERBS, resource_names, values
from decklog.cli.searching import ROWS_HELP, answer, search_options
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.cli.objects import Thing
    from decklog.cli.searching import Search

_HELP: Final = """List the requests that pass a filter.

A repeated option is "or", different options are "and". A value may end in * for any rest, or begin with - for
"not" (write --user=-system:*). A word with a slash that is no file is an object, TYPE/NAME, as kubectl takes it.

\b
decklog query audit.log --verb delete --resource deploy -n shop
decklog query audit.log deploy/web secret/db-* -n shop --humans
decklog query -f /var/log/kubernetes --user=-system:* --code 403 --since 2h -o wide
decklog query -f audit.log --source-ip 10.0.0.0/8 --decision forbid -o csv
decklog query -f audit.log --text 'nginx:1.27' -o jsonpath='{.time} {.user}'
zcat old.gz | decklog query - --resource secrets --events -o jsonl
"""


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Put the options of a filter on a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def following(command: Callable[..., Any]) -> Callable[..., Any]:
    """Put the options of following on a command."""
    for option in reversed(_FOLLOWING):
        command = option(command)
    return command


_FOLLOWING: Final = (
    click.option(
        "--checkpoint",
        metavar="FILE",
        type=click.Path(),
        help="With -F: go on where the last run with this file stopped, and keep in it how far this one came.",
    ),
    click.option("--from-start", is_flag=True, help="With -F: begin with what is there, not with what comes."),
)


_OPTIONS: Final = (
    click.option(
        "--verb",
        multiple=True,
        metavar="VERB",
        shell_complete=values(VERBS),
        help="get, list, watch, create, update, patch, delete ...",
    ),
    click.option(
        "--resource",
        multiple=True,
        metavar="TYPE",
        shell_complete=resource_names,
        help="Any name that kubectl takes: deploy, pods.metrics.k8s.io.",
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
    click.option(
        "--humans",
        "human",
        flag_value=True,
        type=bool,
        default=None,
        help="Only what people did: not system:*, service accounts or nodes, unless they act as somebody.",
    ),
    click.option("--machines", "human", flag_value=False, type=bool, help="Only what these did."),
    click.option("--user-agent", multiple=True, metavar="TEXT", help="What the client calls itself."),
    click.option(
        "--source-ip",
        multiple=True,
        metavar="CIDR",
        help="An address or a network; also one that the client only claims.",
    ),
    click.option("--path", multiple=True, metavar="PATH", help="Of the request URI, without its query."),
    click.option(
        "--code", "--http-status-code", "code", multiple=True, metavar="CODE", help="Of the answer: 201, 4xx."
    ),
    click.option("--failed-only", is_flag=True, help="Only answers from 400 on."),
    click.option(
        "--decision",
        multiple=True,
        metavar="WORD",
        shell_complete=values(("allow", "forbid")),
        help="Of authorization: allow, forbid.",
    ),
    click.option(
        "--stage",
        multiple=True,
        metavar="STAGE",
        shell_complete=values(STAGES),
        help="Latest stage seen; with --events, the event's stage.",
    ),
    click.option(
        "--level", multiple=True, metavar="LEVEL", shell_complete=values(LEVELS), help="At which it was recorded."
    ),
    click.option(
        "--annotation", multiple=True, metavar="KEY[=VALUE]", help="An annotation of the event; both may end in *."
    ),
    click.option("--field-manager", multiple=True, metavar="NAME", help="As the request URI names it."),
    click.option("--slower-than", metavar="TIME", help="Only what took longer, such as 500ms, 2s, 1m30s."),
    click.option("--faster-than", metavar="TIME", help="Only what took less time."),
    click.option(
        "--text", multiple=True, metavar="TEXT", help="Stands anywhere in the event, as it is or as JSON has it."
    ),
    click.option("--uid", "audit_id", multiple=True, metavar="AUDIT-ID", help="Audit ID."),
    click.option("--after", metavar="TIME", help="Only requests that were received at TIME or later (see --since)."),
    click.option(
        "--events", is_flag=True, help="Single events instead of requests; -o json and jsonl give them verbatim."
    ),
)


@click.command("query", help=_HELP, epilog=ROWS_HELP)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|TYPE/NAME]...")
@filters
@click.option("-F", "--follow", is_flag=True, help="Wait for what comes, until Ctrl-C: decklog tail.")
@following
@search_options(objects=True, policy=True)
def command(
    search: Search,
    things: tuple[Thing, ...],
    follow: bool,
    checkpoint: str | None,
    from_start: bool,
    events: bool,
    **asked: Any,
) -> None:
    """List the requests that pass a filter."""
    queries = queries_of(search, things, **asked)
    if follow:
        from decklog.cli.tailing import tail  # noqa: PLC0415  # because: only following needs its libraries

        tail(search, queries, events=events, checkpoint=checkpoint, from_start=from_start)
    elif checkpoint or from_start:
        raise DecklogError("--checkpoint and --from-start are about following: give -F as well")
    else:
        answer(search, *queries, events=events)


def queries_of(
    search: Search,
    things: tuple[Thing, ...],
    *,
    verb: tuple[str, ...],
    resource: tuple[str, ...],
    subresource: tuple[str, ...],
    name: tuple[str, ...],
    namespace: tuple[str, ...],
    all_namespaces: bool,
    user: tuple[str, ...],
    impersonated: tuple[str, ...],
    group: tuple[str, ...],
    human: bool | None,
    user_agent: tuple[str, ...],
    source_ip: tuple[str, ...],
    path: tuple[str, ...],
    code: tuple[str, ...],
    failed_only: bool,
    decision: tuple[str, ...],
    stage: tuple[str, ...],
    level: tuple[str, ...],
    annotation: tuple[str, ...],
    field_manager: tuple[str, ...],
    slower_than: str | None,
    faster_than: str | None,
    text: tuple[str, ...],
    audit_id: tuple[str, ...],
    after: str | None,
) -> tuple[Query, ...]:
    """Make the filters of the options: one, or one for each object that was named."""
    if namespace and all_namespaces:
        raise DecklogError("-n and -A contradict each other: give one of them")
    if things and (resource or name):
        raise DecklogError("TYPE/NAME says what --resource and --name say: give one of them")
    if "" in text:
        raise DecklogError("--text is empty: give a text that stands in the events")
    query = Query(
        verbs=listed(verb),
        resources=resources(resource),
        subresources=listed(subresource),
        names=patterns(name),
        namespaces=listed(namespace),
        users=patterns(user),
        impersonated=patterns(impersonated),
        groups=patterns(group),
        human=human,
        user_agents=patterns(user_agent),
        source_ips=networks(source_ip),
        paths=patterns(path),
        codes=codes((*code, *(("4xx", "5xx") if failed_only else ()))),
        decisions=listed(decision),
        stages=listed(stage),
        levels=listed(level),
        annotations=annotated(annotation),
        field_managers=patterns(field_manager),
        slower_than_us=span_us(slower_than, "--slower-than") if slower_than is not None else None,
        faster_than_us=span_us(faster_than, "--faster-than") if faster_than is not None else None,
        texts=text,
        audit_ids=patterns(audit_id),
        after=moment(after, datetime.now(UTC)) if after else None,
        since=search.since,
        until=search.until,
    )
    return tuple(thing.within(query) for thing in things) or (query,)

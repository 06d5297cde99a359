"""``decklog rbac``: the least roles for what somebody did, and what granted roles were not used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from decklog.ask.covering import covered
from decklog.ask.grants import grants, not_granted, read_manifests, unused
from decklog.ask.rbac import MOST_NAMES, roles, usage
from decklog.ask.rbac_yaml import evidence_words, manifests
from decklog.ask.requests import merge
from decklog.ask.terminal import visible
from decklog.audit.query import Pattern, Query
from decklog.cli.printing import print_json, searched
from decklog.cli.searching import NOTHING_FOUND, search_options, tell
from decklog.errors import DecklogError
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.ask.rbac import Evidence, Permission, Usage
    from decklog.cli.searching import Search

_HELP: Final = """Write the least RBAC roles for what a user or group did.

Each rule stands under what it was used for, with the last event. create and list are never restricted to names;
other verbs are while the names are few. What was refused is listed as a comment and not allowed.

With --manifests, instead: which permissions of these roles were not used, and what was used that they do not grant.
Roles count that are bound to the user or one of its groups; without any binding in the files, all of them.

\b
decklog rbac alice -f /var/log/kubernetes/audit.log --since 90d > alice.yaml
decklog rbac system:serviceaccount:shop:web audit.log
decklog rbac alice audit.log --manifests roles.yaml --manifests bindings.yaml
"""
_EPILOG: Final = (
    "Exit code 1: the log has nothing of the subject, or (with --manifests) something is unused or missing."
)


@click.command("rbac", help=_HELP, epilog=_EPILOG)
@click.argument("subject", metavar="USER|GROUP")
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@click.option(
    "--manifests", "granted", multiple=True, metavar="FILE", type=click.Path(), help="RBAC manifests; repeatable."
)
@click.option("--name", default="used", show_default=True, metavar="NAME", help="Of the roles that are written.")
@click.option(
    "--names",
    "most_names",
    default=MOST_NAMES,
    show_default=True,
    metavar="NUMBER",
    type=click.IntRange(min=0),
    help="A rule names at most so many objects; with more, or with 0, it names none.",
)
@search_options(("yaml", "json"))
def command(search: Search, subject: str, granted: tuple[str, ...], name: str, most_names: int) -> None:
    """Write the least roles for what somebody did."""
    given = read_manifests({path: _read(path) for path in granted}) if granted else []
    window: dict[str, Any] = {"since": search.since, "until": search.until}
    me = (Pattern(subject),)
    queries = (Query(users=me, **window), Query(impersonated=me, **window), Query(groups=me, **window))
    coverage = Coverage()
    found = usage(merge(search.records(coverage, *queries), *queries), subject)
    bad = not found.used
    if granted:
        bad = _compare(found, given, subject) or bad
    elif search.output == "json":
        said = searched(coverage, search.since, search.until)
        print_json({"used": _list(found.used), "refused": _list(found.refused), "searched": said})
    else:
        made = roles(found.used, most_names=most_names)
        for line in manifests(made, subject, name=name, is_group=not found.is_user):
            click.echo(line)
        for line in _refusals(found):
            click.echo(line)
    if not found.used:
        tell(f"nothing that {subject} was allowed to do is in the log")
    tell(covered(coverage, search.since, search.until))
    if bad:
        click.get_current_context().exit(NOTHING_FOUND)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DecklogError(f"cannot read {path} ({error.strerror})") from error


def _list(used: dict[Permission, Evidence]) -> list[dict[str, Any]]:
    return [
        {
            "verb": one.verb,
            "apiGroup": one.group,
            "resource": one.resource,
            "namespace": one.namespace,
            "name": one.name,
            "path": one.path,
            "requests": seen.requests,
            "last": seen.last,
            "auditID": seen.audit_id,
        }
        for one, seen in used.items()
    ]


def _refusals(found: Usage) -> Iterator[str]:
    if found.refused:
        yield "# Refused, and therefore not allowed above:"
        for one, seen in found.refused.items():
            yield f"# - {_words(one)}: {seen.requests:,} times; the last: {evidence_words(seen)}"
    for one, seen in found.starred.items():
        yield f"# Left out, because a rule cannot say it literally: {_words(one)}; the last: {evidence_words(seen)}"


def _compare(found: Usage, given: list[dict[str, Any]], subject: str) -> bool:
    """Print what is idle and what is missing; tell whether there is any."""
    held = grants(given, subject, found.groups)
    if not held:
        tell(f"no rule of the manifests holds for {subject}")
    idle, missing = unused(held, found.used), not_granted(held, found.used)
    if idle:
        click.echo("Granted and not used:")
    for one in idle:
        never = ": nothing of it" if one.never else ""
        click.echo(visible(f"- {one.source}{never}: {', '.join(one.verbs)} {one.what}"))
    if missing:
        click.echo("Used and not granted by these manifests:")
    for permission in missing:
        click.echo(f"- {_words(permission)}: {evidence_words(found.used[permission])}")
    if held and not idle and not missing:
        click.echo("What is granted is used, and what is used is granted.")
    return bool(idle or missing or not held)


def _words(one: Permission) -> str:
    if not one.resource:
        return visible(f"{one.verb} {one.path}")
    group = f".{one.group}" if one.group else ""
    resource, slash, subresource = one.resource.partition("/")
    name = f" {one.name}" if one.name else ""
    where = f" in namespace {one.namespace}" if one.namespace else ""
    return visible(f"{one.verb} {resource}{group}{slash}{subresource}{name}{where}")

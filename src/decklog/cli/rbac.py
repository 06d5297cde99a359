"""``decklog rbac``: the least roles for what somebody did, and what granted roles were not used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec.structs import replace

from decklog.ask.grants import grants, not_granted, read_manifests, unused
from decklog.ask.moments import readable
from decklog.ask.rbac import MOST_NAMES, roles, usage
from decklog.ask.rbac_yaml import evidence_words, manifests
from decklog.ask.terminal import visible
from decklog.audit.query import Pattern
from decklog.cli.asking import Asking
from decklog.cli.listing import FORMATS_HELP, Listing, print_listing
from decklog.cli.narrowing import filtered
from decklog.cli.printing import print_json
from decklog.cli.searching import FORMATS, NOTHING_FOUND, search_options, tell
from decklog.cli.table import Column
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.ask.rbac import Evidence, Permission, Usage
    from decklog.cli.narrowing import Filters
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
_EPILOG: Final = f"""\b
The default, yaml, is manifests; the other formats list the permissions that were
used: verb apiGroup resource namespace name path requests last auditID. json has
"refused" as well; with --manifests it is {{"unused": [...], "notGranted": [...],
"searched": {{...}}}}, and any other format is sentences.
{FORMATS_HELP}
Exit code 1: the log has nothing of the subject, or (with --manifests) something
is unused or missing."""


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
@filtered(without=("user", "impersonated", "group", "human", "name"))
@search_options(("yaml", *(name for name in FORMATS if name not in {"yaml", "name"})))
def command(
    search: Search, filters: Filters, subject: str, granted: tuple[str, ...], name: str, most_names: int
) -> None:
    """Write the least roles for what somebody did."""
    given = read_manifests({path: _read(path) for path in granted}) if granted else []
    me = (Pattern(subject),)
    (narrow,) = filters.queries(search)
    asking = Asking(search, *(replace(narrow, **{field: me}) for field in ("users", "impersonated", "groups")))
    found = usage(asking.requests(), subject)
    if granted:
        bad = _compare(asking, found, given, subject) or not found.used
    else:
        bad = not found.used
        _print_used(asking, found, subject, name, most_names)
    if not found.used:
        tell(f"nothing that {subject} was allowed to do is in the log: {asking.absence().text}")
    asking.conclude(found=not bad, code=NOTHING_FOUND if bad else 0)


def _print_used(asking: Asking, found: Usage, subject: str, name: str, most_names: int) -> None:
    output = asking.search.output
    if output != "yaml":
        items = [*found.used.items()]
        also = {"refused": _list(found.refused)} if output == "json" else {}
        listing = Listing("used", items, _COLUMNS, _HEAD, None, _plain, also=also)
        print_listing(output, listing, asking.searched(found=bool(found.used)))
        return
    made = roles(found.used, most_names=most_names)
    for line in manifests(made, subject, name=name, is_group=not found.is_user):
        click.echo(line)
    for line in _refusals(found):
        click.echo(line)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DecklogError(f"cannot read {path} ({error.strerror})") from error


def _list(used: dict[Permission, Evidence]) -> list[dict[str, Any]]:
    return list(map(_plain, used.items()))


def _plain(one: tuple[Permission, Evidence]) -> dict[str, Any]:
    permission, seen = one
    return {
        "verb": permission.verb,
        "apiGroup": permission.group,
        "resource": permission.resource,
        "namespace": permission.namespace,
        "name": permission.name,
        "path": permission.path,
        "requests": seen.requests,
        "last": seen.last,
        "auditID": seen.audit_id,
    }


_HEAD: Final = ("verb", "apiGroup", "resource", "namespace", "name", "path", "requests", "last", "auditID")
_COLUMNS: Final = (
    Column("VERB", lambda one: one[0].verb, shrinks=True),
    Column("WHAT", lambda one: one[0].path or _with_group(one[0]), shrinks=True, weight=2),
    Column("NAMESPACE", lambda one: one[0].namespace or "-", shrinks=True),
    Column("NAME", lambda one: one[0].name or "-", shrinks=True),
    Column("REQUESTS", lambda one: f"{one[1].requests:,}", right=True),
    Column("LAST (UTC)", lambda one: readable(one[1].last)),
    Column("ID", lambda one: one[1].audit_id[:8], shrinks=True),
    Column("AUDIT-ID", lambda one: one[1].audit_id, wide=True),
)


def _refusals(found: Usage) -> Iterator[str]:
    if found.refused:
        yield "# Refused, and therefore not allowed above:"
        for one, seen in found.refused.items():
            yield f"# - {_words(one)}: {seen.requests:,} times; the last: {evidence_words(seen)}"
    for one, seen in found.starred.items():
        yield f"# Left out, because a rule cannot say it literally: {_words(one)}; the last: {evidence_words(seen)}"


def _compare(asking: Asking, found: Usage, given: list[dict[str, Any]], subject: str) -> bool:
    """Print what is idle and what is missing; tell whether there is any."""
    held = grants(given, subject, found.groups)
    if not held:
        tell(f"no rule of the manifests holds for {subject}")
    idle, missing = unused(held, found.used), not_granted(held, found.used)
    bad = bool(idle or missing or not held)
    if asking.search.output == "json":
        lacking = _list({one: found.used[one] for one in missing})
        covers = asking.searched(found=bool(found.used))
        print_json({"unused": idle, "notGranted": lacking, "searched": covers})
        return bad
    if idle:
        click.echo("Granted and not used:")
    for one in idle:
        never = ": nothing of it" if one.never else ""
        click.echo(visible(f"- {one.source}{never}: {', '.join(one.verbs)} {one.what}"))
    if missing:
        click.echo("Used and not granted by these manifests:")
    for permission in missing:
        click.echo(f"- {_words(permission)}: {evidence_words(found.used[permission])}")
    if not bad:
        click.echo("What is granted is used, and what is used is granted.")
    return bad


def _with_group(one: Permission) -> str:
    resource, slash, subresource = one.resource.partition("/")
    return f"{resource}{f'.{one.group}' if one.group else ''}{slash}{subresource}"


def _words(one: Permission) -> str:
    if not one.resource:
        return visible(f"{one.verb} {one.path}")
    name = f" {one.name}" if one.name else ""
    where = f" in namespace {one.namespace}" if one.namespace else ""
    return visible(f"{one.verb} {_with_group(one)}{name}{where}")

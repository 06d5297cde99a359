"""``decklog policy replay``: what a candidate policy would make of a recorded log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from decklog.ask.terminal import visible, visible_json
from decklog.cli.policy_logs import columns, log_options, percent, policy_options, size
from decklog.cli.printing import searched
from decklog.policy.replay import Replay, Share, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.cli.policy_logs import Logs
    from decklog.policy.event_filter import LoadedFilter
    from decklog.policy.replay import Rate, Report

_HELP: Final = """Show what a policy would make of a recorded log.

It tells how many events and bytes would be kept, by rule, user and resource, and what the log cannot tell. FILE is an
audit policy, or an EventFilter (docs/policy/apply.md). LOG is a file (its rotated and .gz parts are found), a
directory, or - for standard input.

\b
decklog policy replay candidate.yaml /var/log/kubernetes/audit.log
zcat old.gz | decklog policy replay candidate.yaml - -o json
"""
_RIGHT: Final = frozenset(range(1, 7))


@click.command("replay", help=_HELP)
@policy_options
@log_options
@click.option(
    "--top",
    default=10,
    show_default=True,
    metavar="NUMBER",
    type=click.IntRange(min=0),
    help="So many users and resources are listed; json has all.",
)
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(policy: LoadedFilter, logs: Logs, top: int, output: str) -> None:
    """Replay a log through a policy."""
    run = Replay(policy.decide, [rule.level for rule in policy.policy.rules])
    run.extend(logs.lines())
    report = run.report()
    if output == "json":
        sys.stdout.write(_json(report, policy, logs) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _text(report, policy, top))
    logs.tell(report.unreadable, report.first, report.last)


def _json(report: Report, policy: LoadedFilter, logs: Logs) -> str:
    built: dict[str, Any] = msgspec.to_builtins(report)
    for rule in built["rules"]:
        index = rule["rule"]
        rule["line"] = policy.lines[index] if index is not None else None
        rule["matched"] = rule["before"]["events"] > 0
    coverage = searched(logs.coverage, None, None)
    whole = {"policy": policy.source, **built, "searched": coverage}
    return visible_json(msgspec.json.encode(whole).decode())


def _text(report: Report, policy: LoadedFilter, top: int) -> Iterator[str]:
    before, after = report.before, report.after
    yield from columns(
        [
            ("", "recorded", "kept", "share"),
            ("events", f"{before.events:,}", f"{after.events:,}", percent(after.events, before.events)),
            ("bytes", size(before.bytes), size(after.bytes), percent(after.bytes, before.bytes)),
            *_rates(report.rate_before, report.rate_after),
        ],
        _RIGHT,
    )
    yield f"{report.lowered:,} of the kept events would be smaller than recorded"
    yield ""
    yield from columns([_head("RULE", "LEVEL"), *_rule_rows(report, policy)], _RIGHT - {1})
    for title, shares in (("USER", report.users), ("RESOURCE", report.resources), ("STAGE", report.stages)):
        if shares and top:
            yield ""
            yield from columns([_head(title), *map(_share_row, _largest(shares, top))], _RIGHT)
    yield ""
    yield "What this cannot say:"
    for sentence in report.unknown:
        yield f"- {sentence}"


def _rates(before: Rate | None, after: Rate | None) -> Iterator[tuple[str, ...]]:
    if before is None or after is None:
        return
    yield "events a day", f"{before.events_a_day:,.0f}", f"{after.events_a_day:,.0f}", ""
    yield "GB a day", f"{before.gb_a_day:,.3f}", f"{after.gb_a_day:,.3f}", ""
    yield "GB a month", f"{before.gb_a_month:,.2f}", f"{after.gb_a_month:,.2f}", ""


def _head(*names: str) -> tuple[str, ...]:
    return (*names, "EVENTS", "KEPT", "BYTES", "KEPT", "")


def _rule_rows(report: Report, policy: LoadedFilter) -> Iterator[tuple[str, ...]]:
    for share in report.rules:
        place = "(no rule)" if share.rule is None else visible(f"{policy.source}:{policy.lines[share.rule]}")
        said = "" if share.before.events else "this rule matched nothing"
        yield (place, share.level, *_figures(share.before, share.after), said)


def _share_row(share: Share) -> tuple[str, ...]:
    name = visible(share.name) if share.name else "(none)"
    return (name if len(name) <= 60 else f"{name[:59]}…", *_figures(share.before, share.after), "")


def _figures(before: Volume, after: Volume) -> tuple[str, ...]:
    return f"{before.events:,}", f"{after.events:,}", size(before.bytes), size(after.bytes)


def _largest(shares: tuple[Share, ...], top: int) -> Iterator[Share]:
    yield from shares[:top]
    if rest := shares[top:]:
        before, after = (sum((getattr(share, side) for share in rest), Volume()) for side in ("before", "after"))
        yield Share(f"({len(rest):,} more)", before, after)

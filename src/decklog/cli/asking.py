"""Asking: one question put to the log, its answer, and the honest line below it.

The line says what was searched and what could not be read; with a policy, whether it would have recorded such requests;
under an empty answer, what that tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from decklog.ask.absence import absence
from decklog.ask.covering import asked, covered
from decklog.ask.requests import Seen, merge
from decklog.ask.rows import event_row, in_time_order, row
from decklog.audit.wire import encode_event
from decklog.cli.printing import Verbatim, printer, searched
from decklog.cli.searching import NOTHING_FOUND, tell
from decklog.sources.record import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from decklog.ask.absence import Absence
    from decklog.ask.foresight import Foreseen
    from decklog.ask.requests import Request
    from decklog.ask.rows import Row
    from decklog.audit.query import Query
    from decklog.cli.printing import Printer
    from decklog.cli.searching import Search
    from decklog.sources.record import Record


class Asking:
    """One question, and what is to be said below its answer."""

    def __init__(self, search: Search, *queries: Query) -> None:
        self.search = search
        self.queries = queries
        self.coverage = Coverage()
        self._foreseen = foresee(search.policy, queries) if search.policy else None

    def records(self, *wider: Query) -> Iterator[Record]:
        """Read the records; of `wider` queries, if the answer needs others than those that it shows."""
        return self.search.records(self.coverage, *(wider or self.queries))

    def requests(self, *wider: Query) -> Iterator[Request]:
        """Read the requests; of `wider` queries, if the answer needs others than those that it shows."""
        queries = wider or self.queries
        yield from merge(self.search.records(self.coverage, *queries), *queries)

    def absence(self) -> Absence:
        """Say what it tells that nothing was found."""
        return absence(self.coverage, self.queries, self._foreseen)

    def also(self, *, found: bool) -> dict[str, Any]:
        """Say in JSON what a policy would have recorded, and what an empty answer tells."""
        said = {} if self._foreseen is None else {"policy": self._foreseen.text}
        if found:
            return said
        absent = self.absence()
        return {**said, "absence": {"verdict": absent.verdict, "text": absent.text}}

    def searched(self, *, found: bool) -> dict[str, Any]:
        """Say in JSON what the answer covers; when all has been read."""
        return {**searched(self.coverage, self.search.since, self.search.until), **self.also(found=found)}

    def expect(self) -> None:
        """Tell beforehand what a policy records of it: for answers that go on."""
        if self._foreseen is not None:
            tell(self._foreseen.text)

    def line(self) -> str:
        """Say what was searched."""
        foreseen = [self._foreseen.text] if self._foreseen is not None else []
        return "; ".join([covered(self.coverage, self.search.since, self.search.until), *self._advice(), *foreseen])

    def _advice(self) -> Iterator[str]:
        """Say what reads lines that were refused only because nothing vouches for them."""
        if not self.coverage.bad_examples or self.search.store:
            return
        # Because: envelopes are for logs that have some.
        from decklog.sources.carriers.envelope import UNSAID  # noqa: PLC0415  # because: what a plain log does not need

        if any(bad.problem == UNSAID for bad in self.coverage.bad_examples):
            yield "if nothing but audit logs can be in there, --declared reads such lines"

    def conclude(self, nothing: str = "", *, found: bool, code: int | None = None) -> None:
        """Tell what was searched. Exits with `code` unless that is 0; without one, with 1 if nothing was `found`.

        `nothing` says what was not found, to be followed by what that tells; empty: it has been said.
        """
        if not found and nothing:
            tell(f"{nothing}: {self.absence().text}")
        tell(self.line())
        if status := (0 if found else NOTHING_FOUND) if code is None else code:
            click.get_current_context().exit(status)


def answer(
    search: Search, *queries: Query, events: bool = False, beside: Callable[[], dict[str, Any]] | None = None
) -> None:
    """Search, print the answer and what it covers; exits with 1 when nothing was found.

    `beside` says, when all rows are printed, what further belongs to the answer in JSON and YAML.
    """
    asking = Asking(search, *queries)
    with printer(search.output, events=events) as out:
        if events:
            found = print_events(search.bar.before_output(matching(asking.records(), queries)), out)
        else:
            found = out.rows(search.bar.before_output(in_time_order(map(row, asking.requests()))))
        out.also = asking.also(found=bool(found))
        out.beside = beside() if beside is not None else {}
        out.finish(asking.coverage, search.since, search.until)
    if not found:
        tell(f"no {'event' if events else 'request'} matches {' / '.join(map(asked, queries))}")
        tell(asking.absence().text)
    asking.conclude(found=bool(found))


def matching(records: Iterable[Record], queries: tuple[Query, ...]) -> Iterator[Record]:
    """Give the records of single events that are asked for."""
    for record in records:
        if record.event is not None and any(query.matches(record.event, record.line) for query in queries):
            yield record


def print_events(records: Iterator[Record], out: Printer) -> int:
    """Print single events; give their number."""
    if isinstance(out, Verbatim):
        return out.lines(map(event_line, records))
    return out.rows(_event_rows(records))


def event_line(record: Record) -> bytes:
    """Give the event as it stands in the log; one that was made of something else (GKE), as it was made."""
    if record.event is None or record.provenance is None or not record.provenance.synthesised:
        return record.line
    return encode_event(record.event)


def _event_rows(records: Iterator[Record]) -> Iterator[Row]:
    for record in records:
        if record.event is not None:
            yield event_row(Seen(record.event, record.file, record.number, None, record.provenance))


def foresee(path: str, queries: tuple[Query, ...]) -> Foreseen:
    """Say whether the policy in a file would have recorded what is asked for; raises DecklogError for a bad policy."""
    # Because: PyYAML and the policy's rooms cost more than a small search; few ask for them.
    from decklog.ask.foresight import foreseen  # noqa: PLC0415  # because: what a plain search of a log does not need
    from decklog.policy.reader import load  # noqa: PLC0415  # because: what a plain search of a log does not need

    return foreseen(load(path), queries, path)

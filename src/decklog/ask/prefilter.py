r"""Prefilter: a Query → bytes that must stand in every line that it can match, so that other lines need no decoding.

A wanted value stands in an event's line as a JSON string. Encoders may spell its characters as they like, so a needle
is made only of characters of which JSON knows two spellings, the plain one and ``\u00XX``: printable ASCII without
``" & / < > \``. A line that spells such a character by its number `hides` something and is decoded, whatever it holds;
kube-apiserver writes no such line (its own escapes are of the other characters: ``\u0026 \u003c \u003e \n \"``). White
space, the order of keys, keys that come twice and names inside bodies cannot hide a needle, since needles are values
alone: what they let through too many, decoding drops.

The needles of one query form clauses: of each clause at least one must stand in the line. A field whose wanted patterns
do not all give a needle (an empty value, ``*``) gives no clause; nor do negations, classes of codes and times. A code
is a number, which JSON can spell in other ways, too, but not for us: they are errors.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Self

from msgspec import Struct

from decklog.audit.query import COLLECTION_VERBS, Pattern, admits, spellings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.ask.bytesearch import Block
    from decklog.audit.networks import NetworkPattern
    from decklog.audit.query import Query, ResourcePattern

Clause = tuple[bytes, ...]
"""Needles of which at least one must stand in a line."""

_RUN: Final = re.compile(r"[ !#-%'-.0-;=?-\[\]-~]+")
"""Characters with two spellings only."""
hides: Final = re.compile(rb"\\u00(?:2[013-57-9a-fA-F]|3[0-9abdfABDF]|[4-7][0-9a-fA-F])").search
"""Finds, in bytes, a character of a needle that is spelled by its number (or what looks like it)."""


_BEFORE_NUMBERS: Final = b": \t\r"
"""One of them stands before the value of a key."""


class Number(bytes):
    """A needle that is no text: nothing in it can be spelled by a number of its own."""

    __slots__ = ()


class Sieve(Struct, frozen=True):
    """What the lines of interest to one or several queries must hold."""

    alternatives: tuple[tuple[Clause, ...], ...]
    """For each query its clauses, never none."""
    whole_requests: bool
    """Whether all stages of a request pass or none does; else only the matching ones need to pass."""

    @classmethod
    def of(cls, queries: Iterable[Query]) -> Self | None:
        """Make the sieve of several queries of which one has to match; None if it would let every line through.

        Stages of a request share their audit ID, so a question about IDs looks for nothing but them.
        """
        wanted = tuple(queries)
        by_id = tuple(tuple(_clause(query.audit_ids)) for query in wanted)
        if wanted and all(by_id):
            return cls(by_id, whole_requests=True)
        alternatives = tuple(tuple(_clauses(query)) for query in wanted)
        return cls(alternatives, whole_requests=False) if wanted and all(alternatives) else None

    def admits(self, line: bytes) -> bool:
        """Tell whether a line that hides nothing may match."""
        return any(all(any(needle in line for needle in clause) for clause in clauses) for clauses in self.alternatives)

    def anchors(self, sample: Block) -> Clause:
        """Choose the needles to look for, as the rarest in `sample`: one of them stands in each line that may match."""
        chosen = (min(clauses, key=lambda clause: _cost(clause, sample)) for clauses in self.alternatives)
        return tuple(dict.fromkeys(needle for clause in chosen for needle in clause))


def _cost(clause: Clause, sample: Block) -> tuple[int, int]:
    """Weigh a clause: in how many lines of the sample it stands, then how long it takes to look for."""
    return sum(1 for needle in clause for _ in sample.lines_with(needle)), len(clause) * 100 - min(
        map(len, clause), default=0
    )


def _clauses(query: Query) -> Iterable[Clause]:
    collective = _collective(query) if query.reach else ()
    yield from _clause(query.verbs)
    yield from _clause([term.resource for term in query.resources if not term.negated])
    yield from _clause([_subresource(term) for term in query.resources if not term.negated])
    yield from _clause(query.subresources)
    yield from _clause(query.namespaces, collective)
    yield from _clause(query.names, collective)
    yield from _clause(query.users)
    yield from _clause(query.impersonated)
    yield from _clause(query.groups)
    yield from _clause(query.user_agents)
    yield from _clause(query.audit_ids)
    yield from _clause([Pattern(path.text, prefix=True, negated=path.negated) for path in query.paths])
    yield from _codes(query)
    yield from _clause(query.stages)
    yield from _clause(query.levels)
    yield from _clause(query.decisions)
    yield from _clause([term.key for term in query.annotations if not term.negated])
    yield from _clause([term.value for term in query.annotations if not term.negated])
    yield from _clause([_address(term) for term in query.source_ips if not term.negated])
    if query.texts:
        yield tuple(spelled for text in query.texts for spelled in spellings(text))


def _codes(query: Query) -> Iterable[Clause]:
    wanted = [term for term in query.codes if not term.negated]
    if wanted and all(term.low == term.high != 0 for term in wanted):  # a code of 0 may be left out
        yield tuple(Number(b"%c%d" % (before, term.low)) for term in wanted for before in _BEFORE_NUMBERS)


def _subresource(term: ResourcePattern) -> Pattern | None:
    """Give the subresource that has to be there; None: it may be absent."""
    return None if term.subresource is None or term.subresource.negated else term.subresource


def _address(term: NetworkPattern) -> Pattern | None:
    """Give the address that has to be there; None for networks, and for IPv6, which has several spellings."""
    return Pattern(term.text) if term.low == term.high and term.text.count(".") == 3 and "/" not in term.text else None


def _collective(query: Query) -> Clause:
    """Give the needles of requests that reach an object without naming it."""
    return tuple(f'"{verb}"'.encode() for verb in sorted(COLLECTION_VERBS) if admits(query.verbs, verb))


def _clause(patterns: Iterable[Pattern | None], others: Clause = ()) -> Iterable[Clause]:
    """Make the clause of a field, if it has one; None among the patterns stands for any value."""
    wanted = [pattern for pattern in patterns if pattern is None or not pattern.negated]
    needles = [needle(pattern) if pattern is not None else None for pattern in wanted]
    found = tuple(dict.fromkeys(one for one in needles if one is not None))
    if found and None not in needles:
        yield (*found, *others)


def needle(pattern: Pattern) -> bytes | None:
    """Give bytes that stand in every line with a string that `pattern` covers, if it hides nothing; None: no such."""
    text = pattern.text
    runs = [
        ('"' if run.start() == 0 else "") + run[0] + ('"' if run.end() == len(text) and not pattern.prefix else "")
        for run in _RUN.finditer(text)
    ]
    return max(runs, key=len).encode() if runs else None


def plain_runs(text: str) -> tuple[bytes, ...]:
    """Give all bytes that stand in every line with the string `text`, if it hides nothing."""
    return tuple(run.encode() for run in _RUN.findall(text))


def is_plain(text: str) -> bool:
    """Tell whether `needle` has all of a text."""
    return _RUN.fullmatch(text) is not None

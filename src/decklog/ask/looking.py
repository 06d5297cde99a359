r"""Looking: which bytes a scan looks for, so that it passes over the log as few times as it can.

A needle (`prefilter`) is found by any piece of it. With it must be looked for whatever hides it: a line that spells one
of the piece's characters by its number, ``\u00XX``. Each different first digit of these numbers, or each number that
shares its first digit with ``\u0026``, ``\u003c`` and ``\u003e``, which are frequent, is a pass of its own over the
log. So a piece of few different characters is best, unless it stands in many lines; a sample of the log tells.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from decklog.ask.prefilter import Number, hides, is_plain, plain_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.ask.bytesearch import Block

_LENGTHS: Final = (4, 5, 6, 7)
"""Of pieces, bytes: few enough to have few different characters, enough to be rare, as in an ID."""
_MANY: Final = 8
"""Past so many passes, one by a regular expression is faster."""
_ANY: Final = b"\\u00"
_PASS_US_A_KIB: Final = 0.03
_HIT_US: Final = 3.0
"""What it takes to look at a line."""

Span = tuple[int, int]


class Looking(Struct, frozen=True):
    """What is looked for: each line that has one of the needles, or hides one, has one of `pieces` or is `hidden`."""

    pieces: tuple[bytes, ...] = ()
    hiding: tuple[bytes, ...] | None = ()
    """None: so many that `hides` itself is looked for."""

    def hidden(self, block: Block) -> Iterator[Span]:
        """Give the lines that hide something of what is looked for."""
        text, start, end = block.text, 0, block.end
        if self.hiding is not None:
            for one in self.hiding:
                yield from (span for span in block.lines_with(one) if hides(text, *span))
            return
        while start < end and (match := hides(text, start, end)) is not None:
            begin = text.rfind(b"\n", start, match.start()) + 1 or start
            stop = text.find(b"\n", match.end(), end)
            stop = end if stop < 0 else stop
            yield begin, stop
            start = stop + 1


def looking_for(needles: Iterable[bytes], sample: Block) -> Looking:
    """Choose what to look for to find all lines with one of `needles`."""
    pieces: dict[bytes, None] = {}
    known: frozenset[bytes] = frozenset()
    for one in sorted(needles, key=lambda one: len(_spelled(one))):
        piece = _best(one, known, sample)
        pieces[piece] = None
        known |= _spelled(piece)
    return Looking(tuple(pieces), _hiding(known, sample))


def looking_for_requests(audit_ids: Iterable[bytes], uris: Iterable[str], sample: Block) -> Looking:
    """Choose what to look for to find all lines of requests, by needles of their audit IDs or by their URIs."""
    by_id = looking_for(audit_ids, sample)
    runs = [plain_runs(uri) for uri in uris]
    if not runs or not all(runs):
        return by_id
    by_uri = looking_for([min(some, key=lambda run: _hits(run, sample) - len(run)) for some in runs], sample)
    return min(by_id, by_uri, key=lambda looking: _cost(looking, sample))


def _cost(looking: Looking, sample: Block) -> float:
    passes = len(looking.pieces) + (_MANY if looking.hiding is None else len(looking.hiding))
    return _passes(passes, sample) + sum(_hits(piece, sample) for piece in looking.pieces)


def shows(key: Iterable[str], pieces: Iterable[bytes]) -> bool:
    """Tell whether each line that has all texts of `key` as values has one of `pieces`, or hides it."""
    quoted = [f'"{text}"'.encode("utf-8", "surrogatepass") for text in key if '"' not in text]
    texts = [piece for piece in pieces if not isinstance(piece, Number)]
    plain = [piece for piece in texts if is_plain(piece.decode("utf-8", "replace").strip('"'))]
    return any(piece in text for piece in plain for text in quoted)


def _best(one: bytes, known: frozenset[bytes], sample: Block) -> bytes:
    """Choose the piece that costs least, where `known` is looked for anyway."""
    if isinstance(one, Number):
        return one
    bare = one.strip(b'"')  # what stands in a name may stand in a URI, too: see `shows`
    windows = (_window(bare, size, known) for size in _LENGTHS if size < len(bare))
    candidates = dict.fromkeys((bare, one, *windows) if bare else (one,))
    return min(candidates, key=lambda piece: _passes(len(_spelled(piece) - known), sample) + _hits(piece, sample))


def _window(one: bytes, size: int, known: frozenset[bytes]) -> bytes:
    windows = (one[start : start + size] for start in range(len(one) - size + 1))
    return min(windows, key=lambda piece: len(_spelled(piece) - known))


def _hiding(known: frozenset[bytes], sample: Block) -> tuple[bytes, ...] | None:
    if len(known) > 1 and _passes(1, sample) + _hits(_ANY, sample) < _passes(min(len(known), _MANY), sample):
        return (_ANY,)
    return tuple(sorted(known)) if len(known) <= _MANY else None


def _passes(number: int, sample: Block) -> float:
    """Give the microseconds that so many passes over the sample take."""
    return number * _PASS_US_A_KIB * sample.end / 1024


def _hits(piece: bytes, sample: Block) -> float:
    """Give the microseconds that it takes to look at the lines of the sample that have a piece."""
    return _HIT_US * sum(1 for _ in sample.lines_with(piece))


def _spelled(piece: bytes) -> frozenset[bytes]:
    r"""Give bytes of which one stands in each line that has `piece` with a character spelled by its number."""
    return frozenset[bytes]() if isinstance(piece, Number) else frozenset[bytes]().union(*map(_numbers, piece))


@cache
def _numbers(byte: int) -> frozenset[bytes]:
    if byte >= 0x80 or not is_plain(chr(byte)):
        return frozenset()
    code = f"{byte:02x}"
    starts = {f"\\u00{code[0]}"} if code[0] > "3" else {f"\\u00{code}", f"\\u00{code.upper()}"}
    return frozenset(start.encode() for start in starts)

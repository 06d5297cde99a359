"""Top and timeline: what requests are counted by, and how their times become buckets."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct

from decklog.ask.usual import Narrow, unwrapped
from decklog.audit.event import Stage
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from decklog.ask.tally import Label

NONE: Final = "-"
"""The label of requests that lack what they are counted by."""

STEPS: Final = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800)
"""Widths of buckets, seconds."""
MOST_BUCKETS: Final = 10_000

_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEN_SECONDS: Final = len("2026-01-31T12:00:0")
_SECOND: Final = _TEN_SECONDS + 1


def _resource(event: Any) -> str:
    ref = event.object_ref
    if ref is None or not ref.resource:
        return NONE
    if not ref.api_group and not ref.subresource:
        return ref.resource  # type: ignore[no-any-return]  # because: of an Event or a Slim
    group = f".{ref.api_group}" if ref.api_group else ""
    return f"{ref.resource}{group}{'/' + ref.subresource if ref.subresource else ''}"


def _code(event: Any) -> str:
    code = event.response_status.code if event.response_status else 0
    if event.stage == Stage.PANIC:
        return f"{code or ''} panic".strip()
    return str(code) if code else "open" if event.stage != Stage.RESPONSE_COMPLETE else NONE


def _namespace(event: Any) -> str:
    return event.object_ref.namespace or NONE if event.object_ref else NONE


def _source_ip(event: Any) -> str:
    """Give the address that the server saw: the last; those before it are claims (spec §5.6)."""
    return event.source_ips[-1] if event.source_ips else NONE


def _pod_name(event: Any) -> str:
    """Give the pod in which the service account's token was used, as the token says."""
    names: tuple[str, ...] = event.user.extra.get(_POD_NAME) or (NONE,)
    return names[0]


def _narrow(of: Label, *fields: str) -> tuple[Label, bool]:
    return Narrow(of, frozenset(fields)), False


_LABELS: Final[dict[str, tuple[Label, bool]]] = {
    "user": _narrow(lambda event: event.user.username or NONE),
    "verb": _narrow(lambda event: event.verb or NONE),
    "resource": _narrow(_resource, "object_ref"),
    "namespace": _narrow(_namespace, "object_ref"),
    "code": _narrow(_code, "response_status"),
    "user-agent": _narrow(lambda event: event.user_agent or NONE, "user_agent"),
    "uri": _narrow(lambda event: event.request_uri.partition("?")[0] or NONE),
    "source-ip": (_source_ip, True),
    "pod-name": (_pod_name, True),
}
"""Name → label, and whether it asks for more than `usual.Slim` can have."""

BY: Final = (*_LABELS, "rule")


def label_of(names: Iterable[str], rule: Callable[[Any], str] | None = None) -> tuple[Label, bool]:
    """Give the label of one or several names (then a tuple), and whether it asks for whole events.

    `rule` is the label ``rule``: which rule of a policy decides on the event. Raises DecklogError for a name that is
    none.
    """
    chosen: list[tuple[Label, bool]] = []
    for name in names:
        if name == "rule":
            if rule is None:
                raise DecklogError("--by rule asks which rule of a policy decides: name the policy with --policy FILE")
            chosen.append((rule, True))
        elif name in _LABELS:
            chosen.append(_LABELS[name])
        else:
            raise DecklogError(f"requests cannot be counted by {name!r}: choose among {', '.join(BY)}")
    labels = tuple(label for label, _ in chosen)
    whole = any(needs for _, needs in chosen)
    return (labels[0] if len(labels) == 1 else _together(labels)), whole


def _together(labels: tuple[Label, ...]) -> Label:
    bare = [unwrapped(label)[0] for label in labels]
    fields = frozenset[str]().union(*[unwrapped(label)[1] for label in labels])
    if len(bare) == 2:  # the most frequent numbers go without a list, in half the time
        one, two = bare
        return Narrow(lambda event: (one(event), two(event)), fields)
    if len(bare) == 3:
        first, second, third = bare
        return Narrow(lambda event: (first(event), second(event), third(event)), fields)
    return Narrow(lambda event: tuple([label(event) for label in bare]), fields)


def time_label(label: Label | None, *, fine: bool) -> Label:
    """Give the label of a timeline: when a request was received, to ten seconds (`fine`: to one), paired with `label`.

    Without one it is the time alone: pairs take longer to count.
    """
    end = _SECOND if fine else _TEN_SECONDS
    if label is None:
        return Narrow(lambda event: (event.request_received_timestamp or "")[:end], frozenset())
    bare, fields = unwrapped(label)
    return Narrow(lambda event: ((event.request_received_timestamp or "")[:end], bare(event)), fields)


class Timeline(Struct, frozen=True):
    """Counts of requests in buckets of equal width."""

    start: datetime | None
    """Of the first bucket; None: there is nothing."""
    step_s: int
    counts: tuple[int, ...]
    split: dict[str, tuple[int, ...]]
    """The same by label, the most frequent first; empty if nothing was split."""
    untimed: int
    """Requests whose time of receipt is not known."""

    def times(self) -> list[datetime]:
        """Give the beginning of each bucket."""
        start = self.start or _EPOCH
        return [start + timedelta(seconds=self.step_s * place) for place in range(len(self.counts))]


def timeline(
    tallied: Mapping[Hashable, int],
    *,
    buckets: int,
    split: bool,
    start: datetime | None = None,
    end: datetime | None = None,
    step_s: int | None = None,
    finest_s: int = 10,
) -> Timeline:
    """Put counts by `time_label` into at most `buckets` buckets (or into buckets of `step_s`), in order of time.

    `start` and `end` stretch the window beyond the requests that were found; `finest_s`: no step is shorter. Raises
    DecklogError for a step that makes too many buckets.
    """
    timed: list[tuple[int, str, int]] = []
    untimed = 0
    for key, count in tallied.items():
        time, label = cast(
            "tuple[str, Hashable]", key if isinstance(key, tuple) else (key, "")
        )  # because: `time_label`
        if (second := _seconds(time)) is None:
            untimed += count
        else:
            timed.append((second, " ".join(label) if isinstance(label, tuple) else str(label), count))
    if not timed:
        return Timeline(None, step_s or STEPS[0], (), {}, untimed)
    seconds = [second for second, _, _ in timed]
    first = min(*seconds, _of(start)) if start else min(seconds)
    last = max(*seconds, _of(end) - 1) if end else max(seconds)
    step = step_s or chosen_step(first, last, buckets, finest_s)
    first -= first % step
    number = (last - first) // step + 1
    if number > MOST_BUCKETS:
        raise DecklogError(f"a step of {step} s makes {number:,} buckets: choose a longer one, or a shorter window")
    return Timeline(_EPOCH + timedelta(seconds=first), step, *_filled(timed, first, step, number, split=split), untimed)


def _filled(
    timed: list[tuple[int, str, int]], first: int, step: int, number: int, *, split: bool
) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
    counts = [0] * number
    rows: dict[str, Counter[int]] = {}
    for second, label, count in timed:
        place = (second - first) // step
        counts[place] += count
        if split:
            rows.setdefault(label, Counter())[place] += count
    often = sorted(rows, key=lambda label: (-rows[label].total(), label))
    return tuple(counts), {label: tuple(rows[label][place] for place in range(number)) for label in often}


def _seconds(time: str) -> int | None:
    try:
        return _of(datetime.fromisoformat(time.ljust(_SECOND, "0") + "+00:00")) if time else None
    except ValueError:
        return None


def _of(when: datetime) -> int:
    return (when - _EPOCH) // timedelta(seconds=1)


def chosen_step(first: int, last: int, buckets: int, finest: int) -> int:
    """Choose the width of a bucket, seconds, for times from `first` to `last` in at most `buckets` buckets."""
    for step in STEPS:
        if step >= finest and last // step - first // step < buckets:
            return step
    days = (last - first) // 86_400 // max(buckets - 1, 1) + 1  # one bucket less: the first begins before the window
    return days * 86_400

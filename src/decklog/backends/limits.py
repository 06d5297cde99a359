"""The limits of batching and truncation, and what can be wrong with them, in kube-apiserver's words (spec §7).

Log and webhook have the same flags under two names and are checked alike; `plugin` is ``log`` or ``webhook``. Of each
group only the first problem is told, as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MODES: Final = ("batch", "blocking", "blocking-strict")
VERSION: Final = "audit.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How events are gathered (spec §6.4)."""

    buffer_size: int = 10_000
    """How many events may wait."""
    max_size: int = 400
    """How many events make a full batch; 1: each goes alone, and nobody waits for more."""
    max_wait_s: float = 30.0
    """A batch goes at most this long after its collection began; 0 or less: whatever is there goes at once."""
    throttle: bool = True
    """Whether batches wait for a token."""
    qps: float = 10.0
    """Tokens a second."""
    burst: int = 15
    """How many tokens the bucket holds; it is full in the beginning."""

    def problem(self, plugin: str) -> str | None:
        """Say the first thing that is wrong."""
        numbers: list[tuple[str, float]] = [("buffer size", self.buffer_size), ("max batch size", self.max_size)]
        if self.throttle:
            numbers += [("throttle QPS", self.qps), ("throttle burst", self.burst)]
        for name, number in numbers:
            if not number > 0:  # NaN, too: it would throttle nothing
                given = f"{number:g}" if number % 1 else int(number)
                return f"invalid audit batch {plugin} {name} {given}, must be a positive number"
        return None


@dataclass(frozen=True, slots=True)
class TruncateLimits:
    """How large events and calls may be, in bytes of the encoded events with their newlines (spec §6.5)."""

    max_event_size: int = 102_400
    max_batch_size: int = 10_485_760
    fields: bool = False
    """Whether an event whose metadata is too large is cut field by field instead of being dropped; ours."""

    def problem(self, plugin: str) -> str | None:
        """Say the first thing that is wrong; asked even if truncation is off."""
        size, batch = self.max_event_size, self.max_batch_size
        if size <= 0:
            return f"invalid audit truncate {plugin} max event size {size}, must be a positive number"
        if batch < size:
            return (
                f"invalid audit truncate {plugin} max batch size {batch}, must be greater than max event size ({size})"
            )
        return None


class Limited:
    """What the options of log and webhook have in common: the limits that their flags make."""

    __slots__ = ()
    mode: str
    policy_file: str
    batch_buffer_size: int
    batch_max_size: int
    batch_max_wait: float
    batch_throttle_enable: bool
    batch_throttle_qps: float
    batch_throttle_burst: int
    truncate_max_event_size: int
    truncate_max_batch_size: int

    @property
    def batch(self) -> BatchLimits:
        """What the mode ``batch`` is told."""
        return BatchLimits(
            self.batch_buffer_size,
            self.batch_max_size,
            self.batch_max_wait,
            self.batch_throttle_enable,
            self.batch_throttle_qps,
            self.batch_throttle_burst,
        )

    def truncation(self, *, fields: bool = False) -> TruncateLimits:
        """Say what truncation is told, where it is on; `fields` is --audit-truncate-fields."""
        return TruncateLimits(self.truncate_max_event_size, self.truncate_max_batch_size, fields)

    def own_policy_problems(self, plugin: str) -> list[str]:
        """Say why a backend cannot have a policy of its own."""
        if not self.policy_file or self.mode != "blocking-strict":
            return []
        problem = (
            f"--audit-{plugin}-policy-file could leave out what blocking-strict has to store before a request goes on: "
            f"give --audit-{plugin}-mode blocking, or leave the policy out"
        )
        return [problem]


def problems(plugin: str, mode: str, batch: BatchLimits, truncate: TruncateLimits, version: str) -> list[str]:
    """Say what is wrong with the flags that log and webhook have in common, in kube-apiserver's order."""
    found = (_mode_problem(plugin, mode, batch), truncate.problem(plugin), _version_problem(version))
    return [problem for problem in found if problem is not None]


def _mode_problem(plugin: str, mode: str, batch: BatchLimits) -> str | None:
    if mode not in MODES:
        return f'invalid audit {plugin} mode {mode}, allowed modes are "{",".join(MODES)}"'
    return batch.problem(plugin) if mode == "batch" else None


def _version_problem(version: str) -> str | None:
    if version == VERSION:
        return None
    if version.count("/") > 1:
        return f"unexpected GroupVersion string: {version}"
    return f'invalid group version, allowed versions are ["{VERSION}"]'

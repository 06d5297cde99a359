"""Releases: what a target version of Kubernetes changes in how a policy is read (spec §0).

| Since | What                                                                                              |
|-------|---------------------------------------------------------------------------------------------------|
| 1.12  | `audit.k8s.io/v1`: the oldest target that is known                                                |
| 1.23  | `omitManagedFields`; before, an unknown field                                                     |
| 1.24  | `audit.k8s.io/v1beta1` and `v1alpha1` are refused; before, read as v1, with a warning             |
| 1.26  | unknown and duplicate fields are told in a warning; before, dropped in silence                    |
| 1.36  | ``group: "*"``; before, an invalid group                                                          |
| 1.37  | the newest that is known; a later target is read as this one                                      |
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from decklog.errors import DecklogError

OLDEST: Final = 12
NEWEST: Final = 37

# A patch number, a build ("+k3s1", "-eks-1234", "-gke.1200") and the "+" of managed clusters' minor are let pass.
_SPELLING: Final = re.compile(r"v?1\.(\d{1,3})(\.\d{1,4})?([-+][0-9A-Za-z.+-]{0,64})?", re.ASCII)


class Release(Struct, frozen=True):
    """A minor release of Kubernetes 1, and what policies may say there."""

    minor: int

    @property
    def star_group(self) -> bool:
        """Whether ``group: "*"`` is a group."""
        return self.minor >= 36

    @property
    def omit_managed_fields(self) -> bool:
        """Whether `omitManagedFields` is a field."""
        return self.minor >= 23

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions of audit.k8s.io that are read, the one to write first."""
        return ("v1", "v1beta1", "v1alpha1") if self.minor < 24 else ("v1",)

    @property
    def tells(self) -> bool:
        """Whether kube-apiserver tells of unknown and duplicate fields."""
        return self.minor >= 26

    def __str__(self) -> str:
        return f"1.{self.minor}"


def parse_release(text: str) -> Release:
    """Read a version as clusters spell theirs: ``1.30``, ``v1.30.2``, ``1.27+``, ``v1.29.3+k3s1``.

    Raises DecklogError for anything else, and for versions before 1.12, which have no audit.k8s.io/v1.
    """
    spelled = _SPELLING.fullmatch(text)
    if spelled is None:
        raise DecklogError(f"{text[:40]!r} is not a version of Kubernetes: write the minor release, as in 1.30")
    minor = int(spelled[1])
    if minor < OLDEST:
        raise DecklogError(
            f"Kubernetes 1.{minor} has no audit.k8s.io/v1: the oldest version that can be a target is 1.{OLDEST}"
        )
    return Release(min(minor, NEWEST))

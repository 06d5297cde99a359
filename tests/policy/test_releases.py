from __future__ import annotations

import pytest

from decklog.errors import DecklogError
from decklog.policy.releases import parse_release


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("1.30", 30),
        ("v1.30", 30),
        ("1.12.0", 12),
        ("v1.29.3+k3s1", 29),
        ("v1.31.4-eks-7f9249a", 31),
        ("1.27+", 27),
        ("v1.37.0-beta.0", 37),
        ("1.36.2-gke.1200+abc", 36),
    ],
)
def test_spellings(text: str, minor: int) -> None:
    """A version is read as clusters spell theirs."""
    assert parse_release(text).minor == minor


def test_later_than_known() -> None:
    """A release that is newer than the newest known is read as that one."""
    assert parse_release("1.40") == parse_release("1.37")


@pytest.mark.parametrize(
    "text", ["", "1", "latest", "2.0", "1.x", "1.30 ", " 1.30", "1.30.x", "30", "1.٣٠", "1.30\n", "-1.30"]
)
def test_no_version(text: str) -> None:
    """What is no version is refused, with an example."""
    with pytest.raises(DecklogError, match=r"is not a version of Kubernetes: write the minor release, as in 1\.30"):
        parse_release(text)


def test_too_old() -> None:
    """Releases without audit.k8s.io/v1 are refused."""
    with pytest.raises(DecklogError, match=r"Kubernetes 1\.11 has no audit\.k8s\.io/v1: the oldest .* is 1\.12"):
        parse_release("v1.11.9")


@pytest.mark.parametrize(("what", "since"), [("star_group", 36), ("omit_managed_fields", 23), ("tells", 26)])
def test_what_a_release_has(what: str, since: int) -> None:
    """Each thing is there from its release on, and not before."""
    assert getattr(parse_release(f"1.{since}"), what)
    assert not getattr(parse_release(f"1.{since - 1}"), what)


def test_versions() -> None:
    """The beta versions are read before 1.24."""
    assert parse_release("1.23").versions == ("v1", "v1beta1", "v1alpha1")
    assert parse_release("1.24").versions == ("v1",)

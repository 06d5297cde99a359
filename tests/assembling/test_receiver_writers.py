from __future__ import annotations

import pytest

from decklog.assembling.receiver import writer_prefix


@pytest.mark.parametrize(
    ("cluster", "prefix"),
    [
        ("", "receive-"),
        ("blue", "blue.receive-"),
        ("prod.eu-1", "prod.eu-1.receive-"),
    ],
)
def test_a_cluster_s_name_stands_before_its_writers(cluster: str, prefix: str) -> None:
    """Where it can be a file's name."""
    assert writer_prefix(cluster) == prefix


@pytest.mark.parametrize("cluster", ["a/b", "../x", ".", "..", "a b", "é", "x" * 300, "arn:aws:eks:eu-1:1:cluster/a"])
def test_names_that_are_no_file_names(cluster: str) -> None:
    """They are told apart by a part of their hash, and lead nowhere else."""
    prefix = writer_prefix(cluster)
    assert prefix.startswith("_")
    assert "/" not in prefix
    assert len(prefix) < 100
    assert prefix not in {writer_prefix(cluster + "x"), writer_prefix(cluster.replace("/", "_"))}

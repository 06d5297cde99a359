from __future__ import annotations

import re

from decklog.store.writers import writer_name

CLUSTERS = [
    "blue",
    "Blue",
    "a/b",
    "a_b",
    "../x",
    ".",
    "..",
    "a b",
    "é",
    "x" * 300,
    "x" * 301,
    "arn:aws:eks:eu-1:1:cluster/a",
]


def test_doors_of_several_clusters_share_a_store() -> None:
    """Each has folders of its own, whatever the cluster's name; without a name they are called plainly."""
    assert writer_name("receive", "") == "receive"
    names = [writer_name("receive", cluster) for cluster in CLUSTERS]
    assert len(set(names)) == len(CLUSTERS)
    assert all(re.fullmatch(r"receive-[a-z0-9-]{0,40}-[0-9a-f]{8}", name) for name in names)

from __future__ import annotations

import re

from decklog.assembling.receiver import writer_prefix

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


def test_receivers_of_several_clusters_share_a_store() -> None:
    """Each has folders of its own, whatever the cluster's name; without a name they are called plainly."""
    assert writer_prefix("") == "receive-"
    prefixes = [writer_prefix(cluster) for cluster in CLUSTERS]
    assert len(set(prefixes)) == len(CLUSTERS)
    assert all(re.fullmatch(r"receive-[a-z0-9-]{0,40}-[0-9a-f]{8}-", prefix) for prefix in prefixes)

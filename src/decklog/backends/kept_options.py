"""The flags of the store as a backend."""

from __future__ import annotations

from dataclasses import dataclass

from decklog.options import option


@dataclass(frozen=True, slots=True)
class KeptOptions:
    """Events that go straight into a store, on this machine."""

    store: str = option(
        "--store",
        "",
        "Put events into the store in this directory, each synced before its request goes on; made if it is missing. "
        "Unset: into none.",
        metavar="DIR",
    )
    cluster: str = option(
        "--cluster", "", "The name of the cluster whose events these are, where a store keeps several.", metavar="NAME"
    )
    mode: str = option(
        "--store-mode",
        "blocking",
        "blocking: a request waits until its events are stored, a failure is counted. blocking-strict: a request whose "
        "RequestReceived event cannot be stored is refused.",
        choices=("blocking", "blocking-strict"),
    )
    writer: str = ""
    """The folder of the journal in the store: each worker has its own."""

    @property
    def enabled(self) -> bool:
        """Tell whether events go into a store at all."""
        return bool(self.store)

"""``decklog store``: looking after a store. Its commands are imported when they are called, as the program's own."""

from __future__ import annotations

from decklog.cli.helm import Entry, Helm

command = Helm(
    "store",
    {
        "check": Entry("decklog.cli.store_check", "Check that everything that was stored is still as it was."),
        "stats": Entry("decklog.cli.store_stats", "Show what a store holds: events, bytes, days, clusters, gaps."),
        "compact": Entry("decklog.cli.store_compact", "Seal finished journals, and compact the days that are over."),
        "retain": Entry("decklog.cli.store_retain", "Delete what is older than its age, or show what would go."),
        "quarantine": Entry("decklog.cli.store_quarantine", "List what came and could not be read as events."),
    },
    help="Look after a store: check, compact, delete by age.",
    epilog="Example: decklog store check --store /var/lib/decklog",
)

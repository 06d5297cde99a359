from __future__ import annotations

from decklog.audit.sink import Backend, DeliveryError, Sink
from decklog.testing import MemoryBackend


def test_a_delivery_error_tells_backend_count_and_cause() -> None:
    """The text names the plugin, how many events are lost, and why."""
    assert str(DeliveryError("log", 1, "disk full")) == "audit backend log: 1 event not stored: disk full"
    assert str(DeliveryError("webhook", 3, OSError("gone"))) == "audit backend webhook: 3 events not stored: gone"


def test_the_contracts_can_be_checked_at_run_time() -> None:
    """A backend is known by its methods, and is a sink."""
    assert isinstance(MemoryBackend(), Backend)
    assert isinstance(MemoryBackend(), Sink)
    assert not isinstance(object(), Sink)

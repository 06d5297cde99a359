"""What holds for all tests: examples may take their time to be made, as machines may be busy with something else."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("decklog", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("decklog")

from __future__ import annotations

import pytest

from decklog.backends.log_options import LogOptions
from decklog.config import AuditOptions, GatewaySettings
from decklog.errors import DecklogError
from decklog.gateway.identity_options import IdentityOptions
from decklog.gateway.options import GatewayOptions
from decklog.listener import ListenerOptions, cores

TO_STDOUT = AuditOptions(log=LogOptions(path="-"))


def test_every_problem_is_told_at_once() -> None:
    """Of the listener, the identities, the limits and the backends."""
    settings = GatewaySettings(
        audit=AuditOptions(log=LogOptions(path="audit.log", max_age_days=-1)),
        gateway=GatewayOptions(max_connections=0),
        identity=IdentityOptions(token_cache_ttl_s=-1),
        listener=ListenerOptions(key_file="tls.key"),
    )
    with pytest.raises(DecklogError) as told:
        settings.check("127.0.0.1")
    for flag in ("--tls-cert-file", "--token-cache-ttl", "--max-connections", "--audit-log-maxage"):
        assert flag in str(told.value)


def test_several_workers_do_not_share_standard_output() -> None:
    """Unless told, there is one; told otherwise, it is an error."""
    assert GatewaySettings(audit=TO_STDOUT).workers == 1
    assert GatewaySettings().workers == cores()
    assert GatewaySettings(listener=ListenerOptions(workers=3)).workers == 3
    with pytest.raises(DecklogError, match="--audit-log-path - needs --workers 1"):
        GatewaySettings(audit=TO_STDOUT, listener=ListenerOptions(workers=2)).check("127.0.0.1")
    GatewaySettings(audit=TO_STDOUT, listener=ListenerOptions(workers=1)).check("127.0.0.1")

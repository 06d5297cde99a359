"""The two ways in which everything has to work: plain on both sides, and TLS on both sides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from decklog import certificates
from gateway.scripted_upstream import ScriptedUpstream

if TYPE_CHECKING:
    from gateway.running_gateway import Setting
    from gateway.scripted_upstream import Script


def now() -> datetime:
    return datetime.now(UTC)


@cache
def authority() -> certificates.KeyPair:
    """One authority for all tests of a run."""
    return certificates.authority("gateway tests", clock=now, lifetime=timedelta(hours=1))


@cache
def server() -> certificates.KeyPair:
    """What both servers show: the gateway and the upstream."""
    return certificates.server_certificate(authority(), ["127.0.0.1"], clock=now, lifetime=timedelta(hours=1))


class Transport:
    """Plain on both sides."""

    def upstream(self, script: Script) -> ScriptedUpstream:
        return ScriptedUpstream(script)

    def setting(self, setting: Setting) -> Setting:
        return setting


class Tls(Transport):
    """TLS on both sides."""

    def upstream(self, script: Script) -> ScriptedUpstream:
        return ScriptedUpstream(script, certificates.server_context(server()))

    def setting(self, setting: Setting) -> Setting:
        return replace(
            setting,
            tls=certificates.server_context(server(), authority().certificate_pem),
            upstream_tls=certificates.client_context(authority().certificate_pem),
            client_tls=certificates.client_context(authority().certificate_pem),
        )


PLAIN = Transport()
TLS = Tls()

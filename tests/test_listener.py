from __future__ import annotations

import os

import pytest

from decklog.errors import DecklogError
from decklog.listener import ListenerOptions, cores

TLS = {"certificate_file": "tls.crt", "key_file": "tls.key"}
GOOD = {
    "a throwaway certificate": ("0.0.0.0", {}, ""),
    "a throwaway certificate, and a CA for clients": ("127.0.0.1", {"client_ca_file": "ca.crt"}, ""),
    "plain HTTP on loopback": ("127.0.0.1", {"insecure": True}, ""),
    "plain HTTP on IPv6 loopback": ("::1", {"insecure": True}, ""),
    "plain HTTP on localhost": ("localhost", {"insecure": True}, ""),
    "TLS for everybody": ("0.0.0.0", TLS, ""),
    "certificates of clients": ("0.0.0.0", {**TLS, "client_ca_file": "ca.crt", "require_client_certificate": True}, ""),
    "certificates of proxies": ("0.0.0.0", {**TLS, "require_client_certificate": True}, "proxies.crt"),
}
WRONG = {
    "plain HTTP for everybody": ("0.0.0.0", {"insecure": True}, "", "plain HTTP on 0.0.0.0"),
    "plain HTTP under a name": ("gateway.example", {"insecure": True}, "", "plain HTTP on gateway.example"),
    "a certificate without its key": ("127.0.0.1", {"certificate_file": "tls.crt"}, "", "go together"),
    "a CA without TLS": (
        "127.0.0.1",
        {"insecure": True, "client_ca_file": "ca.crt"},
        "",
        "client certificates need TLS",
    ),
    "a proxy's CA without TLS": ("127.0.0.1", {"insecure": True}, "proxies.crt", "client certificates need TLS"),
    "TLS and none": ("127.0.0.1", {**TLS, "insecure": True}, "", "--insecure means no TLS at all"),
    "required by nobody": ("127.0.0.1", {**TLS, "require_client_certificate": True}, "", "needs --client-ca-file"),
    "workers below zero": ("127.0.0.1", {"workers": -1}, "", "--workers -1"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_can_be(name: str) -> None:
    """It is taken."""
    host, given, proxies = GOOD[name]
    ListenerOptions(**given).check(host, front_proxy_ca_file=proxies)  # type: ignore[arg-type]  # because: a table


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be(name: str) -> None:
    """It is refused, with the flags that would be right."""
    host, given, proxies, said = WRONG[name]
    with pytest.raises(DecklogError, match=said):
        ListenerOptions(**given).check(host, front_proxy_ca_file=proxies)  # type: ignore[arg-type]  # because: a table


def test_cores_are_those_that_may_be_used() -> None:
    """At least one, at most those of the machine."""
    assert 1 <= cores() <= (os.cpu_count() or 1)

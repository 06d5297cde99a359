from __future__ import annotations

from dataclasses import replace

import pytest

from decklog.config import ReceiverSettings
from decklog.config_file import known
from decklog.errors import DecklogError
from decklog.receiving.options import ReceiverListenerOptions, ReceiverOptions

TLS = ReceiverListenerOptions("tls.crt", "tls.key", client_ca_file="ca.crt")
OPTIONS = ReceiverOptions(store="store", allowed_clients="a, b ,")
PLAIN = ReceiverListenerOptions(insecure=True)


@pytest.mark.parametrize(
    ("listener", "options", "host"),
    [
        (TLS, OPTIONS, "0.0.0.0"),
        (replace(TLS, client_ca_file=""), ReceiverOptions(store="store", token_file="tokens"), "0.0.0.0"),
        (TLS, replace(OPTIONS, token_file="tokens"), "::"),
        (PLAIN, ReceiverOptions(store="store"), "127.0.0.1"),
        (PLAIN, ReceiverOptions(store="store", token_file="tokens"), "::1"),
    ],
)
def test_what_can_be(listener: ReceiverListenerOptions, options: ReceiverOptions, host: str) -> None:
    """A certificate or a token over TLS; plain HTTP on loopback."""
    options.check(listener, host)


@pytest.mark.parametrize(
    ("listener", "options", "host", "texts"),
    [
        (ReceiverListenerOptions(), ReceiverOptions(), "::", ["--store is", "--tls-cert-file", "nobody may send"]),
        (PLAIN, ReceiverOptions(store="s"), "0.0.0.0", ["listen on 127.0.0.1"]),
        (PLAIN, OPTIONS, "127.0.0.1", ["--allowed-clients needs --client-ca-file"]),
        (TLS, ReceiverOptions(store="s"), "::", ["--client-ca-file needs --allowed-clients"]),
        (TLS, replace(OPTIONS, sender_key_file="x"), "::", ["--sender-cert-file and"]),
        (TLS, replace(OPTIONS, free_bytes=-1, idle_timeout_s=0), "::", ["--min-free-bytes", "--idle-timeout 0"]),
    ],
)  # fmt: skip
def test_what_cannot_be(
    listener: ReceiverListenerOptions, options: ReceiverOptions, host: str, texts: list[str]
) -> None:
    """Everything that is wrong in one error."""
    with pytest.raises(DecklogError) as error:
        options.check(listener, host)
    assert [text for text in texts if text not in str(error.value)] == []


def test_a_certificate_is_required_unless_a_token_is_as_good() -> None:
    """Whoever shows none is turned away in the handshake."""
    assert OPTIONS.allowed == {"a", "b"}
    assert ReceiverSettings(receiver=OPTIONS, listener=TLS).tls.require_client_certificate
    assert not ReceiverSettings(receiver=replace(OPTIONS, token_file="t"), listener=TLS).tls.require_client_certificate
    assert not ReceiverSettings(receiver=OPTIONS, listener=PLAIN).tls.require_client_certificate


def test_all_of_it_may_stand_in_a_configuration_file() -> None:
    """As every door's options."""
    assert {"store", "allowed-clients", "token-file", "max-body-bytes", "min-free-bytes"} <= known().keys()

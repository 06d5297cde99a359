from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ask.logs import event, log
from decklog import certificates
from decklog.assembling.web import WebDoor, WebSettings
from decklog.errors import DecklogError
from decklog.web.options import WebListenerOptions, WebOptions

if TYPE_CHECKING:
    from pathlib import Path


def test_the_names_of_the_certificate_are_taken_as_hosts(tmp_path: Path) -> None:
    """Under whatever name the certificate is for, and whatever was allowed besides, the pages are reached."""
    ca = certificates.authority("ca", clock=lambda: datetime.now(UTC), lifetime=timedelta(days=2))
    pair = certificates.server_certificate(
        ca, ["Audit.example", "192.0.2.7"], clock=lambda: datetime.now(UTC), lifetime=timedelta(days=1)
    )
    certificates.write(pair, tmp_path / "crt", tmp_path / "key")
    (tmp_path / "tokens").write_text("0123456789abcdef,alice\n")
    listener = WebListenerOptions(str(tmp_path / "tokens"), str(tmp_path / "crt"), str(tmp_path / "key"))
    files = (str(log(tmp_path / "audit.log", event())),)
    settings = WebSettings("0.0.0.0:0", files, web=WebOptions("Deck.example, [::1]"), listener=listener)
    door = WebDoor(settings, lambda _: None)
    assert door._hosts() == {"audit.example", "192.0.2.7", "deck.example", "::1"}


def test_what_cannot_be_shown_is_told_before_serving(tmp_path: Path) -> None:
    """A log that is not there, a store that is none and standard input are errors of the constructor."""
    for settings in (
        WebSettings(files=(str(tmp_path / "none.log"),)),
        WebSettings(store=str(tmp_path / "none")),
        WebSettings(files=("-",)),
    ):
        with pytest.raises(DecklogError):
            WebDoor(settings, lambda _: None)

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from decklog import certificates
from decklog.errors import DecklogError
from decklog.options import flags
from decklog.sandbox.identities import DEMO, Account, accounts, issue
from decklog.sandbox.options import SandboxOptions


def real() -> datetime:
    return datetime.now(UTC)


def test_more_accounts_come_from_the_option() -> None:
    """The option adds accounts to those of the demo, each with its role."""
    found = accounts(SandboxOptions(users="dana=view, erik=cluster-admin"))
    assert found == (*DEMO, Account("dana", (), "view"), Account("erik", (), "cluster-admin"))
    assert accounts(SandboxOptions()) == DEMO


@pytest.mark.parametrize("users", ["dana", "dana=boss", "=view", "alice=view", "dana=view,dana=edit"])
def test_accounts_that_make_no_sense_are_refused(users: str) -> None:
    """A missing name, an unknown role and a name given twice are the user's mistake."""
    with pytest.raises(DecklogError, match="--sandbox-users"):
        accounts(SandboxOptions(users=users))


def test_options_are_documented_once() -> None:
    """The options carry their flags, so that CLI and reference pages have one source."""
    assert [flag.name for flag in flags(SandboxOptions)] == ["--kubeconfig-out", "--sandbox-users"]


def test_kubeconfig_has_everything_for_everybody() -> None:
    """A kubeconfig embeds the authority, and for each account a certificate and a token, in contexts of their names."""
    credentials = issue(DEMO, ["127.0.0.1"], clock=real, new_token=iter(["t1", "t2", "t3", "t4"]).__next__)
    config = json.loads(credentials.kubeconfig("https://127.0.0.1:6443", "alice"))
    assert config["current-context"] == "alice"
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    names = [account.name for account in DEMO]
    assert [context["name"] for context in config["contexts"]] == [*names, *(f"{name}-token" for name in names)]
    users = {entry["name"]: entry["user"] for entry in config["users"]}
    pem = base64.b64decode(users["alice"]["client-certificate-data"])
    assert certificates.identity(pem).organizations == ("team-leads",)
    assert users["bob-token"] == {"token": "t3"}
    assert credentials.tokens["t3"].username == "bob"


def test_credentials_keep_their_secrets() -> None:
    """Neither keys nor tokens show when credentials land in a diagnostic."""
    credentials = issue(DEMO, ["127.0.0.1"], clock=real, new_token=lambda: "a secret token")
    assert "PRIVATE KEY" not in repr(credentials)
    assert "a secret token" not in repr(credentials)

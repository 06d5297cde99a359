"""Recorded runs: requests.jsonl, audit.log and what stands beside them, as values.

The layout is that of the corpus: a run's folder holds policy.yaml, flags.txt, requests.jsonl and audit.log;
identities.json and bodies.jsonl stand in it or one folder up.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from decklog.audit.event import User

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Row = dict[str, Any]


@dataclass(frozen=True)
class Body:
    """A recorded body: its bytes, or only their beginning."""

    data: bytes
    length: int

    @property
    def cut(self) -> int | None:
        """The whole length when only the beginning is there."""
        return self.length if self.length > len(self.data) else None


@dataclass(frozen=True)
class Excuse:
    """Fields of some cases that no recorder can derive, with the reason."""

    fields: tuple[str, ...]
    compare: str
    reason: str


@dataclass(frozen=True)
class Run:
    """One recorded run of a real server."""

    folder: Path

    def _beside(self, name: str) -> Path | None:
        return next((path for path in (self.folder / name, self.folder.parent / name) if path.is_file()), None)

    @cached_property
    def identities(self) -> dict[str, Any]:
        """identities.json."""
        path = self._beside("identities.json")
        return json.loads(path.read_text("utf-8")) if path else {"identities": {}}

    @cached_property
    def exceptions(self) -> dict[str, list[Excuse]]:
        """What cannot be compared, by case."""
        found: dict[str, list[Excuse]] = {}
        for entry in self.identities.get("exceptions", ()):
            exception = Excuse(tuple(entry["fields"]), entry.get("compare", ""), entry["reason"])
            for case in entry["cases"]:
                found.setdefault(case, []).append(exception)
        return found

    @cached_property
    def not_contained(self) -> frozenset[str]:
        """Cases whose submitted object the server prunes or converts."""
        return frozenset(self.identities.get("not_contained", {}).get("cases", ()))

    @cached_property
    def lines(self) -> list[bytes]:
        """The server's log, a line an event."""
        return (self.folder / "audit.log").read_bytes().split(b"\n")

    @property
    def legacy(self) -> bool:
        """Whether the log is in the legacy format."""
        flags = self.folder / "flags.txt"
        return flags.is_file() and "--audit-log-format=legacy" in flags.read_text("utf-8")

    @cached_property
    def rows(self) -> list[Row]:
        """requests.jsonl."""
        text = (self.folder / "requests.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines() if line]

    @cached_property
    def _restored(self) -> dict[tuple[int, str], Row]:
        path = self._beside("bodies.jsonl")
        if path is None:
            return {}
        entries = (json.loads(line) for line in path.read_text("utf-8").splitlines() if line)
        return {(entry["seq"], entry["part"]): entry for entry in entries if entry["run"] == self.folder.name}

    def body(self, row: Row, part: str) -> Body:
        """Give the `request` or `response` body of a row, whole where it can be restored."""
        recorded = row.get("body") if part == "request" else (row.get("response") or {}).get("body")
        if not recorded:
            return Body(b"", 0)
        data = base64.b64decode(recorded["base64"]) if "base64" in recorded else raw(recorded["text"])
        length = recorded["len"] if "sha256" in recorded else len(data)  # replaced tokens change the length, not more
        entry = self._restored.get((row["seq"], part))
        if entry is not None and length > len(data):
            data = _restore(entry, data, length)
            if hashlib.sha256(data).hexdigest() != recorded["sha256"]:
                raise ValueError(
                    f"{self.folder.name} seq {row['seq']}: the restored {part} body does not match its hash"
                )
        return Body(data, max(length, len(data)))

    def user(self, row: Row) -> User | None:
        """Say who sent a row's request; None: nobody that the server knows (401)."""
        identities = self.identities["identities"]
        if "anon" not in identities:
            raise ValueError(f"{self.folder.name}: no identities.json with 'anon' stands in it or one folder up")
        identity = identities.get(row["identity"], {})
        if identity.get("user") and "tokens" not in identity and row["identity"] != "anon":
            return self._as_user(identity)
        if "user_from" in identity:
            return _front_proxy(row)
        token = _token(row)
        if token:
            for other in identities.values():
                if token in other.get("tokens", ()):
                    return self._as_user(other)
            return None
        if identity.get("outcome") == "401":
            return None
        return self._as_user(identities["anon"])

    def _as_user(self, identity: dict[str, Any]) -> User:
        user = identity["user"]
        uid = self._service_account_uid if "uid_from" in identity else user.get("uid", "")
        extra: dict[str, tuple[str, ...] | None] = {
            key: tuple(values) for key, values in sorted(user.get("extra", {}).items())
        }
        return User(user["username"], uid, tuple(user.get("groups", ())), extra)

    @cached_property
    def _service_account_uid(self) -> str:
        """The uid that this run's server gave to the service account: in the answer to its creation."""
        for row in self.rows:
            if row["case"] == "setup-sa-default-oracle":
                return str(json.loads(self.body(row, "response").data)["metadata"]["uid"])
        return ""


def raw(text: str) -> bytes:
    """Give the bytes of a recorded text (bad UTF-8 stands in it as surrogate escapes)."""
    return text.encode("utf-8", "surrogateescape")


def headers(row: Row) -> list[tuple[bytes, bytes]]:
    """Give a row's request headers as a door has them: lower-case names, bytes."""
    return [(raw(name.lower()), raw(value)) for name, value in row["headers"]]


def response_header(row: Row, name: str) -> str:
    """Give one response header, or ''."""
    pairs = (row.get("response") or {}).get("headers", ())
    return next((value for key, value in pairs if key.lower() == name), "")


def _restore(entry: Row, beginning: bytes, length: int) -> bytes:
    if "text" in entry:
        return raw(entry["text"])
    tail = raw(entry["tail"])
    return beginning + raw(entry["fill"]) * (length - len(beginning) - len(tail)) + tail


def _token(row: Row) -> str:
    """Read the bearer token as the server does: the scheme in any case, or a websocket subprotocol."""
    for name, value in row["headers"]:
        if name.lower() == "authorization":
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                return str(token.strip())
        if name.lower() == "sec-websocket-protocol":
            for protocol in _protocols(value):
                return protocol
    return ""


def _protocols(value: str) -> Iterator[str]:
    prefix = "base64url.bearer.authorization.k8s.io."
    for protocol in value.split(","):
        if protocol.strip().startswith(prefix):
            text = protocol.strip().removeprefix(prefix)
            yield base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def _front_proxy(row: Row) -> User | None:
    """Read the user that an authenticating front proxy names (X-Remote-*)."""
    pairs = [(name.lower(), value) for name, value in row["headers"]]
    name = next((value for key, value in pairs if key == "x-remote-user"), "")
    if not name:
        return None
    groups = tuple(value for key, value in pairs if key == "x-remote-group")
    known = {"system:authenticated", "system:unauthenticated"} & set(groups)
    uid = next((value for key, value in pairs if key == "x-remote-uid"), "")
    extra: dict[str, list[str]] = {}
    for key, value in pairs:
        if key.startswith("x-remote-extra-"):
            extra.setdefault(unquote(key.removeprefix("x-remote-extra-")), []).append(value)
    return User(
        name,
        uid,
        groups if known else (*groups, "system:authenticated"),
        {key: tuple(extra[key]) for key in sorted(extra)},
    )

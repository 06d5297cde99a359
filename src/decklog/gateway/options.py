"""What can be tuned in the gateway's engine: limits and deadlines."""

from __future__ import annotations

from dataclasses import dataclass

from decklog.errors import DecklogError
from decklog.options import Seconds, option


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Limits, deadlines and what is written beside kube-apiserver's own events."""

    exec_annotations: bool = option(
        "--exec-annotations",
        default=True,
        help="Write command, container, tty and stdin of exec, attach and portforward requests into annotations "
        "(decklog/exec-command …). Off: events are as kube-apiserver's.",
    )
    prefer_json: bool = option(
        "--prefer-json",
        default=False,
        help="Ask the upstream for JSON when the client takes it as well as protobuf: then the answer can be recorded.",
    )
    audit_id: str = option(
        "--audit-id",
        "keep",
        "What becomes of a client's Audit-ID: kept, as kube-apiserver does, or replaced where it is no UUID.",
        choices=("keep", "replace-odd"),
    )
    head_timeout_s: float = option(
        "--head-timeout", Seconds(10), "How long a client may take to send the head of a request."
    )
    idle_timeout_s: float = option("--idle-timeout", Seconds(90), "How long a connection without a request stays open.")
    body_grace_s: float = option(
        "--body-grace",
        Seconds(10),
        "How long a request's body may stand still; later it has to come with 1 KiB a second on the average.",
    )
    connect_timeout_s: float = option(
        "--upstream-connect-timeout", Seconds(10), "How long to wait for a connection to the upstream, TLS included."
    )
    response_timeout_s: float = option(
        "--upstream-response-timeout",
        Seconds(75),
        "How long to wait for an answer to begin; watches and other long-running requests are waited for without end.",
    )
    max_connections: int = option("--max-connections", 20_000, "Connections of clients at most, a worker.")
    max_connections_per_address: int = option(
        "--max-connections-per-address", 0, "Connections of one client address at most, a worker; 0: no limit."
    )
    head_limit_bytes: int = 1 << 20
    """Bytes of a head at most, as Go's server."""
    buffer_bytes: int = 256 * 1024
    """Bytes that may wait in one direction before its other end is not read any more."""

    def check(self) -> None:
        """Raise DecklogError for values that cannot be."""
        for name, value in (
            ("--head-timeout", self.head_timeout_s),
            ("--idle-timeout", self.idle_timeout_s),
            ("--upstream-connect-timeout", self.connect_timeout_s),
            ("--upstream-response-timeout", self.response_timeout_s),
            ("--max-connections", self.max_connections),
        ):
            if value <= 0:
                raise DecklogError(f"{name} {value:g}: give a value above 0")
        if self.max_connections_per_address < 0:
            raise DecklogError("--max-connections-per-address cannot be negative: give 0 for no limit")

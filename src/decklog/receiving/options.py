"""What can be tuned in the receiver: where it keeps, who may send, limits and deadlines."""

from __future__ import annotations

from dataclasses import dataclass

from decklog.errors import DecklogError
from decklog.listener import ListenerOptions
from decklog.options import Seconds, option

ADDRESS = "127.0.0.1:8445"
"""Where the receiver listens unless told otherwise."""
ANYBODY = "*"
"""The allow-list that lets in whomever the CA has signed."""


@dataclass(frozen=True, slots=True)
class ReceiverListenerOptions(ListenerOptions):
    """The receiver's listener, and how many workers serve it."""

    certificate_file: str = option(
        "--tls-cert-file",
        "",
        "The certificate that senders see, and its intermediates after it, in PEM. Read again when it changes. "
        "`decklog certificates` makes one.",
        metavar="FILE",
    )
    client_ca_file: str = option(
        "--client-ca-file",
        "",
        "The authorities whose client certificates are taken, of those whom --allowed-clients names. Read again when "
        "it changes.",
        metavar="FILE",
    )
    insecure: bool = option(
        "--insecure",
        default=False,
        help="Serve plain HTTP, on loopback only; without --token-file whoever is on this machine may send.",
    )
    workers: int = option(
        "--workers", 0, "Processes that serve, each with a journal of its own. 0: one a core.", metavar="NUMBER"
    )


@dataclass(frozen=True, slots=True)
class ReceiverOptions:
    """Where events are kept, who may send them, and how much at once."""

    store: str = option("--store", "", "The directory that keeps the events; made if it is missing.", metavar="DIR")
    cluster: str = option(
        "--cluster", "", "The name of the cluster whose events these are, where a store keeps several.", metavar="NAME"
    )

    allowed_clients: str = option(
        "--allowed-clients",
        "",
        "Who may send: names that a client certificate bears as its CN or among its SANs, with commas between them; "
        "* lets in everybody whom --client-ca-file has signed.",
        metavar="NAMES",
    )
    token_file: str = option(
        "--token-file",
        "",
        "Take senders that show one of the bearer tokens in this file, one a line, too. Read again when it changes.",
        metavar="FILE",
    )
    body_limit_bytes: int = option(
        "--max-body-bytes", 256 << 20, "Bytes of a body at most, unpacked; more is answered 413.", metavar="BYTES"
    )
    free_bytes: int = option(
        "--min-free-bytes",
        1 << 30,
        "So much of the store's file system stays free: below it senders are answered 503 and try again later.",
        metavar="BYTES",
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
    body_timeout_s: float = option(
        "--body-timeout", Seconds(300), "How long a request's body may take to come in all, however fast it comes."
    )
    max_connections: int = option(
        "--max-receiver-connections",
        4096,
        "Connections at most, a worker; one more takes the place of the one that has been idle for the longest.",
    )
    max_connections_per_address: int = option(
        "--max-connections-per-address", 0, "Connections of one client address at most, a worker; 0: no limit."
    )
    kubeconfig_out: str = option(
        "--kubeconfig-out",
        "",
        "Write the file that kube-apiserver's --audit-webhook-config-file wants, mode 0600.",
        metavar="FILE",
    )
    kubeconfig_out_server: str = option(
        "--kubeconfig-out-server",
        "",
        "The address that it names, where senders reach this receiver otherwise than by --listen.",
        metavar="URL",
    )
    sender_certificate_file: str = option(
        "--sender-cert-file",
        "",
        "The client certificate that --kubeconfig-out holds; `decklog certificates` makes one.",
        metavar="FILE",
    )
    sender_key_file: str = option("--sender-private-key-file", "", "Its private key.", metavar="FILE")
    head_limit_bytes: int = 64 * 1024
    """Bytes of a head at most."""
    memory_bytes: int = 48 << 20
    """Bytes of all bodies that are held in memory at most; what is more goes to disk while it comes."""
    spill_bytes: int = 1 << 20
    """Bytes of one body that are held in memory at most."""

    @property
    def allowed(self) -> frozenset[str]:
        """The names of those who may send."""
        return frozenset(name for name in (part.strip() for part in self.allowed_clients.split(",")) if name)

    def check(self, listener: ListenerOptions, host: str) -> None:
        """Raise DecklogError with everything that cannot be."""
        problems = [] if self.store else ["--store is missing: give the directory that keeps the events"]
        problems += [*self._odd_values(), *self._odd_senders(listener)]
        try:
            listener.check(host)
        except DecklogError as error:
            problems.insert(0, str(error))
        if problems:
            raise DecklogError("; ".join(problems))

    def _odd_senders(self, listener: ListenerOptions) -> list[str]:
        problems = []
        if not listener.insecure:
            if not listener.certificate_file:
                problems.append("--tls-cert-file is missing: give one (decklog certificates DIR makes one)")
            if not (listener.client_ca_file or self.token_file):
                problems.append("nobody may send yet: give --client-ca-file and --allowed-clients, or --token-file")
        if listener.client_ca_file and not self.allowed:
            problems.append("--client-ca-file needs --allowed-clients: name those who may send, or * for all of them")
        if self.allowed and not listener.client_ca_file:
            problems.append("--allowed-clients needs --client-ca-file FILE to verify them")
        if bool(self.sender_certificate_file) != bool(self.sender_key_file):
            problems.append("--sender-cert-file and --sender-private-key-file go together: give both, or neither")
        return problems

    def _odd_values(self) -> list[str]:
        positive: tuple[tuple[str, float], ...] = (
            ("--max-body-bytes", self.body_limit_bytes),
            ("--head-timeout", self.head_timeout_s),
            ("--idle-timeout", self.idle_timeout_s),
            ("--body-timeout", self.body_timeout_s),
            ("--max-receiver-connections", self.max_connections),
        )
        problems = [f"{name} {value:g}: give a value above 0" for name, value in positive if value <= 0]
        if self.free_bytes < 0 or self.max_connections_per_address < 0:
            problems.append("--min-free-bytes and --max-connections-per-address cannot be negative: give 0 for none")
        return problems

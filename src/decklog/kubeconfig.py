"""kubeconfig: where a server is and how to prove who we are, as kubectl's files say it. Knows nothing of audit.

Read once at the start, as kube-apiserver reads its webhooks' files; only a token file is read again when it changes.
Relative paths are relative to the file. Unknown keys are ignored, as there.

| what | kube-apiserver | here | why |
|---|---|---|---|
| proxy-url, exec | used | refused, by name | an audit trail takes no detours; nothing is run |
| a name and password in the server's address | sent, also over plain HTTP | refused | they would be told in clear |
| an address that cannot be used | fails at every call | refused at the start | found before serving |
| an empty kubeconfig in a pod | the pod's own cluster | refused | events go where somebody said |
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from decklog.errors import DecklogError

_LIMIT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """A server and the credentials for it."""

    server: str
    """With its scheme: ``https://127.0.0.1:6443/path``."""
    ca_pem: bytes = b""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    client_certificate_pem: bytes = field(default=b"", repr=False)
    client_key_pem: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def tls(self) -> bool:
        """Whether the server is reached over TLS."""
        return self.server.startswith("https://")

    @property
    def has_credentials(self) -> bool:
        """Whether there is anything to prove who we are."""
        return bool(self.token or self.token_file or self.username or self.client_certificate_pem)

    def ssl_context(self) -> ssl.SSLContext:
        """Make the context of the connection. Raises DecklogError for certificates that cannot be used."""
        try:
            # What stands between certificates is for people, in any alphabet; OpenSSL takes ASCII only. The line break
            # keeps a CA of nothing else from being none, which would mean the system's.
            authorities = self.ca_pem.decode("ascii", "ignore") + "\n" if self.ca_pem else None
            context = ssl.create_default_context(cadata=authorities)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            # As Go verifies: an intermediate may be trusted by itself, and a CA without the identifiers that Python
            # asks for from 3.13 on (openssl req -x509 of old) is one.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if self.insecure_skip_tls_verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.client_certificate_pem:
                self._load_pair(context)
        except (OSError, ValueError) as error:
            raise DecklogError(
                f"the certificates of the kubeconfig for {self.server} cannot be used: {error}"
            ) from error
        return context

    def _load_pair(self, context: ssl.SSLContext) -> None:
        """Load certificate and key, which OpenSSL takes from files only: one in memory, so no disk sees the key."""
        with os.fdopen(os.memfd_create("decklog"), "wb") as file:
            file.write(self.client_certificate_pem + b"\n" + self.client_key_pem)
            file.flush()
            # The empty password keeps OpenSSL from asking for one on the terminal when the key is encrypted.
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password="")


def load(path: str | Path) -> ClusterAccess:
    """Read a kubeconfig: the current context's cluster and user. Raises DecklogError that names file and key."""
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(_LIMIT + 1)
    except OSError as error:
        raise DecklogError(f"cannot read the kubeconfig {file}: {error.strerror}: give another file") from error
    if len(data) > _LIMIT:
        raise DecklogError(f"{file} is larger than {_LIMIT} bytes: is it a kubeconfig?")
    try:
        config = yaml.safe_load(data)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        place = getattr(error, "problem_mark", None)
        where = f":{place.line + 1}:{place.column + 1}" if place is not None else ""
        raise DecklogError(f"{file}{where}: not YAML: {getattr(error, 'problem', None) or 'cannot be read'}") from error
    if config is None:
        raise DecklogError(
            f"{file}: invalid configuration: no configuration has been provided: write clusters and contexts"
        )
    if not isinstance(config, dict):
        raise DecklogError(f"{file}: a kubeconfig is a mapping with clusters, users and contexts")
    return _Reader(file, config).access()


@dataclass(frozen=True, slots=True)
class _Reader:
    file: Path
    config: dict[str, Any]

    def access(self) -> ClusterAccess:
        current = str(self.config.get("current-context") or "")
        context = self._entry("contexts", "context", current)
        if current and context is None:
            raise self._wrong(f"current-context {current!r} is not among the contexts")
        cluster = self._entry("clusters", "cluster", str((context or {}).get("cluster") or "")) or {}
        user = self._entry("users", "user", str((context or {}).get("user") or "")) or {}
        server = self._server(str(cluster.get("server") or ""))
        self._refuse_unsupported(cluster, user)
        return ClusterAccess(
            server,
            self._material(cluster, "certificate-authority"),
            bool(cluster.get("insecure-skip-tls-verify")),
            str(cluster.get("tls-server-name") or ""),
            self._material(user, "client-certificate"),
            self._material(user, "client-key"),
            str(user.get("token") or ""),
            self._token_file(user),
            str(user.get("username") or ""),
            str(user.get("password") or ""),
        )

    def _server(self, server: str) -> str:
        """Give the address with its scheme. The text of an error does not show it: it may hold a password."""
        if not server:
            raise self._wrong("invalid configuration: default cluster has no server defined")
        address = server if "://" in server else f"http://{server}"
        try:
            parts = urlsplit(address)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise self._wrong("server is no address: write https://HOST:PORT/PATH") from None
        if "@" in parts.netloc:
            raise self._wrong("server holds a name or password: write them to the user's username and password")
        if not usable:
            raise self._wrong("server is no address: write https://HOST:PORT/PATH")
        return parts.geturl()

    def _entry(self, kind: str, key: str, name: str) -> dict[str, Any] | None:
        entries = self.config.get(kind) or []
        if not isinstance(entries, list):
            raise self._wrong(f"{kind} is a list of names with a {key} each")
        for entry in entries:
            if isinstance(entry, dict) and str(entry.get("name") or "") == name:
                found = entry.get(key) or {}
                return found if isinstance(found, dict) else {}
        return None

    def _refuse_unsupported(self, cluster: dict[str, Any], user: dict[str, Any]) -> None:
        if cluster.get("proxy-url"):
            raise self._wrong("proxy-url is not supported: let the server be reached directly, or remove the key")
        if cluster.get("insecure-skip-tls-verify") and any(
            cluster.get(key) for key in ("certificate-authority", "certificate-authority-data")
        ):
            raise self._wrong("certificate-authority and insecure-skip-tls-verify exclude each other: remove one")
        for key in ("exec", "auth-provider"):
            if user.get(key):
                raise self._wrong(f"{key} is not supported here: use a token, tokenFile or a client certificate")

    def _material(self, entry: dict[str, Any], key: str) -> bytes:
        """Give certificate material: the data in the file wins over the path, as in client-go."""
        data = entry.get(f"{key}-data")
        if data:
            try:
                return base64.b64decode(str(data), validate=True)
            except binascii.Error as error:
                raise self._wrong(f"{key}-data is not base64") from error
        path = entry.get(key)
        if not path:
            return b""
        file = self._beside(str(path))
        try:
            material = file.read_bytes()
        except OSError as error:
            raise self._wrong(f"{key}: cannot read {file}: {error.strerror}") from error
        if not material:
            raise self._wrong(f"{key}: {file} is empty")
        return material

    def _token_file(self, user: dict[str, Any]) -> str:
        path = user.get("tokenFile")
        if not path:
            return ""
        file = self._beside(str(path))
        if not file.is_file():
            raise self._wrong(f"tokenFile: {file} is not there")
        return str(file)

    def _beside(self, path: str) -> Path:
        return self.file.parent / path

    def _wrong(self, text: str) -> DecklogError:
        return DecklogError(f"{self.file}: {text}")

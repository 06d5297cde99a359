"""kubeconfig: where a server is and how to prove who we are, as kubectl's files say it. Knows nothing of audit.

Read once at the start, as kube-apiserver reads its webhooks' files; only a token file is read again when it changes.
Relative paths are relative to the file. Unknown keys are ignored, as there.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

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
            context = ssl.create_default_context(cadata=self.ca_pem.decode("ascii") if self.ca_pem else None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.insecure_skip_tls_verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.client_certificate_pem:
                self._load_pair(context)
        except (ssl.SSLError, ValueError) as error:
            raise DecklogError(
                f"the certificates of the kubeconfig for {self.server} cannot be used: {error}"
            ) from error
        return context

    def _load_pair(self, context: ssl.SSLContext) -> None:
        """Load certificate and key, which OpenSSL takes from files only; they are gone again at once."""
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
            certificate.write_bytes(self.client_certificate_pem)
            key.touch(mode=0o600)
            key.write_bytes(self.client_key_pem or self.client_certificate_pem)
            context.load_cert_chain(certificate, key)


def load(path: str | Path) -> ClusterAccess:
    """Read a kubeconfig: the current context's cluster and user. Raises DecklogError that names file and key."""
    file = Path(path)
    try:
        data = file.read_bytes()[: _LIMIT + 1]
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
        server = str(cluster.get("server") or "")
        if not server:
            raise self._wrong("invalid configuration: default cluster has no server defined")
        self._refuse_unsupported(cluster, user)
        return ClusterAccess(
            server if "://" in server else f"http://{server}",
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
            return file.read_bytes()
        except OSError as error:
            raise self._wrong(f"{key}: cannot read {file}: {error.strerror}") from error

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

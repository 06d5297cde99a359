"""kubeconfig: where a server is and how to prove who we are, as kubectl's files say it. Knows nothing of audit.

Only reads: `load` gives the values at this moment and names the files that they came from, for those who want to read
them again. Relative paths are relative to the file. Unknown keys are ignored, as in kube-apiserver.

A client certificate reaches OpenSSL through a file in memory (memfd): Linux only, as decklog is.

| what | kube-apiserver | here | why |
|---|---|---|---|
| proxy-url | used | refused, by name | an audit trail takes no detours |
| exec | run | refused, unless the caller of `load` allows it | nothing is run where nobody asked |
| a name and password in the server's address | sent, also over plain HTTP | refused | they would be told in clear |
| an address that cannot be used | fails at every call | refused at the start | found before serving |
| an empty kubeconfig in a pod | the pod's own cluster | refused | events go where somebody said |
"""

from __future__ import annotations

import base64
import json
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from decklog.errors import DecklogError

EXEC_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
"""The versions of the exec plugins' protocol that are spoken."""

_LIMIT: Final = 1 << 20
_EXTENSION: Final = "client.authentication.k8s.io/exec"


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A program that prints credentials, as a user of a kubeconfig names it. It is read here, not run."""

    api_version: str
    command: str
    """A name for PATH, or a path (one relative to the kubeconfig is resolved already)."""
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    install_hint: str = ""
    provide_cluster_info: bool = False
    cluster_config: str = ""
    """JSON that the kubeconfig keeps for the plugin in the cluster's extensions; empty: none."""


@dataclass(frozen=True, slots=True)
class Context:
    """A context of a kubeconfig, by its names alone."""

    name: str
    cluster: str
    user: str
    namespace: str = ""


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
    plugin: ExecPlugin | None = None
    impersonated: str = ""
    """Whom the kubeconfig wants to be impersonated (``as``). Nobody here does that."""
    files: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """What was read for all this, without the token's file: where it came from, not what it is."""

    @property
    def tls(self) -> bool:
        """Whether the server is reached over TLS."""
        return self.server.startswith("https://")

    @property
    def has_credentials(self) -> bool:
        """Whether there is anything to prove who we are."""
        return bool(self.token or self.token_file or self.username or self.client_certificate_pem)

    def ssl_context(self, *, own_certificate: bool = True) -> ssl.SSLContext:
        """Make the context of a connection, with the client certificate or without.

        The system's CAs are trusted where none is given. Raises DecklogError for certificates that cannot be used.
        """
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
            if own_certificate and self.client_certificate_pem:
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


def load(path: str | Path, context: str = "", *, allow_exec: bool = False) -> ClusterAccess:
    """Read a kubeconfig: cluster and user of `context`, or of the current one.

    With `allow_exec` a user may name an exec plugin, which the caller then runs. Raises DecklogError that names file
    and key.
    """
    return _reader(path).access(context, allow_exec=allow_exec)


def contexts(path: str | Path, context: str = "") -> tuple[Context, ...]:
    """List the contexts that lead to the cluster of `context` (or of the current one); that one is the first.

    Raises DecklogError as `load` does.
    """
    return _reader(path).contexts(context)


def named_files(file: Path, path: str) -> tuple[str, ...]:
    """Name the files that a kubeconfig's current context names: certificates, key, token. None of those is looked at.

    For a kubeconfig that somebody reads at `path`, elsewhere than here: in a container. A relative name is relative to
    that. Raises OSError where `file` cannot be read, and DecklogError for what is no kubeconfig, or names no server.
    """
    return _Reader(Path(path), _parsed(Path(path), _read(file))).named_files()


def _reader(path: str | Path) -> _Reader:
    file = Path(path)
    try:
        data = _read(file)
    except OSError as error:
        raise DecklogError(f"cannot read the kubeconfig {file}: {error.strerror}: give another file") from error
    return _Reader(file, _parsed(file, data))


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_LIMIT + 1)


def _parsed(file: Path, data: bytes) -> dict[str, Any]:
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
    return config


@dataclass(frozen=True, slots=True)
class _Reader:
    file: Path
    config: dict[str, Any]

    def access(self, context: str, *, allow_exec: bool) -> ClusterAccess:
        chosen = self._context(context)
        cluster = self._entry("clusters", "cluster", chosen.cluster) or {}
        user = self._entry("users", "user", chosen.user) or {}
        server = self._server(str(cluster.get("server") or ""))
        self._refuse_unsupported(cluster, user, allow_exec=allow_exec)
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
            self._plugin(cluster, user),
            str(user.get("as") or user.get("as-uid") or user.get("as-groups") or ""),
            self._files((cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key")),
        )

    def contexts(self, context: str) -> tuple[Context, ...]:
        chosen = self._context(context)
        found = [self._context(name) for name in self._names("contexts")]
        others = {entry.name: entry for entry in found if entry.cluster == chosen.cluster and entry != chosen}
        return (chosen, *others.values()) if chosen.name else tuple(others.values())

    def named_files(self) -> tuple[str, ...]:
        chosen = self._context("")
        cluster = self._entry("clusters", "cluster", chosen.cluster) or {}
        user = self._entry("users", "user", chosen.user) or {}
        self._server(str(cluster.get("server") or ""))
        materials = (cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key")
        token = [str(self._beside(str(user["tokenFile"])))] if user.get("tokenFile") else []
        return tuple(dict.fromkeys(os.path.normpath(each) for each in (*self._files(*materials)[1:], *token)))

    def _context(self, name: str) -> Context:
        """Find a context, or the current one. No current-context is a context without names, as in client-go."""
        current = name or str(self.config.get("current-context") or "")
        found = self._entry("contexts", "context", current)
        if found is None and current:
            known = ", ".join(self._names("contexts")) or "none"
            which = "context" if name else "current-context"
            raise self._wrong(f"{which} {current!r} is not among the contexts: give one of: {known}")
        keys = ("cluster", "user", "namespace")
        return Context(current, *(str((found or {}).get(key) or "") for key in keys))

    def _names(self, kind: str) -> list[str]:
        entries = self.config.get(kind) or []
        if not isinstance(entries, list):
            return []
        return [str(entry["name"]) for entry in entries if isinstance(entry, dict) and entry.get("name")]

    def _server(self, server: str) -> str:
        """Give the address with its scheme. The text of an error does not show it: it may hold a password."""
        if not server:
            raise self._wrong(
                "invalid configuration: default cluster has no server defined: choose a context whose cluster has one"
            )
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

    def _refuse_unsupported(self, cluster: dict[str, Any], user: dict[str, Any], *, allow_exec: bool) -> None:
        if cluster.get("proxy-url"):
            raise self._wrong("proxy-url is not supported: let the server be reached directly, or remove the key")
        if cluster.get("insecure-skip-tls-verify") and any(
            cluster.get(key) for key in ("certificate-authority", "certificate-authority-data")
        ):
            raise self._wrong("certificate-authority and insecure-skip-tls-verify exclude each other: remove one")
        for key in ("auth-provider",) if allow_exec else ("exec", "auth-provider"):
            if user.get(key):
                raise self._wrong(f"{key} is not supported here: use a token, tokenFile or a client certificate")

    def _plugin(self, cluster: dict[str, Any], user: dict[str, Any]) -> ExecPlugin | None:
        entry = user.get("exec")
        if not entry:
            return None
        if not isinstance(entry, dict) or not entry.get("command"):
            raise self._wrong("exec: names no command: write command and apiVersion")
        version = str(entry.get("apiVersion") or "")
        if version not in EXEC_VERSIONS:
            raise self._wrong(f"exec: apiVersion {version!r} is not supported: use {EXEC_VERSIONS[0]}")
        self._check_interactive(version, str(entry.get("interactiveMode") or ""))
        command = str(entry["command"])
        return ExecPlugin(
            version,
            str(self._beside(command)) if os.sep in command else command,
            tuple(str(arg) for arg in self._list(entry, "args")),
            tuple((str(item["name"]), str(item.get("value") or "")) for item in self._list(entry, "env", "name")),
            str(entry.get("installHint") or ""),
            bool(entry.get("provideClusterInfo")),
            self._cluster_config(cluster),
        )

    def _check_interactive(self, version: str, mode: str) -> None:
        """Nobody sits at a terminal: a plugin that needs one cannot be run. v1 demands that the mode is said."""
        if mode == "Always":
            raise self._wrong("exec: interactiveMode Always needs a terminal: use a plugin that asks nobody")
        if mode not in {"Never", "IfAvailable"} and (mode or version == EXEC_VERSIONS[0]):
            raise self._wrong(f"exec: interactiveMode {mode!r} is none of Never, IfAvailable, Always")

    def _list(self, entry: dict[str, Any], key: str, needs: str = "") -> list[Any]:
        items = entry.get(key) or []
        if not isinstance(items, list) or (needs and not all(isinstance(i, dict) and i.get(needs) for i in items)):
            raise self._wrong(f"exec: {key} is a list{' of entries with a ' + needs if needs else ''}")
        return items

    def _cluster_config(self, cluster: dict[str, Any]) -> str:
        extensions = cluster.get("extensions") or []
        for entry in extensions if isinstance(extensions, list) else []:
            if isinstance(entry, dict) and entry.get("name") == _EXTENSION:
                try:
                    # A date in YAML is text in JSON.
                    return json.dumps(entry.get("extension"), default=str, allow_nan=False)
                except (TypeError, ValueError, RecursionError) as error:
                    raise self._wrong(f"the extension {_EXTENSION} of the cluster cannot be told in JSON") from error
        return ""

    def _files(self, *materials: tuple[dict[str, Any], str]) -> tuple[str, ...]:
        """Name this file and those of certificates that are not written into it."""
        beside = [self._beside(str(e[key])) for e, key in materials if e.get(key) and not e.get(f"{key}-data")]
        return (str(self.file), *map(str, beside))

    def _material(self, entry: dict[str, Any], key: str) -> bytes:
        """Give certificate material: the data in the file wins over the path, as in client-go."""
        data = entry.get(f"{key}-data")
        if data:
            try:
                # Line breaks may stand in it, as Go's decoder lets them.
                return base64.b64decode("".join(str(data).splitlines()), validate=True)
            except ValueError as error:
                raise self._wrong(f"{key}-data is not base64") from error
        path = entry.get(key)
        if not path:
            return b""
        file = self._beside(str(path))
        try:
            material = file.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a path that no file system has
            raise self._wrong(f"{key}: cannot read {file}: {getattr(error, 'strerror', None) or error}") from error
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
        # Absolute: a command without a slash would be looked up in PATH.
        return self.file.parent.absolute() / path

    def _wrong(self, text: str) -> DecklogError:
        return DecklogError(f"{self.file}: {text}")

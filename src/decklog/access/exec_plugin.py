"""Exec plugins: programs that print credentials (``aws eks get-token``, ``gke-gcloud-auth-plugin``, ``kubelogin``).

The protocol is client.authentication.k8s.io, v1 and v1beta1: the program finds what it is asked in
``KUBERNETES_EXEC_INFO`` and prints an ExecCredential. It runs beside the loop, in a session of its own, within a
deadline; past that it is ended with all that it has started.

What it prints is never logged nor shown, on stdout or on stderr: who knows what stands there.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003  # because: msgspec reads the annotation at run time
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping

    from decklog.kubeconfig import ClusterAccess, ExecPlugin

DEADLINE_S: Final = 30.0
"""How long a plugin may take. Those of the clouds ask a server and need one to three seconds."""

_OUTPUT_LIMIT: Final = 1 << 20
_KIND: Final = "ExecCredential"


@dataclass(frozen=True, slots=True)
class Issued:
    """What a plugin gave: a token, a client certificate with its key, or both."""

    token: str = field(default="", repr=False)
    certificate_pem: bytes = field(default=b"", repr=False)
    key_pem: bytes = field(default=b"", repr=False)
    expires: datetime | None = None
    """None: nobody knows; it is good until the server refuses it."""


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _Credential(msgspec.Struct, rename="camel"):
    kind: str = ""
    api_version: str = ""
    status: _Status | None = None


_DECODER: Final = msgspec.json.Decoder(_Credential)


async def run(access: ClusterAccess, *, environ: Mapping[str, str], deadline_s: float = DEADLINE_S) -> Issued:
    """Run the plugin of `access` and read what it prints. Raises DecklogError, with the kubeconfig's installHint."""
    plugin = access.plugin
    if plugin is None:
        raise DecklogError("there is no exec plugin to run: name one in the kubeconfig's user")
    try:
        return _read(await _output(plugin, _environment(plugin, access, environ), deadline_s), plugin.api_version)
    except _PluginError as failure:
        hint = plugin.install_hint.strip() or "run it by hand to see what it says"
        raise DecklogError(f"the exec plugin {plugin.command!r} {failure}: {hint}") from None


class _PluginError(Exception):
    """What the plugin did wrong, in words that hold nothing of what it printed."""


def _environment(plugin: ExecPlugin, access: ClusterAccess, environ: Mapping[str, str]) -> dict[str, str]:
    return {**environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": _question(plugin, access)}


def _question(plugin: ExecPlugin, access: ClusterAccess) -> str:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.provide_cluster_info:
        cluster: dict[str, Any] = {"server": access.server}
        if access.tls_server_name:
            cluster["tls-server-name"] = access.tls_server_name
        if access.insecure_skip_tls_verify:
            cluster["insecure-skip-tls-verify"] = True
        if access.ca_pem:
            cluster["certificate-authority-data"] = base64.b64encode(access.ca_pem).decode()
        if plugin.cluster_config:
            cluster["config"] = json.loads(plugin.cluster_config)
        spec["cluster"] = cluster
    return json.dumps({"kind": _KIND, "apiVersion": plugin.api_version, "spec": spec})


async def _output(plugin: ExecPlugin, environment: dict[str, str], deadline_s: float) -> bytes:
    program = shutil.which(plugin.command, path=environment.get("PATH"))
    if program is None:
        raise _PluginError("is not there")
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *plugin.args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _PluginError(f"cannot be started ({getattr(error, 'strerror', None) or 'odd arguments'})") from error
    try:
        async with asyncio.timeout(deadline_s):
            data = await _printed(process)
            code = await process.wait()
    except TimeoutError:
        raise _PluginError(f"gave no answer within {deadline_s:g} s") from None
    finally:
        if process.returncode is None:
            await _end(process)
    if code != 0:
        raise _PluginError(f"failed with exit code {code}")
    return data


async def _printed(process: Process) -> bytes:
    stdout = process.stdout
    data = bytearray()
    while stdout is not None and (chunk := await stdout.read(65536)):
        data += chunk
        if len(data) > _OUTPUT_LIMIT:
            raise _PluginError(f"printed more than {_OUTPUT_LIMIT} bytes")
    return bytes(data)


async def _end(process: Process) -> None:
    """End the plugin and what it has started, and take what it had still to say, so that the pipe is closed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its own session: the group bears its id
    await process.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while process.stdout is not None and await process.stdout.read(65536):
                pass


def _read(data: bytes, version: str) -> Issued:
    try:
        credential = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):  # no cause: its text may quote what was printed
        raise _PluginError(f"printed no {_KIND}") from None
    if credential.kind != _KIND or credential.api_version != version:
        raise _PluginError(f"printed no {_KIND} of {version}, which the kubeconfig names")
    status = credential.status or _Status()
    token = status.token or ""
    certificate, key = status.client_certificate_data or "", status.client_key_data or ""
    if not token and not certificate and not key:
        raise _PluginError("printed no credentials")
    if bool(certificate) != bool(key):
        raise _PluginError("printed a certificate without its key, or a key without its certificate")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise _PluginError("printed a token that no header can carry")
    return Issued(token, certificate.encode(), key.encode(), status.expiration_timestamp)

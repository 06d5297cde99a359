"""Discovering: what a cluster serves, from documents in a file or from the cluster of a kubeconfig."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from decklog.access import from_kubeconfig
from decklog.errors import DecklogError
from decklog.policy.discovery import MAX_BYTES, parse, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from decklog.access import Access
    from decklog.policy.kinds import Kind

DEADLINE_S: Final = 20.0
_AGGREGATED: Final = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


def discover(path: str, context: str = "") -> tuple[Kind, ...]:
    """Read discovery documents, or ask the cluster of a kubeconfig's context. Raises DecklogError."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no path"
        raise DecklogError(f"{path} cannot be read: {reason.lower()}: check the path") from None
    if data.lstrip()[:1] in {b"{", b"["} and b'"Config"' not in data[:4096]:
        return parse(data, source=path)
    return asyncio.run(_ask(path, context))


async def _ask(path: str, context: str) -> tuple[Kind, ...]:
    async with from_kubeconfig(path, context, environ=os.environ) as access:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
                return await _Server(access, session).kinds()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = str(error) or "no answer in time"
            raise DecklogError(f"cannot ask {access.server} what it serves: {said[:200]}") from None


class _Server:
    """One cluster's discovery; a server that does not know the aggregated form is asked group by group."""

    def __init__(self, access: Access, session: aiohttp.ClientSession) -> None:
        self._access = access
        self._session = session

    async def kinds(self) -> tuple[Kind, ...]:
        """Give everything that the cluster serves."""
        found: list[Kind] = []
        for root in ("/api", "/apis"):
            data, kind = await self._get(root)
            if kind == "APIGroupDiscoveryList":
                found += parse(data, source=f"{self._access.server}{root}") if b'"resource"' in data else ()
                continue
            for path in _versions(data, root):
                answer, kind = await self._get(path)
                if kind == "APIResourceList":
                    found += parse(answer, source=f"{self._access.server}{path}")
                else:
                    found.append(unknown(path.split("/")[2]))
        return tuple(found)

    async def _get(self, path: str) -> tuple[bytes, str]:
        headers = {"Accept": _AGGREGATED}
        authorization = self._access.authorization()
        if authorization is not None:
            headers["Authorization"] = authorization.decode("latin-1")
        url = f"{self._access.server.rstrip('/')}{path}"
        context = self._access.ssl_context(own_certificate=True)
        name = self._access.server_name if context is not None else None
        async with self._session.get(
            url, headers=headers, ssl=context or True, server_hostname=name, allow_redirects=False
        ) as answer:
            data = await answer.content.read(MAX_BYTES + 1) if answer.status == 200 else b""
            while data and len(data) <= MAX_BYTES and (more := await answer.content.read(MAX_BYTES)):
                data += more
            if answer.status != 200 and path in {"/api", "/apis"}:
                raise DecklogError(
                    f"{self._access.server} answers {answer.status} to {path}: check who the kubeconfig's user is"
                )
        return data, _kind(data)


def _kind(data: bytes) -> str:
    import json  # noqa: PLC0415  # because: the answers of the old form only

    try:
        document = json.loads(data or b"{}")
    except ValueError:
        return ""
    return str(document.get("kind")) if isinstance(document, dict) else ""


def _versions(data: bytes, root: str) -> Iterator[str]:
    import json  # noqa: PLC0415  # because: the same

    document = json.loads(data)
    if root == "/api":
        yield from (f"/api/{version}" for version in document.get("versions") or [])
    for group in document.get("groups") or []:
        for version in group.get("versions") or []:
            yield f"/apis/{version['groupVersion']}"

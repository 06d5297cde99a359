from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decklog.audit.wire import decode_event

if TYPE_CHECKING:
    import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_orders_example_audits_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty lines of application: who asked for which order, and whether it was found; health checks are not told."""
    log = tmp_path / "audit.log"
    monkeypatch.setenv("DECKLOG_EXAMPLE_LOG", str(log))
    spec = importlib.util.spec_from_file_location("orders", EXAMPLES / "orders.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    async def visits() -> list[int]:
        return [
            await _get(module.audited, "/orders/7", (b"authorization", b"Basic YWxpY2U6eA==")),
            await _get(module.audited, "/orders/8"),
            await _get(module.audited, "/healthz"),
        ]

    assert asyncio.run(visits()) == [200, 404, 404]
    events = [decode_event(line) for line in log.read_bytes().splitlines()]
    assert [(event.user.username, event.request_uri, event.annotations) for event in events] == [
        ("alice", "/orders/7", {"shop.example/found": "yes"}),
        ("system:anonymous", "/orders/8", {"shop.example/found": "no"}),
    ]


async def _get(app: Any, path: str, *headers: tuple[bytes, bytes]) -> int:
    codes: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        if "status" in message:
            codes.append(message["status"])

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": list(headers),
        "client": None,
    }
    await app(scope, receive, send)
    return codes[0]

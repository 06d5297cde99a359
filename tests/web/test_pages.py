from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ask.logs import event, life, log, ref
from decklog.audit.event import Stage, Status, User
from decklog.web.scanned import Files
from web.web_client import Door

if TYPE_CHECKING:
    from pathlib import Path

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"replicas": 1},
}


def body(**changes: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({**DEPLOYMENT, **changes}))


def at(second: int) -> dict[str, str]:
    time = f"2026-03-01T10:00:{second:02}.000000Z"
    return {"request_received_timestamp": time, "stage_timestamp": time.replace(".000", ".250")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log in which alice makes, scales and deletes a deployment, bob is refused, and a controller lists."""
    alice, bob = User("alice", groups=("dev",)), User("bob")
    secret = msgspec.Raw(b'{"kind":"Secret","metadata":{"name":"db"},"data":{"password":"aHVudGVyMg=="}}')
    return log(
        tmp_path / "audit.log",
        event(
            **at(1),
            audit_id="made",
            verb="create",
            user=alice,
            level="RequestResponse",
            response_status=Status(code=201),
            response_object=body(),
        ),
        event(
            **at(2),
            audit_id="scaled",
            verb="update",
            user=alice,
            level="RequestResponse",
            response_object=body(spec={"replicas": 3}),
        ),
        event(
            **at(3),
            audit_id="refused",
            verb="delete",
            user=bob,
            response_status=Status(code=403, reason="Forbidden"),
            annotations={"authorization.k8s.io/decision": "forbid"},
        ),
        *life(Stage.REQUEST_RECEIVED, Stage.RESPONSE_COMPLETE, **at(4), audit_id="deleted", user=alice),
        event(
            **at(5),
            audit_id="listed",
            verb="list",
            user=User("system:serviceaccount:kube-system:x"),
            object_ref=ref("pods"),
        ),
        event(
            **at(6),
            audit_id="secret",
            verb="create",
            user=alice,
            level="Request",
            object_ref=ref("secrets", name="db"),
            request_object=secret,
        ),
        event(
            **at(7),
            audit_id="exec",
            verb="create",
            user=alice,
            request_uri="/api/v1/namespaces/shop/pods/web-0/exec?command=sh&stdin=true",
            object_ref=ref("pods", name="web-0", subresource="exec"),
            response_status=Status(code=101),
        ),
    )


@pytest.fixture
def door(path: Path) -> Door:
    return Door(Files([str(path)]))


def ids(answer: Any) -> list[str]:
    return [one["auditID"] for one in answer.json["requests"]]


LOGS: dict[str, tuple[str, list[str]]] = {
    "everything, newest first": ("", ["exec", "secret", "listed", "deleted", "refused", "scaled", "made"]),
    "a verb": ("verb=delete", ["deleted", "refused"]),
    "one of two verbs": ("verb=list&verb=update", ["listed", "scaled"]),
    "people only": ("humans=1", ["exec", "secret", "deleted", "refused", "scaled", "made"]),
    "machines only": ("machines=1", ["listed"]),
    "not a user": ("user=-alice", ["listed", "refused"]),
    "failed": ("failed-only=1", ["refused"]),
    "failed with another code": ("failed-only=1&code=2xx", []),
    "a resource by a short name": ("resource=deploy", ["deleted", "refused", "scaled", "made"]),
    "a time": ("after=2026-03-01T10:00:06Z", ["exec", "secret"]),
    "a stretch": ("after=2026-03-01T10:00:02Z&until=2026-03-01T10:00:04Z", ["refused", "scaled"]),
    "a text in the body": ("text=aHVudGVyMg", ["secret"]),
    "an address": ("source-ip=10.0.0.0/8&code=403", ["refused"]),
    "no such thing": ("verb=patch", []),
}


@pytest.mark.parametrize(("query", "expected"), LOGS.values(), ids=LOGS.keys())
def test_the_log_answers_the_words_of_the_command_line(door: Door, query: str, expected: list[str]) -> None:
    """A field of the address is a flag of `decklog query`."""
    answer = door.look(f"/log.json?{query}")
    assert ids(answer) == expected
    assert answer.json["total"] == len(expected)
    assert door.look(f"/log?{query}").status == 200


def test_the_command_line_of_a_page_is_pasted_as_it_is(door: Door, path: Path) -> None:
    """The page says what to type for the same answer; nothing in it acts on a shell or a terminal."""
    answer = door.look("/log.json?user=al%27ice&name=a%1b%5b31m&verb=get%3Brm&humans=1&namespace=")
    assert answer.json["command"] == (
        f"decklog query -f {path} '--user=al'\"'\"'ice' $'--name=a\\x1b[31m' '--verb=get;rm' --humans"
    )


def test_a_field_that_cannot_be_read_is_told_beside_it(door: Door) -> None:
    """What is wrong stands at its field; the others keep what was written."""
    answer = door.look("/log?since=yesterdayish&user=alice")
    assert answer.status == 400
    assert 'id="p-since"' in answer.text
    assert "is not a time" in answer.text
    assert 'value="alice"' in answer.text
    assert door.look("/log.json?since=yesterdayish").status == 400
    assert door.look("/log.json?code=9000").json["problems"]["code"].startswith("'9000' is not an HTTP code")


@pytest.mark.parametrize("target", ["/log.csv?since=soon", "/log/live?since=soon", "/who?user=alice&since=soon"])
def test_a_field_that_cannot_be_read_is_named_where_there_is_no_form(door: Door, target: str) -> None:
    """The sheet, the live tail and other pages say which field it is, too."""
    answer = door.look(target)
    assert answer.status == 400
    assert "since: " in answer.text


def test_a_place_that_is_none_is_not_taken_for_the_first_page(door: Door) -> None:
    """An address that was cut short says so, and shows no other page."""
    answer = door.look("/log.json?before=2026")
    assert (answer.status, "no place between two pages" in answer.json["error"]) == (400, True)


def test_pages_of_the_log_follow_one_another(tmp_path: Path) -> None:
    """Older pages go on where the last one ended; each request is on one page."""
    events = [event(audit_id=f"id-{number:03}", **at(number // 4)) for number in range(120)]
    door = Door(Files([str(log(tmp_path / "audit.log", *events))]))
    seen: list[str] = []
    target = "/log.json"
    while target:
        answer = door.look(target)
        seen += ids(answer)
        target = answer.json["older"].replace("/log?", "/log.json?")
    assert seen == sorted((f"id-{number:03}" for number in range(120)), reverse=True)


def test_facets_count_and_lead_on(door: Door) -> None:
    """Each value has its count, an address that asks for it, and one that leaves it out."""
    choices = {one["name"]: one["values"] for one in door.look("/log.json").json["choices"]}
    assert [(one["value"], one["count"]) for one in choices["user"]] == [("alice", 5), ("bob", 1)]
    assert [one["value"] for one in choices["machine"]] == ["system:serviceaccount:kube-system:x"]
    for values in choices.values():
        for one in values:
            assert door.look(one["only"].replace("/log?", "/log.json?")).json["total"] == one["count"]
            rest = door.look(one["without"].replace("/log?", "/log.json?")).json["total"]
            assert rest == 7 - one["count"]


def test_bars_add_up_and_lead_on(door: Door) -> None:
    """The histogram has every request once, and each bar leads to its own."""
    found = door.look("/log.json").json["histogram"]
    assert sum(bar["count"] for bar in found["bars"]) == 7
    assert sum(bar["failed"] for bar in found["bars"]) == 1
    for bar in found["bars"]:
        assert door.look(bar["href"].replace("/log?", "/log.json?")).json["total"] == bar["count"]


def test_a_request_is_told_in_six_sentences(door: Door) -> None:
    """The page of a request answers the six questions, and says what its record holds."""
    answer = door.look("/request?uid=deleted&at=2026-03-01T10:00:04.000000Z")
    for question in ("Who?", "When?", "Which namespace?", "From where?", "What response?", "What happened?"):
        assert f"<dt>{question}</dt>" in answer.text
    assert "alice deleted" in answer.text
    assert [one["stage"] for one in door.look("/request.json?uid=deleted").json["requests"][0]["stages"]] == [
        "RequestReceived",
        "ResponseComplete",
    ]


def test_what_a_secret_holds_is_not_shown(door: Door) -> None:
    """A recorded body of a Secret shows its keys, never its values: on the request's page and on the object's."""
    for target in ("/request?uid=secret", "/request.json?uid=secret", "/objects/core/secrets/shop/db"):
        text = door.look(target).text
        assert "aHVudGVyMg" not in text
        assert "password" in text
        assert "hidden" in text


def test_an_object_tells_its_life(door: Door) -> None:
    """Each change stands with who made it and what changed; attempts are left out until asked for."""
    page = door.look("/objects/apps/deployments/shop/web.json").json
    assert [(deed["request"]["user"], deed["words"]) for deed in page["deeds"]] == [
        ("alice", "deleted it"),
        ("alice", "updated it"),
        ("alice", "created it"),
    ]
    assert page["deeds"][1]["differences"] == [{"sign": "~", "path": "spec.replicas", "old": "1", "new": "3"}]
    assert (page["hidden"], page["gone"]) == (1, True)
    tried = door.look("/objects/apps/deployments/shop/web.json?attempts=1").json
    assert [deed["words"] for deed in tried["deeds"]][1] == "tried to delete it (403)"


def test_an_object_is_shown_as_it_was_at_a_time(door: Door) -> None:
    """The manifest is that of the time that is asked for."""
    then = door.look("/objects/apps/deployments/shop/web.json?at=2026-03-01T10:00:01.5Z").json
    later = door.look("/objects/apps/deployments/shop/web.json?at=2026-03-01T10:00:03Z").json
    assert "  replicas: 1" in then["manifest"]
    assert "  replicas: 3" in later["manifest"]
    assert "is not a time" in door.look("/objects/apps/deployments/shop/web?at=soonish").text


@pytest.mark.parametrize("target", ["/objects", "/objects/apps", "/objects/a/b/c/d/e", "/objects//x//y", "/objects/"])
def test_an_address_that_names_no_object_says_so(door: Door, target: str) -> None:
    """The answer is a page that says how an object is named, not an error of ours."""
    assert door.look(target).status in {400, 404}


def test_a_user_is_told(door: Door) -> None:
    """What was used, refused and entered stands on one page, with the least role for it."""
    page = door.look("/who.json?user=alice").json
    assert (page["total"], page["first"][:19], page["last"][:19]) == (5, "2026-03-01T10:00:01", "2026-03-01T10:00:07")
    assert {row["resource"] for row in page["heat"]} == {"deployments.apps", "secrets", "pods/exec"}
    assert page["sessions"][0]["words"] == "sh"
    assert "kind: Role" in page["role"]
    bob = door.look("/who.json?user=bob").json
    assert [one["auditID"] for one in bob["denials"]] == ["refused"]
    for row in page["heat"]:
        for cell in row["cells"]:
            if cell["count"]:
                assert door.look(cell["href"].replace("/log?", "/log.json?")).json["total"] == cell["count"]


def test_those_who_did_most_are_listed(door: Door) -> None:
    """Without a name, people and machines stand apart."""
    page = door.look("/who.json").json
    assert [one["name"] for one in page["people"]] == ["alice", "bob"]
    assert [one["name"] for one in page["machines"]] == ["system:serviceaccount:kube-system:x"]


def test_a_sheet_has_no_formulas(tmp_path: Path) -> None:
    """A cell that a spreadsheet could take for a formula is text."""
    path = log(tmp_path / "audit.log", event(user=User('=cmd|" /C calc"!A1'), user_agent="@SUM(1)"))
    rows = list(csv.DictReader(io.StringIO(Door(Files([str(path)])).look("/log.csv").text)))
    assert (rows[0]["user"], rows[0]["userAgent"]) == ('\'=cmd|" /C calc"!A1', "'@SUM(1)")


def test_an_empty_log_says_what_to_do(tmp_path: Path) -> None:
    """Without events each page says so, and what next."""
    door = Door(Files([str(log(tmp_path / "audit.log"))]))
    assert "There are no events yet." in door.look("/log").text
    assert "Nobody of this name is in the log." in door.look("/who?user=alice").text
    assert door.look("/request?uid=nothing").status == 404
    assert "knows of no change" in door.look("/objects/core/pods/shop/web").text


def test_what_grows_is_seen(path: Path, door: Door) -> None:
    """A page answers from the log as it is now."""
    assert door.look("/log.json").json["total"] == 7
    with path.open("ab") as file:
        file.write(log(path.with_suffix(".more"), event(audit_id="new", **at(9))).read_bytes())
    assert ids(door.look("/log.json"))[0] == "new"


LARGE: dict[str, dict[str, Any]] = {
    "many fields": {f"key-{number}": "a line of a configuration file, as there are many" for number in range(1900)},
    "one long line": {"script": "x" * 100_000},
    "lines of nothing but quotes": {f"k{number}": '"' * 40 for number in range(1000)},
}


@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE.keys())
def test_large_bodies_leave_pages_light(tmp_path: Path, data: dict[str, str]) -> None:
    """Of what is large the beginning is shown, and that it is the beginning; the page stays below 150 KB."""
    made = body(data=data)
    name = log(tmp_path / "large.log", event(**at(1), audit_id="made", verb="create", level="RequestResponse",
        response_status=Status(code=201), request_object=made, response_object=made))  # fmt: skip
    door = Door(Files([str(name)]))
    for target in ("/request?uid=made", "/objects/apps/deployments/shop/web"):
        answer = door.look(target)
        assert len(answer.body) < 120_000
        assert "This is how it begins; " in answer.text


def test_the_changes_of_a_busy_object_leave_its_page_light(tmp_path: Path) -> None:
    """The newest deeds show what they changed; of older ones only how much that was."""

    def annotated(turn: int) -> msgspec.Raw:
        annotations = {f"team.example/annotation-{place}": f"value {turn} of {place}" * 4 for place in range(30)}
        return body(metadata={**DEPLOYMENT["metadata"], "annotations": annotations})

    events = [
        event(
            **at(turn), audit_id=f"turn-{turn}", verb="update", level="RequestResponse", response_object=annotated(turn)
        )
        for turn in range(60)
    ]
    door = Door(Files([str(log(tmp_path / "busy.log", *events))]))
    target = "/objects/apps/deployments/shop/web"
    page, twin = door.look(target), door.look(f"{target}.json").json
    assert len(page.body) < 120_000
    newest, oldest = twin["deeds"][0], twin["deeds"][-2]
    assert len(newest["differences"]) + newest["more"] == 30
    assert (oldest["differences"], oldest["more"]) == ([], 30)
    assert "30 fields" in page.text

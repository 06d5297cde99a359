from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from ask.logs import life, log, ref
from decklog.audit.event import Stage, Status, User
from decklog.cli import decklog

if TYPE_CHECKING:
    from pathlib import Path

RECEIVED, STARTED, COMPLETE, PANIC = Stage


CHANGES: dict[str, dict[str, Any]] = {
    "created": {"verb": "create", "response_status": Status(code=201)},
    "scaled": {"verb": "patch", "object_ref": ref("deployments", name="web", group="apps", subresource="scale")},
    "refused": {"user": User(username="bob"), "response_status": Status(code=403)},
    "deleted": {},
    "other": {"object_ref": ref("deployments", "lab", "web", "apps")},
    "emptied": {"verb": "deletecollection", "object_ref": ref("deployments", "shop", "", "apps")},
    "exec": {
        "verb": "create",
        "object_ref": ref("pods", name="web-0", subresource="exec"),
        "impersonated_user": User(username="root"),
    },
    "evicted": {"verb": "create", "object_ref": ref("pods", name="web-0", subresource="eviction")},
    "probe": {"verb": "get", "object_ref": None, "request_uri": "/healthz?verbose"},
}
"""What happened, by audit ID."""


@pytest.fixture
def story(tmp_path: Path) -> Path:
    requests = (life(RECEIVED, COMPLETE, audit_id=name, **changes) for name, changes in CHANGES.items())
    return log(tmp_path / "audit.log", *(stage for request in requests for stage in request))


def who(story: Path, *args: str) -> list[str]:
    result = CliRunner().invoke(decklog, ["who", *args, "-f", str(story), "-o", "jsonl"], catch_exceptions=False)
    assert result.exit_code == (0 if result.stdout else 1), result.stderr
    return sorted(json.loads(line)["auditID"] for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("deleted deploy/web -n shop", "deleted emptied refused"),
        ("delete deployment web -n shop", "deleted emptied refused"),
        ("has deleted the deployments.apps/web -n shop --exact", "deleted refused"),
        ("deleted deploy/web", "deleted emptied other refused"),
        ("deleted deploy/web -A --code 2xx --exact", "deleted other"),
        ("deleted deploy/web --user bob --exact", "refused"),
        ("created deploy/web", "created"),
        ("scaled deploy/web", "scaled"),
        ("changed deploy/web -n shop --exact", "created deleted refused scaled"),
        ("touched deploy -n lab", "other"),
        ("deleted pod/web-0", "evicted"),
        ("evicted pod/web-0 -n shop", "evicted"),
        ("exec'd into pod/web-0", "exec"),
        ("touched po/web-* --as root", "exec"),
        ("get /healthz", "probe"),
        ("deleted secret/db", ""),
    ],
)
def test_a_question_has_its_answer(story: Path, question: str, answer: str) -> None:
    """The deed and the object are understood as people say them."""
    assert who(story, *question.split()) == answer.split()


def test_an_empty_answer_repeats_the_question(story: Path) -> None:
    """Who asks for what did not happen reads what was looked for and where."""
    result = CliRunner().invoke(decklog, ["who", "deleted", "secret/db", "-n", "shop", "-f", str(story)])
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "no request matches verb delete or deletecollection, resource secrets, subresource none, name db, "
        "namespace shop\n"
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["deleted"], "who deleted what?"),
        (["deleted", "deploy/web", "-n", "a", "-A"], "contradict"),
        (["deleted", "a/b/c/d"], "is not an object"),
    ],
)
def test_what_is_no_question_is_refused(story: Path, args: list[str], says: str) -> None:
    """The user's mistakes are exit code 2 and say how to ask."""
    result = CliRunner().invoke(decklog, ["who", *args, "-f", str(story)])
    assert result.exit_code == 2
    assert says in result.stderr

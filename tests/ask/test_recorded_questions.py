"""The questions of docs/ask/questions.md, and the jq recipes below them, on what a real kube-apiserver recorded.

``recorded/audit.log`` holds 289 lines of a kube-apiserver 1.36.2 (every level RequestResponse; certificates and tokens
were throwaway ones): requests of people, nodes and service accounts, and a kubectl session in the namespace kc. What is
right was read from the lines themselves.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from click.testing import CliRunner

from decklog.cli import decklog

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

RECORDED: Final = Path(__file__).parent / "recorded" / "audit.log"
PAGE: Final = Path(__file__).parents[2] / "docs" / "ask" / "questions.md"
EVENTS: Final[list[dict[str, Any]]] = [
    json.loads(line.decode("utf-8", "replace")) for line in RECORDED.read_bytes().splitlines()
]


def ask(text: str, **environment: str) -> Result:
    """Run a command line over the recording."""
    return CliRunner().invoke(decklog, shlex.split(text), env={"DECKLOG_SOURCE": str(RECORDED), **environment})


QUESTIONS: Final[dict[int, dict[str, tuple[str, ...]]]] = {
    1: {"who deleted ns/kc": ("admin", "delete", "namespaces/kc", "200", "127.0.0.1")},
    2: {"who deleted cm/k1 -n kc": ("admin", "configmaps/k1")},
    3: {"who created deploy/d -n kc -o wide": ("admin", "kubectl/v1.32.4", "201")},
    4: {"history deploy/d -n kc": ("admin scaled it", "spec.replicas: 1 → 2")},
    5: {"history cm/k2 -n kc --since 2026-11-23": ("data.a: 1 → 2",)},
    6: {"history cm/k2 -n kc --attempts -o json": ('"deed": "created"', '"path": "data.a"', '"deed": "deleted"')},
    7: {"get cm/k2 -n kc --at 2026-11-23T04:32:12Z": ("a: '2'",), "get cm/k2 -n kc": ("admin deleted it",)},
    8: {"query cm/k2 -n kc --field-manager kubectl-client-side-apply": ("create", "patch")},
    9: {"query --user carol --since 2026-11-23T04:31:18Z --until 2026-11-23T04:31:19Z -o name": ("pods",)},
    10: {"query --source-ip 203.0.113.0/24 -o wide": ("203.0.113.1", "alice")},
    11: {"query -n kc --verb create,update,patch,delete --until 2026-11-23T04:32:10Z": ("configmaps/k1", "create")},
    12: {f"query -n kc --verb create,delete -f {RECORDED}": ("configmaps/k1", "deployments/d")},
    15: {"who deleted configmaps -n oracle": ("alice", "deletecollection", "409", "dry run")},
    18: {"exec": ("alice", "ls -l", "ports 80", "p2 (c)", "ended", "refused (403)")},
    20: {"secrets --user 'system:serviceaccount:*'": ("oracle:default", "all of all namespaces")},
    21: {"secrets s1 -n oracle --verb get,list,watch": ("alice", "listed", "all of namespace oracle")},
    22: {
        "secrets --verb create": ("minted a token for", "oracle/default"),
        "query --user system:serviceaccount:oracle:default": ("/healthz",),
    },
    23: {"query --as '*'": ("impersonator as alice", "impersonator as system:serviceaccount:oracle:default")},
    24: {"query --user system:anonymous --decision allow": ("/healthz", "200")},
    25: {"query --code 401 -o wide": ("Unauthorized", "authn-badtoken-pods")},
    26: {"denied": ("system:node:node1", "nobody logged in", "may not impersonate", "probe?")},
    27: {"top --by user,source-ip,user-agent --user 'system:*' --limit 0": ("system:node:node1", "127.0.0.1")},
    28: {"denied --user 'system:node:*'": ("nodes", "secrets", "missing permission?")},
    29: {"query --subresource proxy": ("nodes/node1/proxy", "pods/p2/proxy", "system:anonymous")},
    31: {
        "query --resource clusterrolebindings,rolebindings,clusterroles,roles --verb create,update,patch": (
            "clusterrolebindings/impersonate-all",
            "roles/dev",
        )
    },
    32: {"query --as '*' --code 200": ("impersonator as alice",)},
    33: {"query --resource csr": ("certificatesigningrequests/?", "403")},
    34: {
        "query --resource validatingwebhookconfigurations,apiservices,crd --verb create,update,patch,delete": (
            "validatingwebhookconfigurations/downv",
            "apiservices/v1.dead.example.com",
        )
    },
    36: {"exec --kind debug": ("alice", "added", "dbg (busybox)")},
    40: {"timeline": ("2026-11-23 04:31:10",)},
    42: {"rbac carol": ("pods", "list", "/healthz")},
    45: {"show 213d0d65": ("Authorization: allow", "RBAC: allowed by")},
    46: {"top --by user,user-agent": ("admin", "kubectl/v1.32.4")},
    47: {"query --slower-than 1s --verb=-watch": ("504", "cm-a")},
    48: {"deprecated": ("extensions/v1beta1/ingresses", "networking.k8s.io/v1", "v1/endpoints")},
    49: {"query --annotation 'mutation.webhook.admission.k8s.io/*'": ("configmaps/h-mutate", "configmaps/h-down")},
    50: {
        "query --annotation validation.policy.admission.k8s.io/validation_failure": ("configmaps/v1", "configmaps/v3")
    },
    51: {"query --annotation pod-security.kubernetes.io/audit-violations": ("psa", "pods/psa2", "403")},
    52: {
        "sql 'select user, resource, max(length(requestObject::varchar)) bytes from events group by all"
        " order by bytes desc nulls last limit 10'": ("user", "bytes", "alice"),
        "top --by user,resource --verb list": ("pods",),
    },
    53: {"query --code 5xx": ("504", "500 panic"), "query --stage Panic": ("widgets", "panic")},
    55: {"top --by user,resource": ("admin", "configmaps")},
    56: {"query --humans -o csv": ("alice", "carol")},
    58: {"secrets": ("with the secrets' values",)},
    59: {"timeline -o jsonl": ('"requests":',)},
}
"""Number on the page → commands as there, with the recording's names, and what has to stand in their answers."""

UNRECORDED: Final = {
    13: "no node was cordoned",
    14: "no quota, limit, priority class or disruption budget was changed",
    16: "no finalizer was removed",
    17: "the tokens of this server name no pods",
    19: "nobody copied files",
    30: "takes two windows beside each other",
    35: "nobody made a privileged pod",
    37: "neither cron jobs nor daemon sets",
    38: "no Events were deleted",
    39: "neither CoreDNS nor kube-proxy ran",
    41: "pods without addresses: nothing ran them",
    43: "takes manifests beside the log: test_rbac_command",
    44: "the same",
    54: "certificates were good",
    57: "an empty answer is the good one: below",
    60: "missing on the page, too",
}
"""What this server's recording cannot answer; `test_sixty_questions` asks these of a made log."""


def test_each_of_the_sixty_is_asked_of_the_recording_or_it_is_said_why_not() -> None:
    """No number is forgotten."""
    assert sorted([*QUESTIONS, *UNRECORDED]) == list(range(1, 61))


ASKED: Final = [(number, text, words) for number, texts in QUESTIONS.items() for text, words in texts.items()]


@pytest.mark.parametrize(("number", "text", "words"), ASKED, ids=[f"{number} {text[:50]}" for number, text, _ in ASKED])
def test_the_recording_has_the_answer(number: int, text: str, words: tuple[str, ...]) -> None:
    """Each command finds what the real server wrote, and says what it searched."""
    result = ask(text)
    assert result.exit_code == 0, (number, result.output)
    for word in words:
        assert word in result.stdout + result.stderr
    assert f"{len(EVENTS)} lines, from 2026-11-23 04:31:16 to 2026-11-23 04:32:34 UTC" in result.stderr


def test_an_empty_answer_says_what_it_tells() -> None:
    """Did nobody but admin change the namespace kc? Exit code 1, and how far one can believe it."""
    text = "query -n kc --verb create,update,patch,delete,deletecollection --code 2xx --user=-admin"
    result = ask(text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "it did not happen from 2026-11-23 04:31:16 to 2026-11-23 04:32:34 UTC" in result.stderr


def _code(event: dict[str, Any]) -> int:
    return int(event.get("responseStatus", {}).get("code", 0))


def _annotation(event: dict[str, Any], key: str) -> Any:
    return event.get("annotations", {}).get(key)


RECIPES: Final[dict[str, tuple[str, Callable[[dict[str, Any]], bool]]]] = {
    '.user.username=="alice"': ("query --user alice", lambda event: event["user"].get("username") == "alice"),
    '.userAgent=="oracle/1.0 (case secret-list)"': (
        "query --user-agent 'oracle/1.0 (case secret-list)'",
        lambda event: event.get("userAgent") == "oracle/1.0 (case secret-list)",
    ),
    '.requestURI|startswith("/apis/apiextensions.k8s.io/v1")': (
        "query --path '/apis/apiextensions.k8s.io/v1*'",
        lambda event: event["requestURI"].startswith("/apis/apiextensions.k8s.io/v1"),
    ),
    '.verb!="get"': ("query --verb=-get", lambda event: event["verb"] != "get"),
    '.annotations["k8s.io/deprecated"]=="true"': (
        "query --annotation k8s.io/deprecated=true",
        lambda event: _annotation(event, "k8s.io/deprecated") == "true",
    ),
    '.objectRef.subresource=="exec"': (
        "query --subresource exec",
        lambda event: event.get("objectRef", {}).get("subresource") == "exec",
    ),
    '.annotations["authorization.k8s.io/decision"]=="forbid"': (
        "query --decision forbid",
        lambda event: _annotation(event, "authorization.k8s.io/decision") == "forbid",
    ),
    ".responseStatus.code==403 or .responseStatus.code==429": (
        "query --code 403,429",
        lambda event: _code(event) in {403, 429},
    ),
    '.annotations["authorization.k8s.io/reason"]': (
        "query --annotation authorization.k8s.io/reason",
        lambda event: _annotation(event, "authorization.k8s.io/reason") is not None,
    ),
}
"""What jq selects → the command, and the same in Python."""


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_of_jq_has_its_command(recipe: str) -> None:
    """The command gives the very lines that the recipe selects, byte by byte."""
    text, selected = RECIPES[recipe]
    result = ask(f"{text} --events -o jsonl")
    wanted = [line for line, event in zip(RECORDED.read_bytes().splitlines(), EVENTS, strict=True) if selected(event)]
    assert result.stdout_bytes.splitlines() == wanted
    assert wanted


COUNTS: Final[dict[str, tuple[str, Callable[[dict[str, Any]], str]]]] = {
    "resource": ("", lambda event: event.get("objectRef", {}).get("resource", "-")),
    "verb": ("", lambda event: event["verb"] or "-"),
    "user": ("", lambda event: event["user"].get("username") or "-"),
    "pod-name": ("", lambda _event: "-"),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counting_is_sort_uniq_of_the_last_stages(name: str) -> None:
    """``jq … | sort | uniq -c`` over the last stages, because a request counts once."""
    extra, label = COUNTS[name]
    result = ask(f"top --by {name} --limit 0 -o jsonl {extra}")
    told: Counter[str] = Counter()
    for line in result.stdout.splitlines():
        item = json.loads(line)
        told[re.split(r"[./]", item["by"][name])[0] if name == "resource" else item["by"][name]] += item["requests"]
    last = [event for event in EVENTS if event["stage"] in {"ResponseComplete", "Panic"} or _code(event) == 401]
    assert told == Counter(map(label, last)) + _unended(label)


def _unended(label: Callable[[dict[str, Any]], str]) -> Counter[str]:
    """Count the requests whose end is not in the recording."""
    ended = {_identity(event) for event in EVENTS if event["stage"] in {"ResponseComplete", "Panic"}}
    left = {_identity(event): event for event in EVENTS if _code(event) != 401 and _identity(event) not in ended}
    return Counter(map(label, left.values()))


def _identity(event: dict[str, Any]) -> tuple[str, str, str, str]:
    return event["auditID"], event["requestReceivedTimestamp"], event["verb"], event["requestURI"]


ROW: Final = re.compile(r"^\| `(jq .*?)` \| (.*) \|$", re.MULTILINE)


def test_the_page_has_each_recipe_in_circulation() -> None:
    """Eleven recipes, each with a command that can be given and that finds something or says that there is none."""
    rows = ROW.findall(PAGE.read_text("utf-8"))
    assert len(rows) == 11
    for recipe, cell in rows:
        commands = re.findall(r"`decklog ([^`]+)`", cell)
        assert commands, recipe
        for command in commands:
            assert ask(command).exit_code in {0, 1}, command

"""The page docs/ask/questions.md: each command on it is one, and answers its question on a small log."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from ask.logs import event, life, log, ref
from ask.workloads import GARBAGE, POD, SET, at, body, controller, deployment, pod, replica_set
from decklog.audit.event import Stage, Status, User
from decklog.cli import decklog

if TYPE_CHECKING:
    from decklog.audit.event import Event

PAGE: Final = Path(__file__).parents[2] / "docs" / "ask" / "questions.md"
ROW: Final = re.compile(r"^\| (\d+) \| (.*?) \| (.*) \| (.*?) ?\|$", re.MULTILINE)
COMMAND: Final = re.compile(r"`(decklog [^`]+)`")
RECEIVED, STARTED, COMPLETE, PANIC = Stage

ROWS: Final = {int(match[1]): COMMAND.findall(match[3]) for match in ROW.finditer(PAGE.read_text("utf-8"))}
COMMANDS: Final = [(number, text) for number, texts in ROWS.items() for text in texts]


NOTED: Final = {
    "vic": "pod-security.kubernetes.io/audit-violations",
    "ann": "validation.policy.admission.k8s.io/validation_failure",
    "ben": "mutation.webhook.admission.k8s.io/round_0_index_0",
    "cat": "missing-san.invalid-cert.kubernetes.io/example.org",
    "dan": "insecure-sha1.invalid-cert.kubernetes.io/example.org",
}
POD_KEY: Final = "authentication.kubernetes.io/pod-name"
ROBOT: Final = "system:serviceaccount:shop:robot"
ID_KEY: Final = "authentication.kubernetes.io/credential-id"


def parsed(text: str) -> click.Context:
    """Read a command line as the program would."""
    name, *args = shlex.split(text)[1:]
    context = click.Context(decklog, info_name="decklog")
    command = decklog.get_command(context, name)
    assert command is not None, f"there is no command {name}"
    return command.make_context(name, args, parent=context)


def test_each_of_the_sixty_has_its_row() -> None:
    """None is left out; where something is missing, the row says where it will come from."""
    assert list(ROWS) == list(range(1, 61))
    for match in ROW.finditer(PAGE.read_text("utf-8")):
        assert COMMAND.search(match[3]) or "missing" in match[3], match[2]


@pytest.mark.parametrize(("number", "text"), COMMANDS)
def test_each_command_on_the_page_can_be_given(number: int, text: str) -> None:
    """Its options exist and its values are taken."""
    parsed(text).close()


def web(replicas: int, **more: Any) -> Any:
    metadata = {"name": "web", "namespace": "shop", **more}
    return body({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": metadata, "spec": {"replicas": replicas}})


def namespace(**more: Any) -> Any:
    return body({"kind": "Namespace", "metadata": {"name": "shop", **more}})


def story() -> list[Event]:
    """Give a log in which everything that is asked about happened once; by minute, user, verb, object."""
    shop = ref("namespaces", "shop", "shop")
    exec_into = ref("pods", name="web-0", subresource="exec")
    forbidden = Status(code=403, message="no")
    return [
        at(
            0, "system:serviceaccount:argocd:app", "create", deployment(), response_object=web(3), user_agent="argocd/3"
        ),
        at(1, "bob", "patch", deployment(subresource="scale"), request_object=body({"spec": {"replicas": 0}})),
        at(2, "bob", "get", deployment(), response_object=web(0)),
        at(5, "alice", "delete", deployment(), audit_id="0a1b2c3d-1"),
        at(6, GARBAGE, "delete", replica_set(SET)),
        at(7, GARBAGE, "delete", pod()),
        at(8, "system:node:n1", "delete", pod()),
        at(9, "carol", "create", shop, response_object=namespace(finalizers=["x/y"])),
        at(10, "carol", "update", shop, response_object=namespace()),
        at(11, controller("namespace-controller"), "deletecollection", ref("pods")),
        at(12, "dora", "patch", ref("nodes", "", "n1"), request_object=body({"spec": {"unschedulable": True}})),
        at(13, "dora", "create", ref("pods", name="web-0", subresource="eviction")),
        at(14, "finn", "update", ref("resourcequotas", name="q")),
        *life(
            STARTED,
            COMPLETE,
            verb="create",
            user=User(username="gus"),
            object_ref=exec_into,
            request_uri="/exec?command=tar&command=cf&command=-&command=/etc",
            response_status=Status(code=101),
        ),
        at(16, "ida", "patch", ref("pods", name="web-0", subresource="ephemeralcontainers")),
        replace(
            at(17, ROBOT, "list", ref("secrets", ""), audit_id="0a1b2c3d-2"),
            user=User(username=ROBOT, extra={POD_KEY: ("web-7d9",)}),
        ),
        at(
            18,
            "jon",
            "get",
            ref("secrets", name="db"),
            response_object=body({"kind": "Secret", "metadata": {}, "data": {"a": "b"}}),
        ),
        at(19, "ci", "create", ref("serviceaccounts", name="robot", subresource="token")),
        replace(at(20, "kim", "get", ref("pods")), impersonated_user=User(username="root")),
        replace(at(21, "system:anonymous", "get", ref("pods")), annotations={"authorization.k8s.io/decision": "allow"}),
        event(
            verb="get",
            user=User(),
            stage=STARTED,
            response_status=Status(code=401),
            audit_id="login",
            source_ips=("192.0.2.66",),
        ),
        at(22, "system:node:n2", "get", ref("secrets", name="db"), response_status=forbidden),
        at(23, "leo", "get", ref("nodes", "", "n1", subresource="proxy")),
        at(
            24,
            "mia",
            "create",
            ref("clusterrolebindings", "", "boss", "rbac.authorization.k8s.io"),
            request_object=body({"roleRef": {"name": "cluster-admin"}}),
        ),
        at(25, "nia", "update", ref("certificatesigningrequests", "", "laptop", "certificates.k8s.io", "approval")),
        at(26, "ole", "delete", ref("validatingwebhookconfigurations", "", "w", "admissionregistration.k8s.io")),
        at(27, "pam", "create", ref("pods"), request_object=body({"spec": {"securityContext": {"privileged": True}}})),
        at(28, "quin", "create", ref("cronjobs", name="c", group="batch")),
        at(29, "rex", "deletecollection", ref("events")),
        at(30, "sue", "patch", ref("configmaps", "kube-system", "coredns"), request_object=body({"data": {"a": "b"}})),
        at(31, "tom", "get", ref("pods"), response_status=Status(code=500)),
        at(32, "uma", "get", ref("pods"), stage=PANIC, response_status=Status(code=500)),
        at(33, "prod", "update", ref("configmaps", "prod", "x")),
        *(
            replace(at(34 + number, user, "create", deployment()), annotations={key: "x"})
            for number, (user, key) in enumerate(NOTED.items())
        ),
        replace(at(39, "wes", "get", ref("pods")), stage_timestamp="2026-03-01T10:39:02.000000Z"),
        replace(at(40, "xi", "get", ref("pods")), user=User(username="xi", extra={ID_KEY: ("JTI=5f1c",)})),
        at(41, "yan", "get", ref("pods"), response_object=body({"items": [{"status": {"podIP": "10.244.1.7"}}]})),
    ]


ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "decklog who deleted deploy/web -n shop": ("alice", "10.0.0.7"),
    f"decklog who deleted pod/{POD} -n shop": ("n1", "because alice deleted deployments/web"),
    "decklog who created deploy/web -n shop -o wide": ("argocd/3",),
    "decklog history deploy/web -n shop": ("bob scaled it", "spec.replicas: 3 → 0", "alice deleted it"),
    "decklog history deploy/web -n shop --since 2026-03-01": ("spec.replicas: 3 → 0",),
    "decklog history deploy/web -n shop --attempts -o json": ('"replicas"', '"toldBy": "patch"'),
    "decklog get deploy/web -n shop --at 2026-03-01T10:03:00Z": ("replicas: 0", "bob read it"),
    "decklog who changed deploy/web -n shop -o wide": ("argocd/3", "alice"),
    "decklog query --user alice --since 2026-03-01T10:00:00Z --until 2026-03-01T11:00:00Z": ("alice",),
    "decklog query --source-ip 203.0.113.9": ("alice",),
    "decklog history node/n1": ("dora patched it", "spec.unschedulable: ? → true"),
    "decklog who evicted pods": ("dora",),
    "decklog query --resource quota,limits,pc,pdb --verb create,update,patch,delete": ("finn",),
    "decklog who deleted pods -n shop": ("namespace-controller", "system:node:n1"),
    "decklog history ns/shop": ("- metadata.finalizers", "carol updated it"),
    "decklog top --by pod-name --user system:serviceaccount:shop:robot": ("web-7d9", "100.0 %"),
    "decklog show 0a1b2c3d": ("alice", "robot"),
    "decklog exec": ("gus", "tar cf - /etc", "ida", "debug"),
    "decklog exec --kind cp": ("gus",),
    "decklog secrets --user 'system:serviceaccount:*' --verb get,list,watch": ("robot", "all of all namespaces"),
    "decklog secrets db -n shop --verb get,list,watch --until 2026-03-02": ("jon", "robot", "system:node:n2"),
    "decklog secrets --verb create": ("ci", "minted a token for", "shop/robot"),
    "decklog query --as '*'": ("kim as root",),
    "decklog query --user system:anonymous --decision allow": ("system:anonymous",),
    "decklog query --code 401 -o wide": ("192.0.2.66",),
    "decklog denied": ("system:node:n2", "missing permission?"),
    "decklog denied --user 'system:node:*'": ("system:node:n2",),
    "decklog top --by user,source-ip,user-agent --user 'system:*'": ("system:node:n1",),
    "decklog query --subresource proxy": ("leo",),
    "decklog query --resource clusterrolebindings,rolebindings,clusterroles,roles --verb create,update,patch": ("mia",),
    "decklog who approved csr": ("nia",),
    "decklog query --verb create,update,patch --text '\"privileged\":true'": ("pam",),
    "decklog exec --kind debug": ("ida",),
    "decklog who created cronjobs": ("quin",),
    "decklog who deleted events": ("rex",),
    "decklog history cm/coredns -n kube-system": ("sue patched it", "data.a"),
    "decklog query --code 5xx": ("tom", "uma"),
    "decklog query --stage Panic": ("uma",),
    "decklog query --annotation pod-security.kubernetes.io/audit-violations": ("vic",),
    "decklog query --annotation validation.policy.admission.k8s.io/validation_failure": ("ann",),
    "decklog query --name web -n shop --annotation 'mutation.webhook.admission.k8s.io/*'": ("ben",),
    "decklog query --annotation 'missing-san.invalid-cert.kubernetes.io/*'": ("cat",),
    "decklog query --annotation 'insecure-sha1.invalid-cert.kubernetes.io/*'": ("dan",),
    "decklog query --slower-than 1s": ("wes",),
    "decklog query --text JTI=5f1c": ("xi",),
    'decklog query --resource pods --text \'"podIP":"10.244.1.7"\'': ("yan",),
    "decklog query -n prod --verb create,update,patch,delete,deletecollection --code 2xx "
    "--user=-system:serviceaccount:ci:deployer": ("prod",),
    "decklog query -n shop --verb create,update,patch,delete --user-agent=-argocd*": ("bob", "alice"),
    "decklog query -n shop --verb create,update,patch,delete,deletecollection --since 2026-03-01T10:00:00Z "
    "--until 2026-03-01T10:10:00Z": ("bob", "carol"),
    "decklog query --resource mutatingwebhookconfigurations,validatingwebhookconfigurations,"
    "validatingadmissionpolicies,apiservices,crd --verb create,update,patch,delete": ("ole",),
    "decklog rbac alice": ("deployments", "delete"),
    "decklog secrets": ("with the secrets' values",),
    "decklog top --by user,resource": ("carol",),
    "decklog timeline": ("2026-03-01",),
}
"""What has to stand in the answers."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return log(tmp_path_factory.mktemp("story") / "audit.log", *story())


@pytest.mark.parametrize(("text", "expected"), ANSWERS.items())
def test_the_command_answers_its_question(recorded: Path, text: str, expected: tuple[str, ...]) -> None:
    """On a log in which it happened, the answer is there."""
    assert text in {command for _, command in COMMANDS}, "the page has no such command"
    parsed(text).close()
    result = CliRunner().invoke(decklog, shlex.split(text)[1:], env={"DECKLOG_SOURCE": str(recorded)})
    assert result.exit_code == 0, result.output
    for word in expected:
        assert word in result.stdout + result.stderr

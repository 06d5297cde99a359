from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from decklog.audit.documents.tree import MAX_BYTES, Position
from decklog.audit.event import Level
from decklog.errors import DecklogError
from decklog.policy.findings import PolicyError
from decklog.policy.reader import load, parse
from decklog.policy.rules import GroupResources, Policy, Rule
from policy.reading import GOOD, HEAD, JSON_HEAD, read, refused, told

if TYPE_CHECKING:
    from pathlib import Path


def test_whole_policy() -> None:
    """Every field of a policy arrives; `None` unquoted is the level, and an empty list is as none."""
    loaded = read(
        f"""{HEAD}metadata: {{name: main}}
omitStages: [RequestReceived]
omitManagedFields: yes
rules:
- level: None
  users: ["system:kube-proxy"]
  userGroups: [system:nodes]
  verbs: [watch]
  resources:
  - group: ""
    resources: [endpoints, services/status]
    resourceNames: [a]
  - group: "*"
  namespaces: [kube-system, ""]
  omitStages: [Panic]
  omitManagedFields: false
- level: RequestResponse
  nonResourceURLs: ["/healthz*", "*"]
  users: []
"""
    )
    assert loaded.policy == Policy(
        rules=(
            Rule(
                level="None",
                users=("system:kube-proxy",),
                user_groups=("system:nodes",),
                verbs=("watch",),
                resources=(GroupResources("", ("endpoints", "services/status"), ("a",)), GroupResources("*")),
                namespaces=("kube-system", ""),
                omit_stages=("Panic",),
                omit_managed_fields=False,
            ),
            Rule(level="RequestResponse", non_resource_urls=("/healthz*", "*")),
        ),
        omit_stages=("RequestReceived",),
        omit_managed_fields=True,
    )
    assert isinstance(loaded.policy.rules[0].level, Level)
    assert loaded.metadata == {"name": "main"}
    assert loaded.warnings == ()


def test_finished_is_not_a_stage() -> None:
    """A finding is told with file, line, column, field, what is wrong and what would be right."""
    error = refused(f"{GOOD}- level: None\n- level: None\n- level: None\n  omitStages: [Finished]\n")
    assert str(error) == (
        "p:8:16: rules[3].omitStages[0]: 'Finished' is not a stage; "
        "stages are RequestReceived, ResponseStarted, ResponseComplete, Panic"
    )


FINDINGS = {
    # name: (text, what is told about it)
    "a verb that is missing its s": (
        f"{GOOD}  verb: [get]\n",
        ["p:5:3: rules[0].verb: 'verb' is not a field of a rule: did you mean 'verbs'?"],
    ),
    "another case": (
        f"{GOOD}  usergroups: [a]\n",
        ["p:5:3: rules[0].usergroups: 'usergroups' is not a field of a rule: did you mean 'userGroups'?"],
    ),
    "verbs indented too little": (
        f"{GOOD}verbs: [get]\n",
        ["p:5:1: verbs: 'verbs' is not a field of a policy; it belongs to a rule: indent it below '- level'"],
    ),
    "verbs indented too far": (
        f"{GOOD}  resources:\n  - group: apps\n    verbs: [get]\n",
        [
            (
                "p:7:5: rules[0].resources[0].verbs: 'verbs' is not a field of an entry of resources; "
                "it belongs to the rule: indent it less"
            )
        ],
    ),
    "a group without its list": (
        f"{GOOD}  group: apps\n",
        [
            (
                "p:5:3: rules[0].group: 'group' is not a field of a rule; "
                "it belongs to an entry of resources: write resources: [{group: …}]"
            )
        ],
    ),
    "rules twice": (
        f"{GOOD}rules:\n- level: None\n",
        ["p:5:1: rules: 'rules' stands here twice, first on line 3, and only the last one counts: keep one"],
    ),
    "a key twice in JSON": (
        JSON_HEAD + '\n "rules":[{"level":"None",\n  "level":"Metadata"}]}',
        ["p:3:3: rules[0].level: 'level' stands here twice, first on line 2, and only the last one counts: keep one"],
    ),
    "a merge that is overridden": (
        f"{HEAD}rules:\n- &a {{level: None, verbs: [get]}}\n- <<: *a\n  verbs: [list]\n",
        ["p:6:3: warning: rules[1].verbs: overrides what << brought (line 4); kube-apiserver does the same and warns"],
    ),
    "a merge that overrides": (
        f"{HEAD}rules:\n- &a {{level: None, verbs: [get]}}\n- verbs: [list]\n  <<: *a\n",
        [
            (
                "p:5:3: rules[1].verbs: << comes after it and brings it, too (line 4), "
                "and kube-apiserver lets << win: put << first"
            )
        ],
    ),
    "a number for a user": (
        f"{GOOD}  users: [bob, 007]\n",
        ["p:5:16: rules[0].users[1]: '007' is a number here, and a string is wanted: quote it, \"007\""],
    ),
    "the verb y": (
        f"{GOOD}  verbs:\n  - y\n",
        ["p:6:5: rules[0].verbs[0]: 'y' is a boolean here, and a string is wanted: quote it, \"y\""],
    ),
    "a string for a list": (
        f"{GOOD}  users: tim\n",
        ["p:5:10: rules[0].users: a list is wanted, not a string: write ['tim']"],
    ),
    "a mapping for a list": (
        f"{HEAD}rules: {{level: None}}\n",
        ["p:3:8: rules: a list is wanted, not a mapping: begin each item with '- '"],
    ),
    "a list for a string": (
        f"{HEAD}rules:\n- level: [None]\n",
        ["p:4:10: rules[0].level: a string is wanted, not a list"],
    ),
    "a string for a rule": (
        f"{HEAD}rules:\n- None\n",
        [
            (
                "p:4:3: rules[0]: a mapping is wanted, not a string; its fields are level, users, userGroups, verbs, "
                "resources, namespaces, nonResourceURLs, omitStages, omitManagedFields"
            )
        ],
    ),
    "a quoted boolean": (
        f'{GOOD}omitManagedFields: "true"\n',
        ["p:5:20: omitManagedFields: true or false is wanted, not a string: write it without quotes"],
    ),
    "labels that are no strings": (
        f"{GOOD}metadata: {{labels: {{a: 1}}, annotations: [], creationTimestamp: soon, generation: 1.5}}\n",
        [
            "p:5:24: metadata.labels.a: '1' is a number here, and a string is wanted: quote it, \"1\"",
            "p:5:41: metadata.annotations: a mapping is wanted, not a list",
            (
                "p:5:64: metadata.creationTimestamp: 'soon' is not a time: "
                "write it as in 2006-01-02T15:04:05Z, or leave it out"
            ),
            "p:5:82: metadata.generation: a whole number is wanted, not '1.5'",
        ],
    ),
    "a rule without a level": (
        f"{HEAD}rules:\n- verbs: [get]\n",
        ["p:4:3: rules[0].level: missing: a rule needs a level, one of None, Metadata, Request, RequestResponse"],
    ),
    "a null rule": (
        f"{HEAD}rules:\n- level: None\n-\n",
        ["p:5:2: rules[1].level: missing: a rule needs a level, one of None, Metadata, Request, RequestResponse"],
    ),
    "resources with URLs": (
        f"{GOOD}  nonResourceURLs: [/x]\n  namespaces: [a]\n",
        [
            (
                "p:5:3: rules[0].nonResourceURLs: a rule is about URLs or about resources, "
                "and this one has namespaces, too: make two rules of it"
            )
        ],
    ),
    "a group with its version": (
        f"{GOOD}  resources:\n  - group: apps/v1\n",
        ["p:6:12: rules[0].resources[0].group: 'apps/v1' is not an API group: without the version it is 'apps'"],
    ),
    "no rules": (
        f"{HEAD}rules: []\n",
        ["p:3:1: rules: a policy needs a rule; to record nothing at all, write one: '- level: None'"],
    ),
    "no apiVersion": (
        "kind: Policy\nrules:\n- level: None\n",
        ["p:1:1: apiVersion: missing: write apiVersion: audit.k8s.io/v1"],
    ),
    "an old apiVersion": (
        GOOD.replace("v1", "v1beta1"),
        [
            (
                "p:1:13: apiVersion: 'audit.k8s.io/v1beta1' is refused since Kubernetes 1.24 (the target is 1.37): "
                "write audit.k8s.io/v1; the rules can stay as they are"
            )
        ],
    ),
    "a typing error in kind and version": (
        "apiVersion: audit/v1\nkind: Polcy\nrules:\n- level: None\n",
        [
            "p:1:13: apiVersion: 'audit/v1' is not a version of audit policies: write audit.k8s.io/v1",
            "p:2:7: kind: 'Polcy' is not a policy: write kind: Policy",
        ],
    ),
    "another object": (
        "apiVersion: v1\nkind: Pod\nspec: {}\n",
        ["p:2:7: kind: 'Pod' is not a policy: write kind: Policy"],
    ),
    "a list": ("- level: None\n", ["p:1:1: a policy is a mapping with apiVersion, kind and rules, not a list"]),
    "nothing": (
        "# soon\n",
        [
            (
                "p:1:1: nothing is said here (an empty file, or only comments): "
                "a policy begins with apiVersion: audit.k8s.io/v1"
            )
        ],
    ),
    "an empty first document": (
        f"---\n---\n{GOOD}",
        ["p:2:1: this document is empty, and the one on line 3 is not read, because it is the second"],
    ),
    "two documents": (
        f"{GOOD}---\n{GOOD}",
        ["p:6:1: warning: a second document begins here, and only the first one is read: use one file for each"],
    ),
    "an empty second document": (f"{GOOD}---\n# nothing\n", []),
    "a tab": (
        f"{HEAD}rules:\n\t- level: None\n",
        [
            (
                "p:4:1: not YAML: found character that cannot start any token while scanning for the next token: "
                "is it indented with a tab? YAML wants spaces"
            )
        ],
    ),
    "a bare star": (
        f"{GOOD}  nonResourceURLs: [*]\n",
        [
            (
                "p:5:22: not YAML: did not find expected alphabetic or numeric character while scanning an alias: "
                "a text that begins with * or & has to be quoted"
            )
        ],
    ),
    "JSON with a comma too many": (
        JSON_HEAD + '"rules":[{"level":"None"},]}',
        ["p:1:75: not JSON: invalid character ']' looking for beginning of value"],
    ),
    "a key that is meant for a terminal": (
        f'{GOOD}  "\\e[2J\\u202e": 1\n',
        [
            (
                "p:5:3: rules[0].\\u001b[2J\\u202e: '\\x1b[2J\\u202e' is not a field of a rule; fields are level, "
                "users, userGroups, verbs, resources, namespaces, nonResourceURLs, omitStages, omitManagedFields"
            )
        ],
    ),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_finding(name: str) -> None:
    """What is wrong with a policy is told at its place, and what would be right."""
    text, expected = FINDINGS[name]
    assert told(text) == expected


def test_every_problem_at_once() -> None:
    """Unknown, duplicate, of a wrong type, of a bad value, of a bad version: all are told, in the order of the file."""
    text = """apiVersion: audit.k8s.io/v2
kind: Policy
omitstages: []
omitStages: [Done]
rules:
- level: metadata
  users: [1, no]
  verbs: get
- level: None
  level: Request
  nonResourceURLs: [x]
- Level: None
"""
    error = refused(text, lenient=False)
    assert [(finding.line, finding.column, finding.path) for finding in error.findings] == [
        (1, 13, "apiVersion"),
        (3, 1, "omitstages"),
        (4, 14, "omitStages[0]"),
        (6, 10, "rules[0].level"),
        (7, 11, "rules[0].users[0]"),
        (7, 14, "rules[0].users[1]"),
        (8, 10, "rules[0].verbs"),
        (10, 3, "rules[1].level"),
        (11, 21, "rules[1].nonResourceURLs[0]"),
        (12, 3, "rules[2].Level"),
        (12, 3, "rules[2].level"),
    ]
    assert error.exit_code == 2
    assert isinstance(error, DecklogError)


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{GOOD}",
        GOOD.replace("\n", "\r\n"),
        f"---\n{GOOD}...\nwhatever: [",
        "# a policy\n{apiVersion: audit.k8s.io/v1, rules: [{level: Metadata}]}",
        f' \n {JSON_HEAD}"rules":[{{"level":"Metadata"}}]}}',
        GOOD.replace("Policy", "null"),
        f"{GOOD}  users: []\n  resources:\n",
        f"%YAML 1.1\n---\n{GOOD}",
    ],
)
def test_accepted(text: str) -> None:
    """Byte order marks, CRLF, JSON, flow style, document marks, null for nothing: all of these are read."""
    assert read(text).policy == Policy((Rule("Metadata"),))


@pytest.mark.parametrize("text", [f"\ufeff{GOOD}", GOOD.replace("\n", "\r\n"), GOOD])
def test_positions_of_a_policy_that_loads(text: str) -> None:
    """Every field's place is known: a scalar's own, a list's or mapping's key; a byte order mark takes no column."""
    positions = read(text + "  verbs:\n  - get\n  - list\nmetadata: {name: x}\n").positions
    assert positions == {
        "apiVersion": Position(1, 13),
        "kind": Position(2, 7),
        "rules": Position(3, 1),
        "rules[0]": Position(4, 3),
        "rules[0].level": Position(4, 10),
        "rules[0].verbs": Position(5, 3),
        "rules[0].verbs[0]": Position(6, 5),
        "rules[0].verbs[1]": Position(7, 5),
        "metadata": Position(8, 1),
        "metadata.name": Position(8, 18),
    }


STAR = f'{GOOD}  resources: [{{group: "*"}}]\n'
MANAGED = f"{GOOD}  omitManagedFields: true\n"
BETA = GOOD.replace("v1", "v1beta1")


@pytest.mark.parametrize(
    ("text", "kubernetes", "told_of_it"),
    [
        (STAR, "1.36", []),
        (
            STAR,
            "v1.35.2",
            [("p:5:23: rules[0].resources[0].group: '*' is not an API group before Kubernetes 1.36: name the groups")],
        ),
        (MANAGED, "1.23", []),
        (
            MANAGED,
            "1.22",
            [
                (
                    "p:5:3: rules[0].omitManagedFields: not a field before Kubernetes 1.23, "
                    "and the target is 1.22: remove it"
                )
            ],
        ),
        (
            BETA,
            "1.23",
            [
                (
                    "p:1:13: warning: apiVersion: 'audit.k8s.io/v1beta1' is refused since Kubernetes 1.24: "
                    "write audit.k8s.io/v1"
                )
            ],
        ),
    ],
)
def test_target(text: str, kubernetes: str, told_of_it: list[str]) -> None:
    """What changed between releases of Kubernetes is told for the one that is the target."""
    assert told(text, kubernetes=kubernetes) == told_of_it


def test_target_that_is_none() -> None:
    """A target that is no version is the caller's error, not the policy's."""
    with pytest.raises(DecklogError, match=r"'latest' is not a version of Kubernetes: write the minor release"):
        read(GOOD, kubernetes="latest")


def test_bytes_that_are_no_text() -> None:
    """A binary file is refused at its first bad byte; so is a NUL."""
    error = refused(GOOD.encode() + b"# \xc3\xa4 \xff\n")
    assert str(error).startswith("p:5:5: not a text file: ")
    assert refused(b"kind: \0").reference == "failed decoding: yaml: control characters are not allowed"
    assert str(refused(b"\x7fELF\x02\x01\x01\x00\x00")).startswith("p:1:1: not a text file: ")


def test_json_that_is_no_text() -> None:
    """kube-apiserver reads each bad byte in JSON as U+FFFD, and so do we when lenient; otherwise it is an error."""
    data = JSON_HEAD.encode() + b'"rules":[{"level":"None","users":["\xff\xc3"]}]}'
    assert parse(data, source="p", lenient=True).policy.rules[0].users == ("\ufffd\ufffd",)
    assert str(refused(data, lenient=False)) == (
        "p:1:84: not UTF-8 from here on; each such byte is read as U+FFFD: save the file as UTF-8"
    )


def test_too_large() -> None:
    """A file of more than 1 MiB is no policy, and is not even parsed."""
    assert str(refused(b"[" * (MAX_BYTES + 1))) == "p: larger than 1 MiB, which no policy is: check the path"


def test_load(tmp_path: Path) -> None:
    """A file is read, and its name stands in what is told about it."""
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD)
    assert load(str(path)).policy == Policy((Rule("Metadata"),))
    path.write_text(f"{GOOD}x: 1\n")
    with pytest.raises(PolicyError, match=r"policy\.yaml:5:1: x: 'x' is not a field"):
        load(str(path))
    assert load(str(path), lenient=True).warnings[0].source == str(path)


def test_load_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, or is a directory, or is not named, is told with what to do."""
    missing = tmp_path / "missing.yaml"
    cases = {
        str(missing): (
            f"{missing}: cannot be read: no such file or directory: check the path",
            f'failed to read file path "{missing}": open {missing}: no such file or directory',
        ),
        str(tmp_path): (
            f"{tmp_path}: cannot be read: is a directory: name a file in it",
            f'failed to read file path "{tmp_path}": read {tmp_path}: is a directory',
        ),
        "": ("policy: no policy file is named: give its path (--audit-policy-file)", "file path not specified"),
    }
    for path, (text, reference) in cases.items():
        with pytest.raises(PolicyError) as raised:
            load(path)
        assert (str(raised.value), raised.value.reference) == (text, reference)
    with pytest.raises(PolicyError, match="cannot be read: embedded null byte"):
        load("a\0b")


def test_load_an_endless_file() -> None:
    """A device that never ends is not read to its end."""
    with pytest.raises(PolicyError, match="larger than 1 MiB"):
        load("/dev/zero")

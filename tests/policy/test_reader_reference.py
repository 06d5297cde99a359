from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decklog.policy.findings import PolicyError, Severity
from decklog.policy.rules import Policy, Rule
from policy.reading import GOOD, HEAD, JSON_HEAD, outcome, read, refused


@pytest.mark.parametrize(
    ("text", "policy", "warning"),
    [
        (f"{GOOD}  verb: [get]\n", Policy((Rule("Metadata"),)), 'unknown field "rules[0].verb"'),
        (
            f"{GOOD}rules:\n- level: Request\n",
            Policy((Rule("Request"),)),
            'yaml: unmarshal errors:\n  line 6: key "rules" already set in map',
        ),
        (
            f"{GOOD}  b: {{x: 1, x: 2}}\n  a: 1\n  users: [u]\n  users: [v]\n",
            Policy((Rule("Metadata", users=("v",)),)),
            (
                'yaml: unmarshal errors:\n  line 5: key "x" already set in map\n  line 8: key "users" already set in '
                'map, unknown field "rules[0].a", unknown field "rules[0].b"'
            ),
        ),
        (
            JSON_HEAD + '"b":1,"a":{"b":1,"b":2},"kind":"Policy","rules":[{"level":"None"}],"a":3}',
            Policy((Rule("None"),)),
            'unknown field "b", unknown field "a", duplicate field "kind"',
        ),
        # Of two lists in JSON, the second is decoded into what the first has left.
        (
            JSON_HEAD + '"rules":[{"level":"None","users":["a"]},{"level":"None"}],"rules":[{"level":"Request"}]}',
            Policy((Rule("Request", users=("a",)),)),
            'duplicate field "rules"',
        ),
        (
            f"{GOOD}  y: 1\n  2: 1\n",
            Policy((Rule("Metadata"),)),
            'unknown field "rules[0].2", unknown field "rules[0].true"',
        ),
        (GOOD.replace("apiV", "apiv"), Policy((Rule("Metadata"),)), 'unknown field "apiversion"'),
        (f"{GOOD}metadata: {{nme: x}}\n", Policy((Rule("Metadata"),)), 'unknown field "metadata.nme"'),
        (
            f"{HEAD}rules:\n- &a {{level: None, verbs: [get]}}\n- verbs: [list]\n  <<: *a\n",
            Policy((Rule("None", verbs=("get",)), Rule("None", verbs=("get",)))),
            'yaml: unmarshal errors:\n  line 4: key "verbs" already set in map',
        ),
    ],
)
def test_lenient(text: str, policy: Policy, warning: str) -> None:
    """Read leniently, a policy is the one that kube-apiserver uses; what is an error otherwise is a warning."""
    loaded = read(text, lenient=True)
    assert loaded.policy == policy
    assert loaded.reference_warning == f"strict decoding error: {warning}"
    assert loaded.warnings
    assert all(finding.severity is Severity.WARNING for finding in loaded.warnings)
    error = refused(text, lenient=False)
    assert [(each.line, each.path, each.text) for each in error.findings] == [
        (each.line, each.path, each.text) for each in loaded.warnings
    ]
    assert error.reference == ""
    assert error.reference_warning == loaded.reference_warning


UNVERSIONED = "unknown group version field audit.k8s.io/__internal, Kind=Policy in policy"
CANNOT = "failed decoding: json: cannot unmarshal"

ERRORS = {
    "": UNVERSIONED,
    "kind: Policy\nRules: [{Level: None}]\n": UNVERSIONED,
    f"{HEAD}": "loaded illegal policy with 0 rules",
    f"{HEAD}omitStages: [X]\n": (
        'omitStages[0]: Invalid value: "X": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic'
    ),
    f"{GOOD}  users: [a, {{}}]\n": (f"{CANNOT} object into Go struct field PolicyRule.rules.users of type string"),
    f"{GOOD}  resources: [{{group: [a]}}]\n": (
        f"{CANNOT} array into Go struct field GroupResources.rules.resources.group of type string"
    ),
    # The first in the order of the JSON that kube-apiserver makes of it, which is sorted by key
    f"{GOOD}  verbs: 1\n  users: 1\nomitStages: 1\n": (
        f"{CANNOT} number into Go struct field Policy.omitStages of type []v1.Stage"
    ),
    f"{GOOD}metadata: {{labels: {{a: 1}}}}\n": (
        f"{CANNOT} number into Go struct field ObjectMeta.metadata.labels of type string"
    ),
    f"{GOOD}metadata: {{generation: 1.5}}\n": (
        f"{CANNOT} number 1.5 into Go struct field ObjectMeta.metadata.generation of type int64"
    ),
    f"{GOOD}metadata: {{creationTimestamp: 2026-01-01}}\n": (
        'failed decoding: parsing time "2026-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'
    ),
    "apiVersion: a/b/c\n": "failed decoding: unexpected GroupVersion string: a/b/c",
    "apiVersion: apps/\n": "failed decoding: Object 'apiVersion' is missing in 'apiVersion: apps/\n'",
    GOOD.replace("Policy", "Event"): "failed decoding: converting (v1.Event) to (audit.Policy): unknown conversion",
    "{apiVersion: audit.k8s.io/v1, kind: Policy}": (
        "failed decoding: couldn't get version/kind; json parse error: "
        "invalid character 'a' looking for beginning of object key string"
    ),
    "[]": (
        "failed decoding: couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of "
        'type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
    ),
    f"{HEAD}rules:\n - level: Metadata\n  verbs: [\n": (
        "failed decoding: yaml: line 4: did not find expected '-' indicator"
    ),
    f"%YAML 1.2\n---\n{GOOD}": "failed decoding: yaml: found incompatible YAML document",
    f"{GOOD}- .nan\n": "failed decoding: json: unsupported value: NaN",
    f"{GOOD}- ? [a]\n  : b\n": "failed decoding: yaml: invalid map key",
    f"{GOOD}  ~: b\n": "failed decoding: unsupported map key of type",
    f"{GOOD}- !!int x\n": "failed decoding: yaml: cannot decode !!str `x` as a !!int",
    f"{GOOD}- <<: [a]\n": "failed decoding: yaml: map merge requires map or sequence of maps as the value",
}


@pytest.mark.parametrize("text", ERRORS)
def test_reference(text: str) -> None:
    """Beside what we say of a policy stands what kube-apiserver says of it."""
    assert refused(text).reference == ERRORS[text]


def test_target_that_drops_in_silence() -> None:
    """Before 1.26, kube-apiserver dropped unknown fields without a word; we still say it."""
    text = f"{GOOD}  verb: [get]\n"
    loaded = read(text, lenient=True, kubernetes="1.25")
    assert loaded.reference_warning == ""
    assert len(loaded.warnings) == 1


PIECES = [
    *("apiVersion: audit.k8s.io/v1\n", "kind: Policy\n", "rules:\n", "- level: Metadata\n", "- level: None\n"),
    *("  users: [a]\n", "  verbs: [y]\n", "  verb: [get]\n", "  nonResourceURLs: ['/a*']\n", "omitStages: [Panic]\n"),
    *("- &a\n", "- *a\n", "- <<: *a\n", "  <<: *a\n", "  resources:\n", "  - group: apps\n", "    resources: ['*']\n"),
    *("---\n", "...\n", "{", "}", "[", "]", ",", ": ", "- ", '"', "'", "#", "\t", "\0", "~", "1", "!!int ", "|\n"),
    *('{"apiVersion":"audit.k8s.io/v1",', '"rules":[{"level":"None"}]', '"kind":1', "\\u12", "%YAML 1.2\n", "? "),
]  # fmt: skip


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_anything(text: str) -> None:
    """Whatever stands in a file, it loads or is refused; lenient reading refuses just what kube-apiserver refuses."""
    lenient, strict = outcome(text.encode(), lenient=True), outcome(text.encode())
    if isinstance(lenient, PolicyError):
        assert lenient.reference
        assert any(finding.severity is Severity.ERROR for finding in lenient.findings)
        assert isinstance(strict, PolicyError)
    elif isinstance(strict, PolicyError):
        assert not strict.reference
        assert lenient.warnings
    else:
        assert strict.policy == lenient.policy


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=60), st.integers(0, len(GOOD)))
def test_any_bytes(noise: bytes, place: int) -> None:
    """Bytes that are put into a policy never make anything but a policy or a refusal with a place."""
    data = GOOD.encode()
    found = outcome(data[:place] + noise + data[place:])
    if isinstance(found, PolicyError):
        assert str(found).startswith("p:")

from __future__ import annotations

import pytest

from decklog.policy.findings import PolicyError
from decklog.policy.keeping import parse, parse_age
from policy.recorded_logs import line

HEAD = b"apiVersion: decklog.io/v1alpha1\nkind: Retention\n"
RULES = HEAD + (
    b"rules:\n"
    b"- {keep: 365d, verbs: [create, update, delete]}\n"
    b"- {keep: forever, users: ['*@example.com']}\n"
    b"- {keep: 12h, codes: [4xx]}\n"
    b"- {keep: 1w, verbs: [get]}\n"
)
DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("text", "age_s"),
    [("12h", 43_200.0), ("7d", 7 * DAY_S), ("4w", 28 * DAY_S), ("1y", 365 * DAY_S), ("forever", None)],
)
def test_ages(text: str, age_s: float | None) -> None:
    """An age is a number with a unit, or for ever."""
    assert parse_age(text) == age_s


@pytest.mark.parametrize("text", ["", "0d", "7", "d", "-1d", "7 d", "1m", "1.5d", "\u0661d", "9999999d"])
def test_what_is_no_age(text: str) -> None:
    """Anything else is refused with a word on what to write."""
    with pytest.raises(ValueError, match="write one as in 12h"):
        parse_age(text)


def test_the_first_rule_that_matches_decides() -> None:
    """Rules are asked in order; what none matches, and what cannot be read, is kept for ever."""
    keeping = parse(RULES, source="retention.yaml")
    assert keeping.keep(line(verb="create")) == 365 * DAY_S
    assert keeping.keep(line(verb="get")) == 7 * DAY_S
    assert keeping.keep(line(verb="list")) is None
    assert keeping.keep(b"no event") is None


def test_equal_bytes_have_an_equal_digest() -> None:
    """The digest tells one file's rules from another's."""
    assert parse(RULES, source="a").digest == parse(RULES, source="b").digest
    assert parse(RULES, source="a").digest != parse(RULES + b"#", source="a").digest


WRONG = {
    "an age that is none": (HEAD + b"rules:\n- keep: 3z\n", "t.yaml:4:9: rules[0].keep: '3z' is no age"),
    "no age": (HEAD + b"rules:\n- verbs: [get]\n", "rules[0].keep: '' is no age"),
    "a level": (HEAD + b"rules:\n- {keep: 3d, level: Metadata}\n", "'level' is not a field of a rule"),
    "a code that is none": (HEAD + b"rules:\n- {keep: 3d, codes: ['9']}\n", "is no code"),
    "no rule": (HEAD, "rules: a retention file needs a rule"),
    "another kind": (b"kind: Policy\nrules:\n- {keep: 1d}\n", "kind: not a retention file"),
    "no YAML": (b"[", "not YAML"),
    "nothing": (b"", "not a retention file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_its_place(name: str) -> None:
    """A file that cannot be used is refused, and says where and why."""
    data, told = WRONG[name]
    with pytest.raises(PolicyError) as caught:
        parse(data, source="t.yaml")
    assert told in str(caught.value)

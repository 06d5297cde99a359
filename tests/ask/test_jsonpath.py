from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decklog.ask.jsonpath import Template, TemplateError

ROW: dict[str, Any] = {
    "user": "alice",
    "verb": "delete",
    "code": 403,
    "took": 0.25,
    "dryRun": True,
    "groups": ["dev", "ops", "all"],
    "annotations": {"authorization.k8s.io/reason": "RBAC", "a": "1"},
    "stages": [{"name": "first", "n": 1}, {"name": "last", "n": 2}],
    "empty": [],
    "none": None,
}


def filled(template: str, value: Any = ROW) -> str:
    return Template(template).filled(value)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.user}", "alice"),
        (".user", "alice"),
        ("{$.user}", "alice"),
        ("{@.user}", "alice"),
        ("{ .user }", "alice"),
        ("{['user']}", "alice"),
        ('{.["user"]}', "alice"),
        ("{['user','verb']}", "alice delete"),
        ('{.user}{"\\t"}{.verb}{"\\n"}', "alice\tdelete\n"),
        ("user={.user} code={.code}", "user=alice code=403"),
        ("{.took} {.dryRun} {.none}|", "0.25 true |"),
        ("{.missing}", ""),
        ("{.user.deeper}", ""),
        ("{.groups}", '["dev","ops","all"]'),
        ("{.groups[0]}", "dev"),
        ("{.groups[-1]}", "all"),
        ("{.groups[9]}", ""),
        ("{.groups[0:2]}", "dev ops"),
        ("{.groups[:1]}", "dev"),
        ("{.groups[1:]}", "ops all"),
        ("{.groups[::2]}", "dev all"),
        ("{.groups[0,2]}", "dev all"),
        ("{.groups[*]}", "dev ops all"),
        ("{.annotations.*}", "RBAC 1"),
        ("{.annotations.authorization\\.k8s\\.io/reason}", "RBAC"),
        ("{.annotations['authorization.k8s.io/reason']}", "RBAC"),
        ("{.annotations['authorization\\.k8s\\.io/reason']}", "RBAC"),
        ("{..name}", "first last"),
        ("{.stages[*].name}", "first last"),
        ('{.stages[?(@.name=="last")].n}', "2"),
        ("{.stages[?(@.n>1)].name}", "last"),
        ("{.stages[?(@.n <= 1)].name}", "first"),
        ("{.stages[?(@.n!=1)].name}", "last"),
        ("{.stages[?(@.name)].n}", "1 2"),
        ("{.stages[?(@.absent)].n}", ""),
        ('{.groups[?(@=="ops")]}', "ops"),
        ('{range .stages[*]}{.name}{"\\n"}{end}', "first\nlast\n"),
        ("{range .empty[*]}x{end}", ""),
        ("{range .stages[*]}{range .n}{@};{end}{end}", "1;2;"),
        ("", ""),
    ],
)
def test_a_template_is_filled_as_kubectl_fills_it(template: str, expected: str) -> None:
    """Fields, items, slices, filters and ranges print what they print in kubectl; what is missing prints nothing."""
    assert filled(template or "{''}") == expected


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{.user", "'}' is missing"),
        ("{user}", "begins with a dot"),
        ("{.groups[}", "in brackets stand"),
        ("{.groups[a]}", "in brackets stand"),
        ("{.groups[0}", "in brackets stand"),
        ("{.groups[?(@.x==1]}", "')' is missing"),
        ("{range .groups[*]}{@}", "{range} without its {end}"),
        ("{end}", "{end} without a {range}"),
        ("{..}", "a name is missing"),
        ("{.user | upper}", "'}' is missing"),
        ("user", "begins with a dot"),
    ],
)
def test_a_template_that_cannot_be_read_says_where(template: str, says: str) -> None:
    """The user's mistake is named with its place."""
    with pytest.raises(TemplateError, match="at character") as raised:
        Template(template)
    assert says in str(raised.value)


@given(st.text(alphabet="{}[].'\"\\@$*?()=<:,0-1a nrge d", max_size=30))
def test_any_text_is_filled_or_refused(text: str) -> None:
    """Whatever the template, it is filled or refused with a message of ours."""
    try:
        template = Template(text)
    except TemplateError:
        return
    assert isinstance(template.filled(ROW), str)

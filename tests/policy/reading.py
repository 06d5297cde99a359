"""A policy to start from, and reading it, for tests."""

from __future__ import annotations

import pytest

from decklog.policy.findings import PolicyError
from decklog.policy.reader import Loaded, parse

HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
GOOD = f"{HEAD}rules:\n- level: Metadata\n"
JSON_HEAD = '{"apiVersion":"audit.k8s.io/v1","kind":"Policy",'


def read(text: str, *, lenient: bool = False, kubernetes: str = "1.37") -> Loaded:
    return parse(text.encode(), source="p", lenient=lenient, kubernetes=kubernetes)


def outcome(data: bytes, *, lenient: bool = False, kubernetes: str = "1.37") -> Loaded | PolicyError:
    try:
        return parse(data, source="p", lenient=lenient, kubernetes=kubernetes)
    except PolicyError as error:
        return error


def told(text: str, *, kubernetes: str = "1.37") -> list[str]:
    """Every finding's line, of a policy that loads and of one that does not."""
    found = outcome(text.encode(), kubernetes=kubernetes)
    return str(found).split("\n") if isinstance(found, PolicyError) else [str(warning) for warning in found.warnings]


def refused(text: str | bytes, *, lenient: bool = True) -> PolicyError:
    with pytest.raises(PolicyError) as raised:
        parse(text if isinstance(text, bytes) else text.encode(), source="p", lenient=lenient)
    return raised.value

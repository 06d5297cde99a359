from __future__ import annotations

import pytest

from decklog.sandbox.negotiation import APPLY_PATCH, JSON, PROTOBUF, YAML, Accepted, body_type, negotiate, patch_type
from decklog.sandbox.status import ApiError

TABLES = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Accepted()),
        ("*/*", Accepted()),
        ("application/*", Accepted()),
        ("application/json", Accepted()),
        ("application/yaml", Accepted(yaml=True)),
        ("text/html, application/json;q=0.5", Accepted()),
        ("application/json;q=0.1, application/yaml", Accepted(yaml=True)),
        (f"{PROTOBUF},application/json", Accepted()),
        (TABLES, Accepted(convert="Table")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Accepted(convert="Table", version="v1beta1")),
        ("application/json;as=Magic;v=v1;g=meta.k8s.io,application/json", Accepted()),
        ("application/json;q=nonsense", Accepted()),
    ],
)
def test_what_is_accepted(accept: str, expected: Accepted) -> None:
    """The most wanted clause that can be written is chosen."""
    assert negotiate(accept) == expected


@pytest.mark.parametrize(
    "accept", ["text/html", PROTOBUF, "application/cbor", "application/json;as=Magic;v=v1;g=meta.k8s.io"]
)
def test_what_is_not_acceptable(accept: str) -> None:
    """Where nothing accepted can be written the answer is a 406 that tells what could be."""
    with pytest.raises(ApiError) as caught:
        negotiate(accept)
    assert caught.value.code == 406
    assert caught.value.message.endswith("Available representations: application/json, application/yaml")


def test_watches_are_json() -> None:
    """A watch is never YAML."""
    assert negotiate("application/yaml, application/json;q=0.1", watch=True) == Accepted()


def test_bodies() -> None:
    """A body is JSON unless it says otherwise; patches have to say what they are."""
    assert [body_type(kind) for kind in ("", "application/json; charset=utf-8", "APPLICATION/YAML")] == [
        JSON,
        JSON,
        YAML,
    ]
    assert patch_type(f"{APPLY_PATCH};x") == APPLY_PATCH
    for reader, kind in ((body_type, "text/plain"), (patch_type, JSON), (patch_type, "")):
        with pytest.raises(ApiError) as caught:
            reader(kind)
        assert caught.value.code == 415

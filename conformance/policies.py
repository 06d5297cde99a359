"""Policies: loading, validation and evaluation against the tables that kube-apiserver's own code filled in.

All three compare everything that the tables hold. In `load`, two kinds of error texts are compared up to where Go's
rendering of a map key begins (`decklog.policy.reader`); everything else has to be equal to the letter.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from conformance.tally import Tally
from decklog.audit.attributes import Attributes
from decklog.audit.event import User
from decklog.policy.binding import bind
from decklog.policy.evaluator import Evaluator
from decklog.policy.findings import PolicyError
from decklog.policy.json_tree import read_json
from decklog.policy.reader import parse
from decklog.policy.rules import Policy, policy_from, to_json
from decklog.policy.schema import policy_schema
from decklog.policy.validate import aggregate, validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ONLY_BEGUN = ("failed decoding: yaml: invalid map key", "failed decoding: unsupported map key of type")


def checker(path: Path) -> Tally:
    """Evaluate each row's policy for its attributes; level, omitted stages and omitManagedFields have to be equal."""
    tally = Tally(path.stem)
    for row in _rows(path):
        decision = Evaluator(_policy(row["policy"])).decide(_attributes(row["attributes"]), _user(row["attributes"]))
        given = {
            "level": str(decision.level),
            "omitManagedFields": decision.omit_managed_fields,
            "omitStages": sorted(decision.omit_stages),
        }
        wanted = {**row["expected"], "omitStages": sorted(row["expected"]["omitStages"])}
        _judge(tally, row["name"], wanted, given)
    return tally


def load(path: Path) -> Tally:
    """Load each row's text leniently; the policy, or the error, and the warning have to be equal."""
    tally = Tally(path.stem)
    for row in _rows(path):
        wanted = {key: row[key] for key in ("ok", "policy", "error", "lenientWarning")}
        given = _loaded(row["text"].encode())
        if given["error"] in _ONLY_BEGUN and row["error"].startswith(given["error"]):
            given["error"] = row["error"]
        _judge(tally, row["name"], wanted, given)
    return tally


def validation(path: Path) -> Tally:
    """Validate each row's policy; every violation in every part, their order and the aggregate have to be equal."""
    tally = Tally(path.stem)
    for row in _rows(path):
        found = validate(_policy(row["policy"]))
        errors = [
            {
                "type": violation.type,
                "field": violation.field,
                "badValue": violation.bad_value if isinstance(violation.bad_value, str) else [*violation.bad_value],
                "detail": violation.detail,
                "message": violation.message,
            }
            for violation in found
        ]
        given = {"valid": not found, "errors": errors, "aggregate": aggregate(found)}
        _judge(tally, row["name"], {key: row[key] for key in given}, given)
    return tally


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            yield json.loads(line)


def _judge(tally: Tally, name: str, wanted: dict[str, Any], given: dict[str, Any]) -> None:
    differing = [f"{key}: {given[key]!r} instead of {wanted[key]!r}" for key in wanted if given[key] != wanted[key]]
    if differing:
        tally.failed(name, "; ".join(differing))
    else:
        tally.passed()


def _policy(written: dict[str, Any]) -> Policy:
    """Make the policy of a row, which may be one that no reader would let pass."""
    return policy_from(bind(read_json(json.dumps(written).encode()).root, policy_schema()).fields)


def _attributes(row: dict[str, Any]) -> Attributes:
    return Attributes(
        verb=row["verb"],
        path=row["path"],
        resource_request=row["resourceRequest"],
        api_group=row["apiGroup"],
        namespace=row["namespace"],
        resource=row["resource"],
        subresource=row["subresource"],
        name=row["name"],
    )


def _user(row: dict[str, Any]) -> User | None:
    return None if row["user"] is None else User(row["user"], groups=tuple(row["groups"] or ()))


def _loaded(data: bytes) -> dict[str, Any]:
    try:
        loaded = parse(data, source="policy.yaml", lenient=True)
    except PolicyError as error:
        return {"ok": False, "policy": None, "error": error.reference, "lenientWarning": error.reference_warning}
    policy = to_json(loaded.policy, loaded.metadata)
    return {"ok": True, "policy": policy, "error": "", "lenientWarning": loaded.reference_warning}

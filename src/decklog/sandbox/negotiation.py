"""Content negotiation: what a client accepts, and what it sends.

Lives here: the reading of ``Accept`` and ``Content-Type``. The sandbox reads JSON, YAML and some protobuf, and writes
JSON and YAML: a client that accepts JSON beside protobuf gets JSON, as the API allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from decklog.sandbox.status import not_acceptable, unsupported_media_type, unsupported_patch_type

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
WATCH_JSON: Final = "application/json;stream=watch"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
PATCHES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
CONVERSIONS: Final = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One clause of Accept."""

    type: str
    parameters: dict[str, str]

    @property
    def quality(self) -> float:
        """``q``, 1 without one; 0 for nonsense."""
        try:
            return float(self.parameters.get("q", "1"))
        except ValueError:
            return 0.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the answer will be: its format, and the conversion that the client asked for."""

    yaml: bool = False
    convert: str = ""
    """Empty, or one of `CONVERSIONS`."""
    version: str = "v1"
    """Of meta.k8s.io, for a conversion."""


def media_ranges(accept: str) -> list[MediaRange]:
    """Read an Accept header, the most wanted clause first."""
    clauses = [_media_range(clause) for clause in accept.split(",") if clause.strip()]
    return sorted(clauses, key=lambda clause: -clause.quality)


def negotiate(accept: str, *, watch: bool = False) -> Accepted:
    """Choose how to answer. Raises ApiError (406) when nothing that is accepted can be written."""
    if not accept.strip():
        return Accepted()
    for clause in media_ranges(accept):
        for accepted in _fitting(clause):
            if not (watch and accepted.yaml):
                return accepted
    offered = (JSON, YAML, WATCH_JSON) if watch else (JSON, YAML)
    raise not_acceptable(offered)


def _fitting(clause: MediaRange) -> Iterator[Accepted]:
    if clause.type not in {JSON, YAML, "application/*", "*/*"}:
        return
    convert = clause.parameters.get("as", "")
    version = clause.parameters.get("v", "v1")
    if not convert:
        yield Accepted(yaml=clause.type == YAML)
    elif convert in CONVERSIONS and clause.parameters.get("g") == "meta.k8s.io" and version in {"v1", "v1beta1"}:
        yield Accepted(clause.type == YAML, convert, version)


def _media_range(clause: str) -> MediaRange:
    kind, *parameters = clause.split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return MediaRange(kind.strip().lower(), {key.strip(): value.strip() for key, _, value in pairs})


def body_type(content_type: str) -> str:
    """Tell the format of a submitted object: JSON, YAML or protobuf. Raises ApiError (415) for another."""
    kind = content_type.partition(";")[0].strip().lower() or JSON
    if kind not in {JSON, YAML, PROTOBUF}:
        raise unsupported_media_type((JSON, YAML, PROTOBUF))
    return kind


def patch_type(content_type: str) -> str:
    """Tell the kind of a patch. Raises ApiError (415) for what is none."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in PATCHES:
        raise unsupported_patch_type()
    return kind

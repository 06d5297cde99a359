"""The interpreter: does with a distribution's file what its table says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from decklog.enable.distributions.merging import documents_in, merge, render
from decklog.enable.distributions.shapes import Named, Patches, Plain, Whole, Words
from decklog.enable.distributions.tables import TABLES, Distribution, Form, Place
from decklog.enable.distributions.there import There, at, document_of, found_in, is_object, kind_of
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMES: Final = tuple(table.name for table in TABLES)

_POLICY: Final = "--audit-policy-file"
_LOG: Final = "--audit-log-path"
_WEBHOOK: Final = "--audit-webhook-config-file"
_DEFAULTS: Final = {"--audit-log-maxage": "30", "--audit-log-maxbackup": "10", "--audit-log-maxsize": "100"}
"""What the CIS benchmark wants; so that a log does not grow without end where nobody said anything."""
_NODE_LOG: Final = "/var/log/kubernetes"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to do for one distribution."""

    distribution: Distribution
    new: bytes | None
    """Its file as it should be; None: there is none to edit."""
    flags: Mapping[str, str]
    """The flags that the API server then runs with, those that the distribution sets by itself left out."""
    said: tuple[str, ...]
    """What has to be said aloud."""
    then: tuple[str, ...]
    """What to do then, one step each."""


def distribution(name: str) -> Distribution:
    """Find a table. Raises DecklogError."""
    for table in TABLES:
        if table.name == name.lower():
            return table
    raise DecklogError(f"there is no distribution {name[:40]!r}: choose one of {', '.join(NAMES)}")


def interpret(
    table: Distribution, flags: Mapping[str, str], *, data: bytes | None = None, source: str = "", policy: str = ""
) -> Recipe:
    """Say what to do for a distribution.

    `flags`: the audit flags that are wanted, with their dashes; a relative --audit-policy-file is where the user has
    the policy, and an absolute one where the node has it. `data`: the distribution's file as it is, None for a new one;
    `source` names it in errors. `policy`: the text of the policy, for those that take it into their file. Raises
    DecklogError, with the line where there is one.
    """
    given = flags.get(_POLICY, "")
    documents = documents_in(data, source) if data is not None and table.places else []
    place = _place(table, None if data is None else documents, source) if table.places else None
    if place is not None:
        _refuse_role(table, documents, source)
        place = _as_written(place, documents, source)
    there = There() if place is None or table.nodes else found_in(documents, place, table.kind, table.policy_flag_key)
    wanted = _flags(table, flags, there.flags)
    words = {
        "policy": given or "audit-policy.yaml",
        "place": wanted[_POLICY],
        "log": wanted.get(_LOG, table.log_path),
        "flags": " ".join(f"--extra-config=apiserver.{name[2:]}={value}" for name, value in wanted.items()),
    }
    said = tuple(text.format(**words) for text in table.said)
    then = tuple(text.format(**words) for text in table.then)
    if place is None:
        return Recipe(table, None, {} if table.managed else wanted, said, then)
    if table.policy_key and not policy:
        raise DecklogError(
            f"{table.title} takes the policy itself: give --audit-policy-file FILE that can be read here"
        )
    kept = {name: value for name, value in wanted.items() if f"{name}={value}" not in table.own or name in there.flags}
    if table.policy_key:
        kept.pop(_POLICY, None)
    content = _kind(table, wanted, given) if table.nodes else _content(table, place, kept, policy, there)
    if data is None:
        return Recipe(table, render(_head(table, place) | content).encode(), kept, said, then)
    new = merge(data, content, source=source, chosen=_chooser(table, place, documents))
    return Recipe(table, new, kept, said, then)


def _flags(table: Distribution, flags: Mapping[str, str], there: Mapping[str, str]) -> dict[str, str]:
    """Put what is asked for over what the file has, and that over what is written where nobody says anything."""
    told = {**there, **{name: value for name, value in flags.items() if name.startswith("--audit-")}}
    wanted = {_POLICY: table.policy_file}
    if _LOG in told or _WEBHOOK not in told:
        wanted[_LOG] = table.log_path
        if told.get(_LOG, table.log_path) != "-":
            wanted |= _DEFAULTS
    wanted |= told
    if table.policy_fixed or not wanted[_POLICY].startswith("/"):
        wanted[_POLICY] = there.get(_POLICY) or table.policy_file
    return wanted


def _place(table: Distribution, documents: Sequence[Any] | None, source: str) -> Place:
    """Choose the form in which the file is written; `documents`: None where there is no file yet."""
    if documents is None:
        return table.places[0]
    if not table.kind:
        if kind := kind_of(documents):
            raise DecklogError(f"{source}: its kind is {kind[:60]!r}: is it {table.title}?")
        return table.places[0]
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == table.kind:
            if table.nodes and _is_shared(document):
                raise DecklogError(
                    f"{source}: several nodes are control planes, and kubeadm gives all of them the same flags: each "
                    "needs extraMounts of its own for the policy and the log: add them by hand, as "
                    f"'decklog enable --for {table.name}' prints them for one"
                )
            for place in table.places:
                if document.get("apiVersion") == place.api_version:
                    return place
            known = ", ".join(place.api_version for place in table.places)
            raise DecklogError(
                f"{source}: its apiVersion is {str(document.get('apiVersion'))[:60]!r}, and {known} can be edited:"
                " migrate it first (kubeadm config migrate)"
                if table.name == "kubeadm"
                else f"{source}: its apiVersion is {str(document.get('apiVersion'))[:60]!r}, not {known}"
            )
    raise DecklogError(f"{source}: there is no document of kind {table.kind} in it: is it {table.title}?")


def _refuse_role(table: Distribution, documents: Sequence[Any], source: str) -> None:
    role = at(document_of(documents, table.kind), table.role) if table.role else None
    if isinstance(role, str) and role not in table.serving:
        raise DecklogError(
            f"{source}: its {'.'.join(table.role)} is {role[:60]!r}, and such a node runs no API server: give the file "
            f"of one that is {' or '.join(table.serving)}"
        )


def _as_written(place: Place, documents: Sequence[Any], source: str) -> Place:
    """Take the key that the file has for the flags; of two, what stands last would put the other out of force."""
    *path, key = place.flags
    other = key + place.append
    inside = at(document_of(documents, ""), path) if place.append else None
    if not isinstance(inside, dict) or other not in inside:
        return place
    if key in inside:
        raise DecklogError(
            f"{source}: {key} and {other} both stand in it, and the order decides: make one list of them"
        )
    return replace(place, flags=(*path, other))


def _is_shared(document: Mapping[str, Any]) -> bool:
    nodes = document.get("nodes")
    roles = [node.get("role") for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []
    return roles.count("control-plane") > 1


def _chooser(table: Distribution, place: Place, documents: Sequence[Any]) -> Any:
    if not table.kind:
        return (lambda document: not is_object(document)) if any(map(is_object, documents)) else None
    return lambda document: (
        isinstance(document, dict)
        and document.get("kind") == table.kind
        and document.get("apiVersion") == place.api_version
    )


def _head(table: Distribution, place: Place) -> dict[str, Any]:
    return {"apiVersion": place.api_version, "kind": table.kind} if table.kind else {}


def _content(table: Distribution, place: Place, flags: Mapping[str, str], policy: str, there: There) -> dict[str, Any]:
    content: dict[str, Any] = {}
    mounted = there.lacking(_mounts(flags)) if place.mounts else ()
    if table.policy_key:
        _put(content, table.policy_key, Whole(policy))
    flags = dict(flags)
    if table.policy_flag_key and _POLICY in flags:
        content[table.policy_flag_key] = flags.pop(_POLICY)
    if flags:
        _put(content, place.flags, _written(place.form, flags))
    if mounted:
        _put(content, place.mounts, Named("name", mounted))
    return content


def _put(content: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
    content[keys[-1]] = value


def _written(form: Form, flags: Mapping[str, str]) -> Any:
    pairs = [(name.removeprefix("--"), value) for name, value in flags.items()]
    match form:
        case Form.MAP:
            return dict(pairs)
        case Form.NAMED:
            return Named("name", tuple({"name": name, "value": value} for name, value in pairs))
        case Form.WORDS:
            return Words(tuple(pairs))


def _mounts(flags: Mapping[str, str]) -> tuple[dict[str, str], ...]:
    """Mount what the flags name: policy and webhook read-only as files, the log's directory writable."""
    found = []
    for flag, name in ((_POLICY, "audit-policy"), (_WEBHOOK, "audit-webhook")):
        if path := flags.get(flag):
            found.append(_mount(name, path, path, "File", read_only=True))
    log = flags.get(_LOG, "-")
    if log != "-":
        folder = str(PurePosixPath(log).parent)
        found.append(_mount("audit-log", folder, folder, "DirectoryOrCreate", read_only=False))
    return tuple(found)


def _mount(name: str, host: str, path: str, kind: str, *, read_only: bool) -> dict[str, str]:
    return {
        "name": name,
        "hostPath": host,
        "mountPath": path,
        "readOnly": Plain("true" if read_only else "false"),
        "pathType": kind,
    }


def _kind(table: Distribution, flags: Mapping[str, str], policy: str) -> dict[str, Any]:
    """Write kind's: files go into the node first, and from there into the pod; flags are patches for kubeadm."""
    flags = dict(flags)
    flags[_LOG] = f"{_NODE_LOG}/{PurePosixPath(flags.get(_LOG) or 'audit.log').name}"
    texts = []
    for version, form in (("kubeadm.k8s.io/v1beta3", Form.MAP), ("kubeadm.k8s.io/v1beta4", Form.NAMED)):
        place = Place(("apiServer", "extraArgs"), form, ("apiServer", "extraVolumes"))
        body = {"apiVersion": version, "kind": "ClusterConfiguration"} | _content(table, place, flags, "", There())
        texts.append(render(body))
    node = {
        "role": "control-plane",
        "kubeadmConfigPatches": Patches(tuple(texts), _clash),
        "extraMounts": Named(
            "containerPath",
            (
                {
                    "hostPath": policy or "./audit-policy.yaml",
                    "containerPath": table.policy_file,
                    "readOnly": Plain("true"),
                },
                {"hostPath": "./audit", "containerPath": _NODE_LOG},
            ),
        ),
    }
    return {"nodes": Named("role", (node,))}


def _clash(document: Any) -> tuple[str, str] | None:
    """Say why a patch that is there keeps ours from standing beside it: of two lists the later wins (JSON merge)."""
    server = document.get("apiServer") if isinstance(document, dict) else None
    if not isinstance(server, dict) or document.get("kind") != "ClusterConfiguration":
        return None
    if server.get("extraVolumes") or isinstance(server.get("extraArgs"), list):
        return "a patch with apiServer.extraVolumes or a list of extraArgs is there, which ours replaces", "merge both"
    if any(str(name).startswith("audit-") for name in server.get("extraArgs") or {}):
        return "a patch with other audit flags is there", "take them out, or give the same values"
    return None

"""The edit: exactly the flags, volumes and mounts that are needed, put into the manifest in place.

`plan` decides over values and then changes the text; what comes out is read again and has to say what was intended, and
nothing else, before anybody sees it. Planning again over the result changes nothing.
"""

from __future__ import annotations

import copy
import difflib
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from decklog.enable.conflict import Conflict
from decklog.enable.draft import Change, Draft
from decklog.enable.manifest import StaticPod, is_null, is_within, plain
from decklog.enable.mounting import cover, needs
from decklog.enable.wanted import FLAGS, AuditWanted, Takes, same
from decklog.enable.yaml_edits import Edits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from decklog.audit.documents.yaml_events import Raw
    from decklog.enable.yaml_text import Found

MANIFESTS: Final = "/etc/kubernetes/manifests"
"""Where kubelet looks for static pods unless it is told otherwise: what lies there is run."""

_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")
"""What diff(1) and patch(1) call a line: a lone carriage return ends none."""
_ALIASES: Final = {
    "--audit-webhook-initial-backoff": "--audit-webhook-batch-initial-backoff",
    "--audit-webhook-batch-initial-backoff": "--audit-webhook-initial-backoff",
}


@dataclass(frozen=True, slots=True)
class Edit:
    """What became of a manifest."""

    old: bytes = field(repr=False)
    new: bytes = field(repr=False)
    changes: tuple[Change, ...]
    """Empty: nothing had to change, and `new` is `old`."""
    edited: StaticPod = field(repr=False)
    """The new manifest, read."""

    def diff(self, path: str) -> bytes:
        """Give the change as a unified diff that patch(1) takes; empty: there is none."""
        return unified_diff(self.old, self.new, path)


def plan(pod: StaticPod, wanted: AuditWanted, *, manifests: Sequence[str] = (MANIFESTS,)) -> Edit:
    """Find what has to change, and change it.

    Raises Conflict for what must not be guessed at, DecklogError for paths that cannot be. `manifests`: the directories
    that kubelet runs everything of; nothing else may be put there.
    """
    wanted.check_paths()
    draft = _draft(pod, wanted, manifests)
    if not draft.changes:
        return Edit(pod.data, pod.data, (), pod)
    new = _written(pod, draft)
    edited = _checked(pod, new, draft)
    if _draft(edited, wanted, manifests).changes:
        raise _not_understood(pod)
    return Edit(pod.data, new, tuple(draft.changes), edited)


def unified_diff(old: bytes, new: bytes, path: str) -> bytes:
    """Give a unified diff, line ends and a missing last one included."""
    name = _quoted(path)
    lines = difflib.diff_bytes(difflib.unified_diff, _LINE.findall(old), _LINE.findall(new), name, name)
    return b"".join(line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n" for line in lines)


def _quoted(path: str) -> bytes:
    """Write a file's name so that it is one line, which patch(1) reads back: in quotes, in octal what does not show."""
    if path.isprintable() and not set(path) & set(' "\\'):
        return path.encode()
    shown = "".join(
        chr(each) if 0x20 <= each < 0x7F and each not in b'"\\' else f"\\{each:03o}" for each in os.fsencode(path)
    )
    return f'"{shown}"'.encode()


def _draft(pod: StaticPod, wanted: AuditWanted, manifests: Sequence[str]) -> Draft:
    draft = Draft()
    _refuse_unfinished(pod)
    for name, value in wanted.given().items():
        _flag(pod, draft, name, value)
    for need in needs(pod, wanted):
        for directory in manifests:
            if is_within(need.path, plain(directory)):
                raise Conflict(
                    pod.path,
                    0,
                    f"{need.flag} {need.path} lies in {directory}, and kubelet runs what lies there",
                    "choose another directory",
                )
        cover(pod, draft, need)
    return draft


# Flags.


def _flag(pod: StaticPod, draft: Draft, name: str, value: str) -> None:
    found = pod.flags.get(name, ())
    other = pod.flags.get(_ALIASES.get(name, ""), ())
    if other:
        raise pod.text.conflict(
            other[0].line, f"{_ALIASES[name]} is the same flag as {name}, and the last one wins", "keep one of them"
        )
    if found and all(same(name, at.value, value) for at in found):
        return
    if len(found) > 1:
        lines = ", ".join(str(at.line) for at in found)
        raise pod.text.conflict(
            found[-1].line, f"{name} is given {len(found)} times (lines {lines})", "keep one of them"
        )
    if not found:
        _refuse_end_of_flags(pod)
        draft.flags_added.append(f"{name}={escaped(value)}")
        draft.changes.append(Change("flag", f"{name}={value} is added", 0))
        return
    (at,) = found
    text = escaped(value) if at.alone else f"{at.item.node.text.partition('=')[0]}={escaped(value)}"
    draft.flags_set.append((at, text))
    draft.changes.append(Change("flag", f"{name}: {at.value} becomes {value}", at.line))


def escaped(value: str) -> str:
    """Write a text so that Kubernetes, which replaces ``$(NAME)`` in commands, leaves it as it is."""
    return value.replace("$", "$$") if "$(" in value or "$$" in value else value


def _refuse_unfinished(pod: StaticPod) -> None:
    """Refuse an audit flag that waits for its value: it would take the next word for it."""
    for name, found in pod.flags.items():
        for at in found:
            if at.bare and FLAGS.get(name, Takes.SWITCH) is not Takes.SWITCH:
                raise pod.text.conflict(at.line, f"{name} stands there without its value", "give it one")
            if at.alone and name in FLAGS and at.value.startswith("--"):
                what = (
                    f"{name} stands there without its value, and takes the flag behind it, {at.value[:60]!r}, for one"
                )
                raise pod.text.conflict(at.line, what, "give it one")


def _refuse_end_of_flags(pod: StaticPod) -> None:
    for key in ("command", "args"):
        found = pod.text.entry(pod.container, key)
        for item in pod.text.items(found) if found is not None else ():
            if item.node.text == "--":
                raise pod.text.conflict(item.line, "'--' ends the flags, and what follows is none", "remove it")


# From values to text, and back.


def _written(pod: StaticPod, draft: Draft) -> bytes:
    edits = Edits(pod.text)
    for at, text in draft.flags_set:
        edits.set_text(at.item, text)
    if draft.flags_added:
        listed, after = _place(pod)
        edits.insert_items(listed, after, draft.flags_added)
    indents = _indents(pod)
    for parent, key, values in (
        (pod.container, "volumeMounts", draft.mounts),
        (pod.spec, "volumes", draft.volumes),
    ):
        found = pod.text.entry(parent, key)
        if found is not None and not is_null(found) and found.node.children:
            edits.insert_items(found, len(found.node.children) - 1, values)
        else:
            edits.add_list(parent, key, values, indents)
    return edits.result()


def _place(pod: StaticPod) -> tuple[Found, int]:
    """Find where new flags go: behind the last audit flag, or else at the end of the list that has the flags."""
    lists = [found for key in ("args", "command") if (found := pod.text.entry(pod.container, key)) is not None]
    filled = [found for found in lists if found.kind == "sequence" and found.node.children]
    if not filled:
        raise pod.text.conflict(
            pod.container.line, "the container has no command", "give it one with kube-apiserver's flags"
        )
    for found in filled:
        places = [index for index, item in enumerate(found.node.children) if _is_audit_value(pod, item)]
        if places:
            return found, places[-1]
    flagged = [found for found in filled if any(_is_flag(item.node.text) for item in pod.text.items(found))]
    chosen = (flagged or filled)[0]
    return chosen, len(chosen.node.children) - 1


def _is_audit_value(pod: StaticPod, item: Raw) -> bool:
    return any(at.item.node is item for name, found in pod.flags.items() if name in FLAGS for at in found)


def _is_flag(word: str) -> bool:
    return word.startswith("--")


def _indents(pod: StaticPod) -> bool:
    """Whether this file indents the items of a list further than the list's key."""
    for parent, key in ((pod.spec, "containers"), (pod.container, "command"), (pod.container, "args")):
        found = pod.text.entry(parent, key)
        if found is not None and found.key is not None and found.node.style == "block" and found.node.children:
            return found.node.children[0].at.column > found.key.at.column + 2
    return False


def _checked(pod: StaticPod, new: bytes, draft: Draft) -> StaticPod:
    """Read the new text: it has to say what was intended, word for word, and nothing else may have changed."""
    try:
        edited = StaticPod.read(new, pod.path)
    except Conflict:
        raise _not_understood(pod) from None
    if _canonical(edited.text.value) != _canonical(_intended(pod, draft)):
        raise _not_understood(pod)
    return edited


def _not_understood(pod: StaticPod) -> Conflict:
    return pod.text.conflict(
        pod.container.line,
        "this file's layout is not understood well enough to be edited in place: what came out was not what was meant",
        "lay it out as kubeadm does, and report it",
    )


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)  # unlike ==, it tells 1 from True


def _intended(pod: StaticPod, draft: Draft) -> Any:
    value = copy.deepcopy(pod.text.value)
    container = value["spec"]["containers"][_index_of(pod)]
    for key in ("command", "args"):
        found = pod.text.entry(pod.container, key)
        items = [item.node for item in pod.text.items(found)] if found is not None else []
        for at, text in draft.flags_set:
            for index, node in enumerate(items):
                if node is at.item.node:
                    container[key][index] = text
    if draft.flags_added:
        listed, after = _place(pod)
        key = listed.key.text if listed.key is not None else ""
        container[key][after + 1 : after + 1] = draft.flags_added
    _extend(container, "volumeMounts", draft.mounts)
    _extend(value["spec"], "volumes", draft.volumes)
    return value


def _extend(mapping: dict[str, Any], key: str, values: Sequence[Mapping[str, Any]]) -> None:
    if values:
        mapping[key] = [*(mapping.get(key) or []), *values]


def _index_of(pod: StaticPod) -> int:
    containers = pod.text.entry(pod.spec, "containers")
    items = pod.text.items(containers) if containers is not None else []
    return next(index for index, item in enumerate(items) if item.node is pod.container.node)

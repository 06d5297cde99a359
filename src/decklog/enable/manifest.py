"""The static pod manifest, read: the container that is kube-apiserver, its flags, mounts and volumes, with lines.

Nothing here changes anything (`edit` does), and nothing is asked of the file system. What keeps the file from being
understood, or kubelet from running it, is a `Conflict`.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from decklog.audit.documents.yaml_scalars import resolve
from decklog.enable.wanted import FLAGS, Takes
from decklog.enable.yaml_text import Found, YamlText

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM: Final = "kube-apiserver"
_SHELLS: Final = frozenset({"sh", "bash", "ash", "dash", "busybox"})
_FLAG: Final = re.compile(r"--?([A-Za-z][A-Za-z0-9_.-]*)(?:=(.*))?", re.DOTALL)
_PROBABLY: Final = "this is no static pod of kube-apiserver"


@dataclass(frozen=True, slots=True)
class FlagAt:
    """One flag as it stands in the manifest."""

    value: str
    line: int
    """Of the item that holds the value, from 1."""
    item: Found = field(repr=False)
    """The list item that holds the value."""
    alone: bool = False
    """The value stands in an item of its own: ``--a``, ``b``."""
    bare: bool = False
    """A switch without a value, which turns it on."""


@dataclass(frozen=True, slots=True)
class HostPath:
    """Where a path of the container lies on the host."""

    path: str
    read_only: bool
    volume: str
    type: str
    """``File``, ``DirectoryOrCreate``, …; empty: whatever is there."""
    mounted_at: str
    """The container's path of the mount that leads there."""
    line: int
    """Of that mount."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One volumeMount of the container."""

    name: str
    path: str
    """The container's, without a slash at its end."""
    read_only: bool
    sub_path: str
    line: int
    expands: bool = False
    """Its subPathExpr depends on the environment."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume of the pod."""

    name: str
    host_path: str | None
    """Without a slash at its end; None: it is no hostPath."""
    type: str
    """Of the hostPath; empty: whatever is there."""
    kind: str
    """``hostPath``, ``emptyDir``, …; empty: it does not say."""
    line: int


@dataclass(frozen=True)
class StaticPod:
    """One manifest, read by `StaticPod.read`."""

    text: YamlText = field(repr=False)
    data: bytes = field(repr=False)
    path: str
    """How the file is called in messages."""
    spec: Found = field(repr=False)
    container: Found = field(repr=False)
    name: str
    namespace: str
    container_name: str
    image: str
    image_line: int
    """0: no image is named."""
    words: tuple[str, ...]
    """The command line: ``command`` and ``args``."""
    flags: Mapping[str, tuple[FlagAt, ...]]
    """By name with its dashes, ``_`` read as ``-``; of several, the last one counts."""
    mounts: tuple[Mount, ...]
    volumes: tuple[Volume, ...]

    @classmethod
    def read(cls, data: bytes, path: str) -> StaticPod:
        """Read a manifest of YAML or JSON. Raises Conflict."""
        return _Reading(data, path).pod()

    @cached_property
    def values(self) -> Mapping[str, str]:
        """Give each flag's effective value."""
        return {name: found[-1].value for name, found in self.flags.items()}

    def value(self, name: str) -> str:
        """Give a flag's effective value; empty: it is not set."""
        return self.values.get(name, "")

    def volume(self, name: str) -> Volume | None:
        """Find a volume by its name."""
        return next((volume for volume in self.volumes if volume.name == name), None)

    def mount_of(self, path: str) -> Mount | None:
        """Find the mount that a path of the container lies in: the innermost."""
        within = [mount for mount in self.mounts if is_within(path, mount.path)]
        return max(within, key=lambda mount: len(mount.path), default=None)

    def host_of(self, path: str) -> HostPath | None:
        """Find where a path of the container lies on the host; None: nothing mounted leads there."""
        mount = self.mount_of(path)
        volume = self.volume(mount.name) if mount is not None else None
        if mount is None or volume is None or volume.host_path is None or mount.expands:
            return None
        rest = posixpath.relpath(plain(path), mount.path)
        host = plain(posixpath.join(volume.host_path, mount.sub_path, "" if rest == "." else rest))
        return HostPath(host, mount.read_only, volume.name, volume.type, mount.path, mount.line)


def plain(path: str) -> str:
    """Give a path without doubled and final slashes."""
    normal = posixpath.normpath(path) if path else path
    return f"/{normal.lstrip('/')}" if normal.startswith("/") else normal


def is_within(path: str, directory: str) -> bool:
    """Whether a path is a directory, or lies in it."""
    return plain(path) == directory or plain(path).startswith(f"{directory.rstrip('/')}/")


class _Reading:
    """One manifest on its way to a StaticPod."""

    def __init__(self, data: bytes, path: str) -> None:
        self._data = data
        self._path = path
        self._text = YamlText(data, path)

    def pod(self) -> StaticPod:
        top = self._text.top()
        self._check_kind(top)
        spec = self._mapping(top, "spec")
        container = self._container(spec)
        image = self._text.entry(container, "image")
        lists = [found for key in ("command", "args") if (found := self._list(container, key)) is not None]
        words = [(item, self._word(item)) for found in lists for item in self._text.items(found)]
        metadata = self._text.entry(top, "metadata")
        return StaticPod(
            text=self._text,
            data=self._data,
            path=self._path,
            spec=spec,
            container=container,
            name=self._string(metadata, "name"),
            namespace=self._string(metadata, "namespace") or "default",
            container_name=self._string(container, "name"),
            image=image.node.text if image is not None else "",
            image_line=image.line if image is not None else 0,
            words=tuple(word for _, word in words),
            flags=self._flags(words),
            mounts=self._mounts(container),
            volumes=self._volumes(spec),
        )

    # Finding the container.

    def _check_kind(self, top: Found) -> None:
        if top.kind != "mapping":
            ignored = self._text.ignored
            more = (
                f"; what begins at line {ignored.line} is a second document, which kubelet ignores" if ignored else ""
            )
            raise self._text.conflict(top.line, f"{_PROBABLY}: it is no mapping{more}", "check the path")
        for key, right in (("kind", "Pod"), ("apiVersion", "v1")):
            found = self._text.entry(top, key)
            if found is None:
                raise self._text.conflict(top.line, f"{_PROBABLY}: it has no {key!r}", "check the path")
            if found.node.text != right:
                raise self._text.conflict(
                    found.line,
                    f"{_PROBABLY}: its {key} is {found.node.text[:60]!r}, not {right!r}",
                    "check the path; 'decklog enable --for' knows the configurations of distributions",
                )

    def _container(self, spec: Found) -> Found:
        listed = self._list(spec, "containers")
        containers = self._text.items(listed) if listed is not None else []
        for container in containers:
            if container.kind != "mapping":
                raise self._text.conflict(container.line, "a container that is no mapping", "mend it")
        chosen = (
            [each for each in containers if self._string(each, "name") == PROGRAM]
            or [each for each in containers if self._runs(each)]
            or (containers if len(containers) == 1 else [])
        )
        if len(chosen) == 1 and (self._runs(chosen[0]) or self._string(chosen[0], "name") == PROGRAM):
            return chosen[0]
        if len(chosen) > 1:
            lines = ", ".join(str(each.line) for each in chosen)
            raise self._text.conflict(
                chosen[1].line, f"several containers are kube-apiserver (lines {lines})", "name one 'kube-apiserver'"
            )
        line = (listed or spec).line
        raise self._text.conflict(line, f"{_PROBABLY}: no container is named so or starts it", "check the path")

    def _runs(self, container: Found) -> bool:
        lists = [self._text.entry(container, key) for key in ("command", "args")]
        words = [item.node.text for found in lists if found is not None for item in self._text.items(found)]
        image = self._string(container, "image").partition("@")[0].rpartition("/")[2].partition(":")[0]
        return image.startswith(PROGRAM) or any(posixpath.basename(word) == PROGRAM for word in words)

    # Flags.

    def _word(self, item: Found) -> str:
        node = item.node
        if node.kind != "scalar" or not isinstance(resolve(node.tag, plain=node.plain, text=node.text), str):
            raise self._text.conflict(
                item.line, f"{node.text[:60]!r} is no text, and kubelet takes nothing else here", "put it in quotes"
            )
        return node.text

    def _flags(self, words: list[tuple[Found, str]]) -> Mapping[str, tuple[FlagAt, ...]]:
        found: dict[str, list[FlagAt]] = {}
        waiting = words[self._first_flag(words) :]
        while waiting:
            (item, word), *waiting = waiting
            if word == "--":
                break  # what follows is no flag, to kube-apiserver either
            matched = _FLAG.fullmatch(word)
            if matched is None:
                continue
            name, value = f"--{matched[1].replace('_', '-')}", matched[2]
            if value is not None:
                at = FlagAt(_unescaped(value), item.line, item)
            elif waiting and _takes_next(name, waiting[0][1]):
                (item, value), *waiting = waiting
                at = FlagAt(_unescaped(value), item.line, item, alone=True)
            else:
                at = FlagAt("true", item.line, item, bare=True)
            found.setdefault(name, []).append(at)
        return MappingProxyType({name: tuple(each) for name, each in found.items()})

    def _first_flag(self, words: list[tuple[Found, str]]) -> int:
        """Skip the program, and what starts it with flags of its own (go-runner)."""
        if words and posixpath.basename(words[0][1]) in _SHELLS:
            item = words[0][0]
            raise self._text.conflict(
                item.line,
                f"kube-apiserver is started by a shell ({words[0][1]!r}), and its flags stand in a script",
                "give its flags as a list, or add them to the script by hand",
            )
        places = [index for index, (_, word) in enumerate(words) if posixpath.basename(word) == PROGRAM]
        return places[0] + 1 if places else 0

    # Mounts and volumes.

    def _mounts(self, container: Found) -> tuple[Mount, ...]:
        listed = self._list(container, "volumeMounts")
        mounts = []
        for item in self._text.items(listed) if listed is not None else []:
            path = self._needed(item, "mountPath", "a mount")
            mounts.append(
                Mount(
                    name=self._needed(item, "name", "a mount"),
                    path=plain(path if path.startswith("/") else f"/{path}"),
                    read_only=self._is_true(item, "readOnly"),
                    sub_path=self._string(item, "subPath"),
                    line=item.line,
                    expands=bool(self._string(item, "subPathExpr")),
                )
            )
        return tuple(mounts)

    def _volumes(self, spec: Found) -> tuple[Volume, ...]:
        listed = self._list(spec, "volumes")
        volumes = []
        for item in self._text.items(listed) if listed is not None else []:
            name = self._needed(item, "name", "a volume")
            host = self._text.entry(item, "hostPath")
            path = self._needed(host, "path", f"the hostPath of {name!r}") if host is not None else None
            keys = [key.text for key in item.node.children[::2] if key.text not in {"name", "<<"}]
            volumes.append(
                Volume(
                    name=name,
                    host_path=plain(path) if path is not None else None,
                    type=self._string(host, "type") if host is not None else "",
                    kind="hostPath" if host is not None else keys[0] if keys else "",
                    line=item.line,
                )
            )
        return tuple(volumes)

    # Nodes.

    def _mapping(self, parent: Found, key: str) -> Found:
        found = self._text.entry(parent, key)
        if found is None or found.kind != "mapping":
            line = found.line if found is not None else parent.line
            raise self._text.conflict(line, f"{_PROBABLY}: {key!r} is missing, or no mapping", "check the path")
        return found

    def _list(self, parent: Found, key: str) -> Found | None:
        """Find a list; None: there is none, or it is null."""
        found = self._text.entry(parent, key)
        if found is None or is_null(found):
            return None
        if found.kind != "sequence":
            raise self._text.conflict(found.line, f"{key!r} is no list, and kubelet takes nothing else", "mend it")
        return found

    def _string(self, parent: Found | None, key: str) -> str:
        found = self._text.entry(parent, key) if parent is not None else None
        return found.node.text if found is not None and found.kind == "scalar" and not is_null(found) else ""

    def _needed(self, parent: Found, key: str, what: str) -> str:
        """Give a text that Kubernetes does not do without."""
        found = self._string(parent, key)
        if not found:
            raise self._text.conflict(parent.line, f"{what} without {key!r}, which Kubernetes refuses", "mend it")
        return found

    def _is_true(self, parent: Found, key: str) -> bool:
        found = self._text.entry(parent, key)
        node = found.node if found is not None else None
        return node is not None and node.kind == "scalar" and resolve(node.tag, node.plain, node.text) is True


def is_null(found: Found) -> bool:
    """Whether a node is nothing: empty, ``~`` or ``null``."""
    node = found.node
    return node.kind == "scalar" and resolve(node.tag, node.plain, node.text) is None


def _unescaped(value: str) -> str:
    """Give a value as the container gets it: ``$$`` is Kubernetes' way to write ``$``; ``$(NAME)`` is left as it is."""
    return value.replace("$$", "$")


def _takes_next(name: str, following: str) -> bool:
    """Whether a flag without ``=`` has its value in the next word; of flags that are not ours this is a guess."""
    takes = FLAGS.get(name)
    if takes is not None:
        return takes is not Takes.SWITCH
    return not following.startswith("-")

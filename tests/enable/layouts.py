"""Manifests laid out at random, and what a reader of our own finds in them: PyYAML and a parser of flags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from random import Random

SWITCHES = frozenset({"--audit-log-compress", "--audit-log-truncate-enabled", "--allow-privileged"})


def container(pod: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in pod["spec"]["containers"] if "kube-apiserver" in str(each))


def command_line(pod: dict[str, Any]) -> list[str]:
    found = container(pod)
    return [*(found.get("command") or []), *(found.get("args") or [])]


def flags(words: list[str]) -> dict[str, str]:
    """Read a command line as kube-apiserver's flag library does; the last of one name counts."""
    found: dict[str, str] = {}
    rest = words[1:]
    while rest:
        word, *rest = rest
        assert word.startswith("--"), f"kube-apiserver takes no arguments: {word!r}"
        name, equals, value = word.partition("=")
        if not equals and name in SWITCHES:
            value = "true"
        elif not equals:
            value, *rest = rest
        found[name.replace("_", "-")] = value
    return found


def lay_out(value: Any, random: Random) -> str:
    """Write a value as YAML, in a layout of its own."""
    kind = random.choice(["block"] * 6 + ["dense json", "json", "tabs json", "flow"])
    if kind == "dense json":
        return json.dumps(value, separators=(",", ":"))
    if kind.endswith("json"):
        return json.dumps(value, indent="\t" if kind == "tabs json" else random.choice([2, 4])) + random.choice(
            ["", "\n"]
        )
    layout = _Layout(random)
    text = layout.start() + ("\n".join(layout.mapping(value, 0)) if kind == "block" else layout.flow(value))
    text += random.choice(["", "\n", "\n\n", "\n# the end\n", "\n---\n", "\n...\n", "\n---\na: second\n"])
    if random.random() < 0.2:
        text = text.replace("\n", "\r\n")
    return random.choice(["", "", "", "\ufeff"]) + text


class _Layout:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.step = random.choice([1, 2, 2, 2, 3, 4])
        self.offset = random.choice([0, 0, 2, 3])
        self.gap = random.choice([1, 1, 1, 2, 3])
        self.quotes = random.choice(["", "", "'", '"', "mixed"])
        self.comments = random.choice([0, 0.2, 0.6])
        self.flows = random.choice([0, 0.1, 0.4])

    def start(self) -> str:
        return self.random.choice(["", "---\n", "# a manifest\n---\n", "%YAML 1.1\n---\n", "\n\n"])

    def end(self) -> str:
        return self.random.choice(["  # why: not", " #x", "   "]) if self.random.random() < self.comments else ""

    def between(self, indent: int) -> list[str]:
        if self.random.random() >= self.comments:
            return []
        return self.random.choice(
            [[""], [" " * indent + "# - a: comment"], ["# left", ""], [" " * (indent + 4) + "# right"]]
        )

    def scalar(self, value: Any, *, flow: bool = False) -> str:
        if not isinstance(value, str):
            return json.dumps(value)
        quotes = self.random.choice(["", "'", '"']) if self.quotes == "mixed" else self.quotes
        if quotes == '"':
            return json.dumps(value)
        if quotes == "'" or (flow and set(value) & set(",[]{}")) or yaml.safe_load(value) != value:
            return "'" + value.replace("'", "''") + "'"
        return value

    def mapping(self, value: dict[str, Any], indent: int) -> list[str]:
        lines: list[str] = []
        for key, inside in value.items():
            lines += self.between(indent)
            start = " " * indent + self.scalar(key) + ":"
            if not isinstance(inside, dict | list):
                lines.append(f"{start} {self.scalar(inside)}{self.end()}")
            elif not inside or self.random.random() < self.flows:
                lines.append(f"{start} {self.flow(inside)}{self.end()}")
            elif isinstance(inside, dict):
                lines += [start + self.end(), *self.mapping(inside, indent + self.step)]
            else:
                lines += [start + self.end(), *self.sequence(inside, indent + self.offset)]
        return lines

    def sequence(self, value: list[Any], indent: int) -> list[str]:
        lines: list[str] = []
        for index, item in enumerate(value):
            # Behind a block text a comment that is indented further would belong to it.
            lines += self.between(indent) if not "".join(lines[-2:-1]).endswith((">-", "|-")) else []
            inner = indent + 1 + self.gap
            if isinstance(item, str) and index + 1 < len(value) and self.random.random() < 0.1:
                lines += [
                    f"{' ' * indent}-{' ' * self.gap}{self.random.choice(['>-', '|-'])}",
                    f"{' ' * (inner + 1)}{item}",
                ]
            elif not isinstance(item, dict):
                lines.append(f"{' ' * indent}-{' ' * self.gap}{self.scalar(item)}{self.end()}")
            elif self.random.random() < self.flows:
                lines.append(f"{' ' * indent}-{' ' * self.gap}{self.flow(item)}{self.end()}")
            else:
                first, *others = self.mapping(item, inner)
                while not first.strip() or first.lstrip().startswith("#"):
                    lines.append(first)
                    first, *others = others
                dash = f"{' ' * indent}-"
                lines += [f"{dash}{' ' * self.gap}{first.lstrip()}", *others]
        return lines

    def flow(self, value: Any) -> str:
        if isinstance(value, dict):
            return self._bracketed(
                "{", [f"{self.scalar(key, flow=True)}: {self.flow(inside)}" for key, inside in value.items()], "}"
            )
        if isinstance(value, list):
            return self._bracketed("[", [self.flow(item) for item in value], "]")
        return self.scalar(value, flow=True)

    def _bracketed(self, start: str, items: list[str], end: str) -> str:
        inside = ", ".join(items)
        if items and self.random.random() < 0.1:
            inside += ","
        return f"{start}{self.random.choice(['', ' '])}{inside}{self.random.choice(['', ' '])}{end}"

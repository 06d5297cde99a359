"""What an answer covers, in one line: the window, the files, how much was read, and what could not be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decklog.ask.moments import in_words, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from decklog.audit.query import AnnotationPattern, CodePattern, Pattern, Query, ResourcePattern
    from decklog.sources.record import Coverage


def covered(coverage: Coverage, since: str | None, until: str | None) -> str:
    """Say what was searched. The file names and reasons in it are foreign text: whoever shows it escapes it."""
    return "; ".join(["searched " + _window(since, until), *_read(coverage), *_unread(coverage)])


def _window(since: str | None, until: str | None) -> str:
    if since is None and until is None:
        return "all times"
    start = f"from {readable(since)}" if since is not None else ""
    end = f"until {readable(until)}" if until is not None else "on"
    return f"{start} {end} UTC".strip().replace(" on UTC", " UTC on")


def _read(coverage: Coverage) -> Iterator[str]:
    files = f" ({coverage.files[0]})" if len(coverage.files) == 1 else ""
    yield f"{_counted(len(coverage.files), 'file')}{files}, {_size(coverage.size_bytes)}"
    span = f", from {readable(coverage.first)} to {readable(coverage.last)} UTC" if coverage.first is not None else ""
    yield f"{_counted(coverage.lines, 'line')}{span}"


def _unread(coverage: Coverage) -> Iterator[str]:
    if coverage.undecoded:
        yield f"{_counted(coverage.undecoded, 'line')} passed over unread: they lack a word that every match must hold"
    if coverage.bad_lines:
        examples = ", ".join(f"{bad.file}:{bad.number} ({bad.problem})" for bad in coverage.bad_examples)
        more = ", …" if coverage.bad_lines > len(coverage.bad_examples) else ""
        cut = f" ({coverage.cut:,} of them cut short by a carrier: only the audit ID is known)" if coverage.cut else ""
        yield f"{_counted(coverage.bad_lines, 'line')} could not be read{cut}: {examples}{more}"
    if coverage.others:
        yield f"{_counted(coverage.others, 'message')} of other streams left aside: none claims to be an audit event"
    yield from coverage.problems


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _size(size_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}" if unit != "bytes" else _counted(int(size_bytes), "byte")
        size_bytes /= 1000
    return f"{size_bytes:,.1f} TB"


def asked(query: Query) -> str:
    """Write the filter back in words: ``verb delete or deletecollection, namespace shop``."""
    fields: tuple[tuple[str, Iterable[str]], ...] = (
        ("verb", map(_pattern, query.verbs)),
        ("resource", map(_resource, query.resources)),
        ("subresource", map(_pattern, query.subresources)),
        ("name", map(_pattern, query.names)),
        ("namespace", map(_pattern, query.namespaces)),
        ("user", map(_pattern, query.users)),
        ("as", map(_pattern, query.impersonated)),
        ("group", map(_pattern, query.groups)),
        ("user agent", map(_pattern, query.user_agents)),
        ("audit ID", map(_pattern, query.audit_ids)),
        ("path", map(_pattern, query.paths)),
        ("code", map(_code, query.codes)),
        ("stage", map(_pattern, query.stages)),
        ("source IP", (f"{'not ' if each.negated else ''}{each.text}" for each in query.source_ips)),
        ("decision", map(_pattern, query.decisions)),
        ("level", map(_pattern, query.levels)),
        ("annotation", map(_annotation, query.annotations)),
        ("field manager", map(_pattern, query.field_managers)),
        ("by", ("humans" if query.human else "machines",) if query.human is not None else ()),
        ("slower than", (in_words(query.slower_than_us / 1e6),) if query.slower_than_us is not None else ()),
        ("faster than", (in_words(query.faster_than_us / 1e6),) if query.faster_than_us is not None else ()),
        ("text", map(repr, query.texts)),
        ("received after", (f"{readable(query.after)} UTC",) if query.after is not None else ()),
    )
    return ", ".join(f"{name} {words}" for name, values in fields if (words := " or ".join(values))) or "anything"


def _pattern(pattern: Pattern) -> str:
    if pattern.prefix and not pattern.text:
        return "none" if pattern.negated else "any"
    return f"{'not ' if pattern.negated else ''}{pattern.text}{'*' if pattern.prefix else ''}"


def _annotation(pattern: AnnotationPattern) -> str:
    value = f"={_pattern(pattern.value)}" if pattern.value is not None else ""
    return f"{'not ' if pattern.negated else ''}{_pattern(pattern.key)}{value}"


def _resource(pattern: ResourcePattern) -> str:
    group = "" if pattern.group is None else f".{pattern.group}"
    subresource = f"/{_pattern(pattern.subresource)}" if pattern.subresource else ""
    name = f"{pattern.resource.text}{'*' if pattern.resource.prefix else ''}"
    return f"{'not ' if pattern.negated else ''}{name}{group}{subresource}"


def _code(pattern: CodePattern) -> str:
    return (
        f"{'not ' if pattern.negated else ''}{pattern.low}{'' if pattern.low == pattern.high else f'-{pattern.high}'}"
    )

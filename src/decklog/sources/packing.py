"""Packing: undoes gzip and Zstandard, told by the first bytes and never by the name; in constant memory.

A file may be packed twice: what CloudWatch hands to Firehose is packed already, and Firehose packs it again. Members
and frames that follow each other are one text. gzip from a file that can be rewound goes through ISA-L where it is
installed (about twice as fast); where that finds damage, zlib reads once more from the beginning and tells how far the
data is good, because it can be asked byte by byte.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    class Readable(Protocol):
        """Anything that gives bytes."""

        def read(self, size: int, /) -> bytes | None:
            """Give at most `size` bytes; none at the end."""
            ...


CHUNK_BYTES: Final = 1 << 20
LAYERS: Final = 3
"""So often may a file be packed; what is packed more often is left as it is."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPED: Final = b"\x2a\x4d\x18"
"""Behind a byte from 0x50 to 0x5f: a frame of the parallel packer without contents."""
_GZIP_FLAGS: Final = 3
"""Where the flags of a member's head stand (RFC 1952)."""
_GZIP_KNOWN: Final = b"\x1f"
_GZIP_WINDOW: Final = 31
"""zlib's number for "gzip header and trailer, largest window"."""
_ZSTD_WINDOW: Final = 128 << 20
"""The largest window that the zstd tool unpacks unasked."""


class DamagedError(DecklogError):
    """The rest of a file cannot be read; what was yielded before is good."""


class Metered:
    """A file that counts what is read of it; what is read again after a rewinding counts once."""

    def __init__(self, file: BinaryIO, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count
        self._again = 0

    def read(self, size: int, /) -> bytes | None:
        """Read as the file does."""
        chunk = self._file.read(size)
        fresh = len(chunk or b"") - self._again
        self._again = max(0, -fresh)
        self._count(max(0, fresh))
        return chunk

    def seekable(self) -> bool:
        """Tell whether the file can be rewound."""
        return self._file.seekable()

    def tell(self) -> int:
        """Give the place in the file."""
        return self._file.tell()

    def seek(self, place: int, /) -> None:
        """Go back to `place`."""
        self._again += self._file.tell() - place
        self._file.seek(place)


def chunks(file: Readable) -> Iterator[bytes]:
    """Yield the contents of `file` in pieces, unpacked if it begins as gzip or Zstandard do, whatever its name.

    Raises DamagedError where a packed file is cut off or damaged, OSError where the disk fails.
    """
    return _layer(_raw_chunks(file), _rewinder(file), LAYERS)


def is_packed(first: bytes) -> bool:
    """Tell by its first four bytes whether a file is packed."""
    return first.startswith((_GZIP_MAGIC, _ZSTD_MAGIC)) or (first[1:4] == _ZSTD_SKIPPED and 0x50 <= first[0] <= 0x5F)


def _raw_chunks(file: Readable) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _rewinder(file: Any) -> Callable[[], Iterator[bytes]] | None:
    """Give a function that reads `file` again from where it stands now; None for a pipe."""
    try:
        if not file.seekable():
            return None
        start = file.tell()
    except (AttributeError, OSError, ValueError):
        return None

    def again() -> Iterator[bytes]:
        file.seek(start)
        return _raw_chunks(file)

    return again


def _layer(raw: Iterator[bytes], again: Callable[[], Iterator[bytes]] | None, layers: int) -> Iterator[bytes]:
    first = next(raw, b"")
    while 0 < len(first) < len(_ZSTD_MAGIC) and (more := next(raw, b"")):  # a pipe may give one byte at a time
        first += more
    if layers and first.startswith(_GZIP_MAGIC):
        yield from _layer(_gunzipped(first, raw, again), None, layers - 1)
    elif layers and is_packed(first):
        yield from _layer(_unzstd(first, raw), None, layers - 1)
    elif first:
        yield first
        yield from raw


# gzip


def _gunzipped(first: bytes, raw: Iterator[bytes], again: Callable[[], Iterator[bytes]] | None) -> Iterator[bytes]:
    fast = _fast_zlib() if again is not None else None
    if fast is None or again is None:
        yield from _unpacked(first, raw)
        return
    size = 0
    try:
        for piece in _members(fast, first, raw):
            size += len(piece)
            yield piece
    except fast.error:
        yield from _behind(size, _unpacked(b"", again()))


def _fast_zlib() -> Any:
    try:
        from isal import isal_zlib  # noqa: PLC0415  # because: only who reads packed files needs it
    except ImportError:  # there are platforms without it
        return None
    return isal_zlib


def _behind(size: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Leave out the first `size` bytes, which were yielded before."""
    for piece in pieces:
        if rest := piece[size:]:
            yield rest
        size = max(0, size - len(piece))


def _members(library: Any, packed: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack member after member; each piece stays small, however well it was packed. Raises the library's error."""
    member = library.decompressobj(_GZIP_WINDOW)
    begins = True
    while packed or (packed := next(rest, b"")):
        if member.eof:
            packed = packed.lstrip(b"\0")  # padding of tapes and block devices is allowed behind a member
            if not packed:
                continue
            member = library.decompressobj(_GZIP_WINDOW)
            begins = True
        if begins:
            while len(packed) <= _GZIP_FLAGS and (more := next(rest, b"")):
                packed += more
            if packed[_GZIP_FLAGS : _GZIP_FLAGS + 1] > _GZIP_KNOWN:  # ISA-L takes flags that nobody knows for none
                raise library.error("unknown header flags set")
            begins = False
        piece = member.decompress(packed, CHUNK_BYTES)
        packed = member.unused_data if member.eof else member.unconsumed_tail
        if piece:
            yield piece
    yield from _flushed(member)


def _unpacked(packed: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Do the same with zlib, up to the last good byte; raises DamagedError."""
    member = zlib.decompressobj(_GZIP_WINDOW)
    while packed or (packed := next(rest, b"")):
        if member.eof:
            packed = packed.lstrip(b"\0")
            if not packed:
                continue
            member = zlib.decompressobj(_GZIP_WINDOW)
        before = member.copy()
        try:
            piece = member.decompress(packed, CHUNK_BYTES)
        except zlib.error as error:
            yield from _salvaged(before, packed)
            raise DamagedError(f"damaged gzip data ({error}); the rest of the file is not readable") from error
        packed = member.unused_data if member.eof else member.unconsumed_tail
        if piece:
            yield piece
    yield from _flushed(member)


def _salvaged(member: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """Unpack byte by byte up to the damage: zlib throws away what one call had unpacked before it failed."""
    with suppress(zlib.error):
        for place in range(len(packed)):
            if piece := member.decompress(packed[place : place + 1]):
                yield piece


def _flushed(member: Any) -> Iterator[bytes]:
    while not member.eof and (piece := member.decompress(member.unconsumed_tail, CHUNK_BYTES)):
        yield piece
    if not member.eof:
        raise DamagedError("gzip data is cut off; it ends in the middle (still being written?)")


# Zstandard


def _unzstd(first: bytes, raw: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack frame after frame, block by block (RFC 8878).

    A block unpacks to 128 KiB at most. And the library tells no end in the middle of a frame; the blocks do.
    """
    zstandard: Any = _zstandard()
    source = _Source(first, raw)
    while magic := source.take(4):
        if magic[1:] == _ZSTD_SKIPPED and 0x50 <= magic[0] <= 0x5F:
            source.skip(int.from_bytes(source.exactly(4), "little"))
            continue
        if magic != _ZSTD_MAGIC:
            raise DamagedError("damaged Zstandard data (no frame); the rest of the file is not readable")
        frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        try:
            for part in _frame_parts(source):
                if piece := frame.decompress(part):
                    yield piece
        except zstandard.ZstdError as error:
            raise DamagedError(f"damaged Zstandard data ({error}); the rest of the file is not readable") from error


def _frame_parts(source: _Source) -> Iterator[bytes]:
    """Cut a frame whose magic number has been read: its header, each block, its checksum."""
    flags = source.exactly(1)
    single, checksum = flags[0] & 0x20, flags[0] & 0x04
    sizes = (1 if single else 0, 2, 4, 8)[flags[0] >> 6] + (0, 1, 2, 4)[flags[0] & 3] + (0 if single else 1)
    yield _ZSTD_MAGIC + flags + source.exactly(sizes)
    last = False
    while not last:
        header = source.exactly(3)
        number = int.from_bytes(header, "little")
        last = bool(number & 1)
        repeated = (number >> 1) & 3 == 1  # one byte stands for the whole block
        yield header + source.exactly(1 if repeated else number >> 3)
    if checksum:
        yield source.exactly(4)


class _Source:
    """Packed bytes, taken by number."""

    def __init__(self, first: bytes, raw: Iterator[bytes]) -> None:
        self._held = first
        self._raw = raw
        self._at = 0

    def take(self, size: int) -> bytes:
        """Give `size` bytes, or what there is."""
        while len(self._held) - self._at < size and (more := next(self._raw, b"")):
            self._held = self._held[self._at :] + more
            self._at = 0
        taken = self._held[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def exactly(self, size: int) -> bytes:
        taken = self.take(size)
        if len(taken) < size:
            raise DamagedError("Zstandard data is cut off; it ends in the middle (still being written?)")
        return taken

    def skip(self, size: int) -> None:
        while size:
            size -= len(self.exactly(min(size, CHUNK_BYTES)))


def _zstandard() -> Any:
    try:
        import zstandard  # noqa: PLC0415  # because: only who reads .zst files needs it
    except ImportError as error:
        raise DamagedError("packed by zstd, which needs the package zstandard: pip install zstandard") from error
    return zstandard

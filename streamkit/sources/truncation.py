"""Is a recording cut short? Its outermost boxes say how long it should be; durations only guess.

Counting pictures against the header's count accuses whole files: an edit list hides pictures that
the count includes (467 declared, 459 shown, nothing missing), and durations are rounded or
belong to a longer sound track. The sizes of ISO boxes, of Matroska's segment and of RIFF chunks
are exact. A transport stream declares nothing, but comes in packets of 188 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_TS_PACKET = 188
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def missing_bytes(path: Path) -> int:
    """How many bytes at least are missing at the end; 0 for a whole file and where nobody can know.

    Raises ``OSError``.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(3 * _TS_PACKET)
        file.seek(0)
        if head[4:8] in (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free"):
            end = _last(_iso_ends(file, size))
        elif head[:4] == b"RIFF":
            end = _last(_riff_ends(file, size))
        elif head[:4] == _EBML.to_bytes(4, "big"):
            end = _matroska_end(file)
        elif len(head) > _TS_PACKET and head[0] == head[_TS_PACKET] == 0x47:
            end = -(-size // _TS_PACKET) * _TS_PACKET
        else:
            end = 0
    return max(0, end - size)


def _last(ends: Iterator[int]) -> int:
    return max(ends, default=0)


def _iso_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Where each top-level box ends; a size of 0 means the end of the file, wherever that is."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or not head[4:8].isascii():
            return
        at += length
        yield at


def _riff_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Where each RIFF chunk ends (large files have several); 0 or all ones: never filled in."""
    at = 0
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or not 0 < length < 0xFFFFFF00:
            return
        at += 8 + length + length % 2
        yield at


def _matroska_end(file: BinaryIO) -> int:
    """Where the segment ends; 0 where its length was never filled in (a live recording)."""
    while (element := _ebml_number(file, keep_marker=True)) is not None:
        length = _ebml_number(file, keep_marker=False)
        if length is None:
            return 0
        if element == _SEGMENT:
            return file.tell() + length
        file.seek(length, 1)
    return 0


def _ebml_number(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """A variable-length number; ``None`` at the end of the file and for "unknown" (all ones)."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(width - 1), "big")
    if keep_marker:
        return value
    mask = (1 << 7 * width) - 1
    return None if value & mask == mask else value & mask

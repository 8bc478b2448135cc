"""Pictures out of requests: base64, bytes, ``.npy``; bounded before anything is decoded."""

from __future__ import annotations

import base64
import binascii
import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from streamkit.frame import Image
from streamkit.server.failures import PictureError, busy

FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is looked for in the first bytes; other decoders are never begun."""

_DATA_URL: Final = re.compile(r"^data:image/[a-z+.-]+;base64,", re.IGNORECASE)
_NPY: Final = b"\x93NUMPY"
_PICKLE: Final = b"\x80"
_JPEG: Final = b"\xff\xd8"
_SCAN: Final = 0xDA
_END: Final = 0xD9
_ALONE: Final = (*range(0x01, 0xC0), *range(0xD0, 0xD9))
"""Markers without a segment, and those that mean nothing, which decoders pass over."""
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends the coded pixels of a scan."""
_USUAL_SCANS: Final = 16
"""A progressive JPEG of any size may have as many; encoders make about ten."""
_MOST_SCANS: Final = 100
_MOST_MARKERS: Final = 10_000
"""Of one picture; 64 KiB lie between two of those that are needed."""
_MOST_PADDING: Final = 10_000
"""Bytes between two segments of a header, which Pillow passes over one by one."""
_SCANNED: Final = 1_000_000_000
"""Pixels x scans of one picture: the decoder goes over all of them in each, 15 ns a pixel."""
_PNM: Final = re.compile(rb"P(?:[14](?:[ \t\r\n]+\d{1,9}){2}|[2356](?:[ \t\r\n]+\d{1,9}){3})\s")
"""A header that all read alike: with a ``#`` in it decoders differ about where a number ends."""

Reserve: TypeAlias = Callable[[int], None]
"""Told of pixels that are about to be unpacked; may raise."""


def _freely(_pixels: int) -> None:
    """Room enough."""


class PixelRoom:
    """The pixels of all pictures that are unpacked, whoever sent them; for any thread."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        self._lock = threading.Lock()

    @contextmanager
    def share(self) -> Iterator[Reserve]:
        """Room for the pictures of one request until its end. What it gives raises 503 where there
        is none."""
        mine = 0

        def reserve(pixels: int) -> None:
            nonlocal mine
            with self._lock:
                if self._taken + pixels > self._most:
                    raise busy(f"requests under way have {self._most} pixels; try again")
                self._taken += pixels
                mine += pixels

        try:
            yield reserve
        finally:
            with self._lock:
                self._taken -= mine


@dataclass(frozen=True, slots=True)
class Limits:
    """What one picture may be."""

    bytes: int = 32 << 20
    """As it comes, encoded."""
    pixels: int = 64_000_000
    """Width x height."""
    in_all: int = 256_000_000
    """The same of all pictures of a request."""
    reserve: Reserve = _freely
    """Called with the pixels of each before it is unpacked."""


def from_base64(text: str, limits: Limits, *, orient: bool = True) -> Image:
    """A picture in base64, with or without ``data:image/...;base64,``. Raises ``PictureError``."""
    text = _DATA_URL.sub("", text, count=1)
    if len(text) > limits.bytes * 4 / 3 + 64:
        raise _too_large(limits)
    try:
        data = base64.b64decode(text)
    except (binascii.Error, ValueError):
        raise PictureError("the value is no base64.") from None
    return from_bytes(data, limits, orient=orient)


def from_bytes(data: bytes, limits: Limits, *, orient: bool = True) -> Image:
    """An encoded picture: H x W x 3 ``uint8`` BGR, upright by its EXIF tag unless told otherwise.

    Raises ``PictureError`` for what is none, too large, or broken.
    """
    if not data:
        raise PictureError("Empty image payload.")
    if len(data) > limits.bytes:
        raise _too_large(limits)
    if data.startswith(_NPY):
        return from_npy(data, limits)
    if data.startswith(_PICKLE):
        raise PictureError("this is a pickle, which can run code: send an .npy file (numpy.save).")
    pixels = _measure(data, limits)
    limits.reserve(pixels)
    flags = cv2.IMREAD_COLOR | (0 if orient else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise PictureError("it is damaged: the decoder gave up.")
    if image.shape[0] * image.shape[1] > pixels:
        raise PictureError("it is larger than its header says.", 413)
    return image  # type: ignore[return-value]


def from_npy(data: bytes, limits: Limits) -> Image:
    """An array as ``numpy.save`` writes it: ``uint8``, H x W, or H x W x 1, 3 (BGR) or 4.

    Raises ``PictureError``; never unpickles.
    """
    stream = io.BytesIO(data)
    shape, dtype = _npy_header(stream)
    if dtype != np.uint8 or len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in _DEEP):
        raise PictureError(f".npy of {dtype} {shape}: give uint8, height x width x 3 (BGR).")
    if min(shape) < 1:
        raise PictureError(f".npy of {shape}: there is nothing in it.")
    if shape[0] * shape[1] > limits.pixels:
        raise _too_many(shape[1], shape[0], limits)
    if len(data) - stream.tell() != int(np.prod(shape)):
        raise PictureError("the .npy file is cut short or has more than its header says.")
    limits.reserve(shape[0] * shape[1])
    stream.seek(0)
    try:
        return _colours(np.load(stream, allow_pickle=False))
    except ValueError as error:  # a version nobody knows
        raise PictureError(f"not an .npy file: {error}.") from None


def _npy_header(stream: io.BytesIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type. NumPy evaluates the header as Python: what is none raises anything."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except Exception as error:  # noqa: BLE001 - TokenError, TypeError, MemoryError, whatever comes
        raise PictureError(f"not an .npy file: {error}.") from None
    return shape, dtype


def _colours(array: Image) -> Image:
    """H x W x 3, whatever it was."""
    if array.ndim == 2 or array.shape[2] == 1:
        return cv2.cvtColor(array, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
    if array.shape[2] == 4:
        return cv2.cvtColor(array, cv2.COLOR_BGRA2BGR)  # type: ignore[return-value]
    return np.ascontiguousarray(array)


_DEEP: Final = (1, 3, 4)


def _measure(data: bytes, limits: Limits) -> int:
    """Its pixels. Reads the header only: a small file may be a picture of terabytes."""
    scans = _scans(data) if data.startswith(_JPEG) else 0
    try:
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as opened:
            (width, height), kind = opened.size, opened.format
    except Pillow.DecompressionBombError:
        raise PictureError(f"more than {limits.pixels} pixels.", 413) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, KeyError, IndexError):
        known = ", ".join(FORMATS)
        raise PictureError(f"it is no picture that can be read ({known}, .npy).") from None
    if width * height > limits.pixels:
        raise _too_many(width, height, limits)
    if kind == "PPM" and not _PNM.match(data):
        raise PictureError("a PNM's header is a P, a digit and numbers here, with no # in it.")
    most = max(_USUAL_SCANS, min(_MOST_SCANS, _SCANNED // max(1, width * height)))
    if scans > most:
        raise PictureError(f"a JPEG of this size may have {most} scans at most.", 413)
    return width * height


def _scans(data: bytes) -> int:
    """How often a JPEG is gone over, each time for a few bytes; up to the end of the picture: what
    a camera adds behind that may be a whole video."""
    count, place = 0, len(_JPEG)
    for _ in range(_MOST_MARKERS):
        found = _MARKER.search(data, place)
        if not count and (found.start() if found else len(data)) - place > _MOST_PADDING:
            raise PictureError("it is damaged: a JPEG with nothing in it.")
        if found is None or found[0][-1] == _END:
            return count
        kind, place = found[0][-1], found.end()
        count += kind == _SCAN
        if kind not in _ALONE:
            place += int.from_bytes(data[place : place + 2], "big")
    raise PictureError(f"a JPEG of more than {_MOST_MARKERS} markers.", 413)


def _too_large(limits: Limits) -> PictureError:
    return PictureError(f"more than {limits.bytes} bytes.", 413)


def _too_many(width: int, height: int, limits: Limits) -> PictureError:
    return PictureError(f"{width} x {height} is more than {limits.pixels} pixels.", 413)

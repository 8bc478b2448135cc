"""Pictures out of requests: base64, bytes, ``.npy``; bounded before anything is decoded."""

from __future__ import annotations

import base64
import binascii
import io
import re
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from streamkit.frame import Image
from streamkit.server.failures import PictureError

FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is looked for in the first bytes; other decoders are never begun."""

_DATA_URL: Final = re.compile(r"^data:image/[a-z+.-]+;base64,", re.IGNORECASE)
_NPY: Final = b"\x93NUMPY"
_PICKLE: Final = b"\x80"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one picture may be."""

    bytes: int = 32 << 20
    """As it comes, encoded."""
    pixels: int = 64_000_000
    """Width x height."""
    in_all: int = 256_000_000
    """The same of all pictures of a request."""


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
    _measure(data, limits)
    flags = cv2.IMREAD_COLOR | (0 if orient else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise PictureError("it is damaged: the decoder gave up.")
    return image  # type: ignore[return-value]


def from_npy(data: bytes, limits: Limits) -> Image:
    """An array as ``numpy.save`` writes it: ``uint8``, H x W, or H x W x 1, 3 (BGR) or 4.

    Raises ``PictureError``; never unpickles.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except (ValueError, EOFError) as error:
        raise PictureError(f"not an .npy file: {error}.") from None
    if dtype != np.uint8 or len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in _DEEP):
        raise PictureError(f".npy of {dtype} {shape}: give uint8, height x width x 3 (BGR).")
    if 0 in shape:
        raise PictureError(f".npy of {shape}: there is nothing in it.")
    if shape[0] * shape[1] > limits.pixels:
        raise _too_many(shape[1], shape[0], limits)
    if len(data) - stream.tell() != int(np.prod(shape)):
        raise PictureError("the .npy file is cut short or has more than its header says.")
    stream.seek(0)
    try:
        return _colours(np.load(stream, allow_pickle=False))
    except ValueError as error:  # a version nobody knows
        raise PictureError(f"not an .npy file: {error}.") from None


def _colours(array: Image) -> Image:
    """H x W x 3, whatever it was."""
    if array.ndim == 2 or array.shape[2] == 1:
        return cv2.cvtColor(array, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
    if array.shape[2] == 4:
        return cv2.cvtColor(array, cv2.COLOR_BGRA2BGR)  # type: ignore[return-value]
    return np.ascontiguousarray(array)


_DEEP: Final = (1, 3, 4)


def _measure(data: bytes, limits: Limits) -> None:
    """Read the header only: a small file may be a picture of terabytes."""
    try:
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as opened:
            width, height = opened.size
    except Pillow.DecompressionBombError:
        raise PictureError(f"more than {limits.pixels} pixels.", 413) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, KeyError, IndexError):
        known = ", ".join(FORMATS)
        raise PictureError(f"it is no picture that can be read ({known}, .npy).") from None
    if width * height > limits.pixels:
        raise _too_many(width, height, limits)


def _too_large(limits: Limits) -> PictureError:
    return PictureError(f"more than {limits.bytes} bytes.", 413)


def _too_many(width: int, height: int, limits: Limits) -> PictureError:
    return PictureError(f"{width} x {height} is more than {limits.pixels} pixels.", 413)

"""A decoded picture that several streams look at."""

from __future__ import annotations

import threading
from typing import Any

from streamkit.frame import Image, Picture, Plane, read_only


class SharedPicture:
    """A decoded picture with several readers: its pixels are made once, by whoever asks first."""

    __slots__ = ("_image", "_lock", "_picture")

    def __init__(self, picture: Picture) -> None:
        self._picture, self._lock = picture, threading.Lock()
        self._image: Image | None = None

    @property
    def width(self) -> int:
        """In pixels."""
        return self._picture.width

    @property
    def height(self) -> int:
        """In pixels."""
        return self._picture.height

    @property
    def luma(self) -> Plane:
        """H x W ``uint8``: the decoder's plane, or the green where there is none."""
        with self._lock:
            plane: Plane | None = getattr(self._picture, "luma", None)
        return self.bgr()[..., 1] if plane is None else plane

    def bgr(self) -> Image:
        """H x W x 3 ``uint8`` BGR, read-only; the same array for everybody."""
        with self._lock:
            if self._image is None:
                self._image = read_only(self._picture.bgr())
            return self._image

    def __getattr__(self, name: str) -> Any:
        return getattr(self._picture, name)

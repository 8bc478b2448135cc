"""Shows pictures in windows on this machine's screen."""

from __future__ import annotations

from typing import TypeAlias

import cv2

from streamkit.frame import Image
from streamkit.imaging.layout import Size, letterbox, tiles
from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.sinks.display import require_display

Rendered: TypeAlias = tuple[int | None, Image]
"""A source's id (or its position in a batch) and its picture."""


def display_image(image: Rendered | list[Rendered]) -> None:
    """Show one picture, or a batch of them as tiles, and give the window a moment to draw itself.

    Raises ``SinkError`` where there is no display.
    """
    require_display()
    if isinstance(image, list):
        cv2.imshow("Predictions - tiles", tiles([picture for _, picture in image]))
    else:
        source_id, picture = image
        name = "N/A" if source_id is None else source_id
        cv2.imshow(f"Predictions - video: {name}", picture)
    cv2.waitKey(1)


class WindowSink(Sink):
    """One window per source. ``q``, Escape or the window's own button ends it: ``closed``."""

    main_thread = True

    def __init__(self, title: str = "streamkit", *, size: Size | None = (1280, 720)) -> None:
        """``size`` (width, height) of the picture in the window; ``None`` shows it as it is.

        Raises ``SinkError`` where there is no display.
        """
        require_display()
        self._title = title
        self._size = None if size is None else (size[0], size[1])
        self._windows: set[str] = set()
        self.closed = False

    def write(self, result: Result) -> None:
        if self.closed:
            return
        name = f"{self._title} - {result.frame.source_id}"
        if name in self._windows and not _visible(name):  # showing would open it again
            self.close()
            return
        image = result.image
        cv2.imshow(name, image if self._size is None else letterbox(image, self._size))
        self._windows.add(name)
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            self.close()

    def forget(self, source_id: int) -> None:
        """This source is gone, and its window with it."""
        name = f"{self._title} - {source_id}"
        if name in self._windows and _visible(name):
            cv2.destroyWindow(name)
        self._windows.discard(name)

    def close(self) -> None:
        self.closed = True
        while self._windows:
            name = self._windows.pop()
            if _visible(name):
                cv2.destroyWindow(name)


def _visible(name: str) -> bool:
    try:
        return bool(cv2.getWindowProperty(name, cv2.WND_PROP_VISIBLE) >= 1)
    except cv2.error:  # the last window has gone, and Qt's side of OpenCV with it
        return False

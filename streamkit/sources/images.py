"""One image, or a folder of images in natural order (2.png before 10.png), as a finite source."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np

from streamkit.errors import ConfigError, SourceError, StreamErrorCode
from streamkit.frame import Clock, Image, read_only
from streamkit.sources import IMAGE_SUFFIXES
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.connection import failure
from streamkit.sources.decoding import translated
from streamkit.sources.recorded import Start, begun, start_of


class ImageSource(Source):
    """Images as BGR, turned upright as their EXIF says.

    Each has its file's time; with ``fps`` they follow the first one at that rate, which was taken
    at ``started_at`` (see ``recorded.Start``) or as its file says. Times never go backwards: a
    file older than the one before it gets that one's time.
    """

    def __init__(
        self, path: str | Path, *, fps: float | None = None, started_at: Start = None
    ) -> None:
        if fps is not None and fps <= 0:
            raise ConfigError("fps must be positive")
        if started_at is not None and fps is None:
            raise ConfigError("started_at needs fps: without it images have their files' times")
        self.live = False
        self.path = Path(path)
        self.reference = str(path)
        self.properties: SourceProperties | None = None
        self._fps, self._started_at = fps, start_of(started_at)
        self._stopped = threading.Event()

    def interrupt(self) -> None:
        """Stop before the next image."""
        self._stopped.set()

    def read(self) -> Captures:
        """Every image. Those that cannot be read are named at the end: raises ``SourceError``."""
        paths = self._paths()
        damaged: list[str] = []
        begin: datetime | None = None
        moment = datetime.min.replace(tzinfo=UTC)
        for number, path in enumerate(paths):
            if self._stopped.is_set():
                return
            image, written = self._load(path)
            if image is None:
                damaged.append(path.name)
                continue
            begin = begin or begun(self._started_at, written, 0.0) or written
            planned = begin + timedelta(seconds=number / self._fps) if self._fps else written
            moment = max(moment, planned)
            self.properties = self.properties or self._declared(image, len(paths), begin)
            yield Capture(image, moment, Clock.PTS)
        if damaged:
            raise self._complaint(damaged, len(paths))

    def _paths(self) -> list[Path]:
        if not self.path.exists():
            raise failure(self.reference, "no such file or folder", StreamErrorCode.NOT_FOUND)
        if not self.path.is_dir():
            return [self.path]
        entries = [path for path in self.path.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
        if not entries:
            text = f"no images in this folder ({', '.join(IMAGE_SUFFIXES)})"
            raise failure(self.reference, text, StreamErrorCode.NO_VIDEO)
        return sorted(entries, key=natural)

    def _load(self, path: Path) -> tuple[Image | None, datetime]:
        try:
            data = np.frombuffer(path.read_bytes(), np.uint8)
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except OSError as error:
            raise translated(error, self.reference, opening=True) from error
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        return (None if image is None else read_only(image)), written

    def _declared(self, image: Image, total: int, created: datetime) -> SourceProperties:
        height, width = image.shape[:2]
        return SourceProperties(width, height, total, True, self._fps or 0.0, False, created)

    def _complaint(self, damaged: list[str], total: int) -> SourceError:
        if total == 1:
            text = "this is not an image that can be read"
            return failure(self.reference, text, StreamErrorCode.CODEC_UNSUPPORTED)
        text = f"{self.reference}: {len(damaged)} of {total} images cannot be read: {damaged[0]}"
        text += ", ..." if len(damaged) > 1 else ""
        return SourceError(text, StreamErrorCode.CORRUPT, source_reference=self.reference)


def natural(path: Path) -> list[tuple[bool, int, str]]:
    """A key that sorts names as people count: digits by their value."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]

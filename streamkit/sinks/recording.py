"""One MP4 file while it is written: pictures and their times in, through PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av

from streamkit.errors import SinkError
from streamkit.frame import Image
from streamkit.imaging.layout import Size
from streamkit.sinks.encoder import Encoder, Encoding
from streamkit.sinks.writers import done, refuse_written, writes

_CONTAINER = {
    # While it grows the file is fragmented, so a crash leaves all but the last fragment playable;
    # closing turns it into a plain MP4 that every player can seek. `faststart` would instead copy
    # the whole file once more at the end: too slow for a recording of hours, and lost in a crash.
    "movflags": "hybrid_fragmented+frag_keyframe",
    "flush_packets": "1",
}


class Recording:
    """An open file of one picture size. Every error is a ``SinkError`` that names the path."""

    def __init__(self, path: Path, size: Size, encoding: Encoding) -> None:
        """Create ``path``; ``size`` (width, height) is rounded up to even numbers for 4:2:0. Raises
        ``ConfigError`` where somebody else is writing it."""
        refuse_written(path)
        self._path = path
        self._packets = 0
        existed = path.exists()
        try:
            self._file = av.open(str(path), "w", format="mp4", options=_CONTAINER)
            self._encoder = Encoder(self._file, size, encoding)
            self._file.start_encoding()
        except (av.FFmpegError, OSError) as error:
            if not existed:
                path.unlink(missing_ok=True)
            raise self._failed(error) from error
        writes(self, path)

    def add(self, image: Image, position: int) -> None:
        """Write ``image`` (H x W x 3 ``uint8`` BGR) at ``position`` microseconds.

        A picture of another size is letterboxed; a position not after the last one becomes so.
        """
        self._mux(lambda: self._encoder.encode(image, position))

    def finish(self) -> None:
        """Write what is left and close the file. A file without pictures is removed."""
        try:
            self._mux(self._encoder.rest)
        finally:
            self._close()

    def abandon(self) -> None:
        """Close the file after an error as well as it goes; what was written stays playable."""
        try:
            self._close()
        except SinkError:
            return  # the error that led here has been told

    def _mux(self, packets: Callable[[], Iterable[Any]]) -> None:
        try:
            for packet in packets():
                self._file.mux(packet)
                self._packets += 1
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _close(self) -> None:
        try:
            self._file.close()
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        finally:
            done(self)
            if not self._packets:
                self._path.unlink(missing_ok=True)

    def _failed(self, error: Exception) -> SinkError:
        reason = getattr(error, "strerror", None) or str(error)
        return SinkError(f"cannot write {self._path}: {reason}")

"""Encoded packets into MP4 files, as they are: nothing is decoded, nothing encoded."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av

from streamkit.errors import SinkError
from streamkit.packets import Packet

_TAGS: Final = {"h264": "avc1", "hevc": "hvc1"}
"""What browsers and Apple's players know a codec by."""
_GROWING: Final = {
    # While it grows it is fragmented: a crash leaves all but the last group of pictures playable.
    # Closing turns it into a plain MP4.
    "movflags": "hybrid_fragmented+frag_keyframe+negative_cts_offsets",
    "flush_packets": "1",
}
_UNDECODED: Final[Any] = {"skip_frame": "all"}
"""To learn what is in a file FFmpeg decodes a picture, for a pixel format that nobody here needs:
20 ms of CPU at 1080p, where the rest takes one."""


class Remux:
    """One MP4 file of packets of one track, beginning with a key frame.

    Every error is a ``SinkError`` that names the path.
    """

    def __init__(self, path: Path, first: Packet) -> None:
        """Create ``path`` for ``first`` and those after it; ``first`` has still to be added."""
        self.path, self.track = path, first.track
        self.start = first.at
        """Unix time of its first picture."""
        self.end = first.at
        """Of its last."""
        self.packets = 0
        self._zero = first.pts
        self._before: int | None = None
        self._step = max(1, round(Fraction(1, 25) / first.track.time_base))
        try:
            self._file = av.open(str(path), "w", format="mp4", options=dict(_GROWING))
            self._stream = self._added(first)
        except (av.FFmpegError, OSError, ValueError, IndexError) as error:
            path.unlink(missing_ok=True)
            raise _failed(path, error) from error

    def _added(self, first: Packet) -> Any:
        """A stream with the parameters of ``first``, which FFmpeg reads off it."""
        track = first.track
        with av.open(
            io.BytesIO(track.parameter_sets + first.data),
            format=track.codec,
            stream_options=[_UNDECODED],
        ) as sample:
            source = sample.streams.video[0]
            stream: Any = self._file.add_stream_from_template(source, opaque=True)
        if track.parameter_sets:
            stream.codec_context.extradata = track.parameter_sets
        if track.codec in _TAGS:
            stream.codec_context.codec_tag = _TAGS[track.codec]
        stream.time_base = track.time_base
        began = datetime.fromtimestamp(first.at, UTC)
        self._file.metadata["creation_time"] = began.isoformat(timespec="microseconds")
        return stream

    def add(self, packet: Packet) -> None:
        """Write one packet; its first picture is at 0, the others as far from it as they were."""
        if self._before is not None:
            self._step = packet.dts - self._before
        self._before = packet.dts
        copy: Any = av.Packet(packet.data)
        copy.stream, copy.time_base = self._stream, self.track.time_base
        copy.pts, copy.dts = packet.pts - self._zero, packet.dts - self._zero
        copy.duration, copy.is_keyframe = self._step, packet.key
        try:
            self._file.mux(copy)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise _failed(self.path, error) from error
        self.end = max(self.end, packet.at)
        self.packets += 1

    def finish(self) -> None:
        """Write what is left, and close the file: from now on it can be searched everywhere."""
        try:
            self._file.close()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise _failed(self.path, error) from error
        finally:
            if not self.packets:
                self.path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Close it after an error as well as it goes; what was written stays playable."""
        try:
            self.finish()
        except SinkError:
            return  # the error that led here has been told


def put_in_front(path: Path, whole: Path) -> None:
    """Turn the finished file at ``path`` into ``whole``, whose index comes first (``faststart``):
    it plays while it is being fetched. ``whole`` appears at once, complete. Raises ``SinkError``.
    """
    fresh = whole.with_name(f".{whole.name}.new")
    try:
        _rewrite(path, fresh)
        fresh.replace(whole)
        path.unlink()
    except (av.FFmpegError, OSError, ValueError) as error:
        fresh.unlink(missing_ok=True)
        raise _failed(whole, error) from error


def _rewrite(path: Path, fresh: Path) -> None:
    front = {"movflags": "faststart+negative_cts_offsets"}
    with (
        av.open(str(path), stream_options=[_UNDECODED]) as given,
        av.open(str(fresh), "w", format="mp4", options=front) as out,
    ):
        source = given.streams.video[0]
        stream: Any = out.add_stream_from_template(source, opaque=True)
        if source.name in _TAGS:
            stream.codec_context.codec_tag = _TAGS[source.name]
        out.metadata.update(given.metadata)
        for packet in given.demux(source):
            if packet.size:
                packet.stream = stream
                out.mux(packet)


def seconds_of(path: Path) -> float:
    """How long the file at ``path`` plays, also where a crash cut it off; 0 if it does not."""
    try:
        with av.open(str(path), stream_options=[_UNDECODED]) as file:
            stream = file.streams.video[0]
            times = [packet.pts for packet in file.demux(stream) if packet.pts is not None]
            return float((max(times) - min(times)) * (stream.time_base or 0)) if times else 0.0
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return 0.0


def _failed(path: Path, error: Exception) -> SinkError:
    reason = getattr(error, "strerror", None) or str(error)
    return SinkError(f"cannot write {path}: {reason}")

"""The one PyAV loop: open, find the video, decode, give times; FFmpeg's errors end here."""

from __future__ import annotations

import errno
import logging
import os
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame as DecodedFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from streamkit.credentials import Masking
from streamkit.errors import SourceConnectionError, SourceError, StreamErrorCode
from streamkit.frame import Clock, Image, Plane
from streamkit.sources import ffmpeg_log
from streamkit.sources.base import Capture, Source, SourceProperties
from streamkit.sources.decoder import Decoder, Demand
from streamkit.sources.motion import motion_of
from streamkit.sources.tap import Tap
from streamkit.sources.timing import CaptureClock

for _name in ("http", "https", "rtmp", "rtp", "rtsp", "srt", "tcp", "tls", "udp"):
    # Of these parts of FFmpeg, whoever turns its messages on sees addresses and log-ins.
    logging.getLogger(f"libav.{_name}").addFilter(Masking())

READ_SLICE = 0.7
"""Seconds of silence after which a native read looks up. FFmpeg polls in steps of 0.1 s."""
FILE_THREADS = 4
"""Frame threads of one file's decoder; more only raises memory where several files are read."""

_CODES: tuple[tuple[tuple[type[BaseException], ...], StreamErrorCode, str], ...] = (
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        StreamErrorCode.AUTH_FAILED,
        "user or password was not accepted",
    ),
    ((av.error.HTTPNotFoundError,), StreamErrorCode.NOT_FOUND, "there is no such stream (404)"),
    ((FileNotFoundError,), StreamErrorCode.NOT_FOUND, "no such file or device"),
    ((ConnectionRefusedError,), StreamErrorCode.REFUSED, "connection refused"),
    ((TimeoutError, av.error.ExitError), StreamErrorCode.TIMEOUT, "no answer in time"),
    (
        (av.error.DecoderNotFoundError,),
        StreamErrorCode.CODEC_UNSUPPORTED,
        "no decoder for its codec",
    ),
    ((ConnectionResetError, BrokenPipeError), StreamErrorCode.LOST, "the connection was lost"),
)
_NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS
_BT601 = (2, 5, 6)
"""FFmpeg's numbers for unspecified, BT.470 BG and SMPTE 170M."""
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}


class DecodedPicture:
    """A decoded picture; its planes become BGR pixels, upright, when asked for."""

    __slots__ = ("frame", "height", "turns", "width")

    def __init__(self, frame: DecodedFrame, turns: int | None = None) -> None:
        self.frame = frame
        self.turns = round(frame.rotation / 90) % 4 if turns is None else turns
        """Quarter turns, counter-clockwise, from the planes to the upright picture."""
        across, down = frame.width, frame.height
        self.width, self.height = (down, across) if self.turns % 2 else (across, down)

    @property
    def luma(self) -> Plane:
        """H x W ``uint8``: the first plane as it is, not turned; the green of what has no luma."""
        if self.frame.format.is_rgb or self.frame.format.components[0].bits != 8:
            return self.bgr()[..., 1]
        return self._plane(0)

    def yuv420(self) -> tuple[Plane, Plane, Plane] | None:
        """Its planes as they are; ``None`` for pictures that are turned, of odd size, or of other
        colours than FFmpeg takes pictures for that do not say which they have."""
        frame = self.frame
        plain = frame.format.name == "yuv420p" and frame.colorspace in _BT601
        if not plain or frame.color_range == ColorRange.JPEG or self.turns:
            return None
        if frame.width % 2 or frame.height % 2:
            return None
        return self._plane(0), self._plane(1), self._plane(2)

    def _plane(self, number: int) -> Plane:
        plane: Any = self.frame.planes[number]  # a buffer, which its type does not say
        rows: Plane = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        return rows[:, : plane.width]

    @property
    def motion(self) -> float | None:
        """The part of its area that moved, where motion vectors were asked for: ``motion_of``."""
        return motion_of(self.frame)

    def bgr(self) -> Image:
        """H x W x 3 ``uint8`` BGR. 0.7 ms of CPU for 1280 x 720, where PyAV's default, which starts
        threads for every picture, takes 1.0, and waits for them wherever others want the cores."""
        pixels: Any = self.frame.to_ndarray(format="bgr24", threads=1)
        return np.ascontiguousarray(np.rot90(pixels, self.turns)) if self.turns else pixels


@dataclass
class Timeline:
    """Turns container times into capture times that never go backwards."""

    begin: datetime
    """When time ``origin`` of the container was captured."""
    origin: float
    _last: float = field(default=-1.0, init=False)
    _step: float = field(default=0.0, init=False)

    def moment(self, seconds: float | None) -> float:
        """Unix time of container time ``seconds``, as far as that is known now: for packets."""
        elapsed = self._last if seconds is None else seconds - self.origin
        return self.begin.timestamp() + max(elapsed, 0.0)

    def at(self, seconds: float | None) -> datetime:
        """The capture time of container time ``seconds`` (``None``: one step after the last)."""
        elapsed = self._last + self._step if seconds is None else seconds - self.origin
        if elapsed < self._last - 1.0:  # the clock was set back: recordings joined end to end
            shift = self._last + self._step - elapsed
            self.origin, elapsed = self.origin - shift, elapsed + shift
        elapsed = max(elapsed, self._last, 0.0)
        if self._last >= 0 and elapsed > self._last:
            self._step = elapsed - self._last
        self._last = elapsed
        return self.begin + timedelta(seconds=elapsed)


def opened(
    what: Any,
    reference: str,
    *,
    form: str | None = None,
    options: dict[str, str] | None = None,
    timeout: tuple[float | None, float | None] | None = None,
) -> InputContainer:
    """An open container; whoever asked closes it. ``timeout`` is (opening, one read) in seconds.

    Raises ``SourceConnectionError``; ``reference`` is what its text calls the source.
    """
    try:
        container: InputContainer = av.open(what, "r", form, options=options, timeout=timeout)
        return container
    except (av.FFmpegError, OSError, ValueError) as error:
        raise translated(error, reference, opening=True) from error


def video_of(container: InputContainer, reference: str) -> VideoStream:
    """The video to read. Raises ``SourceConnectionError`` NO_VIDEO or CODEC_UNSUPPORTED."""
    if container.format.name == "tty":  # FFmpeg plays text files, as an old terminal would
        text = "this is text, not a video"
        raise _connection_error(reference, text, StreamErrorCode.CODEC_UNSUPPORTED)
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise _connection_error(reference, "there is no video in it", StreamErrorCode.NO_VIDEO)
    if getattr(streams[0], "codec_context", None) is None:
        text = "there is no decoder for its video codec"
        raise _connection_error(reference, text, StreamErrorCode.CODEC_UNSUPPORTED)
    return streams[0]


def counts_only(container: InputContainer) -> bool:
    """Does this format only count pictures? FFmpeg then takes some rate for granted."""
    return bool(container.format.flags & _NO_TIMESTAMPS)


def recording(
    container: InputContainer,
    stream: VideoStream,
    reference: str,
    timeline: Timeline,
    skip: Skip,
    stopped: threading.Event,
    tap: Tap | None = None,
) -> Iterator[Capture]:
    """Every picture of something finite, in order, with the container's own times.

    Returns at the end, or when ``stopped``. Damaged pictures are passed over (half a picture makes
    detections that are not there) and told at the end: raises ``SourceError`` CORRUPT then.
    FFmpeg's own errors come out untranslated.
    """
    stream.thread_type = "AUTO"
    stream.thread_count = min(FILE_THREADS, os.cpu_count() or 1)
    tap = tap or Tap(reference)
    tap.begin(stream, timeline.moment, live=False)
    damaged = shown = 0
    try:
        for packet in container.demux():
            if stopped.is_set():
                return
            if packet.stream_index != stream.index:
                continue
            tap.take(packet)
            frames, fault = ([], True) if packet.is_corrupt else _decoded(packet)
            damaged += bool(fault and shown)  # before the first picture it is a missing key frame
            for frame in frames:
                shown += 1
                moment = timeline.at(None if frame.pts is None else frame.time)
                damaged += frame.is_corrupt
                if not frame.is_corrupt and not skip.passes(frame):
                    yield Capture(DecodedPicture(frame), moment, Clock.PTS)
    finally:
        _at_rest(stream)
    if damaged:
        raise SourceError(f"{reference}: {damaged} pictures are damaged", StreamErrorCode.CORRUPT)


def broadcast(
    packets: Iterator[av.Packet[Any]],
    stream: VideoStream,
    stopped: threading.Event,
    demand: Demand | None = None,
    reference: str = "video",
    clock: CaptureClock | None = None,
    tap: Tap | None = None,
) -> Iterator[Capture]:
    """The pictures of something live, each with its time by ``clock`` (none: when it arrived).

    Returns when ``stopped`` or when the packets end. What is decoded is up to ``demand`` (none:
    everything, in software). A packet that cannot be decoded (damaged on its way, or before the
    first key frame) is passed over; pictures made from damaged ones are marked ``concealed``.
    """
    decoder = Decoder(stream, demand or Demand(), reference)
    clock = clock or CaptureClock(reference, "arrival")
    tap = tap or Tap(reference)
    tap.begin(stream, clock.moment, live=True)
    with ffmpeg_log.ear().listening():
        for packet, lost in ffmpeg_log.packets(packets):
            if packet.stream_index != stream.index:
                continue
            clock.heard(*_times(packet))
            tap.take(packet, lost=lost)
            for frame, concealed in decoder.pictures(packet, lost):
                yield _timed(frame, clock, concealed=concealed)
            if stopped.is_set():
                return


def _timed(frame: DecodedFrame, clock: CaptureClock, *, concealed: bool) -> Capture:
    at = clock.at(None if frame.pts is None else frame.time)
    return Capture(
        DecodedPicture(frame),
        at.timestamp,
        at.clock,
        at.uncertainty,
        concealed=concealed,
        arrived=clock.arrived,
    )


def sliced(
    container: InputContainer, read_timeout: float, stopped: threading.Event
) -> Iterator[av.Packet[Any]]:
    """The packets of a container whose reads expire now and then, so that it can be interrupted.

    Demuxing goes on after an expired read: measured for RTSP over TCP and over UDP. Raises
    ``TimeoutError`` when nothing came for ``read_timeout`` seconds; a read that lasts far longer
    than it may, because the process was stopped, counts as one slice.
    """
    silence, since = 0.0, time.monotonic()
    while not stopped.is_set():
        try:
            for packet in container.demux():
                if packet.size == 0:
                    return
                yield packet
                silence, since = 0.0, time.monotonic()  # what the reader did is no silence
            return
        except (TimeoutError, av.error.ExitError) as error:
            now = time.monotonic()
            silence, since = silence + min(now - since, 2 * READ_SLICE), now
            if silence > read_timeout:
                raise TimeoutError(f"nothing came for {read_timeout:g} s") from error


@dataclass
class Skip:
    """Which pictures at the beginning to leave out."""

    seconds: float = 0.0
    """Those before this container time (0: none)."""
    frames: int = 0
    """This many."""

    def passes(self, frame: DecodedFrame) -> bool:
        """Is this picture to be left out?"""
        if self.frames > 0:
            self.frames -= 1
            return True
        return frame.pts is not None and frame.time < self.seconds


def declared(
    stream: VideoStream, first: Capture, *, is_file: bool, created: datetime | None = None
) -> SourceProperties:
    """What the container says about itself; the size is that of its first picture, upright."""
    rate = stream.average_rate or stream.guessed_rate
    assert isinstance(first.picture, DecodedPicture)
    return SourceProperties(
        width=first.picture.width,
        height=first.picture.height,
        total_frames=stream.frames or -1 if is_file else -1,
        is_file=is_file,
        fps=float(rate) if rate else 0.0,
        is_reconnectable=not is_file,
        timestamp_created=created,
        codec=stream.codec_context.codec.canonical_name,
    )


def introduced(
    captures: Iterator[Capture],
    stream: VideoStream,
    source: Source,
    *,
    is_file: bool = False,
    created: datetime | None = None,
) -> Iterator[Capture]:
    """``captures``; with the first of them the ``properties`` of ``source`` become known."""
    for number, capture in enumerate(captures):
        if not number:
            source.properties = declared(stream, capture, is_file=is_file, created=created)
        yield capture


def translated(error: BaseException, reference: str, *, opening: bool) -> SourceError:
    """What an error of FFmpeg or of the system means; its own text loses the address it names."""
    if isinstance(error, SourceError):
        return error
    _scrub(error, reference)
    for kinds, code, text in _CODES:
        if isinstance(error, kinds):
            return _error(opening, reference, text, code)
    if getattr(error, "errno", None) in _UNREACHABLE:
        return _error(opening, reference, "the host is unreachable", StreamErrorCode.UNREACHABLE)
    if isinstance(error, av.error.InvalidDataError):
        if opening:
            text = "this is not a video that can be read"
            return _error(opening, reference, text, StreamErrorCode.CODEC_UNSUPPORTED)
        return _error(opening, reference, "damaged data", StreamErrorCode.CORRUPT)
    reason = getattr(error, "strerror", None) or type(error).__name__
    code = StreamErrorCode.CONNECTION_FAILED if opening else StreamErrorCode.LOST
    return _error(opening, reference, f"cannot be read ({reason})", code)


def lost(reference: str, text: str = "the stream ended") -> SourceError:
    """A live source has no end: whoever stops sending was lost."""
    return _error(False, reference, text, StreamErrorCode.LOST)


def _at_rest(stream: VideoStream) -> None:
    """Let the decoder's threads finish. Closing it does not let go of the interpreter, and a thread
    that has something to say in FFmpeg's log then waits for that for ever (``ffmpeg_log.Ear``)."""
    stream.codec_context.flush_buffers()


def _times(packet: av.Packet[Any]) -> tuple[float | None, float | None]:
    """The pts of a packet, and the Unix time its sender gives it (``AVProducerReferenceTime``)."""
    if packet.pts is None or not packet.time_base:
        return None, None
    pts = float(packet.pts * packet.time_base)
    if not packet.has_sidedata("prft"):
        return pts, None
    return pts, struct.unpack_from("<q", bytes(packet.get_sidedata("prft")))[0] / 1e6


def _decoded(packet: av.Packet[Any]) -> tuple[list[DecodedFrame], bool]:
    """The pictures that come out with this packet, and whether it was damaged."""
    try:
        return packet.decode(), False
    except av.error.InvalidDataError:
        return [], True


def _scrub(error: BaseException, reference: str) -> None:
    """FFmpeg's errors quote the address with its password; whoever prints the chain prints that."""
    if isinstance(error, av.FFmpegError) and len(error.args) > 2:
        error.args = (*error.args[:2], reference)


def _error(opening: bool, reference: str, text: str, code: StreamErrorCode) -> SourceError:
    kind = SourceConnectionError if opening else SourceError
    return kind(f"{reference}: {text}", code, source_reference=reference)


def _connection_error(reference: str, text: str, code: StreamErrorCode) -> SourceError:
    return _error(True, reference, text, code)

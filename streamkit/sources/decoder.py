"""Decodes a live stream, no more of it than will be used, and knows which pictures are whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import av
from av.codec.context import Flags, Flags2
from av.video.frame import VideoFrame as DecodedFrame
from av.video.stream import VideoStream

from streamkit.clock import Thinner
from streamkit.errors import ConfigError
from streamkit.sources import backends, ffmpeg_log
from streamkit.sources.bitstream import Facts, Need, syntax_of
from streamkit.sources.economy import Economy, Effort

log = logging.getLogger(__name__)

DecodeMode: TypeAlias = Literal["auto", "all", "reference", "key"]
_EFFORTS = {"all": Effort.ALL, "reference": Effort.REFERENCE, "key": Effort.KEY}
_SPARE = 1.25
"""Where every picture stands alone, this many times as many as are wanted are decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """How a live source decodes. Raises ``ConfigError`` for what does not exist."""

    decode: DecodeMode = "auto"
    backend: str = "software"
    threads: int = 1
    """Slice threads of FFmpeg's own decoder. With more than one, and several slices in a picture,
    it does not say which pictures it had to patch up."""
    motion_vectors: bool = False

    def __post_init__(self) -> None:
        if self.decode not in ("auto", *_EFFORTS):
            choices = ", ".join(("auto", *_EFFORTS))
            raise ConfigError(f"decode={self.decode!r}: choose one of {choices}")
        backends.check(self.backend)
        if not 1 <= self.threads <= 64:
            raise ConfigError(f"decode_threads={self.threads!r}: give a number from 1 to 64")


@dataclass(slots=True)
class Demand:
    """What one source is asked for and what it does about it; outlives its connections."""

    options: DecodeOptions = field(default_factory=DecodeOptions)
    wanted: float | None = None
    """Pictures per second that will be used; ``None``: all."""
    stream: str = "main"
    """Which of the camera's streams is read."""
    stream_reason: str = ""
    backend: str = "software"
    backend_reason: str = ""
    effort: Effort = Effort.ALL
    reason: str = "nothing decoded yet"
    packets: int = 0
    """That came with a picture in them."""
    decoded: int = 0
    left_out: int = 0
    """Packets that were not decoded because nobody needed them."""
    concealed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For ``source.decoding``: JSON-ready."""
        return {
            "mode": self.effort.name.lower(),
            "asked": self.options.decode,
            "wanted_fps": self.wanted,
            "reason": self.reason,
            "packets": self.packets,
            "decoded": self.decoded,
            "left_out": self.left_out,
            "concealed": self.concealed,
            "stream": self.stream,
            "stream_reason": self.stream_reason,
            "backend": self.backend,
            "backend_reason": self.backend_reason,
        }


class Thrift:
    """What the live sources that decode have in common: they can be told how much is wanted."""

    _demand: Demand

    def want(self, fps: float | None) -> None:
        """At most ``fps`` pictures per second will be used (``None``: all). From any thread."""
        self._demand.wanted = fps

    @property
    def decoding(self) -> dict[str, Any]:
        """What is decoded, by what, and why; counts since the source was made."""
        return self._demand.as_dict()


class Shown(NamedTuple):
    """One picture as it leaves the decoder."""

    frame: DecodedFrame
    concealed: bool


class Decoder:
    """One connection's decoder. Feed it every packet of the video, in order."""

    def __init__(self, stream: VideoStream, demand: Demand, reference: str = "video") -> None:
        self._demand, self._reference = demand, reference
        self._stream = stream
        given = stream.codec_context
        self._syntax = syntax_of(given.name, given.extradata or b"")
        self._tick = float(stream.time_base or 0)
        self._economy = Economy()
        self._thinner: Thinner | None = None
        self._thinned_to = 0.0
        self._whole = _Wholeness()
        self._shown = False
        self._silent = 0
        """Packets in a row that were taken, and of which no picture has come out."""
        self._context: Any = None
        self._use(backends.choose(stream, demand.options.backend, reference))

    def _use(self, chosen: backends.Chosen) -> None:
        options, demand = self._demand.options, self._demand
        if (chosen.backend, chosen.reason) != (demand.backend, demand.backend_reason):
            log.info("%s: %s decodes (%s)", self._reference, chosen.backend, chosen.reason)
        demand.backend, demand.backend_reason = chosen.backend, chosen.reason
        self._context = context = chosen.context
        # Measured: frame threads hold back two pictures (127 ms against 50 ms at 25 fps).
        context.thread_type, context.thread_count = "SLICE", options.threads
        context.copy_opaque = True
        # Half-made pictures come out, to be marked, instead of leaving holes nobody knows of.
        context.flags |= Flags.output_corrupt
        if options.motion_vectors:
            context.flags2 |= Flags2.export_mvs

    def pictures(self, packet: av.Packet[Any], lost: bool = False) -> Iterator[Shown]:
        """The pictures that come out with this packet; ``lost``: something before it is missing."""
        if not packet.size:
            yield from self._rest()
            return
        facts = self._syntax.facts(bytes(packet), packet.is_keyframe)
        self._demand.packets += 1
        self._whole.passed(facts, packet.pts, lost or packet.is_corrupt)
        at = None if packet.pts is None else packet.pts * self._tick
        if not self._is_needed(facts.need, at):
            self._demand.left_out += 1
            return
        self._demand.decoded += 1
        origin = _Origin(self._whole.state, facts.need is Need.DISPOSABLE)
        packet.opaque = origin
        yield from map(self._marked, self._decoded(packet, origin))

    def _rest(self) -> Iterator[Shown]:
        """What the decoder still holds; the next packet begins anew."""
        origin = _Origin(self._whole.state, False)
        yield from map(self._marked, self._fed(None, origin))
        self._context.flush_buffers()

    def _marked(self, frame: DecodedFrame) -> Shown:
        if not frame.time_base:  # PyAV does not know it of what comes out without a packet
            frame.time_base = self._stream.time_base
        shown = Shown(frame, self._is_concealed(frame))
        self._demand.concealed += shown.concealed
        self._shown = True
        return shown

    # -- what is decoded -----------------------------------------------------------------------

    def _is_needed(self, need: Need, at: float | None) -> bool:
        demand, economy = self._demand, self._economy
        wanted, asked = demand.wanted, demand.options.decode
        economy.note(need, at)
        if asked == "auto":
            target, demand.reason = economy.choice(wanted)
        else:
            target, demand.reason = _EFFORTS[asked], "asked for"
        # From key frames alone, more can be decoded from the next one on, and only from there: what
        # was left out before is missing in what comes after. Disposable pictures were never missed.
        if target < economy.effort or need is Need.KEY or economy.effort is not Effort.KEY:
            economy.effort = target
        demand.effort = economy.effort
        if need > economy.effort.value:
            return False
        alone = economy.effort is Effort.KEY and asked == "auto"
        return not alone or wanted is None or at is None or self._is_due(wanted, at)

    def _is_due(self, wanted: float, at: float) -> bool:
        """Of pictures that all stand alone, not even each has to be decoded."""
        if self._thinner is None or self._thinned_to != wanted:
            self._thinner, self._thinned_to = Thinner(wanted * _SPARE), wanted
        return self._thinner.passes(at)

    def _decoded(self, packet: av.Packet[Any], origin: _Origin) -> list[DecodedFrame]:
        """What comes out; a picture that stands alone is not held back for others to overtake."""
        frames = self._fed(packet, origin)
        depth = self._context.reorder_depth
        if depth and self._economy.effort is Effort.KEY:
            frames += self._fed(None, origin)
            self._begin_anew(depth)
        elif origin.state.damaged and self._shown and self._silent > depth:
            self._begin_anew(depth)
            frames = self._fed(packet, origin)
        return frames

    def _begin_anew(self, depth: int) -> None:
        """Without what was before. A decoder that has lost count of the pictures (of a gap in their
        numbers that goes round) would hold back all that come up to the next key frame."""
        self._context.flush_buffers()
        self._context.reorder_depth = depth
        self._silent = 0

    def _fed(self, packet: av.Packet[Any] | None, origin: _Origin) -> list[DecodedFrame]:
        context = self._context
        try:
            frames, missing = ffmpeg_log.heard(lambda: context.decode(packet), ffmpeg_log.DAMAGED)
            self._silent = 0 if frames else self._silent + 1
        except av.error.InvalidDataError:
            frames, missing = [], True
        except (av.FFmpegError, RuntimeError) as error:
            if self._demand.backend == backends.SOFTWARE:
                raise
            self._give_up(error)
            frames, missing = [], True
        if missing and self._shown and not origin.disposable:
            origin.state = self._whole.damaged()
        return frames  # type: ignore[no-any-return]

    def _give_up(self, error: Exception) -> None:
        """A device that fails is not tried again by this source; whole from the next key frame."""
        reason = f"{self._demand.backend} failed: {getattr(error, 'strerror', None) or error}"
        self._use(backends.Chosen(self._stream.codec_context, backends.SOFTWARE, reason))

    def _is_concealed(self, frame: DecodedFrame) -> bool:
        origin: Any = frame.opaque
        state = origin.state if isinstance(origin, _Origin) else self._whole.state
        if frame.is_corrupt and not getattr(origin, "disposable", False):
            state.damaged = True
        return frame.is_corrupt or state.conceals(frame.pts)


@dataclass(slots=True)
class _State:
    """What follows one key frame, up to the next one."""

    damaged: bool = False
    key_pts: int | None = None
    before: bool = False
    """Was what came before the key frame damaged? Pictures that are shown before it, and sent
    after it, refer to that."""

    def conceals(self, pts: int | None) -> bool:
        """Is a picture with this time made from damaged ones?"""
        if self.before and pts is not None and self.key_pts is not None and pts < self.key_pts:
            return True
        return self.damaged


@dataclass(slots=True)
class _Origin:
    """What a packet tells the pictures that come out of it, perhaps much later."""

    state: _State
    disposable: bool


class _Wholeness:
    """From the first damage on nothing is whole, until a key frame begins anew."""

    def __init__(self) -> None:
        self.state = _State()
        self._refreshing = False

    def passed(self, facts: Facts, pts: int | None, damaged: bool) -> None:
        """A packet came, at ``pts``, after or with damage."""
        if facts.need is Need.KEY:
            self.state = _State(damaged, pts, self.state.damaged)
        elif damaged or facts.gap:
            self.damaged()
        elif facts.refresh and self.state.damaged:
            if self._refreshing:
                self.state = _State()
            self._refreshing = not self._refreshing

    def damaged(self) -> _State:
        """From here on: what is still in the decoder's hands was whole and keeps its state."""
        self._refreshing = False
        if not self.state.damaged:
            self.state = _State(True, self.state.key_pts, self.state.before)
        return self.state

"""RTCP sender reports on their way out: with a clock that is wrong, or not at all."""

from __future__ import annotations

import struct
from typing import Any

from .gst import Gst

SENDER_REPORT = 200


class Reports:
    """A probe on the RTCP output of each of one camera's medias."""

    def __init__(self) -> None:
        self.skew = 0.0
        """Seconds that the camera's clock is ahead of the truth."""
        self.silent = False

    def watch(self, media: Any) -> None:
        """Look at every report that ``media`` sends."""
        pipeline = media.get_element().get_parent()
        for pad in _rtpbin(pipeline).srcpads:
            if pad.get_name().startswith("send_rtcp_src"):
                kinds = Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST
                pad.add_probe(kinds, self._seen)

    def _seen(self, pad: Any, info: Any) -> Any:
        if self.silent:
            return Gst.PadProbeReturn.DROP
        if not self.skew:
            return Gst.PadProbeReturn.OK
        buffer = info.get_buffer()
        if buffer is None:
            return Gst.PadProbeReturn.OK
        data = skewed(bytes(buffer.extract_dup(0, buffer.get_size())), self.skew)
        changed = Gst.Buffer.new_wrapped(data)
        changed.pts, changed.dts = buffer.pts, buffer.dts
        pad.get_peer().chain(changed)
        return Gst.PadProbeReturn.DROP


def skewed(compound: bytes, seconds: float) -> bytes:
    """The RTCP packets with the NTP time of a leading sender report moved (RFC 3550, 6.4.1)."""
    if len(compound) < 28 or compound[1] != SENDER_REPORT:
        return compound
    moved = (struct.unpack_from(">Q", compound, 8)[0] + round(seconds * 2**32)) % 2**64
    return compound[:8] + struct.pack(">Q", moved) + compound[16:]


def _rtpbin(pipeline: Any) -> Any:
    found = pipeline.iterate_elements()
    while True:
        state, element = found.next()
        if state != Gst.IteratorResult.OK:
            raise LookupError("the media has no rtpbin")
        if element.get_factory() and element.get_factory().get_name() == "rtpbin":
            return element

"""RTP packets between payloader and network: lost, late, damaged, or with times of their own."""

from __future__ import annotations

import random
from typing import Any

from .gst import Gst

HEADER = 12
CLOCK_RATE = 90_000


class Packets:
    """A probe behind each payloader of one camera; nothing is copied while nothing is wrong.

    Written by the main loop's thread, read by streaming threads: each value is set in one step.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.loss = self.reorder = self.corrupt = 0.0
        """Percent of packets."""
        self.distance = 3
        """How many packets later a reordered one is sent."""
        self.bits = 8
        """How many bits of a damaged packet are flipped."""
        self.offset = 0
        """Ticks that timestamps are ahead by."""
        self._reset_wanted = False
        self._held: list[tuple[int, bytes, Any]] = []

    def jump(self, seconds: float) -> None:
        """Timestamps go on from ``seconds`` later (or earlier)."""
        self.offset = (self.offset + round(seconds * CLOCK_RATE)) & 0xFFFFFFFF

    def reset(self) -> None:
        """Timestamps go on from zero."""
        self._reset_wanted = True

    def watch(self, pad: Any) -> None:
        """Look at every packet that leaves ``pad``."""
        kinds = Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST
        pad.add_probe(kinds, self._seen)

    @property
    def _idle(self) -> bool:
        return not (
            self.loss or self.reorder or self.corrupt or self.offset or self._reset_wanted
            or self._held
        )  # fmt: skip

    def _seen(self, pad: Any, info: Any) -> Any:
        if self._idle:
            return Gst.PadProbeReturn.OK
        peer = pad.get_peer()
        for buffer in _buffers(info):
            for data, like in self._changed(
                bytes(buffer.extract_dup(0, buffer.get_size())), buffer
            ):
                if peer.chain(_like(data, like)) != Gst.FlowReturn.OK:
                    return Gst.PadProbeReturn.DROP
        return Gst.PadProbeReturn.DROP

    def _changed(self, packet: bytes, buffer: Any) -> list[tuple[bytes, Any]]:
        """What is sent in the place of one packet: none, it, or it and those that were held."""
        packet = self._timed(packet)
        held = [(left - 1, data, like) for left, data, like in self._held]
        due = [(data, like) for left, data, like in held if left <= 0]
        self._held = [entry for entry in held if entry[0] > 0]
        if self._hit(self.loss):
            return due
        if self._hit(self.corrupt):
            packet = self._damaged(packet)
        if self._hit(self.reorder):
            self._held.append((self.distance, packet, buffer))
            return due
        return [(packet, buffer), *due]

    def _hit(self, percent: float) -> bool:
        return percent > 0 and self._random.random() * 100 < percent

    def _timed(self, packet: bytes) -> bytes:
        written = int.from_bytes(packet[4:8], "big")
        if self._reset_wanted:
            self.offset, self._reset_wanted = -written & 0xFFFFFFFF, False
        changed = (written + self.offset) & 0xFFFFFFFF
        return packet[:4] + changed.to_bytes(4, "big") + packet[8:]

    def _damaged(self, packet: bytes) -> bytes:
        """Bits of the payload, behind its own first two bytes: it still looks like a picture."""
        data = bytearray(packet)
        start = min(HEADER + 2, len(data) - 1)
        for _ in range(self.bits):
            data[self._random.randrange(start, len(data))] ^= 1 << self._random.randrange(8)
        return bytes(data)


def _buffers(info: Any) -> list[Any]:
    if info.type & Gst.PadProbeType.BUFFER_LIST:
        several = info.get_buffer_list()
        return [several.get(index) for index in range(several.length())]
    return [info.get_buffer()]


def _like(data: bytes, other: Any) -> Any:
    buffer = Gst.Buffer.new_wrapped(data)
    buffer.pts, buffer.dts = other.pts, other.dts
    return buffer

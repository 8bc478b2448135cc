"""What H.264 and H.265 packets say without being decoded: who needs a picture, which are missing.

Field names, NAL unit types and syntax are those of ITU-T H.264 (7.3, 7.4) and H.265 (7.3.1.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

_START = b"\x00\x00\x01"
_HEADER = 24
"""Bytes of a slice header that hold everything that is read from it."""


class Need(IntEnum):
    """How much else depends on a picture; the greater, the less."""

    KEY = 0
    """Decodable by itself, and so is all that follows it."""
    REFERENCE = 1
    DISPOSABLE = 2
    """No picture of those that stay refers to it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one packet before it is decoded."""

    need: Need
    gap: bool = False
    """A picture that this one, or one near it, refers to never arrived."""
    refresh: bool = False
    """Not a key frame, but the picture is renewed part by part from here to the next of these."""


class Syntax(Protocol):
    """Reads the packets of one stream, in decoding order."""

    def facts(self, data: bytes, is_key: bool) -> Facts:
        """What ``data`` says; ``is_key`` is what its container or parser thinks."""
        ...


class Opaque:
    """Any other codec: only key frames are told from the rest."""

    def facts(self, data: bytes, is_key: bool) -> Facts:  # noqa: ARG002 - of the protocol
        """Never disposable, never a gap."""
        return Facts(Need.KEY if is_key else Need.REFERENCE)


class H264:
    """``nal_ref_idc`` says who is referred to, ``frame_num`` which reference did not arrive."""

    def __init__(self, extradata: bytes = b"") -> None:
        self._length = (extradata[4] & 3) + 1 if extradata[:1] == b"\x01" and extradata[5:] else 0
        self._numbers: _Numbers | None = None
        self._last: int | None = None
        self._sets(_in_avcc(extradata) if self._length else nal_units(extradata, 0))

    def facts(self, data: bytes, is_key: bool) -> Facts:
        """Of the first slice; parameter sets before it are taken up."""
        before: list[bytes] = []
        for unit in nal_units(data, self._length):
            if 1 <= unit[0] & 31 <= 5:
                self._sets(before)
                return self._slice(unit, is_key)
            before.append(unit)
        self._sets(before)
        return Facts(Need.KEY if is_key else Need.REFERENCE)

    def _slice(self, unit: bytes, is_key: bool) -> Facts:
        idr, reference = unit[0] & 31 == 5, bool(unit[0] >> 5 & 3)
        gap = self._follow(unit, idr, reference)
        if idr or (is_key and _is_intra(unit)):
            return Facts(Need.KEY)
        return Facts(Need.REFERENCE if reference else Need.DISPOSABLE, gap, refresh=is_key)

    def _follow(self, unit: bytes, idr: bool, reference: bool) -> bool:
        """Is there a hole between the last reference and this picture? (7.4.3, frame_num)"""
        numbers = self._numbers
        if numbers is None:
            return False
        try:
            number = numbers.of(unit)
        except IndexError:  # cut off inside its header
            return True
        last, self._last = self._last, number if reference or idr else self._last
        if idr or last is None or numbers.gaps_allowed:
            return False
        return number not in (last, (last + 1) % numbers.limit)

    def _sets(self, units: Iterator[bytes] | list[bytes]) -> None:
        for unit in units:
            if unit[0] & 31 == 7:
                try:
                    self._numbers = _Numbers.of_sps(unit)
                except IndexError:  # damaged: the next one will do
                    self._numbers = None


class H265:
    """Sub-layer non-reference pictures and the upper temporal sub-layers can be left out."""

    def __init__(self, extradata: bytes = b"") -> None:
        stored = extradata[22:] and not extradata.startswith((b"\0\0\1", b"\0\0\0\1"))
        self._length = (extradata[21] & 3) + 1 if stored else 0
        self._layers = 0

    def facts(self, data: bytes, is_key: bool) -> Facts:
        """Of the first slice segment."""
        for unit in nal_units(data, self._length):
            kind = unit[0] >> 1 & 63
            if kind < 32 and len(unit) > 1:
                return Facts(self._need(kind, (unit[1] & 7) - 1, is_key))
        return Facts(Need.KEY if is_key else Need.REFERENCE)

    def _need(self, kind: int, layer: int, is_key: bool) -> Need:
        self._layers = max(self._layers, layer)
        if is_key or 16 <= kind <= 23:
            return Need.KEY
        unreferred = kind < 16 and kind % 2 == 0  # those whose names end in _N
        spare = layer > 0 if self._layers else unreferred
        return Need.DISPOSABLE if spare else Need.REFERENCE


def syntax_of(codec: str, extradata: bytes) -> Syntax:
    """Who reads the packets of ``codec`` (FFmpeg's name for it)."""
    if codec == "h264":
        return H264(extradata)
    return H265(extradata) if codec == "hevc" else Opaque()


def nal_units(data: bytes, length: int) -> Iterator[bytes]:
    """The NAL units of a packet: each after its ``length`` bytes of size, or (0) start codes."""
    at = 0 if length else data.find(_START)
    while 0 <= at < len(data):
        if length:
            begin = at + length
            at = end = begin + int.from_bytes(data[at:begin], "big")
        else:
            begin = at + 3
            at = data.find(_START, begin)
            end = len(data) if at < 0 else at
        if unit := data[begin:end]:
            yield unit


def _is_intra(unit: bytes) -> bool:
    """By its ``slice_type``; a recovery point may as well be one of P slices."""
    bits = _Bits(unit[1 : 1 + _HEADER])
    try:
        bits.golomb()
        return bits.golomb() % 5 in (2, 4)
    except IndexError:
        return False


def _in_avcc(extradata: bytes) -> Iterator[bytes]:
    """The sequence parameter sets of an ``avcC`` box (ISO/IEC 14496-15)."""
    at = 6
    for _ in range(extradata[5] & 31):
        size = int.from_bytes(extradata[at : at + 2], "big")
        if unit := extradata[at + 2 : at + 2 + size]:
            yield unit
        at += 2 + size


@dataclass(frozen=True, slots=True)
class _Numbers:
    """How ``frame_num`` is written in one stream."""

    bits: int
    colour_planes: bool
    gaps_allowed: bool

    @property
    def limit(self) -> int:
        """``MaxFrameNum``."""
        return 1 << self.bits

    def of(self, unit: bytes) -> int:
        """``frame_num`` of a slice. Raises ``IndexError`` where it is cut off."""
        bits = _Bits(unit[1 : 1 + _HEADER])
        for _ in ("first_mb_in_slice", "slice_type", "pic_parameter_set_id"):
            bits.golomb()
        bits.take(2 if self.colour_planes else 0)
        return bits.take(self.bits)

    @classmethod
    def of_sps(cls, unit: bytes) -> _Numbers:
        """Out of a sequence parameter set (7.3.2.1.1). Raises ``IndexError`` where it is cut."""
        bits = _Bits(unit[1:])
        profile = bits.take(24) >> 16
        bits.golomb()
        planes = _chroma(bits) if profile in _HIGH else False
        length = bits.golomb() + 4
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.take(1)
            for _ in range(2):
                bits.golomb()
            for _ in range(bits.golomb()):
                bits.golomb()
        bits.golomb()
        return cls(length, planes, bool(bits.take(1)))


_HIGH = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


def _chroma(bits: _Bits) -> bool:
    """What the high profiles have in the middle; is ``separate_colour_plane_flag`` set?"""
    form = bits.golomb()
    planes = bool(bits.take(1)) if form == 3 else False
    bits.golomb()
    bits.golomb()
    bits.take(1)
    if bits.take(1):
        for index in range(12 if form == 3 else 8):
            if bits.take(1):
                _pass_scaling_list(bits, 16 if index < 6 else 64)
    return planes


def _pass_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.golomb()
            following = (last + (code + 1 >> 1 if code & 1 else -(code >> 1)) + 256) % 256
        last = following or last


class _Bits:
    """Bits of a NAL unit from the front; emulation prevention bytes are taken out."""

    def __init__(self, data: bytes) -> None:
        self._data = data.replace(b"\x00\x00\x03", b"\x00\x00")
        self._at = 0

    def take(self, count: int) -> int:
        """The next ``count`` bits. Raises ``IndexError`` at the end."""
        value = 0
        for at in range(self._at, self._at + count):
            value = value << 1 | (self._data[at >> 3] >> (7 - (at & 7)) & 1)
        self._at += count
        return value

    def golomb(self) -> int:
        """ue(v). Raises ``IndexError`` at the end."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

"""What a camera says it will send: the session description (SDP, RFC 8866) of its answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin

CODECS = {
    "H264": "H.264",
    "H265": "H.265",
    "JPEG": "MJPEG",
    "AV1": "AV1",
    "VP8": "VP8",
    "VP9": "VP9",
}
_STATIC = {26: ("JPEG", 90000), 31: ("H261", 90000), 32: ("MPV", 90000)}  # RFC 3551


@dataclass(frozen=True, slots=True)
class Media:
    """One ``m=`` section."""

    kind: str
    """``video``, ``audio`` or ``application``."""
    encoding: str
    """The encoding name in capitals: ``H264``, ``H265``, ``JPEG``."""
    clock_rate: int
    control: str
    """Where to set it up, absolute."""
    declared_fps: float | None

    @property
    def codec(self) -> str:
        """Its usual name."""
        return CODECS.get(self.encoding, self.encoding)


def parse(text: str, base: str) -> list[Media]:
    """The sections of a description; ``base`` is what its relative addresses are relative to."""
    sections = re.split(r"(?m)^(?=m=)", text.replace("\r\n", "\n"))[1:]
    return [media for section in sections if (media := _media(section, base)) is not None]


def _media(section: str, base: str) -> Media | None:
    match = re.match(r"m=(\w+) \d+(?:/\d+)? \S+ (\d+)", section)
    if match is None:
        return None
    kind, payload = match[1], int(match[2])
    name, rate = _STATIC.get(payload, ("", 90000))
    mapped = re.search(rf"(?m)^a=rtpmap:{payload} ([^/\s]+)/(\d+)", section)
    if mapped:
        name, rate = mapped[1].upper(), int(mapped[2])
    control = re.search(r"(?m)^a=control:(\S+)", section)
    fps = re.search(r"(?m)^a=framerate:\s*([\d.]+)", section)
    return Media(
        kind,
        name or f"payload type {payload}",
        rate,
        _joined(base, control[1] if control else "*"),
        float(fps[1]) if fps and float(fps[1]) > 0 else None,
    )


def _joined(base: str, control: str) -> str:
    """As clients do it, which is not what RFC 3986 says: a relative control is appended."""
    if re.match(r"rtsps?://", control, re.IGNORECASE):
        return control
    if control == "*":
        return base
    if control.startswith("/"):
        return urljoin(base, control)
    return base.rstrip("/") + "/" + control

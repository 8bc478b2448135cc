"""A real RTP stream (RFC 6184, RFC 7798) over loopback that loses what a test wants it to lose."""

from __future__ import annotations

import base64
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import av

from streamkit.sources.bitstream import nal_units

MTU = 500
Fault: TypeAlias = Callable[[int, int], str | None]
"""(number of the RTP packet, number of the picture) to ``drop``, ``late`` (after the next one),
``again`` (twice, the second time after the next one) or ``None``."""


class Sender:
    """The pictures of a clip as RTP packets."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            self.hevc = stream.codec_context.name == "hevc"
            form = "hevc_mp4toannexb" if self.hevc else "h264_mp4toannexb"
            split = av.bitstream.BitStreamFilterContext(form, stream)
            self.pictures = [
                (
                    float((whole.pts or 0) * (stream.time_base or 0)),
                    list(nal_units(bytes(whole), 0)),
                )
                for packet in container.demux(stream)
                if packet.size
                for whole in split.filter(packet)
            ]

    def describe(self, port: int) -> str:
        """The SDP of this stream at ``port``."""
        shift, mask = (1, 63) if self.hevc else (0, 31)
        sets = {
            unit[0] >> shift & mask: base64.b64encode(unit).decode() for unit in self.pictures[0][1]
        }
        if self.hevc:
            given = f"sprop-vps={sets[32]}; sprop-sps={sets[33]}; sprop-pps={sets[34]}"
        else:
            given = f"packetization-mode=1; sprop-parameter-sets={sets[7]},{sets[8]}"
        lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "c=IN IP4 127.0.0.1", "t=0 0"]
        lines += [f"m=video {port} RTP/AVP 96", f"a=fmtp:96 {given}"]
        lines += [f"a=rtpmap:96 {'H265' if self.hevc else 'H264'}/90000"]
        return "\r\n".join(lines) + "\r\n"

    def send(self, port: int, fault: Fault, fps: float) -> None:
        """Everything, at ``fps`` pictures a second."""
        number, held = 0, b""
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as out:
            out.connect(("127.0.0.1", port))
            begun = time.monotonic()
            for index, (at, units) in enumerate(self.pictures):
                time.sleep(max(0.0, begun + index / fps - time.monotonic()))
                parts = list(self._parts(units))
                for part in parts:
                    number += 1
                    head = 96 | (0x80 if part is parts[-1] else 0)
                    packet = struct.pack("!BBHII", 0x80, head, number, round(at * 90_000), 7) + part
                    what = fault(number, index)
                    if what not in ("drop", "late"):
                        out.send(packet)
                    if held:
                        out.send(held)
                    held = packet if what in ("late", "again") else b""

    def _parts(self, units: list[bytes]) -> Iterator[bytes]:
        for unit in units:
            if len(unit) <= MTU:
                yield unit
                continue
            head = 2 if self.hevc else 1
            body = unit[head:]
            for at in range(0, len(body), MTU):
                ends = (0x80 if at == 0 else 0) | (0x40 if at + MTU >= len(body) else 0)
                yield self._fragment_head(unit, ends) + body[at : at + MTU]

    def _fragment_head(self, unit: bytes, ends: int) -> bytes:
        if self.hevc:
            return bytes([(unit[0] & 0x81) | 49 << 1, unit[1], ends | (unit[0] >> 1 & 63)])
        return bytes([(unit[0] & 0xE0) | 28, ends | (unit[0] & 31)])


@contextmanager
def received(path: Path, folder: Path, fault: Fault, fps: float = 80.0) -> Iterator[Any]:
    """An open container that reads ``path`` as RTP; it ends with ``av.error.ExitError``."""
    sender = Sender(path)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1] & ~1
    described = folder / "stream.sdp"
    described.write_text(sender.describe(port))
    options = {"protocol_whitelist": "file,udp,rtp", "fpsprobesize": "0", "probesize": "32"}
    ready = threading.Event()

    def send() -> None:
        while not _listens(port):
            if ready.wait(0.01):
                break
        sender.send(port, fault, fps)

    thread = threading.Thread(target=send, name="sender")
    thread.start()
    try:
        with av.open(str(described), options=options, timeout=(10, 1.0)) as container:
            yield container
    finally:
        ready.set()
        thread.join()


def _listens(port: int) -> bool:
    """Has somebody bound this UDP port?"""
    return any(
        line.split()[1].endswith(f":{port:04X}")
        for line in Path("/proc/net/udp").read_text().splitlines()[1:]
    )

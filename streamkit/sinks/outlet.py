"""Where a live picture is sent to: RTSP, RTMP, MPEG-TS or HLS, by FFmpeg's muxers."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

import av

from streamkit.credentials import redacted, resolved
from streamkit.errors import ConfigError, SinkError
from streamkit.frame import Image
from streamkit.imaging.layout import Size
from streamkit.sinks.encoder import Encoder, Encoding

_FORMS: Final = {
    "rtsp": "rtsp", "rtsps": "rtsp", "rtmp": "flv", "rtmps": "flv",
    "udp": "mpegts", "tcp": "mpegts",
}  # fmt: skip
_ADDRESS = re.compile(r"([a-z]+)://[^\s/]+")
_PRINTABLE = re.compile(r"[a-z]+://(?:[^/?#]*@)?(?P<place>[^/?#@]*)(?P<path>[^?#@]*)(?:[?#][^@]*)?")
_PATIENCE: Final = 3_000_000
"""Microseconds for one answer, or until one packet is taken."""
_RTSP_PATIENCE: Final = 1_500_000
"""The same for RTSP. FFmpeg 8.1 does not heed that an RTP packet was not taken in time: it waits
for each of a picture, and tells nobody."""
_SLOW: Final = 1.5
"""Seconds after which a picture that was sent was not taken."""


@dataclass(frozen=True)
class Target:
    """An address, or the playlist of HLS. Its ``repr`` and ``str`` hold no secrets."""

    url: str | None = field(default=None, repr=False)
    """``rtsp(s)``, ``rtmp(s)``, ``udp`` or ``tcp``; or a reference to one (``env:NAME``)."""
    path: Path | None = None
    """``.m3u8``; its segments lie beside it."""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    segment: float = 2.0
    """Seconds of one of its segments."""

    def __post_init__(self) -> None:
        if (self.url is None) == (self.path is None):
            raise ConfigError("give url (rtsp, rtmp, udp, tcp) or path (HLS: .m3u8), one of them")
        if self.path is not None and self.path.suffix != ".m3u8":
            raise ConfigError(f"path={str(self.path)!r}: give the name of a playlist, .m3u8")
        if self.url is not None:
            self._form(self._address())

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        address = self._address()
        scheme, found = address.partition(":")[0], _PRINTABLE.fullmatch(address)
        if found is None:  # an "@" behind the host: perhaps of a password with a "/" in it
            return f"{scheme}://***"
        path = "/***" if scheme.startswith("rtmp") else found["path"]  # it may be the key
        return f"{scheme}://{found['place']}{path}"

    def opened(self) -> av.container.OutputContainer:
        """Ready for a stream; nothing is sent yet."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _clear(self.path)
            return av.open(str(self.path), "w", format="hls", options=self._hls())
        address = self._address()
        form, place = self._form(address), self._with_login(address)
        if form == "rtsp":
            options = {"rtsp_transport": "tcp", "timeout": str(_RTSP_PATIENCE)}
            return av.open(place, "w", format=form, options=options)
        # PyAV gives no options to a protocol, and without one a silent server is waited for, for
        # ever; FFmpeg's tee does.
        escaped = re.sub(r"([\\'|\[\]:=])", r"\\\1", place)
        return av.open(f"[f={form}:rw_timeout={_PATIENCE}]{escaped}", "w", format="tee")

    def redacted(self, text: str) -> str:
        """``text`` without what is secret about the address."""
        if self.url is None:
            return text
        address = self._address()
        return redacted(text.replace(address, str(self)), [*self._login(), address])

    def _address(self) -> str:
        return resolved(self.url or "")

    def _form(self, address: str) -> str:
        match = _ADDRESS.match(address)
        if match is None or match[1] not in _FORMS:
            known = ", ".join(f"{scheme}://" for scheme in _FORMS)
            raise ConfigError(f"url: give an address that begins with one of {known}")
        return _FORMS[match[1]]

    def _login(self) -> tuple[str | None, str | None]:
        user, secret = self.username, self.password
        return user and resolved(user), secret and resolved(secret)

    def _with_login(self, address: str) -> str:
        user, secret = self._login()
        if user is None:
            return address
        scheme, _, rest = address.partition("://")
        return f"{scheme}://{quote(user, safe='')}:{quote(secret or '', safe='')}@{rest}"

    def _hls(self) -> dict[str, str]:
        assert self.path is not None
        return {
            "hls_time": f"{self.segment:g}",
            "hls_list_size": "6",
            "hls_segment_type": "fmp4",
            "hls_fmp4_init_filename": f"{self.path.stem}.init.mp4",
            "hls_segment_filename": str(self.path.with_name(f"{self.path.stem}.%06d.m4s")),
            "hls_flags": "delete_segments+independent_segments+program_date_time+temp_file",
            "hls_start_number_source": "epoch",
        }


def _clear(playlist: Path) -> None:
    """Delete the segments that the last run has left in its playlist; it does so with all others
    by itself."""
    if not playlist.is_file():
        return
    for line in playlist.read_text("utf-8", errors="replace").splitlines():
        if re.fullmatch(rf"{re.escape(playlist.stem)}\.\d+\.m4s", line):
            (playlist.parent / line).unlink(missing_ok=True)


class Outlet:
    """One connection, or one playlist, that is open. Every error is a ``SinkError``."""

    def __init__(self, target: Target, size: Size, encoding: Encoding) -> None:
        """Connect; takes no longer than some seconds."""
        self._target = target
        try:
            self._file = target.opened()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error) from None
        try:
            self._encoder = Encoder(self._file, size, encoding, live=True)
            self._file.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error) from None

    def send(self, image: Image, position: int) -> None:
        """One picture, at ``position`` microseconds of this connection's time."""
        begun = time.monotonic()
        try:
            for packet in self._encoder.encode(image, position):
                self._file.mux(packet)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error) from None
        if self._target.url is not None and time.monotonic() - begun > _SLOW:
            raise SinkError(f"cannot send to {self._target}: it takes nothing any more")

    def close(self) -> None:
        """Send what is left, and hang up."""
        try:
            for packet in self._encoder.rest():
                self._file.mux(packet)
            self._file.close()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error) from None

    def drop(self) -> None:
        """Hang up after an error."""
        try:
            self._file.close()
        except (av.FFmpegError, OSError, ValueError):
            return

    def _failed(self, error: Exception) -> SinkError:
        """Without the cause, whose text may quote the address."""
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return SinkError(f"cannot send to {self._target}: {self._target.redacted(reason)}")

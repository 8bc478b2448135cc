"""HLS read segment by segment: playlists in, one continuous stream of bytes out."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

from streamkit.errors import SourceError, StreamErrorCode
from streamkit.sources.base import Capture
from streamkit.sources.connection import failure, interrupted
from streamkit.sources.decoding import DecodedPicture
from streamkit.sources.reference import Address, parse
from streamkit.sources.timing import CaptureClock
from streamkit.sources.web import Body, Web

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')


@dataclass(frozen=True)
class Piece:
    """Bytes to fetch: a whole resource, or ``start`` up to ``end`` of it."""

    url: str
    start: int = 0
    end: int | None = None


@dataclass
class Playlist:
    """A media playlist, or the choice between several (``variants``)."""

    ended: bool = False
    target: float = 6.0
    """Seconds a segment lasts at most."""
    first: int = 0
    """The number of the first segment listed."""
    segments: list[tuple[Piece | None, Piece]] = field(default_factory=list)
    """(what must be read before it, the segment)."""
    variants: list[tuple[int, str]] = field(default_factory=list)
    """(bits a second, address)."""
    encrypted: bool = False


def parse_playlist(text: str, base: str) -> Playlist:
    """Understand what matters for reading pictures; addresses become absolute."""
    playlist, head, byte_range, bits = Playlist(), None, None, -1
    for line in filter(None, map(str.strip, text.splitlines())):
        tag, _, value = line.partition(":")
        given = {name: word.strip('"') for name, word in _ATTRIBUTE.findall(value)}
        if not line.startswith("#"):
            url = urljoin(base, line)
            if bits >= 0:
                playlist.variants.append((bits, url))
            else:
                before = playlist.segments[-1][1] if playlist.segments else None
                playlist.segments.append((head, _piece(url, byte_range, before)))
            byte_range, bits = None, -1
        elif tag == "#EXT-X-STREAM-INF":
            bits = int(given.get("BANDWIDTH", 0))
        elif tag == "#EXT-X-MAP":
            head = _piece(urljoin(base, given.get("URI", "")), given.get("BYTERANGE"), None)
        elif tag == "#EXT-X-BYTERANGE":
            byte_range = value
        else:
            _heed(playlist, tag, value, given)
    return playlist


def _heed(playlist: Playlist, tag: str, value: str, given: dict[str, str]) -> None:
    """The tags that are about the whole list."""
    match tag:
        case "#EXT-X-TARGETDURATION":
            playlist.target = max(1.0, float(value))
        case "#EXT-X-MEDIA-SEQUENCE":
            playlist.first = int(value)
        case "#EXT-X-ENDLIST":
            playlist.ended = True
        case "#EXT-X-KEY":
            playlist.encrypted |= given.get("METHOD") != "NONE"


class Segments(io.RawIOBase):
    """The segments one after another, as they appear, as one unseekable file."""

    def __init__(self, web: Web, address: Address) -> None:
        super().__init__()
        self._web = web
        self._address, self.playlist = media_playlist(web, address)
        self._loaded = time.monotonic()
        # A live stream starts with its newest segment, a recording with its first.
        listed = self.playlist.first + len(self.playlist.segments)
        self._next = self.playlist.first if self.playlist.ended else max(0, listed - 1)
        self._head: Piece | None = None
        self._bytes = self._in_order()
        self._rest = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, waiting for the next segment; ``b""`` at the end of the list."""
        while not self._rest:
            part = next(self._bytes, None)
            if part is None:
                return b""
            self._rest = part
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        """Hang up."""
        self._bytes.close()
        super().close()

    def _in_order(self) -> Generator[bytes, None, None]:
        silent_since = time.monotonic()
        while True:
            at = self._next - self.playlist.first
            if at < 0 or at > len(self.playlist.segments):  # fell behind, or it began anew
                at, self._next = 0, self.playlist.first
            if at < len(self.playlist.segments):
                head, segment = self.playlist.segments[at]
                if head is not None and head != self._head:
                    yield from self._fetched(head)
                self._head = head
                yield from self._fetched(segment)
                self._next += 1
                silent_since = time.monotonic()
            elif self.playlist.ended:
                return
            else:
                self._reload(silent_since)

    def _fetched(self, piece: Piece) -> Iterator[bytes]:
        address = _like(self._address, piece.url)
        with self._web.get(address, start=piece.start, end=piece.end) as body:
            while part := body.read(65536):
                yield part

    def _reload(self, silent_since: float) -> None:
        """Ask again, twice in a segment's length. Raises ``SourceError`` TIMEOUT, INTERRUPTED."""
        reference = self._web.reference
        limit = self._web.read_timeout + 2 * self.playlist.target
        if time.monotonic() - silent_since > limit:
            text = f"{reference}: no new segment within {limit:g} s"
            raise SourceError(text, StreamErrorCode.TIMEOUT, source_reference=reference)
        due = self._loaded + self.playlist.target / 2
        if self._web.stopped.wait(max(0.0, due - time.monotonic())):
            raise interrupted(reference)
        self._loaded = time.monotonic()
        self._address, self.playlist = media_playlist(self._web, self._address)


def media_playlist(web: Web, address: Address) -> tuple[Address, Playlist]:
    """The playlist at ``address``, of several variants the best one. Raises ``SourceError``."""
    for _ in range(3):
        with web.get(address) as body:
            playlist, there = read_playlist(body), _like(address, body.address.url)
        if not playlist.variants:
            break
        address = _like(there, max(playlist.variants)[1])
    if playlist.encrypted:
        text = "its segments are encrypted, which is not supported"
        raise failure(web.reference, text, StreamErrorCode.CODEC_UNSUPPORTED)
    return there, playlist


def read_playlist(body: Body) -> Playlist:
    """The playlist in an answer."""
    base = replace(body.address, username=None, password=None).url
    return parse_playlist(body.readall().decode("utf-8", "replace"), base)


def paced(captures: Iterable[Capture], stopped: threading.Event) -> Iterator[Capture]:
    """Segments arrive in bursts: hand their pictures on at the pace at which they were taken.

    Otherwise a reader that keeps only the newest would see one picture a segment.
    """
    zero: float | None = None
    clock = CaptureClock("", "arrival")
    for capture in captures:
        assert isinstance(capture.picture, DecodedPicture)
        taken = capture.picture.frame.time if capture.picture.frame.pts is not None else None
        now = time.monotonic()
        if taken is None or zero is None or not -1.0 < zero + taken - now < 30.0:
            zero = None if taken is None else now - taken
        elif stopped.wait(max(0.0, zero + taken - now)):
            return
        clock.heard(None)
        # How old a segment is when it appears, no playlist has to say.
        yield replace(capture, timestamp=clock.at(None).timestamp, uncertainty=None)


def _piece(url: str, byte_range: str | None, before: Piece | None) -> Piece:
    if not byte_range:
        return Piece(url)
    length, _, offset = byte_range.partition("@")
    follows = before.end if before is not None and before.url == url else 0
    start = int(offset) if offset else follows or 0
    return Piece(url, start, start + int(length))


def _like(address: Address, url: str) -> Address:
    """``url`` with the credentials of ``address`` where the host is the same."""
    there = parse(url)
    if there.username is None and there.host == address.host:
        there = replace(there, username=address.username, password=address.password)
    return there

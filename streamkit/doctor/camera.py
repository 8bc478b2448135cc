"""The examination of an RTSP camera, step by step; each step says what fails and what to change."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Event

from streamkit.doctor import sdp
from streamkit.doctor.findings import Finding, failed, good, skipped, warning
from streamkit.doctor.rtp import Reception
from streamkit.doctor.rtsp import Answer, Session
from streamkit.errors import SourceError, StreamErrorCode
from streamkit.sources.connection import Patience, Trust
from streamkit.sources.reference import Address

_ADVICE = {
    StreamErrorCode.REFUSED: "Is the camera on, is RTSP enabled in it, is the port right? Usual: "
    "554, 8554, 322 for rtsps.",
    StreamErrorCode.UNREACHABLE: "Check the address, the cable, the network or VLAN, and that the "
    "camera has not got a new address (DHCP).",
    StreamErrorCode.TIMEOUT: "A firewall may be dropping the packets, or the camera hangs: switch "
    "it off and on.",
    StreamErrorCode.TLS_CERTIFICATE: "Give the authority's certificate as ca_file, or accept the "
    "camera's own with tls_verify: false (then nobody proves that it is this camera).",
    StreamErrorCode.TLS_HANDSHAKE: "The port does not speak TLS that we know: rtsp:// instead of "
    "rtsps://, another port, or newer firmware.",
    StreamErrorCode.LOST: "It answered and hung up: too many viewers at once, or it is starting "
    "up. Close other viewers, try again.",
}
_STATUS: dict[int, tuple[StreamErrorCode, str, str]] = {
    401: (
        StreamErrorCode.AUTH_FAILED,
        "user or password is not accepted",
        "Try them on the camera's own page. Some cameras have a separate user for video (ONVIF), "
        "and lock it after several wrong passwords.",
    ),
    403: (
        StreamErrorCode.AUTH_FAILED,
        "this user may not see this stream",
        "Give the user the right to live video in the camera's settings.",
    ),
    404: (
        StreamErrorCode.NOT_FOUND,
        "there is no such stream",
        "The path of the address is wrong: look it up in the camera's manual or its ONVIF profile.",
    ),
    453: (
        StreamErrorCode.REFUSED,
        "it has no bandwidth left for another viewer",
        "Close other viewers or take the sub-stream.",
    ),
    503: (
        StreamErrorCode.REFUSED,
        "it says that it is busy",
        "Too many viewers, or it is starting up: close other viewers, try again in a minute.",
    ),
    454: (StreamErrorCode.LOST, "it has forgotten the session", "Try again."),
    461: (
        StreamErrorCode.REFUSED,
        "it does not offer this transport",
        "Take the other one: transport: tcp or transport: udp.",
    ),
}
_SILENT = (
    "Somebody accepts connections there and says nothing: the camera hangs (switch it off and on), "
    "or the port belongs to something else."
)
_SLOW_START = (
    "It answers, but has no pictures to describe: its encoder hangs (switch the camera off and "
    "on), or starts on demand and takes longer (try --timeout 60, and open_timeout in the entry)."
)
_NOT_THIS = (
    "The authority given as ca_file did not sign this certificate, or it has expired or is for "
    "another name: has the camera made itself a new one?"
)
_OPEN = "open the address in another player to see whether it works there"
_LOSS, _MUCH_LOSS = 0.0005, 0.01
_LONG_GOP = 4.0
_SKEW = 1.0
_SLOW = 3.0
_FEW = 0.05
_BUSY = (0.3, 1.0, 2.0)


@dataclass
class Seen:
    """What the examination has learnt, for the recommendation at its end."""

    video: sdp.Media | None = None
    receptions: dict[str, Reception] = field(default_factory=dict)
    """By transport, of those that work."""


@dataclass
class CameraExamination:
    """One camera. ``steps`` gives the findings as they come, and ends after one that failed."""

    address: Address
    trust: Trust | None
    listen: float = 6.0
    """Seconds to listen on each transport; two key frames should fit."""
    timeout: float = 10.0
    stopped: Event = field(default_factory=Event)
    seen: Seen = field(default_factory=Seen)

    def steps(self) -> Iterator[Finding]:
        """Name, port and protocol, then what it sends."""
        for step in (self._name, self._connection, self._description):
            finding = step()
            yield finding
            if finding.verdict.value == "failed":
                return
        for transport in ("tcp", "udp"):
            yield self._transport(transport)
        if not self.seen.receptions:
            return
        yield from self._judged(self._best())

    def _patience(self) -> Patience:
        return Patience(self.stopped, self.timeout, self.address.printable)

    def _session(self) -> Session:
        return Session(self.address, self._patience(), self.trust)

    # -- getting there -----------------------------------------------------------------------

    def _name(self) -> Finding:
        host, port = self.address.bare_host, self.address.known_port
        began = time.monotonic()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            text = f"the name {host!r} is not known"
            advice = "Check the spelling and the DNS server, or write the camera's IP address."
            return failed("name", text, advice, str(StreamErrorCode.UNREACHABLE))
        places = sorted({str(line[4][0]) for line in found})
        took = time.monotonic() - began
        text = "an address, no name to look up" if host in places else f"{host}: {places[0]}"
        text += f" and {len(places) - 1} more" if len(places) > 1 else ""
        return good("name", text, addresses=places, seconds=took)

    def _connection(self) -> Finding:
        """Port, TLS and whether RTSP is spoken there."""
        began, took = time.monotonic(), None
        try:
            with self._session() as session:
                took = time.monotonic() - began
                answer = session.ask("OPTIONS")
        except SourceError as error:
            given = self.trust is not None and self.trust.ca_file is not None
            special = {StreamErrorCode.TLS_CERTIFICATE: _NOT_THIS} if given else {}
            if took is not None:
                special[StreamErrorCode.TIMEOUT] = _SILENT
            return _refused("connection", error, special)
        methods = answer.headers.get("public", "")
        secured = ", TLS" if self.trust else ""
        server = answer.headers.get("server")
        who = f" ({server})" if server else ""
        text = f"port {self.address.known_port} answers in {1e3 * took:.0f} ms{secured}{who}"
        facts = {"seconds": took, "methods": methods, "server": server}
        if answer.ok or answer.status == 401:
            return good("connection", text, **facts)
        advice = "It may still play: go on reading."
        return warning("connection", f"{text}; OPTIONS: {answer.status}", advice, **facts)

    def _description(self) -> Finding:
        """Sign in and ask what there is to see."""
        began = time.monotonic()
        try:
            with self._session() as session:
                answer = session.ask("DESCRIBE", Accept="application/sdp")
                scheme = session.credentials.scheme
        except SourceError as error:
            return _refused("description", error, {StreamErrorCode.TIMEOUT: _SLOW_START})
        if not answer.ok:
            return self._denied(answer, scheme)
        base = answer.headers.get("content-base") or session.uri
        media = sdp.parse(answer.body.decode("utf-8", "replace"), base)
        self.seen.video = next((m for m in media if m.kind == "video"), None)
        took = time.monotonic() - began
        return self._described(scheme, took, [f"{m.kind} {m.codec}" for m in media])

    def _described(self, scheme: str | None, took: float, media: list[str]) -> Finding:
        facts = {"auth": scheme, "seconds": took, "media": media}
        offers = ", ".join(media)
        if self.seen.video is None:
            text = f"no video in it, only {offers or 'nothing'}"
            advice = "Choose a path (profile) with video, or switch the video on in the camera."
            return failed("description", text, advice, str(StreamErrorCode.NO_VIDEO), **facts)
        signed = f"signed in with {scheme}" if scheme else "asks for no password"
        text = f"{signed}; offers {offers}"
        if took > _SLOW:
            advice = "It starts its stream on demand: raise open_timeout if it is ever missed."
            return warning("description", f"{text}; took {took:.1f} s to say so", advice, **facts)
        if scheme == "basic" and self.trust is None:
            advice = "Basic sends the password readable: choose Digest in the camera, or rtsps."
            return warning("description", text, advice, **facts)
        return good("description", text, **facts)

    def _denied(self, answer: Answer, scheme: str | None) -> Finding:
        known = _STATUS.get(answer.status)
        facts = {"status": answer.status, "auth": scheme}
        if known is None:
            text = f"it answers {answer.status} {answer.reason}"
            code = str(StreamErrorCode.CONNECTION_FAILED)
            return failed("description", text, f"An error of the camera's: {_OPEN}.", code, **facts)
        code_, text, advice = known
        if answer.status == 401 and self.address.username is None:
            text = f"it wants a user and a password ({scheme or 'an unknown scheme'})"
            advice = "Give username and password, best by reference: password: env:CAM_PASSWORD."
        elif answer.status == 401 and scheme is None:
            text = f"it wants a way of signing in that is not known here: {answer.challenges}"
            advice = "Choose Digest or Basic in the camera's settings."
        return failed("description", text, advice, str(code_), **facts)

    # -- what it sends -----------------------------------------------------------------------

    def _transport(self, transport: str) -> Finding:
        try:
            for wait in _BUSY:  # some cameras need a moment to let go of the last viewer
                with self._session() as session:
                    answer = self._played(session, transport)
                    if answer is None:
                        return self._received(session, transport)
                if answer.status != 503 or self.stopped.wait(wait):
                    break
            assert answer is not None
            return self._unavailable(transport, answer)
        except SourceError as error:
            return _refused(transport, error)
        except OSError as error:
            return failed(transport, f"cannot be tried here ({error.strerror or error})", "")

    def _played(self, session: Session, transport: str) -> Answer | None:
        """Begin to play; the answer of whatever was refused."""
        video = self.seen.video
        assert video is not None
        asks: tuple[Callable[[], Answer], ...] = (
            lambda: session.ask("DESCRIBE", Accept="application/sdp"),
            lambda: session.set_up(video.control, transport),
            lambda: session.ask("PLAY", Range="npt=0.000-"),
        )
        return next((answer for ask in asks if not (answer := ask()).ok), None)

    def _unavailable(self, transport: str, answer: Answer) -> Finding:
        if answer.status == 461:
            return skipped(transport, "the camera does not offer it")
        code, text, advice = _STATUS.get(
            answer.status, (StreamErrorCode.CONNECTION_FAILED, f"{answer.status}", _OPEN)
        )
        return failed(transport, text, advice, str(code), status=answer.status)

    def _received(self, session: Session, transport: str) -> Finding:
        video = self.seen.video
        assert video is not None
        reception = Reception(video.encoding, video.clock_rate)
        for arrived in session.listen(self.listen):
            if arrived.control:
                reception.rtcp(arrived.data, time.time())
            else:
                reception.rtp(arrived.data, arrived.at)
        if len(reception.pictures) < 2:
            text = "it agreed, and then no pictures came"
            advice = "A firewall between here and the camera drops UDP: use transport: tcp."
            if transport == "tcp":
                advice = "The encoder may hang: switch the camera off and on."
            return failed(transport, text, advice, str(StreamErrorCode.TIMEOUT))
        self.seen.receptions[transport] = reception
        return _reception(transport, reception)

    def _best(self) -> Reception:
        receptions = self.seen.receptions
        return min(
            receptions.values(), key=lambda r: (r.loss > _LOSS, r is not receptions.get("tcp"))
        )

    def _judged(self, reception: Reception) -> Iterator[Finding]:
        video = self.seen.video
        assert video is not None
        yield _rate(video, reception)
        yield _key_frames(reception)
        yield _clock(reception)


def _refused(
    step: str, error: SourceError, special: Mapping[StreamErrorCode, str] | None = None
) -> Finding:
    text = str(error).removeprefix(f"{error.source_reference}: ")
    code = StreamErrorCode(error.code)
    known = {**_ADVICE, **(special or {})}
    return failed(step, text, known.get(code, f"To narrow it down, {_OPEN}."), str(code))


def _reception(transport: str, reception: Reception) -> Finding:
    loss, jitter = reception.loss, reception.jitter
    text = (
        f"{reception.bitrate / 1e6:.2f} Mbit/s, {reception.fps:.1f} pictures a second, "
        f"{100 * loss:.2g} % of the packets lost, jitter {1e3 * jitter:.1f} ms"
    )
    facts = {
        "bitrate": reception.bitrate,
        "fps": reception.fps,
        "packets": reception.packets,
        "lost": reception.lost,
        "late": reception.late,
        "loss": loss,
        "jitter": jitter,
    }
    mixed = reception.late / max(1, reception.packets)
    if loss <= _LOSS and mixed <= _LOSS:
        return good(transport, text, **facts)
    if loss <= _LOSS:
        text += f"; {100 * mixed:.2g} % come out of order"
        advice = "The network takes more than one way: use transport: tcp."
        if transport == "tcp":
            advice = "Out of order over TCP: the camera itself mixes them up. Newer firmware."
        return warning(transport, text, advice, **facts)
    advice = "Lost packets make damaged pictures until the next key frame: use transport: tcp."
    if transport == "tcp":
        advice = "Lost over TCP means that the camera itself drops them: lower its bitrate or rate."
    elif loss > _MUCH_LOSS:
        advice += " So much loss points to a bad cable, Wi-Fi, or a switch that is overloaded."
    return warning(transport, text, advice, **facts)


def _rate(video: sdp.Media, reception: Reception) -> Finding:
    real, declared, clocked = reception.fps, video.declared_fps, reception.clock_fps
    jumps = reception.jumps
    says = f"declares {declared:g}, " if declared else ""
    text = f"{says}sends {real:.1f} pictures a second (by its own clock {clocked:.1f})"
    facts = {"declared": declared, "real": real, "by_clock": clocked, "jumps": jumps}
    if jumps:
        advice = (
            "They are followed here, and other software may stumble: newer firmware, or the NTP "
            "settings of the camera (it may set its clock again and again)."
        )
        text += f"; its timestamps jumped {jumps} times"
        return warning("rate", text, advice, **facts)
    if declared and abs(real - declared) > 0.1 * declared:
        advice = (
            "Harmless here, the real rate counts. In the dark many cameras halve their rate: "
            "limit the exposure time in the camera if it must not."
        )
        return warning("rate", text, advice, **facts)
    return good("rate", text, **facts)


def _key_frames(reception: Reception) -> Finding:
    gop, rate = reception.gop, reception.fps
    facts = {"gop": gop, "first_key": reception.first_key, "disposable": reception.disposable}
    if gop is None:
        text = f"fewer than two in {reception.seconds:.0f} s"
        advice = (
            "A new viewer, and every recovery from a lost packet, waits that long: set the key "
            "frame (I frame, GOP) interval to one or two seconds, and any 'smart codec' off."
        )
        return warning("key frames", text, advice, **facts)
    seconds = gop / rate if rate else 0.0
    text = f"one in {gop:g} pictures, every {seconds:.1f} s"
    if gop > 1 and reception.disposable > _FEW:
        text += f"; {100 * reception.disposable:.0f} % are needed by no other"
    if seconds > _LONG_GOP:
        advice = "Set the key frame interval to one or two seconds: recovery takes that long."
        return warning("key frames", text, advice, **facts, seconds=seconds)
    return good("key frames", text, **facts, seconds=seconds)


def _clock(reception: Reception) -> Finding:
    skew = reception.skew
    if skew is None:
        text = "no sender reports while listening: capture times come from arrival"
        return good("clock", text, skew=None, reports=0)
    facts = {"skew": skew, "reports": len(reception.skews)}
    if abs(skew) > _SKEW:
        ahead = "behind" if skew > 0 else "ahead of"
        text = f"the camera's clock is {_span(abs(skew))} {ahead} ours"
        return warning("clock", text, "Give camera and computer the same NTP server.", **facts)
    return good("clock", f"agrees with ours to {1e3 * abs(skew):.0f} ms", **facts)


def _span(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} s"

"""One camera: an RTSP server of its own, what it shows, who may see it, and the door in front."""

from __future__ import annotations

import secrets
from typing import Any

from .door import Door, Street
from .feed import Feed
from .gst import Gio, GstRtsp, GstRtspServer
from .packets import Packets
from .reel import ClipReel, ClockReel, Condition, Reel
from .reports import Reports
from .units import KINDS, clip, painted

# The parser repeats the parameter sets, not the payloader: that one (1.22) does it every slice.
PAYLOADS = {
    "video/x-h264": "h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96",
    "video/x-h265": "h265parse config-interval=-1 ! rtph265pay name=pay0 pt=96",
    "image/jpeg": "jpegparse ! rtpjpegpay name=pay0 pt=26",
}
AUDIO = (
    "( audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=8000,channels=1 "
    "! mulawenc ! rtppcmupay name=pay0 pt=0 )"
)


class Camera:
    """What is served at one URL. Its methods are called on the main loop's thread only."""

    def __init__(self, options: dict[str, Any], street: Street) -> None:
        self.options = options
        self.condition = Condition()
        self.packets = Packets(options["seed"])
        self.reports = Reports()
        self.reel = reel_of(options)
        self.feeds: list[Feed] = []
        self.server = GstRtspServer.RTSPServer.new()
        self.server.set_address("127.0.0.1")
        self.server.set_service("0")
        self.guard(options["password"], options.get("certificate"))
        self.show(self.reel)
        if not self.server.attach(None):
            raise ValueError("GStreamer's server cannot listen on 127.0.0.1")
        self.door = Door(street, options["port"], self.server.get_bound_port())

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self.door.port

    def show(self, reel: Reel | None) -> None:
        """Serve ``reel`` from the next connection on; nothing but sound if there is none."""
        source = "appsrc name=src is-live=true format=time block=true max-buffers=4"
        launch = f"( {source} ! {PAYLOADS[reel.kind]} )" if reel else AUDIO
        factory = GstRtspServer.RTSPMediaFactory.new()
        factory.set_launch(launch)
        factory.set_shared(True)
        lower = GstRtsp.RTSPLowerTrans
        allowed = {"any": lower.TCP | lower.UDP, "tcp": lower.TCP, "udp": lower.UDP}
        factory.set_protocols(allowed[self.options["transport"]])
        factory.connect("media-configure", self._configured, reel)
        if self.server.get_auth() is not None:
            factory.set_permissions(_permissions())
        self.server.get_mount_points().add_factory(self.options["path"], factory)

    def hide(self) -> None:
        """There is nothing at the path any more."""
        self.server.get_mount_points().remove_factory(self.options["path"])

    def guard(self, password: str, certificate: str | None) -> None:
        """Who may look, from the next connection on."""
        kind, methods = self.options["auth"], GstRtsp.RTSPAuthMethod
        if kind == "none" and not certificate:
            return
        auth, token = GstRtspServer.RTSPAuth.new(), GstRtspServer.RTSPToken.new()
        if certificate:
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(certificate))
        token.set_string("media.factory.role", "viewer")
        if kind == "none":
            auth.set_default_token(token)
        elif kind == "basic":
            auth.set_supported_methods(methods.BASIC)
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(self.options["user"], password), token)
        else:
            auth.set_supported_methods(methods.DIGEST)
            auth.add_digest(self.options["user"], password, token)
        self.server.set_auth(auth)

    def change_password(self) -> None:
        """Nobody knows the new one."""
        self.guard(secrets.token_hex(16), self.options.get("certificate"))

    def hang_up(self) -> None:
        """Every client is disconnected; the pictures begin anew for the next.

        By their sockets, never by ``client_filter``: a client that is removed from here while its
        own thread reads from it leaves that thread (GStreamer 1.22) in an endless loop.
        """
        self.door.hang_up()
        remove = GstRtspServer.RTSPFilterResult.REMOVE
        self.server.get_session_pool().filter(lambda *_: remove)

    def end_streams(self) -> None:
        """Every viewer is told that the stream is over."""
        for feed in self.feeds:
            feed.end()

    def clean(self) -> None:
        """Forget sessions whose clients went away without a word."""
        self.server.get_session_pool().cleanup()

    def _configured(self, _: Any, media: Any, reel: Reel | None) -> None:
        element = media.get_element()
        self.packets.watch(element.get_by_name("pay0").get_static_pad("src"))
        media.connect("prepared", self.reports.watch)
        if reel is not None:
            feed = Feed(reel, self.condition, media)
            self.feeds.append(feed)
            media.connect("unprepared", self._over, feed)

    def _over(self, _: Any, feed: Feed) -> None:
        if feed in self.feeds:
            self.feeds.remove(feed)


def reel_of(options: dict[str, Any]) -> Reel:
    """What a camera of these options shows."""
    if options.get("clip"):
        return ClipReel(clip(options["clip"]), options.get("fps"))
    kind, size, fps = KINDS[options["codec"]], tuple(options["size"]), options.get("fps") or 25
    if options["pattern"] == "clock":
        return ClockReel(kind, size, fps, options["gop"], options["b_frames"])
    return ClipReel(painted(kind, size, fps, options["pattern"]), fps)


def _permissions() -> Any:
    permissions = GstRtspServer.RTSPPermissions.new()
    permissions.add_role("viewer")
    for what in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role("viewer", what, True)
    return permissions

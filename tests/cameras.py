"""Real RTSP cameras for tests: GStreamer's server in a process of its own, told what to do.

    with camera(clip, real_fps=25) as cam:
        open_source(cam.url)
        cam.stall(); cam.resume(); cam.drop()

Run as a script by the system's python3 (which has ``gi``), this file is that server.
"""

from __future__ import annotations

import argparse
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

UNITS = {
    "video/x-h264": "h264parse ! video/x-h264,stream-format=byte-stream,alignment=au",
    "video/x-h265": "h265parse ! video/x-h265,stream-format=byte-stream,alignment=au",
    "image/jpeg": "jpegparse",
}
# The parser repeats the parameter sets, not the payloader: that one (1.22) does it every slice.
PAYLOADS = {
    "video/x-h264": "h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96",
    "video/x-h265": "h265parse config-interval=-1 ! rtph265pay name=pay0 pt=96",
    "image/jpeg": "jpegparse ! rtpjpegpay name=pay0 pt=26",
}


@dataclass
class Camera:
    """A running server. Its clip loops for ever; numbers in its pixels count modulo its length."""

    process: subprocess.Popen[str]
    port: int
    scheme: str
    user: str | None
    password: str
    path: str = "/live"

    @property
    def url(self) -> str:
        """Where to read it, credentials percent-encoded and included."""
        who = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user else ""
        return f"{self.scheme}://{who}127.0.0.1:{self.port}{self.path}"

    @property
    def open_url(self) -> str:
        """The same without credentials."""
        return f"{self.scheme}://127.0.0.1:{self.port}{self.path}"

    def drop(self) -> None:
        """Hang up on every client; new ones are welcome."""
        self.tell("drop")

    def stall(self) -> None:
        """Stay connected and send nothing."""
        self.tell("stall on")

    def resume(self) -> None:
        """Send again after ``stall``."""
        self.tell("stall off")

    def freeze(self) -> None:
        """Stop the whole process: it accepts (the kernel does) and never answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo ``freeze``."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """The power is cut."""
        self.process.kill()
        self.process.wait()

    def tell(self, command: str) -> None:
        """Send one command and wait until it is done."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == f"OK {command}", f"the camera said {answer!r} to {command!r}"


@contextmanager
def camera(
    clip: Path,
    *,
    port: int = 0,
    real_fps: float | None = None,
    auth: str = "none",
    user: str = "user",
    password: str = "pass",
    transport: str = "any",
    certificate: Path | None = None,
) -> Iterator[Camera]:
    """Serve ``clip`` (H.264, H.265 or MJPEG without B-frames) at ``/live`` until the block ends.

    It sends exactly ``real_fps`` pictures a second, whatever the clip declares (that is what its
    SDP and SPS go on saying); by default what it declares. ``auth`` is none, basic or digest,
    ``transport`` any, tcp or udp; ``certificate`` (PEM with key) makes it rtsps. Port 0: any free.
    Skips the test where there is no GStreamer.
    """
    from tests.needs import SYSTEM_PYTHON, needs_rtsp_server

    needs_rtsp_server()
    command = [SYSTEM_PYTHON, __file__, str(clip), "--port", str(port), "--auth", auth]
    command += ["--user", user, "--password", password, "--transport", transport]
    command += ["--fps", str(real_fps)] if real_fps else []
    command += ["--certificate", str(certificate)] if certificate else []
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        yield _started(process, "rtsps" if certificate else "rtsp", user, password, auth)
    finally:
        process.kill()
        process.communicate()


def _started(
    process: subprocess.Popen[str], scheme: str, user: str, password: str, auth: str
) -> Camera:
    assert process.stdout
    word, _, port = process.stdout.readline().strip().partition(" ")
    assert word == "READY", f"the camera did not start: {word} {port}"
    return Camera(process, int(port), scheme, None if auth == "none" else user, password)


# ---- from here on: the server itself, on the system's python3 ----


class Clip:
    """A clip's coded pictures in memory, with their caps."""

    def __init__(self, gst: Any, path: str) -> None:
        self.units: list[tuple[bytes, bool]] = []
        self.caps: Any = None
        self.kind = ""
        self._gst = gst
        pipeline = gst.parse_launch("filesrc name=file ! parsebin name=parse")
        pipeline.get_by_name("file").set_property("location", path)
        found: queue.Queue[Any] = queue.Queue()
        pipeline.get_by_name("parse").connect("pad-added", self._linked, pipeline, found)
        pipeline.set_state(gst.State.PLAYING)
        output = found.get(timeout=10)
        while (sample := output.emit("pull-sample")) is not None:
            data, self.caps = sample.get_buffer(), sample.get_caps()
            delta = data.has_flags(gst.BufferFlags.DELTA_UNIT)
            self.units.append((data.extract_dup(0, data.get_size()), delta))
        pipeline.set_state(gst.State.NULL)

    @property
    def declared_fps(self) -> float:
        """What the clip says of itself."""
        known, upper, lower = self.caps.get_structure(0).get_fraction("framerate")
        return upper / lower if known and upper else 25.0

    def _linked(self, _: Any, pad: Any, pipeline: Any, found: queue.Queue[Any]) -> None:
        kind = pad.query_caps(None).get_structure(0).get_name()
        wanted = kind in UNITS and not self.kind
        if wanted:
            self.kind = kind
        form = f"{UNITS[kind]} ! appsink name=o sync=false" if wanted else "fakesink"
        part = self._gst.parse_bin_from_description(form, True)
        pipeline.add(part)
        part.sync_state_with_parent()
        pad.link(part.get_static_pad("sink"))
        if wanted:
            found.put(part.get_by_name("o"))


class Server:
    """One looping clip at /live."""

    def __init__(self, gi: Any, options: argparse.Namespace) -> None:
        self._gi = gi
        self._stalled = threading.Event()
        self._clip = Clip(gi.Gst, options.clip)
        self._interval = 1 / (options.fps or self._clip.declared_fps)
        self.server = gi.GstRtspServer.RTSPServer.new()
        self.server.set_address("127.0.0.1")
        self.server.set_service(str(options.port))
        factory = gi.GstRtspServer.RTSPMediaFactory.new()
        payload = PAYLOADS[self._clip.kind]
        factory.set_launch(
            f"( appsrc name=src is-live=true format=time block=true max-buffers=4 ! {payload} )"
        )
        factory.set_shared(True)
        transports = gi.GstRtsp.RTSPLowerTrans
        allowed = {"any": transports.TCP | transports.UDP, "tcp": transports.TCP}
        factory.set_protocols(allowed.get(options.transport, transports.UDP))
        factory.connect("media-configure", self._configured)
        self._guard(factory, options)
        self.server.get_mount_points().add_factory("/live", factory)

    def _guard(self, factory: Any, options: argparse.Namespace) -> None:
        rtsp, methods = self._gi.GstRtspServer, self._gi.GstRtsp.RTSPAuthMethod
        if options.auth == "none" and not options.certificate:
            return
        auth, token = rtsp.RTSPAuth.new(), rtsp.RTSPToken.new()
        if options.certificate:
            auth.set_tls_certificate(self._gi.Gio.TlsCertificate.new_from_file(options.certificate))
        token.set_string("media.factory.role", "viewer")
        if options.auth == "basic":
            auth.set_supported_methods(methods.BASIC)
            auth.add_basic(rtsp.RTSPAuth.make_basic(options.user, options.password), token)
        elif options.auth == "digest":
            auth.set_supported_methods(methods.DIGEST)
            auth.add_digest(options.user, options.password, token)
        else:
            auth.set_default_token(token)
        permissions = rtsp.RTSPPermissions.new()
        permissions.add_role("viewer")
        for what in ("media.factory.access", "media.factory.construct"):
            permissions.add_permission_for_role("viewer", what, True)
        factory.set_permissions(permissions)
        self.server.set_auth(auth)

    def _configured(self, _: Any, media: Any) -> None:
        source = media.get_element().get_by_name("src")
        source.set_property("caps", self._clip.caps)
        gone = threading.Event()
        media.connect("unprepared", lambda _: gone.set())
        threading.Thread(target=self._feed, args=(source, gone), daemon=True).start()

    def _feed(self, source: Any, gone: threading.Event) -> None:
        """Push the clip round and round, one picture each interval of the real clock."""
        gst = self._gi.Gst
        while source.get_clock() is None or source.get_base_time() == 0:  # until it plays
            if gone.wait(0.005):
                return
        begun, origin = time.monotonic(), source.get_clock().get_time() - source.get_base_time()
        number, whole = 0, True  # after a gap only a key frame makes whole pictures again
        while not gone.wait(max(0.0, begun + number * self._interval - time.monotonic())):
            data, delta = self._clip.units[number % len(self._clip.units)]
            whole = not self._stalled.is_set() and (whole or not delta)
            if whole:
                buffer = gst.Buffer.new_wrapped(data)
                buffer.pts = buffer.dts = origin + int(number * self._interval * 1e9)
                if delta:
                    buffer.set_flags(gst.BufferFlags.DELTA_UNIT)
                if source.emit("push-buffer", buffer) != gst.FlowReturn.OK:
                    return
            number += 1

    def obey(self, command: str) -> None:
        """drop | stall on | stall off"""
        if command == "drop":
            remove = self._gi.GstRtspServer.RTSPFilterResult.REMOVE
            self.server.client_filter(lambda *_: remove)
        elif command == "stall on":
            self._stalled.set()
        elif command == "stall off":
            self._stalled.clear()


def main() -> None:
    """Serve until stdin closes."""
    import gi

    for name in ("Gst", "GstApp", "GstRtsp", "GstRtspServer"):
        gi.require_version(name, "1.0")
    from gi import repository
    from gi.repository import Gio, GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: F401

    Gst.init(None)
    options = _options()
    serving = Server(repository, options)
    if not serving.server.attach(None):
        sys.exit(f"cannot listen on port {options.port}")
    loop = GLib.MainLoop()
    GLib.timeout_add_seconds(2, lambda: (serving.server.get_session_pool().cleanup(), True)[1])

    def heard(*_: Any) -> bool:
        line = sys.stdin.readline()
        if not line:
            loop.quit()
            return False
        serving.obey(line.strip())
        _say("OK " + line.strip())
        return True

    GLib.io_add_watch(sys.stdin, GLib.IO_IN | GLib.IO_HUP, heard)
    _say(f"READY {serving.server.get_bound_port()}")
    loop.run()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fps", type=float)
    parser.add_argument("--auth", choices=("none", "basic", "digest"), default="none")
    parser.add_argument("--user", default="user")
    parser.add_argument("--password", default="pass")
    parser.add_argument("--transport", choices=("any", "tcp", "udp"), default="any")
    parser.add_argument("--certificate")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

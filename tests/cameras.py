"""Real RTSP cameras for tests: the lab's, as context managers that skip without GStreamer.

with camera(clip, real_fps=25) as cam:
    open_source(cam.url)
    cam.stall(); cam.resume(); cam.drop()
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from streamkit.chaos.camera import Camera as LabSpec
from streamkit.chaos.lab import Lab, LabCamera
from tests.needs import needs_rtsp_server


class Camera:
    """A running camera, alone in its process; a clip's numbers count modulo its length."""

    def __init__(self, lab: Lab, running: LabCamera) -> None:
        self.lab, self.running = lab, running
        self.process = lab.process
        self.port, self.path = running.port, running.camera.path
        self.url, self.open_url = running.url, running.open_url
        self.fault, self.clear = running.fault, running.clear

    def drop(self) -> None:
        """Hang up on every client; new ones are welcome."""
        self.fault("hang_up")

    def stall(self) -> None:
        """Stay connected and send nothing."""
        self.fault("stall")

    def resume(self) -> None:
        """Send again after ``stall``."""
        self.clear("stall")

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
    who: dict[str, Any] = {"auth": auth, "user": user, "password": SecretStr(password)}
    how: dict[str, Any] = {"transport": transport, "certificate": certificate, "port": port}
    with _running(clip=clip, fps=real_fps, **who, **how) as running:
        yield running


@contextmanager
def clock_camera(
    *,
    fps: float = 25,
    size: tuple[int, int] = (640, 360),
    gop: int = 25,
    transport: str = "any",
    bframes: int = 0,
    codec: str = "h264",
) -> Iterator[Camera]:
    """A camera whose pixels hold the moment of their capture: ``streamkit.chaos.burned.read``.

    Pictures are drawn and encoded live; RTCP sender reports tell the same moment (some 20 us off).
    """
    how: dict[str, Any] = {"transport": transport, "codec": codec, "b_frames": bframes}
    with _running(pattern="clock", fps=fps, size=size, gop=gop, **how) as running:
        yield running


@contextmanager
def _running(**options: Any) -> Iterator[Camera]:
    needs_rtsp_server()
    with Lab([LabSpec(**options)]) as lab:
        yield Camera(lab, lab["camera"])

"""What a camera of the lab is: its pictures, its door, who may look."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

Codec = Literal["h264", "h265", "mjpeg"]
Pattern = Literal["clock", "ball", "bars", "black", "covered"]


class Camera(BaseModel):
    """One camera. Without a clip it shows a test picture.

    A clip (H.264, H.265 or MJPEG, best without B-frames, as cameras send) is served as it is,
    round and round; ``fps`` is the rate it is really sent at, whatever it declares.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="camera", pattern=r"^[\w.-]+$")
    clip: Path | None = None
    pattern: Pattern = "clock"
    """``clock`` is encoded live, its capture moment in the pixels (``streamkit.chaos.burned``)."""
    codec: Codec = "h264"
    size: tuple[int, int] = (640, 360)
    fps: float | None = Field(default=None, gt=0, le=240)
    gop: int = Field(default=25, ge=1, le=10_000)
    """Pictures from one key frame to the next, of a clock."""
    b_frames: int = Field(default=0, ge=0, le=8)
    auth: Literal["none", "basic", "digest"] = "none"
    user: str = "user"
    password: SecretStr = SecretStr("pass")
    transport: Literal["any", "tcp", "udp"] = "any"
    tls: bool = False
    """rtsps; with ``certificate``, else with one that is made for the occasion."""
    certificate: Path | None = None
    port: int = Field(default=0, ge=0, le=65535)
    """On loopback; 0: any free one, kept until the lab ends."""
    path: str = Field(default="/live", pattern=r"^/[\w./-]*$")

    @field_validator("clip", "certificate")
    @classmethod
    def _there(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError(f"there is no file {path}")
        return path

    @model_validator(mode="after")
    def _possible(self) -> Self:
        width, height = self.size
        if not (256 <= width <= 7680 and 192 <= height <= 4320) or width % 8 or height % 8:
            raise ValueError("size: multiples of 8, from 256 x 192 on")
        if self.b_frames and (self.codec != "h264" or self.pattern != "clock" or self.clip):
            raise ValueError("b_frames: only an H.264 clock has them")
        return self

    @property
    def secure(self) -> bool:
        """Is it rtsps?"""
        return self.tls or self.certificate is not None

    def url(self, port: int, *, credentials: bool) -> str:
        """Where to read it; with ``credentials``, they are percent-encoded and included."""
        who = ""
        if credentials and self.auth != "none":
            secret = quote(self.password.get_secret_value(), safe="")
            who = f"{quote(self.user, safe='')}:{secret}@"
        return f"rtsp{'s' if self.secure else ''}://{who}127.0.0.1:{port}{self.path}"

    def order(self, seed: int, certificate: Path | None) -> dict[str, object]:
        """What the cameras' process is told; holds the password, so it goes through a pipe."""
        plain = self.model_dump(mode="json") | {"seed": seed}
        plain["password"] = self.password.get_secret_value()
        plain["clip"] = str(self.clip.resolve()) if self.clip else None
        plain["certificate"] = str(certificate) if certificate else None
        return plain

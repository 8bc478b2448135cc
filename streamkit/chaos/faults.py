"""Every fault that a camera of the lab can have, with its parameters.

Several may be at the same time, but not two that contradict each other: of refuse, flap and reboot,
of not_found, audio_only and codec, of wrong_password and wrong_certificate, of black, covered and
resolution a new one ends the one before.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamkit.chaos.camera import Codec
from streamkit.errors import ConfigError


class Fault(BaseModel):
    """Parameters of one fault; the first line of the docstring is what ``--list`` shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    lasts: ClassVar[bool] = True
    """It goes on until it is cleared or its time is over; else it is one moment's."""
    needs_tls: ClassVar[bool] = False
    needs_login: ClassVar[bool] = False

    @property
    def duration(self) -> float | None:
        """Seconds that it lasts by itself."""
        return None


class Refuse(Fault):
    """Nobody listens: clients are cut off, new ones are refused by the kernel."""

    name = "refuse"


class Silence(Fault):
    """Connections are accepted and never answered."""

    name = "silence"


class HangUp(Fault):
    """Every client is disconnected once; new ones are welcome."""

    name = "hang_up"
    lasts = False


class Flap(Fault):
    """Down for a while, up for a while, again and again."""

    name = "flap"
    up: float = Field(5.0, ge=0.1)
    """Seconds that it works."""
    down: float = Field(1.0, ge=0.05)


class Reboot(Fault):
    """The camera restarts: gone, and back on the same port after `down` seconds."""

    name = "reboot"
    down: float = Field(5.0, ge=0.05)

    @property
    def duration(self) -> float | None:
        """It comes back by itself."""
        return self.down


class CutHandshake(Fault):
    """Connections are cut in the middle of an answer of the handshake (rtsps: of TLS)."""

    name = "cut_handshake"
    method: Literal["OPTIONS", "DESCRIBE", "SETUP", "PLAY"] = "SETUP"


class SlowSdp(Fault):
    """The answer to DESCRIBE comes late, or byte by byte."""

    name = "slow_sdp"
    delay: float = Field(3.0, ge=0)
    bytes_per_second: float = Field(0.0, ge=0)
    """0: all at once."""


class EndOfStream(Fault):
    """The camera says that the stream is over (RTCP BYE), once."""

    name = "end_of_stream"
    lasts = False


class WrongPassword(Fault):
    """The camera's password was changed: right credentials are wrong (401)."""

    name = "wrong_password"
    needs_login = True


class NotFound(Fault):
    """There is nothing at the camera's path (404)."""

    name = "not_found"


class NoTls(Fault):
    """A TLS greeting is answered in clear."""

    name = "no_tls"
    needs_tls = True


class WrongCertificate(Fault):
    """The certificate is another one: expired, and for another address."""

    name = "wrong_certificate"
    needs_tls = True


class AudioOnly(Fault):
    """The camera offers sound and no video."""

    name = "audio_only"


class ChangedCodec(Fault):
    """After a hang-up the camera sends a test picture in another codec."""

    name = "codec"
    codec: Codec = "mjpeg"


class ChangedResolution(Fault):
    """In the running stream pictures of another size appear (a test picture)."""

    name = "resolution"
    width: int = Field(480, ge=64, le=4096, multiple_of=8)
    height: int = Field(272, ge=64, le=4096, multiple_of=8)


class Stall(Fault):
    """Connected, and no packet comes; goes on with a key frame."""

    name = "stall"


class Freeze(Fault):
    """The same picture again and again, its timestamps going on."""

    name = "freeze"


class MidGop(Fault):
    """Stops in the middle of a group of pictures and resumes with a picture that needs others."""

    name = "mid_gop"


class Black(Fault):
    """Nothing but black pictures (with a little noise)."""

    name = "black"


class Covered(Fault):
    """Dark grey without a shape in it: something lies on the lens."""

    name = "covered"


class Fps(Fault):
    """Another number of pictures a second than is declared."""

    name = "fps"
    fps: float = Field(5.0, gt=0, le=240)


class Jump(Fault):
    """Timestamps go on from `by` seconds later (negative: earlier), once."""

    name = "jump"
    lasts = False
    by: float = Field(3600.0, ge=-40_000, le=40_000)


class Reset(Fault):
    """Timestamps begin again at zero, once."""

    name = "reset"
    lasts = False


class DropPackets(Fault):
    """Some RTP packets are lost."""

    name = "drop_packets"
    percent: float = Field(5.0, gt=0, le=100)


class ReorderPackets(Fault):
    """Some RTP packets come `distance` packets late."""

    name = "reorder_packets"
    percent: float = Field(5.0, gt=0, le=100)
    distance: int = Field(3, ge=1, le=100)


class CorruptPackets(Fault):
    """Bits of some RTP payloads are flipped."""

    name = "corrupt_packets"
    percent: float = Field(5.0, gt=0, le=100)
    bits: int = Field(8, ge=1, le=1000)


class ClockSkew(Fault):
    """The camera's clock (its RTCP sender reports) is wrong by `by` seconds."""

    name = "clock_skew"
    by: float = Field(60.0, ge=-1e8, le=1e8)


class NoReports(Fault):
    """No RTCP sender reports."""

    name = "no_reports"


FAULTS: dict[str, type[Fault]] = {
    kind.name: kind
    for kind in (
        Refuse, Silence, HangUp, Flap, Reboot, CutHandshake, SlowSdp, EndOfStream, WrongPassword,
        NotFound, NoTls, WrongCertificate, AudioOnly, ChangedCodec, ChangedResolution, Stall,
        Freeze, MidGop, Black, Covered, Fps, Jump, Reset, DropPackets, ReorderPackets,
        CorruptPackets, ClockSkew, NoReports,
    )
}  # fmt: skip


def kind_of(name: str) -> type[Fault]:
    """The fault of this name. ``ConfigError`` names the choices."""
    if name not in FAULTS:
        raise ConfigError(f"no fault {name!r}; choose from {', '.join(sorted(FAULTS))}")
    return FAULTS[name]


def fault(name: str, params: dict[str, Any]) -> Fault:
    """The fault ``name`` with these parameters. ``ConfigError`` names the choices."""
    kind = kind_of(name)
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            choices = ", ".join(kind.model_fields) or "none"
            raise ConfigError(f"{name} has no parameter {where!r}; it takes {choices}") from error
        raise ConfigError(f"{name}: {where}: {first['msg']}") from error

"""What each fault does to a camera, and how it is undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .camera import Camera, reel_of
from .gst import GLib
from .reel import Condition
from .units import KINDS, painted

Undo = Callable[[], None]


def _nothing() -> None:
    """A fault of one moment has nothing to undo."""


def refuse(camera: Camera, _: dict[str, Any]) -> Undo:
    camera.door.close()
    camera.hang_up()
    return camera.door.open


def silence(camera: Camera, _: dict[str, Any]) -> Undo:
    camera.door.manners.silent = True
    camera.door.hang_up()

    def undo() -> None:
        camera.door.manners.silent = False
        camera.door.hang_up()

    return undo


def flap(camera: Camera, params: dict[str, Any]) -> Undo:
    """Down for a while, up for a while, again and again."""
    pending: list[int] = []

    def down() -> bool:
        refuse(camera, {})
        pending[:] = [GLib.timeout_add(int(params["down"] * 1000), up)]
        return False

    def up() -> bool:
        camera.door.open()
        pending[:] = [GLib.timeout_add(int(params["up"] * 1000), down)]
        return False

    def undo() -> None:
        for timer in pending:
            GLib.source_remove(timer)
        camera.door.open()

    down()
    return undo


def hang_up(camera: Camera, _: dict[str, Any]) -> Undo:
    camera.hang_up()
    return _nothing


def end_of_stream(camera: Camera, _: dict[str, Any]) -> Undo:
    camera.end_streams()
    return _nothing


def cut_handshake(camera: Camera, params: dict[str, Any]) -> Undo:
    return _mannered(camera, cut_at=params["method"])


def slow_sdp(camera: Camera, params: dict[str, Any]) -> Undo:
    return _mannered(camera, delay=params["delay"], rate=params["bytes_per_second"])


def no_tls(camera: Camera, _: dict[str, Any]) -> Undo:
    return _mannered(camera, plain=True)


def _mannered(camera: Camera, **changes: Any) -> Undo:
    """Who is connected is sent away, so that the door's manners are met."""
    manners = camera.door.manners
    before = {name: getattr(manners, name) for name in changes}

    def change(values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(manners, name, value)

    change(changes)
    camera.hang_up()
    return lambda: change(before)


def wrong_certificate(camera: Camera, params: dict[str, Any]) -> Undo:
    camera.guard(camera.options["password"], params["certificate"])
    camera.hang_up()
    return lambda: _guard_again(camera)


def wrong_password(camera: Camera, _: dict[str, Any]) -> Undo:
    camera.change_password()
    camera.hang_up()
    return lambda: _guard_again(camera)


def _guard_again(camera: Camera) -> None:
    camera.guard(camera.options["password"], camera.options.get("certificate"))


def not_found(camera: Camera, _: dict[str, Any]) -> Undo:
    camera.hide()
    camera.hang_up()
    return lambda: camera.show(camera.reel)


def audio_only(camera: Camera, _: dict[str, Any]) -> Undo:
    return _showing(camera, None)


def codec(camera: Camera, params: dict[str, Any]) -> Undo:
    options = {**camera.options, "clip": None, "codec": params["codec"], "size": camera.reel.size}
    options["pattern"] = camera.options.get("pattern") or "ball"
    options["fps"] = camera.reel.fps
    if KINDS[params["codec"]] == camera.reel.kind:
        raise ValueError(f"it sends {params['codec']} already")
    return _showing(camera, reel_of(options))


def _showing(camera: Camera, reel: Any) -> Undo:
    camera.show(reel)
    camera.hang_up()

    def undo() -> None:
        camera.show(camera.reel)
        camera.hang_up()

    return undo


def resolution(camera: Camera, params: dict[str, Any]) -> Undo:
    """In the running stream, announced by nothing but the pictures themselves."""
    return _substituted(camera, "ball", (params["width"], params["height"]))


def black(camera: Camera, _: dict[str, Any]) -> Undo:
    return _substituted(camera, "black", camera.reel.size)


def covered(camera: Camera, _: dict[str, Any]) -> Undo:
    return _substituted(camera, "covered", camera.reel.size)


def _substituted(camera: Camera, what: str, size: tuple[int, int]) -> Undo:
    film = painted(camera.reel.kind, size, camera.reel.fps, what)
    return _conditioned(camera, substitute=film)


def stall(camera: Camera, _: dict[str, Any]) -> Undo:
    return _conditioned(camera, stalled=True)


def freeze(camera: Camera, _: dict[str, Any]) -> Undo:
    return _conditioned(camera, frozen=True, still=None)


def mid_gop(camera: Camera, _: dict[str, Any]) -> Undo:
    if not camera.reel.has_deltas:
        raise ValueError("every picture of this camera is a key frame")
    return _conditioned(camera, gap=True)


def fps(camera: Camera, params: dict[str, Any]) -> Undo:
    return _conditioned(camera, fps=params["fps"])


def _conditioned(camera: Camera, **changes: Any) -> Undo:
    blank = Condition()

    def undo() -> None:
        for name in changes:
            setattr(camera.condition, name, getattr(blank, name))

    for name, value in changes.items():
        setattr(camera.condition, name, value)
    return undo


def jump(camera: Camera, params: dict[str, Any]) -> Undo:
    camera.packets.jump(params["by"])
    return _nothing


def reset(camera: Camera, _: dict[str, Any]) -> Undo:
    camera.packets.reset()
    return _nothing


def drop_packets(camera: Camera, params: dict[str, Any]) -> Undo:
    camera.packets.loss = params["percent"]
    return lambda: setattr(camera.packets, "loss", 0.0)


def reorder_packets(camera: Camera, params: dict[str, Any]) -> Undo:
    camera.packets.reorder, camera.packets.distance = params["percent"], params["distance"]
    return lambda: setattr(camera.packets, "reorder", 0.0)


def corrupt_packets(camera: Camera, params: dict[str, Any]) -> Undo:
    camera.packets.bits, camera.packets.corrupt = params["bits"], params["percent"]
    return lambda: setattr(camera.packets, "corrupt", 0.0)


def clock_skew(camera: Camera, params: dict[str, Any]) -> Undo:
    camera.reports.skew = params["by"]
    return lambda: setattr(camera.reports, "skew", 0.0)


def no_reports(camera: Camera, _: dict[str, Any]) -> Undo:
    camera.reports.silent = True
    return lambda: setattr(camera.reports, "silent", False)


BEGIN: dict[str, Callable[[Camera, dict[str, Any]], Undo]] = {
    function.__name__: function
    for function in (
        refuse, silence, flap, hang_up, end_of_stream, cut_handshake, slow_sdp, no_tls,
        wrong_certificate, wrong_password, not_found, audio_only, codec, resolution, black,
        covered, stall, freeze, mid_gop, fps, jump, reset, drop_packets, reorder_packets,
        corrupt_packets, clock_skew, no_reports,
    )
}  # fmt: skip
BEGIN["reboot"] = refuse

_ALIKE = (
    ("refuse", "flap", "reboot"),
    ("not_found", "audio_only", "codec"),
    ("wrong_password", "wrong_certificate"),
    ("black", "covered", "resolution"),
)


def alike(fault: str) -> tuple[str, ...]:
    """The faults that cannot be at the same time as ``fault``, itself among them."""
    return next((group for group in _ALIKE if fault in group), (fault,))

"""``video_source_properties`` of existing scripts (OpenCV's names) as options of our sources."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from streamkit.errors import ConfigError

MEANT = ("pos_msec", "pos_frames", "frame_width", "frame_height", "fps", "fourcc")
"""Those that do something here; the others are accepted and passed over."""

_OTHERS = """
    pos_avi_ratio frame_count format mode brightness contrast saturation hue gain exposure
    convert_rgb white_balance_blue_u rectification monochrome sharpness auto_exposure gamma
    temperature trigger trigger_delay white_balance_red_v zoom focus guid iso_speed backlight
    pan tilt roll iris settings buffersize autofocus sar_num sar_den backend channel auto_wb
    wb_temperature codec_pixel_format bitrate orientation_meta orientation_auto
    hw_acceleration hw_device hw_acceleration_use_opencl open_timeout_msec read_timeout_msec
    stream_open_time_usec video_total_channels video_stream audio_stream audio_pos
    codec_extradata_index frame_type n_threads pts
"""
KNOWN = frozenset((*MEANT, *_OTHERS.split()))

_log = logging.getLogger(__name__)


def options_from(
    properties: Mapping[str, Any], accepted: Collection[str] | None = None
) -> dict[str, Any]:
    """Options for a source that takes those ``accepted`` (``None``: all).

    What has no meaning for it is passed over with one warning; a name OpenCV does not have
    raises ``ConfigError``.
    """
    named = {_plain(name): value for name, value in properties.items()}
    if unknown := sorted(set(named) - KNOWN):
        raise ConfigError(f"no video source property {unknown[0]!r}; use {', '.join(MEANT)}")
    options, ignored = {}, []
    for name, value in named.items():
        option, meant = _option(name, value)
        if option and (accepted is None or option in accepted):
            options[option] = meant
        else:
            ignored.append(name)
    if ignored:
        _log.warning("video source properties without effect here: %s", ", ".join(ignored))
    return options


def _plain(name: str) -> str:
    return name.lower().removeprefix("cap_prop_")


def _option(name: str, value: Any) -> tuple[str | None, Any]:
    match name:
        case "pos_msec":
            return "start", float(value) / 1000
        case "pos_frames":
            return "start_frame", int(value)
        case "frame_width" | "frame_height":
            return name.removeprefix("frame_"), int(value)
        case "fps":
            return "fps", float(value)
        case "fourcc":
            return "fourcc", value if isinstance(value, str) else _four_characters(int(value))
        case "open_timeout_msec" | "read_timeout_msec":
            return name.removesuffix("_msec"), float(value) / 1000
    return None, None


def _four_characters(code: int) -> str:
    return code.to_bytes(4, "little").decode("ascii", "replace")

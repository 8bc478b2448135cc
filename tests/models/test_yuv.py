"""Frames that are scaled before their colours are converted, where that was asked for."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamkit.frame import Image, VideoFrame
from streamkit.models.assembly import switches_of
from streamkit.models.base import InferenceOptions
from streamkit.models.loading import load
from streamkit.models.preprocess import LETTERBOX, Recipe, ResizeFormat, Switches
from streamkit.models.shared import SharedModel
from streamkit.models.store.package import read_path
from streamkit.models.yuv import Decoded
from streamkit.settings import Settings
from streamkit.sources.decoding import DecodedPicture
from tests.models.graphs import write_graph

UNSPECIFIED, BT709 = 2, 1
FULL = 2


def scene(width: int, height: int) -> Image:
    """Soft colours: sharp ones differ by what subsampled chroma does to their edges."""
    coarse = np.random.default_rng(0).integers(90, 160, (height // 40, width // 40, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def decoded(width: int = 1920, height: int = 1080, pixel_format: str = "yuv420p") -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(scene(width, height), format="bgr24").reformat(
        format=pixel_format
    )


def frame_of(picture: av.VideoFrame) -> VideoFrame:
    return VideoFrame(DecodedPicture(picture), 1, datetime(2026, 1, 1))


def written(frame: VideoFrame, recipe: Recipe) -> tuple[Any, Any]:
    planes = np.full((3, recipe.size[1], recipe.size[0]), np.nan, np.float32)
    geometry = recipe.write(frame, planes)
    return planes, geometry


WAYS: list[ResizeFormat] = ["Stretch to", LETTERBOX, "Fill (with center crop) in"]


@pytest.mark.parametrize("resize", WAYS)
@pytest.mark.parametrize("size", [(640, 640), (320, 352), (333, 333)])
def test_the_picture_is_the_same_but_for_rounding(
    resize: ResizeFormat, size: tuple[int, int]
) -> None:
    exact, where = written(frame_of(decoded()), Recipe(size, resize))
    quick, same = written(frame_of(decoded()), Recipe(size, resize, from_planes=True))
    assert (where.from_planes, same.from_planes) == (False, True)
    assert (same.size, same.region, same.placed) == (where.size, where.region, where.placed)
    assert np.abs(quick - exact).mean() * 255 < 3
    assert np.abs(quick - exact).max() * 255 < 24


def test_a_frame_is_left_as_it_is() -> None:
    """Whoever wants its pixels later converts them then."""
    frame = frame_of(decoded(320, 240))
    written(frame, Recipe((64, 64), from_planes=True))
    assert isinstance(frame.picture, DecodedPicture)


def test_pixels_that_are_there_are_used() -> None:
    frame = frame_of(decoded(320, 240))
    assert frame.image.shape == (240, 320, 3)
    assert not written(frame, Recipe((64, 64), from_planes=True))[1].from_planes


@pytest.mark.parametrize(
    "steps",
    [{"crop": (0, 0, 50, 50)}, {"contrast": "Contrast Stretching"}, {"grayscale": True}],
    ids=str,
)
def test_steps_that_need_pixels_get_them(steps: dict[str, Any]) -> None:
    frame = frame_of(decoded(320, 240))
    assert not written(frame, Recipe((64, 64), from_planes=True, **steps))[1].from_planes


def test_other_kinds_of_pictures_are_converted_first() -> None:
    assert Decoded.of(frame_of(decoded(320, 240))) is not None
    hd, full = decoded(320, 240), decoded(320, 240)
    hd.colorspace, full.color_range = BT709, FULL
    others = [hd, full, decoded(320, 240, "yuv444p"), decoded(320, 240, "nv12"), decoded(321, 240)]
    assert [Decoded.of(frame_of(other)) for other in others] == [None] * len(others)
    assert Decoded.of(VideoFrame(scene(320, 240), 1, datetime(2026, 1, 1))) is None


def test_it_is_done_where_it_is_asked_for_and_counted(tmp_path: Path) -> None:
    weights = write_graph(tmp_path / "m.onnx", metadata={"names": "['a', 'b', 'c']"})
    assert not switches_of(Settings.load()).planes
    asked = switches_of(Settings.load(prepare_path="planes"))
    for off, count in ((Switches(), 0), (asked, 1)):
        shared = SharedModel(load(read_path(weights), off=off))
        frames = [frame_of(decoded(320, 240)), VideoFrame(scene(80, 80), 2, datetime(2026, 1, 1))]
        for frame in frames:
            shared.infer([frame], [InferenceOptions()])
        assert (shared.timings.prepare.count, shared.timings.from_planes.count) == (2, count)


def test_an_environment_keeps_the_wish(tmp_path: Path) -> None:
    write_graph(tmp_path / "weights.onnx")
    (tmp_path / "class_names.txt").write_text("a\nb\nc")
    resize = {"format": "Stretch to", "width": 64, "height": 64}
    (tmp_path / "environment.json").write_text(json.dumps({"PREPROCESSING": {"resize": resize}}))
    kind = {"project_task_type": "object-detection", "model_type": "yolov8n"}
    (tmp_path / "model_type.json").write_text(json.dumps(kind))
    model: Any = load(read_path(tmp_path), off=Switches(planes=True))
    _, [geometry] = model.prepare([frame_of(decoded(320, 240))])
    assert geometry.from_planes

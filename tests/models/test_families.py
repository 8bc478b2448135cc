"""Every family of the table, over graphs that say the same in each family's own layout."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit.errors import InferenceError, ModelArtefactError
from streamkit.models.base import Model
from streamkit.models.loading import load
from streamkit.models.preprocess import Switches
from streamkit.models.registry import MODELS, TASKS, architecture_of
from streamkit.models.store.package import read_folder
from streamkit.predictions import Detections
from tests.models.layouts import (
    LAYOUTS,
    PICTURE,
    THINGS,
    Layout,
    Thing,
    detect,
    model_of,
    write_model,
)

every = pytest.mark.parametrize("layout", LAYOUTS, ids=str)
segmenting = pytest.mark.parametrize("layout", [x for x in LAYOUTS if x.masked], ids=str)
posing = pytest.mark.parametrize("layout", [x for x in LAYOUTS if x.posed], ids=str)


def rows(found: Detections, digits: int = 3) -> list[tuple[str, float, list[float]]]:
    """(label, confidence, [centre x, centre y, width, height]) of each object."""
    wire = found.dict()["predictions"]
    keys = ("x", "y", "width", "height")
    return [
        (r["class"], round(r["confidence"], 2), [round(r[k], digits) for k in keys]) for r in wire
    ]


def test_every_row_of_the_table_for_boxes_has_a_layout_here() -> None:
    covered = {(architecture_of(x.task, x.model_type), x.task, "onnx") for x in LAYOUTS}
    assert covered == {row for row in MODELS if row[1] != "classification"}
    assert {task for _, task, _ in MODELS} == set(TASKS)


@every
def test_objects_are_found_where_they_are(tmp_path: Path, layout: Layout) -> None:
    """By hand: a stretch from 128 x 96 to 64 x 64 is undone by 2 across and 1.5 down."""
    [found] = detect(model_of(tmp_path / "m", layout))
    assert rows(found) == [
        ("a", 0.9, [40, 24, 32, 12]),
        ("b", 0.8, [96, 24, 16, 24]),
        ("c", 0.7, [64, 72, 32, 12]),
    ]
    assert found.names == ("a", "b", "c")
    assert found.image_size == (128, 96)
    columns = (found.xyxy, found.confidence, found.class_id)
    assert [column.dtype.name for column in columns] == ["float32", "float32", "int64"]


FITTED: list[float] = [40, 16, 32, 16]
"""Of the first: half the size, and 8 rows of padding above."""

FORMATS: dict[str, list[float]] = {
    "Stretch to": [40, 24, 32, 12],
    "Fit (black edges) in": FITTED,
    "Fit (white edges) in": FITTED,
    "Fit (grey edges) in": FITTED,
    "Fit (reflect edges) in": FITTED,
    "Fit within": FITTED,
    # 96 rows become 64, 128 columns 85, of which 10 are cut off on the left
    "Fill (with center crop) in": [30 * 128 / 85, 24, 16 * 128 / 85, 12],
}


@every
@pytest.mark.parametrize("resize", FORMATS)
def test_every_way_to_resize_is_undone(tmp_path: Path, layout: Layout, resize: str) -> None:
    preprocessing = {"resize": {"format": resize, "width": 64, "height": 64}}
    [found] = detect(model_of(tmp_path / "m", layout, preprocessing=preprocessing))
    assert rows(found)[0][2] == pytest.approx(FORMATS[resize], abs=0.01)
    if layout.masked:
        check_masks(found)
    if layout.posed:
        assert found.keypoints is not None
        assert found.keypoints[0, 0, :2] == pytest.approx(FORMATS[resize][:2], abs=0.01)


def check_masks(found: Detections) -> None:
    """Each is the left half of its box, but for pixels at its edge."""
    assert found.masks is not None
    for box, full in zip(found.xyxy, found.masks.dense(), strict=True):
        left, top, right, bottom = box
        ys, xs = np.nonzero(full)
        edges = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert edges == pytest.approx([left, top, (left + right) / 2, bottom], abs=1.01)


CROP = {"enabled": True, "x_min": 25, "x_max": 75, "y_min": 0, "y_max": 50}
"""64 x 48 pixels from (32, 0)."""


@every
def test_a_static_crop_is_undone(tmp_path: Path, layout: Layout) -> None:
    resize = {"format": "Stretch to", "width": 64, "height": 64}
    preprocessing = {"resize": resize, "static-crop": CROP}
    [found] = detect(model_of(tmp_path / "m", layout, preprocessing=preprocessing))
    assert rows(found)[0][2] == pytest.approx([52, 12, 16, 6], abs=0.01)
    if layout.masked:
        check_masks(found)
    off = Switches(static_crop=True)
    [found] = detect(model_of(tmp_path / "n", layout, preprocessing=preprocessing, off=off))
    assert rows(found)[0][2] == [40, 24, 32, 12]


@every
def test_graphs_of_half_precision_say_the_same(tmp_path: Path, layout: Layout) -> None:
    [found] = detect(model_of(tmp_path / "m", layout, half=True))
    assert [label for label, _, _ in rows(found)] == ["a", "b", "c"]
    assert found.xyxy[0] == pytest.approx([24, 18, 56, 30], abs=0.1)
    if layout.masked:
        check_masks(found)


@every
@pytest.mark.parametrize("batch", ["batch", 3])
def test_every_picture_of_a_batch_gets_its_own_answer(
    tmp_path: Path, layout: Layout, batch: int | str
) -> None:
    model = model_of(tmp_path / "m", layout, batch=batch)
    together = detect(model, PICTURE, PICTURE[:48, :32])
    assert [found.image_size for found in together] == [(128, 96), (32, 48)]
    assert rows(together[0])[0][2] == [40, 24, 32, 12]
    assert rows(together[1])[0][2] == [10, 12, 8, 6]


@every
def test_a_graph_may_leave_its_size_open(tmp_path: Path, layout: Layout) -> None:
    model = model_of(tmp_path / "m", layout, size=("width", "height"), batch="batch")
    tensor, _ = model.prepare([PICTURE])
    assert tensor.shape == (1, 3, 64, 64)
    assert rows(detect(model)[0])[0][2] == [40, 24, 32, 12]


@every
def test_a_graph_may_leave_its_outputs_open(tmp_path: Path, layout: Layout) -> None:
    model = model_of(tmp_path / "m", layout, batch=2, open_axes=True)
    assert rows(detect(model)[0])[0] == ("a", 0.9, [40, 24, 32, 12])


IN_SHARES = [x for x in LAYOUTS if "rfdetr" in x.model_type or x.model_type == "yolact"]


@pytest.mark.parametrize("layout", IN_SHARES, ids=str)
def test_shares_of_an_input_that_is_no_square(tmp_path: Path, layout: Layout) -> None:
    """YOLACT and RF-DETR tell boxes in shares of the input; the neighbour mixes up its sides."""
    preprocessing = {"resize": {"format": "Stretch to", "width": 64, "height": 32}}
    model = model_of(tmp_path / "m", layout, size=(64, 32), preprocessing=preprocessing)
    [found] = detect(model)
    assert rows(found)[0] == ("a", 0.9, [40, 24, 32, 12])
    if layout.masked:
        check_masks(found)


@pytest.mark.parametrize("layout", [x for x in LAYOUTS if "yolov8" in str(x)], ids=str)
def test_an_open_size_is_filled_up_to_what_the_graph_can_take(
    tmp_path: Path, layout: Layout
) -> None:
    """40 x 50 pixels in an input of 64 x 64; the rest is 0 and no part of the picture."""
    preprocessing = {"resize": {"format": "Stretch to", "width": 40, "height": 50}}
    size = ("width", "height")
    model = model_of(tmp_path / "m", layout, size=size, preprocessing=preprocessing)
    tensor, _ = model.prepare([np.full((100, 80, 3), 255, np.uint8)])
    assert tensor.shape == (1, 3, 64, 64)
    assert (tensor[..., :50, :40] == 1).all()
    assert tensor.sum() == 3 * 50 * 40
    [found] = detect(model, np.zeros((100, 80, 3), np.uint8), max_detections=1)
    assert rows(found)[0][2] == [40, 32, 32, 16]
    if layout.masked:
        check_masks(found)


def named(found: Sequence[Detections]) -> list[str]:
    return found[0].labels


@every
def test_options_mean_the_same_in_every_family(tmp_path: Path, layout: Layout) -> None:
    model = model_of(tmp_path / "m", layout)
    assert named(detect(model, confidence=0.75)) == ["a", "b"]
    assert named(detect(model, confidence=0.95)) == []
    assert named(detect(model, class_filter=("c", "x"))) == ["c"]
    assert named(detect(model, class_filter=("c",), max_detections=1)) == ["c"]
    assert named(detect(model, class_filter=("c",), max_candidates=1)) == ["c"]
    assert named(detect(model, class_filter=())) == []
    assert named(detect(model, max_detections=2)) == ["a", "b"]


@every
def test_finding_nothing_has_the_right_shapes(tmp_path: Path, layout: Layout) -> None:
    [found] = detect(model_of(tmp_path / "m", layout), class_filter=())
    assert found.xyxy.shape == (0, 4)
    assert found.dict()["predictions"] == []
    if layout.masked:
        assert found.masks is not None
        assert len(found.masks) == 0
        assert found.masks.dense().shape == (0, 96, 128)
    if layout.posed:
        assert found.keypoints is not None
        assert found.keypoints.shape == (0, 2, 3)


CROWD = (
    Thing((20, 20, 16, 16), 0.9, 0),
    Thing((21, 20, 16, 16), 0.8, 0),  # IoU 15 / 17 with the first
    Thing((21, 20, 16, 16), 0.7, 1),
)


@every
def test_only_heads_that_need_it_are_suppressed(tmp_path: Path, layout: Layout) -> None:
    """The end-to-end families are asked for what their graph has already sorted out."""
    model = model_of(tmp_path / "m", layout, CROWD)
    sorted_out = any(name in layout.model_type for name in ("yolov10", "yolo26", "rfdetr"))
    assert named(detect(model)) == (["a", "a", "b"] if sorted_out else ["a", "b"])
    assert named(detect(model, iou_threshold=0.9)) == ["a", "a", "b"]
    if not sorted_out:
        assert named(detect(model, class_agnostic_nms=True)) == ["a"]


@every
def test_broken_numbers_are_left_out(tmp_path: Path, layout: Layout) -> None:
    broken = (Thing((np.nan, 20, 16, 16), 0.9, 0), Thing((20, 20, np.inf, 16), 0.9, 0))
    if not layout.masked:  # a plane needs whole numbers
        model = model_of(tmp_path / "m", layout, (*broken, *THINGS))
        assert named(detect(model)) == ["a", "b", "c"]


@every
def test_names_that_are_too_many_are_an_error_where_the_head_tells(
    tmp_path: Path, layout: Layout
) -> None:
    folder = write_model(tmp_path / "m", layout, names=["a", "b", "c", "d"])
    silent = any(name in layout.model_type for name in ("yolov10", "yolo26", "rfdetr"))
    if silent:
        assert named(detect(load(read_folder(folder, "toy/1")))) == ["a", "b", "c"]
    else:
        with pytest.raises(ModelArtefactError, match=r"weights\.onnx"):
            load(read_folder(folder, "toy/1"))


@every
def test_names_that_are_too_few_name_nothing_wrongly(tmp_path: Path, layout: Layout) -> None:
    folder = write_model(tmp_path / "m", layout, names=["a", "b"])
    if layout.posed:
        (folder / "keypoints_metadata.json").write_text(
            '[{"object_class_id": 0, "keypoints": {"0": "head", "1": "tail"}}]'
        )
    silent = any(name in layout.model_type for name in ("yolov10", "yolo26", "rfdetr"))
    if silent:
        assert named(detect(load(read_folder(folder, "toy/1")))) == ["a", "b"]
    else:
        with pytest.raises(ModelArtefactError, match=r"weights\.onnx"):
            load(read_folder(folder, "toy/1"))


@every
def test_the_outputs_of_another_family_are_an_error(tmp_path: Path, layout: Layout) -> None:
    odd = Layout(layout.model_type, layout.task, lambda _: [np.zeros((5, 5, 5), np.float32)])
    folder = write_model(tmp_path / "m", odd)
    with pytest.raises(ModelArtefactError, match=r"of this family .* answers with batch x"):
        load(read_folder(folder, "toy/1"))


def test_a_graph_that_does_not_keep_its_word_fails_on_the_picture(tmp_path: Path) -> None:
    """Its outputs are another batch than the pictures."""
    layout = LAYOUTS[1]
    folder = write_model(tmp_path / "m", layout, batch="batch")
    model = load(read_folder(folder, "toy/1"))
    model._shapes[0] = (None, 9, None)  # type: ignore[attr-defined]
    with pytest.raises(InferenceError, match=r"answers with batch x .* this one with \(1, 7, 3\)"):
        detect(model)


# -- masks -----------------------------------------------------------------------------------


@segmenting
def test_fast_masks_are_whole_cells(tmp_path: Path, layout: Layout) -> None:
    """Cells of 4 x 4 input pixels, 8 x 6 in the picture. The neighbour tells the corner of the last
    cell instead of its far edge, so its polygons end a cell too early."""
    [found] = detect(model_of(tmp_path / "m", layout), mask_decode_mode="fast")
    assert found.masks is not None
    assert found.masks.areas.tolist() == [16 * 12, 8 * 24, 16 * 12]
    [[outline], _, _] = found.masks.polygons()
    assert outline.tolist() == [[24, 18], [24, 29], [39, 29], [39, 18]]
    points = found.dict()["predictions"][0]["points"]
    assert points[0] == {"x": 24.0, "y": 18.0}


@segmenting
def test_accurate_masks_have_round_corners(tmp_path: Path, layout: Layout) -> None:
    """Between the centres of four cells, one of 8 and three of -8, the sum is above 0 where the
    share of the one is above a half: (1 - u)(1 - v) > 1 / 2."""
    [found] = detect(model_of(tmp_path / "m", layout))
    assert found.masks is not None
    inside = [((x + 0.5) / 8, (y + 0.5) / 6) for x in range(4) for y in range(3)]
    corner = sum((1 - u) * (1 - v) <= 0.5 for u, v in inside)
    assert found.masks.areas[0] == 16 * 12 - 4 * corner


@segmenting
def test_in_between_is_as_fine_as_one_asks(tmp_path: Path, layout: Layout) -> None:
    model = model_of(tmp_path / "m", layout)
    [fast] = detect(model, mask_decode_mode="fast")
    [accurate] = detect(model)
    for factor, same in ((0.0, fast), (1.0, accurate)):
        [found] = detect(model, mask_decode_mode="tradeoff", tradeoff_factor=factor)
        assert found.masks is not None
        assert same.masks is not None
        assert (found.masks.dense() == same.masks.dense()).all()
    [found] = detect(model, mask_decode_mode="tradeoff", tradeoff_factor=0.5)
    check_masks(found)


@segmenting
def test_masks_go_with_their_objects(tmp_path: Path, layout: Layout) -> None:
    [found] = detect(model_of(tmp_path / "m", layout))
    last = found[[2]]
    assert last.masks is not None
    assert found.masks is not None
    assert (last.masks.dense()[0] == found.masks.dense()[2]).all()
    wire = last.dict("rle")["predictions"][0]
    assert wire["rle"] == found.masks.rle()[2]
    assert wire["mask_format"] == "rle"
    assert "points" not in wire


# -- keypoints -------------------------------------------------------------------------------


@posing
def test_keypoints_are_found_and_named(tmp_path: Path, layout: Layout) -> None:
    [found] = detect(model_of(tmp_path / "m", layout))
    assert found.keypoint_names == (("head", "tail"), ("hub",), ())
    wire = found.dict()["predictions"]
    keys = ("class", "class_id", "x", "y")
    told = [[tuple(k[key] for key in keys) for k in row["keypoints"]] for row in wire]
    assert told == [[("head", 0, 40, 24), ("tail", 1, 24, 18)], [("hub", 0, 96, 24)], []]
    sure = [k["confidence"] for k in wire[0]["keypoints"]]
    assert sure == pytest.approx([0.9, 0.3], abs=1e-3)


@posing
def test_keypoints_that_are_not_sure_enough_are_left_out(tmp_path: Path, layout: Layout) -> None:
    [found] = detect(model_of(tmp_path / "m", layout), keypoint_confidence=0.5)
    first = found.dict()["predictions"][0]["keypoints"]
    assert [k["class"] for k in first] == ["head"]
    assert found.keypoints is not None
    assert found.keypoints[0, 1].tolist() == [0, 0, 0]


@posing
def test_keypoints_need_their_names(tmp_path: Path, layout: Layout) -> None:
    folder = write_model(tmp_path / "m", layout)
    (folder / "keypoints_metadata.json").unlink()
    with pytest.raises(ModelArtefactError, match="names of keypoints are missing"):
        load(read_folder(folder, "toy/1"))


# -- threads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [x for x in LAYOUTS if not x.masked][-2:], ids=str)
def test_threads_share_a_model(tmp_path: Path, layout: Layout) -> None:
    model: Model = model_of(tmp_path / "m", layout, batch="batch")
    expected = rows(detect(model)[0])
    seen: list[Any] = []
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        seen.extend(rows(detect(model)[0]) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 40

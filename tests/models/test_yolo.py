"""YOLO detectors: heads with a known answer, in every form in which graphs come."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit.errors import ConfigError, ModelArtefactError
from streamkit.frame import VideoFrame
from streamkit.models.base import InferenceOptions, Model
from streamkit.models.families.yolo import YoloDetector
from streamkit.models.loading import load
from streamkit.models.preprocess import LETTERBOX, Switches
from streamkit.models.store.package import read_folder, read_path
from streamkit.predictions import Detections
from tests.models.graphs import HEAD, NAMES, STRETCH, head, write_folder, write_graph

PICTURE = np.full((96, 128, 3), (10, 100, 200), np.uint8)
FIT = {"resize": {"format": LETTERBOX, "width": 64, "height": 64}}
NAMED = {"names": "{0: 'a', 1: 'b', 2: 'c'}"}
CROP = {"enabled": True, "x_min": 25, "x_max": 75, "y_min": 10, "y_max": 90}


def detect(model: Model, *pictures: Any, **options: Any) -> list[Detections]:
    tensor, geometries = model.prepare(pictures or [PICTURE])
    outputs = model.run(tensor)
    wanted = InferenceOptions(**options)
    found = [model.finish(outputs, i, g, wanted) for i, g in enumerate(geometries)]
    assert all(isinstance(one, Detections) for one in found)
    return found  # type: ignore[return-value]


def folder_model(tmp_path: Path, *args: Any, off: Switches | None = None, **kwargs: Any) -> Model:
    return load(read_folder(write_folder(tmp_path / "m", *args, **kwargs), "toy/1"), off=off)


def rows(found: Detections) -> list[tuple[str, float, list[float]]]:
    """(label, confidence, [centre x, centre y, width, height]) of each object."""
    wire = found.dict()["predictions"]
    keys = ("x", "y", "width", "height")
    return [(r["class"], round(r["confidence"], 2), [round(r[k], 3) for k in keys]) for r in wire]


# The numbers are the neighbour's for the same head, but for its rounding of boxes to whole pixels.
def test_a_stretched_picture(tmp_path: Path) -> None:
    [found] = detect(folder_model(tmp_path))
    assert rows(found) == [
        ("b", 0.9, [64, 48, 40, 30]),
        ("a", 0.7, [66, 48, 40, 30]),
        ("c", 0.41, [20, 15, 16, 12]),
        ("c", 0.4, [114, 85.5, 28, 21]),  # cut off at the picture's edge
    ]
    assert found.image_size == (128, 96)
    assert found.names == NAMES
    columns = (found.xyxy, found.confidence, found.class_id)
    assert [column.dtype.name for column in columns] == ["float32", "float32", "int64"]


def test_a_letterboxed_picture(tmp_path: Path) -> None:
    answer = head((32, 32, 20, 20, 0.9, 0, 0), (10.3, 10.7, 8.2, 8.8, 0.8, 0, 0))
    [found] = detect(folder_model(tmp_path, answer, preprocessing=FIT))
    assert rows(found) == [
        ("a", 0.9, [64, 48, 40, 40]),
        ("a", 0.8, [20.6, 7.1, 16.4, 14.2]),  # top is cut off at 0
    ]


def test_a_cropped_picture(tmp_path: Path) -> None:
    answer = head((32, 32, 20, 20, 0.9, 0, 0))
    model = folder_model(tmp_path, answer, preprocessing={**STRETCH, "static-crop": CROP})
    [(_, _, box)] = rows(detect(model)[0])
    assert box == pytest.approx([64, 47.5, 20, 77 / 64 * 20], abs=0.01)


def test_a_crop_can_be_switched_off(tmp_path: Path) -> None:
    preprocessing = {**STRETCH, "static-crop": CROP}
    model = folder_model(tmp_path, preprocessing=preprocessing, off=Switches(static_crop=True))
    assert rows(detect(model)[0])[0] == ("b", 0.9, [64, 48, 40, 30])


def test_options_travel_with_the_picture(tmp_path: Path) -> None:
    model = folder_model(tmp_path)
    assert [c for _, c, _ in rows(detect(model, confidence=0.39)[0])] == [0.9, 0.7, 0.41, 0.4, 0.39]
    assert [c for _, c, _ in rows(detect(model, iou_threshold=0.95)[0])][:2] == [0.9, 0.8]
    assert [c for _, c, _ in rows(detect(model, class_agnostic_nms=True)[0])] == [0.9, 0.41, 0.4]
    assert [n for n, _, _ in rows(detect(model, class_filter=("c", "x"))[0])] == ["c", "c"]
    assert len(detect(model, class_filter=())[0]) == 0
    assert [c for _, c, _ in rows(detect(model, max_detections=1)[0])] == [0.9]
    assert [c for _, c, _ in rows(detect(model, max_candidates=2)[0])] == [0.9]
    assert len(detect(model, class_filter=("c",), max_detections=1)[0]) == 1
    labels = [n for n, _, _ in rows(detect(model, multi_label=True, confidence=0.3)[0])]
    assert sorted(labels) == ["a", "b", "c", "c", "c"]


def test_nothing_found_has_the_right_shapes(tmp_path: Path) -> None:
    [found] = detect(folder_model(tmp_path), confidence=1.0)
    assert found.xyxy.shape == (0, 4)
    assert found.dict() == {"image": {"width": 128, "height": 96}, "predictions": []}


def test_boxes_that_are_not_numbers_are_left_out(tmp_path: Path) -> None:
    answer = HEAD.copy()
    answer[0, 0], answer[3, 2] = np.nan, np.inf
    [found] = detect(folder_model(tmp_path, answer))
    assert [c for _, c, _ in rows(found)] == [0.8, 0.41, 0.4]


def test_half_precision_finds_the_same(tmp_path: Path) -> None:
    [found] = detect(folder_model(tmp_path, half=True))
    assert [label for label, _, _ in rows(found)] == ["b", "a", "c", "c"]
    assert found.xyxy[0] == pytest.approx([44, 33, 84, 63], abs=0.1)


@pytest.mark.parametrize("name", ["yolov8", "yolov9", "yolov11x", "yolo11n", "yolov12s"])
def test_every_kindred_type_is_run(tmp_path: Path, name: str) -> None:
    model = folder_model(tmp_path, model_type=name)
    assert isinstance(model, YoloDetector)


def test_a_frame_is_a_picture(tmp_path: Path) -> None:
    frame = VideoFrame(PICTURE, 1, datetime(2026, 1, 1))
    model = folder_model(tmp_path)
    assert rows(detect(model, frame)[0]) == rows(detect(model, PICTURE)[0])


# -- batches and sizes -----------------------------------------------------------------------

LEVELS = (0, 51, 102, 153, 204)


def pictures_of(*levels: int) -> list[Any]:
    return [np.full((40 + level, 60, 3), level, np.uint8) for level in levels]


@pytest.mark.parametrize("batch", ["batch", 8])
def test_a_batch_answers_like_its_pictures_alone(tmp_path: Path, batch: int | str) -> None:
    model = folder_model(tmp_path, batch=batch, brighter=0)
    together = detect(model, *pictures_of(*LEVELS))
    alone = [detect(model, picture)[0] for picture in pictures_of(*LEVELS)]
    assert [rows(found) for found in together] == [rows(found) for found in alone]
    assert len({found.confidence[0] for found in together}) == len(LEVELS)


def test_the_size_of_a_batch_is_the_graphs_or_the_callers(tmp_path: Path) -> None:
    fixed = read_path(write_graph(tmp_path / "fixed.onnx", batch=4, metadata=NAMED))
    free = read_path(write_graph(tmp_path / "free.onnx", batch="n", metadata=NAMED))
    assert load(fixed, max_batch=9).max_batch == 4
    assert load(free, max_batch=9).max_batch == 9
    assert load(free).max_batch >= 1


def test_an_open_size_is_the_environments(tmp_path: Path) -> None:
    resize = {"format": "Stretch to", "width": 96, "height": 32}
    model = folder_model(tmp_path, size=("w", "h"), preprocessing={"resize": resize})
    assert model.prepare([PICTURE])[0].shape == (1, 3, 32, 96)


def test_a_fixed_size_is_the_graphs(tmp_path: Path) -> None:
    resize = {"format": "Stretch to", "width": 96, "height": 32}
    model = folder_model(tmp_path, size=(48, 64), preprocessing={"resize": resize})
    assert model.prepare([PICTURE])[0].shape == (1, 3, 64, 48)


def test_an_open_size_of_a_bare_graph_is_that_of_its_export_or_640(tmp_path: Path) -> None:
    sized = {**NAMED, "imgsz": "[32, 96]"}
    told = write_graph(tmp_path / "t.onnx", size=("w", "h"), metadata=sized)
    silent = write_graph(tmp_path / "s.onnx", size=("w", "h"), metadata=NAMED)
    assert load(read_path(told)).prepare([PICTURE])[0].shape == (1, 3, 32, 96)
    assert load(read_path(silent)).prepare([PICTURE])[0].shape == (1, 3, 640, 640)


def test_threads_may_run_all_steps_at_the_same_time(tmp_path: Path) -> None:
    model = folder_model(tmp_path, batch="batch", brighter=0)
    expected = [rows(found) for found in detect(model, *pictures_of(*LEVELS))]
    seen: list[Any] = []
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        for _ in range(20):
            seen.append([rows(found) for found in detect(model, *pictures_of(*LEVELS))])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 80


# -- names -----------------------------------------------------------------------------------


def test_a_bare_graph_is_letterboxed_and_names_its_classes(tmp_path: Path) -> None:
    metadata = {"names": "{0: 'x', 1: 'y', 2: 'z'}", "task": "detect", "imgsz": "[64, 64]"}
    model = load(read_path(write_graph(tmp_path / "bare.onnx", metadata=metadata)))
    assert model.names == ("x", "y", "z")
    assert rows(detect(model)[0])[0] == ("y", 0.9, [64, 48, 40, 40])


def test_names_may_be_a_list(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "m.onnx", metadata={"names": "['x', 'y', 'z']"})
    assert load(read_path(path)).names == ("x", "y", "z")


def test_a_silent_graph_has_numbered_classes(tmp_path: Path) -> None:
    answer = np.vstack((HEAD, HEAD[4:])).repeat(2, axis=1)
    path = write_graph(tmp_path / "silent.onnx", answer)
    assert load(read_path(path)).names == tuple(f"class_{i}" for i in range(6))


def test_names_and_classes_must_be_as_many(tmp_path: Path) -> None:
    with pytest.raises(ModelArtefactError, match="3 classes apart, but there are 2 class names"):
        folder_model(tmp_path, names=["a", "b"])


@pytest.mark.parametrize("open_rows", [True, False])
def test_a_graph_that_leaves_its_classes_open_is_asked(tmp_path: Path, open_rows: bool) -> None:
    with pytest.raises(ModelArtefactError, match="3 classes apart, but there are 4 class names"):
        folder_model(tmp_path, names=["a", "b", "c", "d"], open_rows=open_rows, batch=2)


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ({"names": "{0: 'a'"}, "metadata 'names' makes no sense"),
        ({"names": "{0: 'a', 2: 'b', 3: 'c'}"}, "metadata 'names'"),
        ({"names": "{0: 'a', 1: 'b', 2: 7}"}, "metadata 'names'"),
        ({"names": "__import__('os')"}, "metadata 'names'"),
        ({"names": "[]"}, "metadata 'names'"),
        ({"names": "(" * 5000}, "metadata 'names'"),
        ({"imgsz": "640"}, "metadata 'imgsz'"),
        ({"imgsz": "[0, 640]"}, "metadata 'imgsz'"),
        ({"names": "['a', 'b']"}, "no known model has outputs"),
        ({"task": "segment"}, "no known model has outputs .*instance-segmentation"),
        ({"end2end": "True"}, "no known model has outputs"),
    ],
)
def test_a_graph_that_talks_nonsense_is_told_so(
    tmp_path: Path, metadata: dict[str, str], complaint: str
) -> None:
    answer = HEAD.repeat(3, axis=1)
    path = write_graph(tmp_path / "odd.onnx", answer, metadata=metadata)
    with pytest.raises(ModelArtefactError, match=complaint) as caught:
        load(read_path(path))
    assert "odd.onnx" in str(caught.value)


def test_a_head_that_stands_up_is_not_of_this_family(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "v5.onnx", HEAD.repeat(3, axis=1).T)
    with pytest.raises(ModelArtefactError, match="no known model has outputs"):
        load(read_path(path))


def test_a_caller_may_say_what_it_is(tmp_path: Path) -> None:
    package = read_path(write_graph(tmp_path / "m.onnx", metadata={"end2end": "True"}))
    assert isinstance(load(package, architecture="yolov8n"), YoloDetector)
    own = load(package, architecture="tests.models.needs_yaml:Model")
    assert type(own).__name__ == "Model"
    with pytest.raises(ConfigError, match="no model class for 'yolov77'"):
        load(package, architecture="yolov77")

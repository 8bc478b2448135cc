"""A model in eight bits: a whole package, measured, that a pipeline can use; or one clear error."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from streamkit.cli import app
from streamkit.errors import ConfigError, ModelArtefactError, SourceError
from streamkit.models.base import InferenceOptions
from streamkit.models.loading import load
from streamkit.models.store.package import read_path
from streamkit.packaging import cli, graph
from streamkit.packaging.folder import card
from streamkit.packaging.pictures import Pictures, halves
from streamkit.packaging.quantize import Quantising, Report
from streamkit.tune.agreement import agreement
from streamkit.tune.told import told
from tests.coco import write_instances
from tests.models.graphs import write_folder, write_graph

SAMPLES = Path(__file__).parents[2] / "samples"
MODEL = SAMPLES / "models" / "street" / "1"
CLIP = str(SAMPLES / "street.mp4")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """The first seconds of the sample clip, every fifth frame, as a folder of pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    clip = cv2.VideoCapture(CLIP)
    for number in range(40):
        _, picture = clip.read()
        if number % 5 == 0:
            cv2.imwrite(str(folder / f"{number}.png"), picture)
    clip.release()
    return halves(str(folder), None, 4)


@pytest.fixture(scope="module")
def made(
    shown: Pictures, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Report, list[str]]:
    """The sample model in eight bits; made once, it takes a while."""
    to = tmp_path_factory.mktemp("packages") / "street8"
    heard: list[str] = []

    def hear(what: str, _done: int, _all: int) -> None:
        heard.append(what)

    package = read_path(MODEL)
    report = Quantising(package, shown, to, rounds=2, told=hear).run()
    return to, report, heard


@pytest.mark.timeout(120)
def test_the_result_is_a_package_that_says_what_was_done(
    made: tuple[Path, Report, list[str]],
) -> None:
    to, report, heard = made
    files = {path.name for path in to.iterdir()}
    assert files == {
        "weights.onnx", "class_names.txt", "environment.json", "model_type.json", "MODEL_CARD.md"
    }  # fmt: skip
    for name in ("environment.json", "model_type.json"):
        assert (to / name).read_bytes() == (MODEL / name).read_bytes()
    text = (to / "MODEL_CARD.md").read_text()
    assert report.sha256 in text
    assert "street/1" in text
    assert str(SAMPLES) not in text  # where it lay is nobody's business
    assert "4 pictures" in text
    assert report.size[1] < 0.5 * report.size[0]
    assert {"calibrating", "measuring speed"} <= set(heard)
    assert not list(to.parent.glob(".quantising-*"))


def test_it_finds_what_the_original_finds(
    made: tuple[Path, Report, list[str]], shown: Pictures
) -> None:
    to, report, _ = made
    assert report.objects > 20
    assert report.agreement > 0.9
    pictures = shown.held_out
    said = []
    for folder in (MODEL, to):
        model = load(read_path(folder))
        found = []
        for picture in pictures:
            tensor, geometries = model.prepare([picture])
            outputs = model.run(tensor)
            found.append(told(model.finish(outputs, 0, geometries[0], InferenceOptions())))
        model.close()
        said.append(found)
    assert agreement(said[0], said[1], 0.4) > 0.85


def test_what_speaks_against_it_is_said(
    made: tuple[Path, Report, list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    to, report = made[:2]
    speed = replace(report.speed, ours_cpu=0.001, plain_cpu=0.002)
    good = replace(report, agreement=0.99, speed=speed)
    assert not good.doubts
    assert "doubts" not in card(good)
    poor = replace(good, agreement=0.42, speed=replace(speed, ours_cpu=0.003))
    assert len(poor.doubts) == 2
    assert "42 % of the objects only" in card(poor)
    assert "finds nothing" in replace(poor, objects=0).doubts[0]
    cli.show(poor, to, as_json=True)
    printed = capsys.readouterr()
    assert "warning: it agrees with the original on 42 %" in printed.err
    assert json.loads(printed.out)["doubts"] == poor.doubts


def test_its_weights_are_int8_and_its_last_layers_are_not(
    made: tuple[Path, Report, list[str]],
) -> None:
    model = onnx.load(str(made[0] / "weights.onnx"))
    kinds = [tensor.data_type for tensor in model.graph.initializer]
    assert kinds.count(TensorProto.INT8) >= made[1].layers[0]
    done, able = made[1].layers
    assert 0 < done < able
    last = {node.name for node in model.graph.node} & graph.tail(model.graph)
    assert not any(node.op_type == "QuantizeLinear" for node in model.graph.node
                   if node.name in last)  # fmt: skip


@pytest.mark.timeout(120)
def test_a_bare_file_becomes_a_package_and_annotations_judge_it(tmp_path: Path) -> None:
    weights = _net(tmp_path / "bare.onnx")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    truth = []
    for number in range(6):
        name = f"{number}.png"
        picture = np.full((64, 64, 3), 40 * number, np.uint8)
        cv2.imwrite(str(pictures / name), picture)
        boxes = [("a", 10, 10, 20, 20)]
        truth.append({"file_name": name, "width": 64, "height": 64, "boxes": boxes})
    instances = write_instances(tmp_path / "i.json", ["a", "b"], truth)
    to = tmp_path / "new" / "folder"
    report = Quantising(
        read_path(weights), halves(str(pictures), instances, 2), to, kept=1, rounds=1
    ).run()
    assert report.precision is not None
    assert report.judged == 3
    assert json.loads((to / "model_type.json").read_text())["model_type"] == "yolov8"
    assert (to / "class_names.txt").read_text().split() == ["a", "b"]
    assert load(read_path(to)).names == ("a", "b")
    assert "mAP 50-95" in (to / "MODEL_CARD.md").read_text()


def test_pictures_are_halved_without_an_overlap(tmp_path: Path) -> None:
    for number in range(10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    found = halves(str(tmp_path), None, 3)
    levels = [{int(p[0, 0, 0]) for p in half} for half in (found.calibration, found.held_out)]
    assert len(levels[0]) == len(levels[1]) == 3
    assert not levels[0] & levels[1]
    with pytest.raises(ConfigError, match="too few"):
        halves(str(tmp_path / "1.png"), None, 3)
    with pytest.raises(SourceError):
        halves(str(tmp_path / "nothing"), None, 3)


def test_what_cannot_be_quantised_is_refused_before_anything_is_done(
    made: tuple[Path, Report, list[str]], tmp_path: Path
) -> None:
    with pytest.raises(ModelArtefactError, match="quantised already"):
        graph.check(made[0] / "weights.onnx")
    with pytest.raises(ModelArtefactError, match="half precision"):
        graph.check(write_graph(tmp_path / "half.onnx", half=True))
    (tmp_path / "no.onnx").write_bytes(b"no graph at all")
    with pytest.raises(ModelArtefactError, match="no ONNX model"):
        graph.check(tmp_path / "no.onnx")


def test_nothing_is_written_over_and_nothing_is_left_behind(
    tmp_path: Path, shown: Pictures
) -> None:
    package = read_path(write_folder(tmp_path / "toy" / "1"))
    to = tmp_path / "there"
    to.mkdir()
    (to / "precious").write_text("mine")
    with pytest.raises(ConfigError, match="there already"):
        Quantising(package, shown, to).run()
    with pytest.raises(ModelArtefactError, match="nothing to quantise"):  # it has no layers
        Quantising(package, shown, tmp_path / "new").run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there", "toy"]


def test_without_onnx_the_command_says_what_to_install(tmp_path: Path) -> None:
    blocked = (
        "import sys; sys.modules['onnx'] = None; from streamkit.cli import main; "
        f"sys.argv = ['streamkit', 'package', 'quantize', {str(MODEL)!r}, '--pictures', {CLIP!r}, "
        f"'--to', {str(tmp_path / 'x')!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "error: quantising needs the package onnx: pip install 'streamkit[quantize]'\n"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--annotations", "missing.json"], "is no folder"),
        (["--count", "1"], "--count"),
    ],
)
def test_the_command_refuses_nonsense(tmp_path: Path, given: list[str], said: str) -> None:
    command = ["package", "quantize", str(MODEL), "--pictures", CLIP, "--to", str(tmp_path / "x")]
    done = CliRunner().invoke(app, [*command, *given])
    assert said in str(done.exception) + done.output
    assert not (tmp_path / "x").exists()


def test_a_card_admits_what_is_not_known(made: tuple[Path, Report, list[str]]) -> None:
    from dataclasses import replace

    text = card(replace(made[1], objects=0, model="street/1"))
    assert "not known: the original finds nothing" in text
    assert text.startswith("# street/1, int8")


def test_the_tail_ends_where_something_was_learned() -> None:
    def conv(name: str, source: str, weight: str) -> Any:
        return helper.make_node("Conv", [source, weight], [name], name=name)

    weights = [
        numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "w1"),
        numpy_helper.from_array(np.ones((8, 8, 3, 3), np.float32), "w2"),
        numpy_helper.from_array(np.ones((1, 8, 1, 1), np.float32), "bins"),
    ]
    nodes = [
        conv("first", "images", "w1"),
        conv("second", "first", "w2"),
        helper.make_node("Sigmoid", ["second"], ["third"], name="third"),
        conv("sum", "third", "bins"),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 8, 8])
    out = helper.make_tensor_value_info("sum", TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "toy", [images], [out], weights)
    assert graph.tail(made, 1) == {"sum", "third", "second"}
    assert graph.tail(made, 2) == {"sum", "third", "second", "first"}


def _net(path: Path) -> Path:
    """Two layers and a head of YOLOv8's layout: boxes where nobody knows, two classes."""
    random = np.random.default_rng(3)

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(random.normal(0, 0.1, shape).astype(np.float32), name)

    constants = [
        weight("w1", 16, 3, 3, 3),
        weight("w2", 16, 16, 3, 3),
        weight("w3", 6, 16, 1, 1),
        numpy_helper.from_array(np.array([0, 6, 1024], np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("Conv", ["images", "w1"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["a", "w2"], ["b"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Conv", ["b", "w3"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["d"]),
        helper.make_node("Reshape", ["d", "shape"], ["output0"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])
    out = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, 1024])
    made = helper.make_graph(nodes, "toy", [images], [out], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"names": "{0: 'a', 1: 'b'}", "task": "detect"})
    onnx.save(model, str(path))
    return path

"""Rewritten graphs say the same; graphs that only look alike stay as they are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from streamkit.models.devices import CPU
from streamkit.models.execution import Execution
from streamkit.models.rewriting import rewritten
from streamkit.models.session import Session
from tests.needs import needs_real_data

RNG = np.random.default_rng(3)
BINS = 16


def model(nodes: list[NodeProto], weights: dict[str, Any], opset: int = 17) -> ModelProto:
    """Takes 1 x 3 x 32 x 32, called ``images``; gives ``output0``."""
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])
    given = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, None)]
    tensors = [numpy_helper.from_array(np.asarray(n), name) for name, n in weights.items()]
    graph = helper.make_graph(nodes, "g", [picture], given, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def split_model(
    channels: int = 16,
    parts: int = 2,
    *,
    silu: bool = True,
    bias: bool = True,
    joined: bool = True,
    change: Callable[[dict[str, NodeProto]], None] = lambda _: None,
) -> ModelProto:
    """As in YOLO: a convolution, cut into parts, one of which is worked on; all joined again."""
    weights = {"w": RNG.normal(0, 0.3, (channels, 3, 3, 3)).astype(np.float32)}
    weights |= {"b": RNG.normal(0, 0.3, channels).astype(np.float32)} if bias else {}
    names = [f"part{i}" for i in range(parts)]
    made = {
        "conv": helper.make_node("Conv", ["images", *weights], ["c"], name="c", pads=[1] * 4),
        "gate": helper.make_node("Sigmoid", ["c"], ["s"], name="s"),
        "silu": helper.make_node("Mul", ["c", "s"], ["whole"], name="m"),
        "split": helper.make_node("Split", ["whole"], names, name="split", axis=1),
        "work": helper.make_node("Relu", [names[-1]], ["r"], name="r"),
    }
    if not silu:
        made["split"].input[0] = "c"
        del made["gate"], made["silu"]
    whole = made["split"].input[0]
    inputs = [whole, "r"] if joined else [*names, "r"]
    made["join"] = helper.make_node("Concat", inputs, ["output0"], name="j", axis=1)
    change(made)
    return model(list(made.values()), weights)


def bins_model(
    opset: int = 17, *, change: Callable[[dict[str, NodeProto]], None] = lambda _: None
) -> ModelProto:
    """As in YOLO: the logits of the bins of each side, and the mean that they are about."""
    weights = {
        "w": RNG.normal(0, 3, (4 * BINS, 3, 1, 1)).astype(np.float32),
        "bins": np.arange(BINS, dtype=np.float32).reshape(1, BINS, 1, 1),
        "four": np.array([1, 4, BINS, 1024]),
        "three": np.array([1, 4, 1024]),
    }
    made = {
        "conv": helper.make_node("Conv", ["images", "w"], ["c"], name="c"),
        "open": helper.make_node("Reshape", ["c", "four"], ["o"], name="o"),
        "turn": helper.make_node("Transpose", ["o"], ["t"], name="t", perm=[0, 2, 1, 3]),
        "softmax": helper.make_node("Softmax", ["t"], ["p"], name="p", axis=1),
        "mean": helper.make_node("Conv", ["p", "bins"], ["d"], name="d"),
        "close": helper.make_node("Reshape", ["d", "three"], ["output0"], name="e"),
    }
    change(made)
    return model(list(made.values()), weights, opset)


def written(tmp_path: Path, made: ModelProto) -> Path:
    path = tmp_path / "weights.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def answers(graph: str | bytes, picture: np.ndarray[Any, Any]) -> Any:
    session = onnxruntime.InferenceSession(graph, providers=[CPU])
    return session.run(None, {"images": picture})


def operators(graph: bytes) -> list[str]:
    return [node.op_type for node in ModelProto.FromString(graph).graph.node]


def check(tmp_path: Path, made: ModelProto, *, exact: bool) -> bytes:
    """It is rewritten, and answers the same."""
    path = written(tmp_path, made)
    graph = rewritten(path)
    assert graph is not None
    for scale in (1.0, 100.0):
        picture = RNG.normal(0, scale, (1, 3, 32, 32)).astype(np.float32)
        for one, other in zip(answers(str(path), picture), answers(graph, picture), strict=True):
            assert one.shape == other.shape
            assert np.allclose(one, other, atol=1e-6 if exact else 1e-4, rtol=1e-5)
    return graph


@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("joined", [True, False])
def test_a_convolution_cut_into_parts_becomes_several(
    tmp_path: Path, silu: bool, bias: bool, joined: bool
) -> None:
    graph = check(tmp_path, split_model(silu=silu, bias=bias, joined=joined), exact=True)
    assert operators(graph).count("Conv") == 2
    assert "Split" not in operators(graph)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(2, 4), st.booleans())
def test_any_number_of_parts(
    tmp_path_factory: pytest.TempPathFactory, channels: int, parts: int, silu: bool
) -> None:
    made = split_model(channels * parts, parts, silu=silu)
    graph = check(tmp_path_factory.mktemp("m"), made, exact=True)
    assert operators(graph).count("Conv") == parts


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_the_mean_of_bins_is_a_quotient(tmp_path: Path, opset: int) -> None:
    graph = check(tmp_path, bins_model(opset), exact=False)
    assert "Softmax" not in operators(graph)
    assert "Transpose" not in operators(graph)


def _uneven(made: dict[str, NodeProto]) -> None:
    made["split"].input.append("sizes")


def _seen(made: dict[str, NodeProto]) -> None:
    made["also"] = helper.make_node("Relu", ["whole"], ["x"], name="x")


def _gate_seen(made: dict[str, NodeProto]) -> None:
    made["also"] = helper.make_node("Relu", ["s"], ["x"], name="x")


def _other_axis(made: dict[str, NodeProto]) -> None:
    made["split"].attribute[0].i = 2
    made["join"].input[0] = "part0"
    made["join"].attribute[0].i = 2


@pytest.mark.parametrize("change", [_seen, _gate_seen, _other_axis])
def test_what_only_looks_like_a_cut_stays(
    tmp_path: Path, change: Callable[[dict[str, NodeProto]], None]
) -> None:
    path = written(tmp_path, split_model(change=change))
    assert rewritten(path) is None
    assert answers(str(path), np.zeros((1, 3, 32, 32), np.float32))


def test_parts_of_different_sizes_stay(tmp_path: Path) -> None:
    made = split_model(change=_uneven)
    made.graph.initializer.append(numpy_helper.from_array(np.array([4, 12]), "sizes"))
    assert rewritten(written(tmp_path, made)) is None
    del made.graph.initializer[-1]
    made.graph.initializer.append(numpy_helper.from_array(np.array([8, 8]), "sizes"))
    check(tmp_path, made, exact=True)


def test_a_convolution_in_groups_stays(tmp_path: Path) -> None:
    made = split_model(18, 3)
    conv = made.graph.node[0]
    conv.attribute.append(helper.make_attribute("group", 3))
    made.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(RNG.normal(size=(18, 1, 3, 3)).astype(np.float32), "w")
    )
    path = written(tmp_path, made)
    assert rewritten(path) is None
    assert answers(str(path), np.zeros((1, 3, 32, 32), np.float32))


def _shown(made: dict[str, NodeProto]) -> None:
    made["also"] = helper.make_node("Relu", ["p"], ["x"], name="x")


def _other_turn(made: dict[str, NodeProto]) -> None:
    made["turn"].attribute[0].ints[:] = [0, 2, 3, 1]


@pytest.mark.parametrize("change", [_shown, _other_turn])
def test_what_only_looks_like_bins_stays(
    tmp_path: Path, change: Callable[[dict[str, NodeProto]], None]
) -> None:
    assert rewritten(written(tmp_path, bins_model(change=change))) is None


def test_old_operators_and_files_that_are_none_stay(tmp_path: Path) -> None:
    assert rewritten(written(tmp_path, bins_model(12))) is None
    (tmp_path / "not.onnx").write_bytes(b"\x00not a model")
    assert rewritten(tmp_path / "not.onnx") is None
    assert rewritten(tmp_path / "absent.onnx") is None


def test_damage_is_not_for_the_rewriting_to_judge(tmp_path: Path) -> None:
    """Whatever is in the file: an answer, or none."""
    sound = bytearray(split_model().SerializeToString() + bins_model().SerializeToString())
    for _ in range(400):
        damaged = bytearray(sound)
        for _ in range(RNG.integers(1, 4)):
            damaged[RNG.integers(len(damaged))] = RNG.integers(256)
        path = tmp_path / "weights.onnx"
        path.write_bytes(damaged[: RNG.integers(len(damaged) // 2, len(damaged))])
        rewritten(path)


def test_sessions_say_what_they_run_and_can_be_told_not_to(tmp_path: Path) -> None:
    path = written(tmp_path, split_model())
    picture = RNG.normal(size=(1, 3, 32, 32)).astype(np.float32)
    usual, plain = Session(path), Session(path, Execution(rewrite=False))
    assert (usual.path, plain.path) == ("run+rewritten", "run")
    assert np.allclose(usual.run(picture)[0], plain.run(picture)[0], atol=1e-6)
    assert Session(path, Execution(optimization="basic")).path == "run"


def test_what_cannot_be_loaded_rewritten_is_loaded_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("streamkit.models.session.rewritten", lambda _: b"nonsense")
    with caplog.at_level(logging.WARNING):
        assert Session(written(tmp_path, split_model())).path == "run"
    assert "loaded as it is" in caplog.text


@pytest.mark.parametrize(
    "name", ["yolov8n_640", "yolov8n-seg_640", "yolo11n_640", "yolo11n-pose_640"]
)
def test_real_weights_say_the_same(name: str) -> None:
    path = needs_real_data(f"models/{name}.onnx")
    graph = rewritten(path)
    assert graph is not None
    assert "Softmax" not in operators(graph)[-20:]
    picture = RNG.random((1, 3, 640, 640)).astype(np.float32)
    for one, other in zip(answers(str(path), picture), answers(graph, picture), strict=True):
        assert np.allclose(one, other, atol=2e-3, rtol=1e-4)  # pixels of 640

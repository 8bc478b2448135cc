"""Opening graphs: providers, damage, and what the graph must look like."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from streamkit.errors import ConfigError, InferenceError, ModelArtefactError, ModelError
from streamkit.models.devices import CPU, CUDA, cuda_devices, usable
from streamkit.models.loading import load
from streamkit.models.session import Execution, Session
from streamkit.models.store.package import read_path
from tests.models.graphs import write_graph


def test_absent_providers_are_passed_over() -> None:
    assert usable(["CoreMLExecutionProvider", "Nonsense", CPU]) == (CPU,)


def test_the_cpu_is_always_the_last_resort() -> None:
    assert usable([]) == (CPU,)


def test_a_required_provider_that_is_absent_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"CoreMLExecutionProvider; this machine runs .*CPU"):
        usable([CPU], ["CoreMLExecutionProvider"])
    assert usable([CPU], [CPU]) == (CPU,)


def test_cuda_is_asked_for_only_where_there_is_a_device() -> None:
    assert (CUDA in usable([CUDA])) <= (cuda_devices() > 0)


def test_the_default_providers_complain_about_nothing(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "m.onnx")
    code = (
        "import sys; from pathlib import Path; from streamkit.models.session import Session;"
        "print(Session(Path(sys.argv[1])).provider)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip().endswith("ExecutionProvider")


def test_a_session_tells_what_it_takes_and_what_runs_it(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "m.onnx", size=("w", "h"), batch="n", metadata={"task": "detect"})
    session = Session(path, Execution(providers=(CPU,), threads=1))
    assert session.provider == CPU
    assert session.input_shape == (None, 3, None, None)
    assert session.output_shapes == ((None, 7, 6),)
    assert session.metadata["task"] == "detect"


def test_a_picture_of_the_wrong_size_is_an_inference_error(tmp_path: Path) -> None:
    session = Session(write_graph(tmp_path / "m.onnx"))
    with pytest.raises(InferenceError, match=r"failed on \(1, 3, 32, 32\)"):
        session.run(np.zeros((1, 3, 32, 32), np.float32))


def test_a_closed_session_runs_no_more(tmp_path: Path) -> None:
    session = Session(write_graph(tmp_path / "m.onnx"))
    session.close()
    session.close()
    with pytest.raises(InferenceError, match="closed"):
        session.run(np.zeros((1, 3, 64, 64), np.float32))


@pytest.mark.parametrize("shape", [[1, 3], [1, 4, 8, 8], [1, 3, 8, 20_000]])
def test_a_graph_must_take_pictures(tmp_path: Path, shape: list[int]) -> None:
    path = write_identity(tmp_path / "m.onnx", TensorProto.FLOAT, shape)
    with pytest.raises(ModelArtefactError, match=r"m\.onnx: a model must take one float tensor"):
        Session(path)


def test_a_graph_must_take_floats(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.onnx", TensorProto.UINT8, [1, 3, 8, 8])
    with pytest.raises(ModelArtefactError, match=r"this one takes x tensor\(uint8\)"):
        Session(path)


def write_identity(path: Path, kind: int, shape: list[int]) -> Path:
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "identity", ends[:1], ends[1:])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), str(path))
    return path


@pytest.mark.parametrize("content", [b"x", b"\x00" * 100, b"not a model, surely", b"\x08\x08"])
def test_what_is_no_graph_is_called_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelArtefactError, match=r"m\.onnx"):
        load(read_path(path))


@pytest.mark.parametrize("seed", range(100))
def test_a_flipped_byte_is_a_clear_error_or_does_no_harm(tmp_path: Path, seed: int) -> None:
    data = bytearray(write_graph(tmp_path / "m.onnx", metadata=METADATA).read_bytes())
    chance = random.Random(seed)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    survives(tmp_path, bytes(data))


@pytest.mark.parametrize("seed", range(100))
def test_a_truncated_graph_is_a_clear_error_or_does_no_harm(tmp_path: Path, seed: int) -> None:
    data = write_graph(tmp_path / "m.onnx", metadata=METADATA).read_bytes()
    survives(tmp_path, data[: random.Random(seed).randrange(1, len(data))])


METADATA = {"names": "{0: 'a', 1: 'b', 2: 'c'}", "task": "detect", "imgsz": "[64, 64]"}


def survives(folder: Path, data: bytes) -> None:
    """It loads and runs, or says what is wrong and where."""
    path = folder / "damaged.onnx"
    path.write_bytes(data)
    complaint: str | None = None
    try:
        model = load(read_path(path))
        model.run(model.prepare([np.zeros((4, 4, 3), np.uint8)])[0])
    except ModelError as error:
        complaint = str(error)
    assert complaint is None or "damaged.onnx" in complaint

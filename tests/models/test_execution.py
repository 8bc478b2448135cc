"""Session options and provider options: what is told to ONNX Runtime, from plain values."""

from __future__ import annotations

import ctypes
import gc
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from streamkit.errors import ConfigError
from streamkit.models.assembly import execution_of, workers_of
from streamkit.models.binding import Bound, Recorded, owned
from streamkit.models.devices import CPU, CUDA, OPENVINO, TENSORRT, openvino_devices, usable
from streamkit.models.execution import (
    Execution,
    Optimization,
    chosen_path,
    openvino_options,
    provider_options,
    session_options,
)
from streamkit.models.families.stub import StubModel
from streamkit.models.manager import warm
from streamkit.models.session import Session, _recording
from streamkit.models.store.package import Package
from streamkit.settings import Settings
from tests.models.graphs import HEAD, write_graph

SPINNING = "session.intra_op.allow_spinning"


def test_threads_do_not_spin_unless_asked() -> None:
    plain = session_options(Execution(threads=3), CPU)
    assert plain.get_session_config_entry(SPINNING) == "0"
    assert (plain.intra_op_num_threads, plain.inter_op_num_threads) == (3, 1)
    assert plain.enable_cpu_mem_arena
    assert plain.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL


def test_every_option_gets_through() -> None:
    asked = Execution(threads=2, inter_op_threads=4, spinning=True, arena=False)
    options = session_options(asked, CPU)
    assert options.get_session_config_entry(SPINNING) == "1"
    assert options.get_session_config_entry(SPINNING.replace("intra", "inter")) == "1"
    assert options.inter_op_num_threads == 4
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert not options.enable_cpu_mem_arena


@pytest.mark.parametrize(
    ("level", "theirs"),
    [
        ("disabled", "ORT_DISABLE_ALL"),
        ("basic", "ORT_ENABLE_BASIC"),
        ("extended", "ORT_ENABLE_EXTENDED"),
        ("all", "ORT_ENABLE_ALL"),
    ],
)
def test_levels_of_optimisation_have_names(level: Optimization, theirs: str) -> None:
    asked = Execution(optimization=level)
    assert session_options(asked, CPU).graph_optimization_level.name == theirs
    assert session_options(asked, TENSORRT).graph_optimization_level.name == "ORT_DISABLE_ALL"


def test_a_graph_answers_the_same_whatever_the_options(tmp_path: Path) -> None:
    weights = write_graph(tmp_path / "m.onnx", brighter=0)
    tensor = np.full((1, 3, 64, 64), 0.5, np.float32)
    expected = Session(weights, Execution((CPU,))).run(tensor)[0]
    for asked in (
        Execution((CPU,), threads=2, inter_op_threads=2, spinning=True, arena=False),
        Execution((CPU,), optimization="disabled"),
        Execution((CPU,), path="iobinding"),
    ):
        assert np.array_equal(Session(weights, asked).run(tensor)[0], expected)


def test_settings_reach_the_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {
        "STREAMKIT_MODEL_THREADS": "3",
        "STREAMKIT_ORT_INTER_OP_THREADS": "2",
        "STREAMKIT_ORT_SPINNING": "1",
        "STREAMKIT_ORT_ARENA": "0",
        "STREAMKIT_ORT_OPTIMIZATION": "basic",
        "STREAMKIT_ORT_REWRITE": "0",
        "STREAMKIT_ORT_PATH": "iobinding",
        "STREAMKIT_TENSORRT_FP16": "0",
        "STREAMKIT_OPENVINO_PRECISION": "bf16",
        "MODEL_CACHE_DIR": str(tmp_path / "models"),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    execution = execution_of(Settings.load())
    assert (execution.threads, execution.inter_op_threads) == (3, 2)
    assert (execution.spinning, execution.arena) == (True, False)
    assert (execution.optimization, execution.path) == ("basic", "iobinding")
    assert not execution.rewrite
    assert (execution.tensorrt_fp16, execution.openvino_precision) == (False, "bf16")
    assert execution.tensorrt_cache == tmp_path / "tensorrt"


def test_an_unknown_level_names_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMKIT_ORT_OPTIMIZATION", "most")
    with pytest.raises(ConfigError, match=r"STREAMKIT_ORT_OPTIMIZATION.*'disabled'.*'all'"):
        Settings.load()


def test_engines_are_kept_beside_the_models_never_among_them(tmp_path: Path) -> None:
    models = tmp_path / "models"
    inside = Settings.load(model_cache_dir=models, tensorrt_cache_dir=models / "engines")
    with pytest.raises(ConfigError, match="keep engines beside it"):
        execution_of(inside)
    beside = Settings.load(model_cache_dir=models, tensorrt_cache_dir=tmp_path / "engines")
    assert execution_of(beside).tensorrt_cache == tmp_path / "engines"


def test_engines_of_other_weights_are_not_met(tmp_path: Path) -> None:
    asked = Execution(tensorrt_cache=tmp_path / "tensorrt")
    weights = tmp_path / "weights.onnx"
    folders = []
    for content in (b"one", b"another", b"one"):
        weights.write_bytes(content)
        options = provider_options(asked, TENSORRT, weights)
        assert options["trt_engine_cache_enable"] == "True"
        assert options["trt_fp16_enable"] == "True"
        folders.append(Path(options["trt_engine_cache_path"]))
    assert folders[0] == folders[2] != folders[1]
    assert all(f.is_dir() and f.parent == tmp_path / "tensorrt" for f in folders)


def test_without_a_place_for_engines_nothing_is_kept(tmp_path: Path) -> None:
    options = provider_options(Execution(tensorrt_fp16=False), TENSORRT, tmp_path / "m.onnx")
    assert options == {"trt_fp16_enable": "False"}


def test_openvino_computes_exactly_unless_told_otherwise() -> None:
    def hints(**given: Any) -> dict[str, str]:
        config = json.loads(openvino_options(Execution(**given))["load_config"])
        told: dict[str, str] = config["CPU"]
        return told

    assert hints()["INFERENCE_PRECISION_HINT"] == "f32"
    assert hints(openvino_precision="bf16")["INFERENCE_PRECISION_HINT"] == "bf16"
    assert "INFERENCE_PRECISION_HINT" not in hints(openvino_precision="auto")


def test_openvinos_plug_in_is_never_taken_by_default() -> None:
    built = onnxruntime.get_available_providers()
    assert OPENVINO in built or OPENVINO not in usable(Execution().providers)


@pytest.mark.skipif(not openvino_devices(), reason="onnxruntime-ep-openvino is not installed")
def test_openvinos_plug_in_answers_as_the_cpu_does(tmp_path: Path) -> None:
    weights = write_graph(tmp_path / "m.onnx", brighter=0)
    tensor = np.full((1, 3, 64, 64), 0.5, np.float32)
    session = Session(weights, Execution((OPENVINO, CPU)))
    assert session.provider == OPENVINO
    expected = Session(weights, Execution((CPU,))).run(tensor)[0]
    assert np.allclose(session.run(tensor)[0], expected, atol=1e-4)


@pytest.mark.parametrize(("provider", "path"), [(CPU, "run"), (CUDA, "iobinding")])
def test_the_path_follows_the_provider_unless_chosen(provider: str, path: str) -> None:
    assert chosen_path(Execution(), provider) == path
    assert chosen_path(Execution(path="run"), provider) == "run"
    assert chosen_path(Execution(path="iobinding"), provider) == "iobinding"


def test_the_path_that_ran_has_a_name(tmp_path: Path) -> None:
    weights = write_graph(tmp_path / "m.onnx")
    assert Session(weights, Execution((CPU,))).path == "run"
    assert Session(weights, Execution((CPU,), path="iobinding")).path == "iobinding"


@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize("half", [False, True])
def test_bound_runs_answer_what_plain_ones_do(tmp_path: Path, batch: int | str, half: bool) -> None:
    weights = write_graph(tmp_path / "m.onnx", brighter=0, batch=batch, half=half)
    bound = Session(weights, Execution((CPU,), path="iobinding"))
    plain = Session(weights, Execution((CPU,), path="run"))
    kept = []
    for light in (0.0, 0.25, 0.5):
        tensor = np.full((1, 3, 64, 64), light, np.float32)
        kept.append((bound.run(tensor)[0], plain.run(tensor)[0]))
    for ours, expected in kept:  # a later run has not written over an earlier one's outputs
        assert np.array_equal(ours, expected)
    if batch == "n":
        assert bound.run(np.zeros((3, 3, 64, 64), np.float32))[0].shape == (3, *HEAD.shape)


def test_buffers_are_used_again(tmp_path: Path) -> None:
    allocated = []

    def allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        allocated.append(shape)
        return np.empty(shape, dtype)

    weights = write_graph(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(weights), providers=[CPU])
    bound = Bound(session, allocate)
    for _ in range(3):
        bound.run(np.zeros((1, 3, 64, 64), np.float32))
    assert allocated == [(1, 3, 64, 64), (1, *HEAD.shape)]


def test_memory_of_others_is_given_back_when_its_last_user_goes() -> None:
    memory = ctypes.create_string_buffer(16)
    freed: list[bool] = []
    place = ctypes.addressof(memory)
    array = owned(place, (2, 2), np.dtype(np.float32), lambda: freed.append(True))
    part = array[1:]
    part[:] = 1
    assert memory.raw == bytes(8) + np.ones(2, np.float32).tobytes()
    del array
    gc.collect()
    assert not freed
    del part
    gc.collect()
    assert freed == [True]


def test_cuda_graphs_are_asked_for_by_name_only() -> None:
    plain, recorded = Execution(), Execution(cuda_graph=True)
    nowhere = Path("m.onnx")
    assert provider_options(plain, CUDA, nowhere) == {}
    assert provider_options(recorded, CUDA, nowhere) == {"enable_cuda_graph": "1"}
    assert provider_options(recorded, TENSORRT, nowhere)["trt_cuda_graph_enable"] == "True"
    assert provider_options(recorded, CPU, nowhere) == {}


def test_without_a_gpu_nothing_is_recorded_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = Session(write_graph(tmp_path / "m.onnx"), Execution((CPU,), cuda_graph=True))
    assert session.path == "run"
    assert "no CUDA graph" in caplog.text


@pytest.mark.parametrize(("size", "fits"), [((64, 64), True), (("w", "h"), False)])
def test_only_fixed_sizes_are_recorded(
    tmp_path: Path, size: tuple[Any, Any], fits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    weights = write_graph(tmp_path / "m.onnx", size=size)
    asked = Execution(cuda_graph=True)
    assert _recording(weights, asked, CUDA).cuda_graph is fits
    assert not _recording(weights, replace(asked, path="run"), CUDA).cuda_graph
    assert ("fixed sizes" in caplog.text) or fits


def test_recorded_runs_answer_what_plain_ones_do(tmp_path: Path) -> None:
    """On the CPU, whose buffers are on the device by nature."""
    weights = write_graph(tmp_path / "m.onnx", brighter=0)
    session = onnxruntime.InferenceSession(str(weights), providers=[CPU])
    recorded = Recorded(session, "cpu")
    kept = []
    for level in (0.1, 0.9):
        tensor = np.full((1, 3, 64, 64), level, np.float32)
        kept.append((recorded.run(tensor)[0], session.run(None, {"images": tensor})[0]))
    assert all(np.array_equal(ours, plain) for ours, plain in kept)
    with pytest.raises(ValueError, match="recorded for"):
        recorded.run(np.zeros((2, 3, 64, 64), np.float32))


def test_the_low_power_profile_gives_way_to_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMKIT_PROFILE", "low-power")
    low = Settings.load()
    execution = execution_of(low)
    assert (execution.threads, workers_of(low), execution.spinning) == (1, 1, False)
    for name in ("STREAMKIT_MODEL_THREADS", "STREAMKIT_MODEL_WORKERS"):
        monkeypatch.setenv(name, "3")
    said = Settings.load()
    assert (execution_of(said).threads, workers_of(said)) == (3, 3)


@pytest.mark.parametrize(("provider", "shown"), [(TENSORRT, [1, 8]), (CUDA, [1, 8]), (CPU, [1])])
def test_warming_builds_engines_for_one_picture_and_for_a_full_batch(
    provider: str, shown: list[int]
) -> None:
    seen: list[int] = []

    class Wide(StubModel):
        max_batch = 8

        def prepare(self, pictures: Any) -> Any:
            seen.append(len(pictures))
            return super().prepare(pictures)

    model = Wide(Package("wide/1", Path("weights.onnx")), "object-detection")
    model.provider = provider
    warm(model)
    assert seen == shown

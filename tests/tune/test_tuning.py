"""What was found out is kept by machine and weights, used, and gives way to settings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import pytest
from typer.testing import CliRunner

from streamkit.cli import app
from streamkit.errors import ConfigError
from streamkit.models.devices import CPU
from streamkit.models.execution import Execution
from streamkit.models.manager import ModelManager
from streamkit.models.tuning import Tuning, Tunings, folder_of
from streamkit.settings import Settings
from streamkit.spec import PipelineSpec, manager_settings
from streamkit.tune.candidates import candidates, exact
from streamkit.tune.pictures import gathered
from streamkit.tune.tuner import Tuner

SAMPLES = Path(__file__).parents[2] / "samples"
MODEL = SAMPLES / "models" / "street" / "1"
FAST = Tuning(provider=CPU, threads=1, workers=3, speed=1.5, cpu=0.9)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in list(os.environ):
        if name.startswith(("STREAMKIT_", "ORT_", "ONNXRUNTIME_EXEC", "OPENVINO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODEL_CACHE_DIR", str(tmp_path / "models"))
    return Settings.load()


def kept(settings: Settings, tuning: Tuning = FAST) -> Path:
    return Tunings(folder_of(settings)).keep(MODEL / "weights.onnx", tuning)


def test_a_tuning_lies_beside_the_cache_and_is_found_by_its_weights(settings: Settings) -> None:
    path = kept(settings)
    known = Tunings.of(settings)
    assert known is not None
    assert not path.is_relative_to(settings.model_cache_dir)
    assert known.find(MODEL / "weights.onnx") == FAST
    assert known.find(SAMPLES / "street.jpg") is None
    assert known.forget(MODEL / "weights.onnx")
    assert known.find(MODEL / "weights.onnx") is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"provider": "x"}', b"\xff\xfe"])
def test_a_damaged_tuning_is_as_good_as_none(settings: Settings, damage: bytes) -> None:
    kept(settings).write_bytes(damage)
    known = Tunings.of(settings)
    assert known is not None
    assert known.find(MODEL / "weights.onnx") is None


def test_models_run_as_tuned(settings: Settings) -> None:
    kept(settings)
    manager = ModelManager.of(settings)
    with manager.lease(MODEL) as shared:
        assert shared.workers == 3
    manager.close()


@pytest.mark.parametrize(
    ("name", "value"), [("STREAMKIT_EXACT", "1"), ("STREAMKIT_MODEL_WORKERS", "2")]
)
def test_exact_and_settings_win(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    kept(settings)
    monkeypatch.setenv(name, value)
    assert Tunings.of(Settings.load()) is None
    manager = ModelManager.of(Settings.load())
    with manager.lease(MODEL) as shared:
        assert shared.workers == 2
    manager.close()


def test_a_tuning_changes_only_what_it_is_about() -> None:
    before = Execution(threads=7, arena=False, optimization="basic")
    after = FAST.applied(before)
    assert (after.providers, after.threads) == ((CPU,), 1)
    assert (after.arena, after.optimization) == (False, "basic")


@pytest.mark.parametrize("cores", [1, 2, 4, 16])
def test_candidates_make_sense_on_any_machine(cores: int) -> None:
    tried = list(candidates(cores, (CPU,), inexact=True))
    assert exact(cores) in tried
    assert len(set(tried)) == len(tried)
    assert all(1 <= each.threads * each.workers <= max(2 * cores, 2) for each in tried)
    assert {each.precision for each in tried} == {"f32"}


def test_bf16_is_tried_only_where_pictures_can_judge_it() -> None:
    provider = "OpenVINOExecutionProvider"
    with_pictures = candidates(2, (provider,), inexact=True)
    without = candidates(2, (provider,), inexact=False)
    assert {each.precision for each in with_pictures} == {"f32", "bf16"}
    assert {each.precision for each in without} == {"f32"}


def test_pictures_are_spread_over_a_clip() -> None:
    pictures = gathered(str(SAMPLES / "street.mp4"), 6, (512, 288))
    assert pictures.shape == (6, 720, 1280, 3)
    assert len({picture.tobytes() for picture in pictures}) == 6
    assert gathered(None, 24, (512, 288)).shape == (4, 288, 512, 3)


@pytest.mark.timeout(120)
def test_a_provider_that_is_not_here_fails_alone() -> None:
    pictures = gathered(None, 1, (512, 288))
    tuner = Tuner(
        MODEL / "weights.onnx", pictures, ("TensorrtExecutionProvider",), 1, False, seconds=0.2
    )
    assert tuner.run() is None
    assert all("missing" in str(each.failure) for each in tuner.measured)


def test_the_command_forgets_and_refuses_nonsense(settings: Settings) -> None:
    kept(settings)
    run = CliRunner().invoke
    assert "forgotten" in run(app, ["tune", str(MODEL), "--forget"]).output
    assert "nothing was known" in run(app, ["tune", str(MODEL), "--forget"]).output
    wrong = run(app, ["tune", str(MODEL), "--goal", "speed"])
    assert "throughput or latency" in str(wrong.exception)


@pytest.mark.timeout(180)
def test_the_command_measures_and_tells_in_json(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    picture = cv2.imread(str(SAMPLES / "street.jpg"))
    assert picture is not None
    cv2.imwrite(str(tmp_path / "street.png"), picture)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)  # fewer ways
    command = ["tune", str(MODEL), "--seconds", "0.2", "--turns", "1", "--json"]
    command += ["--pictures", str(tmp_path / "street.png")]
    done = CliRunner().invoke(app, command)
    told = json.loads(done.output)
    assert [each["failure"] for each in told["measured"]] == [None] * len(told["measured"])
    assert all(each["agreement"] == 1.0 and each["fps"] > 0 for each in told["measured"])
    assert all(each["latency"] > 0 and each["cpu"] > 0 for each in told["measured"])
    known = Tunings.of(settings)
    assert known is not None
    found = known.find(MODEL / "weights.onnx")
    assert (found is None) == (told["chosen"] is None)


def test_a_tuned_batch_reaches_the_model_and_the_way_has_a_name(settings: Settings) -> None:
    kept(settings, FAST.model_copy(update={"batch": 4}))
    manager = ModelManager.of(settings)
    with manager.lease(MODEL) as shared:
        assert shared.model.max_batch == 4
        assert shared.way == "tuned: CPU f32, 3 x 1 threads, batch 4"
    manager.close()
    manager = ModelManager.of(Settings.load(exact=True))
    with manager.lease(MODEL) as shared:
        assert (shared.model.max_batch, shared.way) == (1, "exact")
    manager.close()


def test_the_low_power_profile_keeps_the_provider_only(settings: Settings) -> None:
    kept(settings, FAST.model_copy(update={"batch": 4, "spinning": True}))
    known = Tunings.of(Settings.load(profile="low-power"))
    assert known is not None
    found = known.find(MODEL / "weights.onnx")
    assert found is not None
    assert (found.threads, found.workers, found.spinning, found.batch) == (1, 1, False, None)


def test_half_precision_of_tensorrt_is_on_only_where_it_was_chosen() -> None:
    half = Tuning(provider="TensorrtExecutionProvider", precision="f16", threads=1, workers=1)
    assert half.applied(Execution()).tensorrt_fp16
    full = half.model_copy(update={"precision": "f32"})
    assert not full.applied(Execution()).tensorrt_fp16


def test_lists_of_models_say_which_are_tuned(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CliRunner().invoke
    assert "exact" in run(app, ["models", "show", str(MODEL)]).output
    kept(settings)
    assert "tuned: CPU f32, 3 x 1 threads" in run(app, ["models", "show", str(MODEL)]).output
    folder = settings.model_cache_dir / "street" / "1"
    folder.mkdir(parents=True)
    for path in MODEL.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert "tuned: CPU f32" in run(app, ["models", "list"]).output
    monkeypatch.setenv("STREAMKIT_EXACT", "1")
    assert "exact by setting" in run(app, ["models", "show", str(MODEL)]).output


def test_documents_and_options_choose_the_way(settings: Settings) -> None:
    kept(settings)
    plain: dict[str, Any] = {"sources": ["synthetic:"], "model": str(MODEL)}
    ways = {}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("tuned", {}),
        ("exact", {"exact": True}),
        ("low", {"profile": "low-power"}),
    ]
    for name, more in asked:
        spec = PipelineSpec.of({**plain, **more})
        made = ModelManager.of(Settings.load(**manager_settings(spec)))
        with made.lease(MODEL) as shared:
            ways[name] = (shared.way, shared.workers)
        made.close()
    assert ways["tuned"] == ("tuned: CPU f32, 3 x 1 threads", 3)
    assert ways["exact"] == ("exact", 2)
    assert ways["low"] == ("tuned: CPU f32, 1 x 1 threads", 1)
    with pytest.raises(ConfigError, match="profile"):
        PipelineSpec.of({**plain, "profile": "fast"})


def test_annotations_need_their_pictures() -> None:
    wrong = CliRunner().invoke(app, ["tune", str(MODEL), "--annotations", "x.json"])
    assert "--pictures" in str(wrong.exception)

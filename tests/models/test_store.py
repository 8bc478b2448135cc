"""Models' files: what is accepted, and what each bad file is called."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from streamkit.errors import ModelAccessError, ModelArtefactError, ModelNotFoundError
from streamkit.models.assembly import api_of, store_of
from streamkit.models.ids import ModelId, locate, parse
from streamkit.models.preprocess import Recipe, Switches
from streamkit.models.store import Store
from streamkit.models.store.environment import read_environment
from streamkit.models.store.files import TEXT_LIMIT
from streamkit.models.store.local import LocalFolder
from streamkit.models.store.package import WEIGHTS, WEIGHTS_LIMIT, Package, read_path
from streamkit.settings import Settings
from tests.models.graphs import NAMES, write_folder, write_graph

Spoil = Callable[[Path], object]

FULL = {
    "auto-orient": True,
    "static-crop": {"enabled": True, "x_min": 25, "x_max": 75, "y_min": 10, "y_max": 90},
    "contrast": {"enabled": True, "type": "Adaptive Equalization"},
    "grayscale": {"enabled": True},
    "resize": {"enabled": True, "format": "Fit within", "width": "640", "height": 480},
}


def recipe(folder: Path, preprocessing: Any, off: Switches | None = None) -> Recipe:
    path = folder / "environment.json"
    path.write_text(json.dumps({"PREPROCESSING": preprocessing}))
    return read_environment(path).preprocessing.recipe((640, 480), off or Switches())


def test_a_folder_of_ones_own_comes_before_the_cache(cache: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    settings = Settings.load(model_dir=own, model_cache_dir=cache, offline_mode=True)
    store = store_of(settings, api_of(settings))
    assert store.find(parse("toy/1")).weights.is_relative_to(cache / "toy")
    write_folder(own / "toy" / "1")
    assert store.find(parse("toy/1")).weights == own / "toy" / "1" / "weights.onnx"
    assert "STREAMKIT_MODEL_DIR" in store.providers[0].place


def test_a_folder_of_ones_own_is_no_way_around_access(cache: Path) -> None:
    def refuse(model: ModelId, _: SecretStr | None) -> None:
        raise ModelAccessError(f"no access to {model}")

    store = Store([LocalFolder(cache, refuse)])
    with pytest.raises(ModelAccessError, match="no access to toy/1"):
        store.find(parse("toy/1"))
    with pytest.raises(ModelNotFoundError):
        store.find(parse("other/1"))


def test_a_model_is_found_under_its_id(cache: Path) -> None:
    package = Store([LocalFolder(cache)]).find(parse("toy/01"))
    assert package.model_id == "toy/1"
    assert package.weights == cache / "toy" / "1" / "weights.onnx"
    assert package.names == NAMES
    assert package.kind is not None
    assert package.kind.model_type == "yolov8n"


def test_an_instant_model_is_found_under_its_slug(tmp_path: Path) -> None:
    write_folder(tmp_path / "workspace" / "my-model")
    assert Store([LocalFolder(tmp_path)]).find(parse("workspace/my-model")).names == NAMES


def test_a_folder_of_the_same_layout_is_a_model(cache: Path) -> None:
    assert read_path(cache / "toy" / "1").names == NAMES


@pytest.mark.parametrize("name", WEIGHTS)
def test_each_documented_name_of_weights_is_known(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path / "m", weights=name)
    assert read_path(tmp_path / "m").weights.name == name


def test_a_bare_graph_knows_nothing_yet(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "bare.onnx")
    assert read_path(path) == Package(str(path), path)


def test_a_graph_beside_an_environment_is_part_of_a_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "m", weights="other.onnx")
    package = read_path(tmp_path / "m" / "other.onnx")
    assert package.weights.name == "other.onnx"
    assert package.names == NAMES


def test_a_missing_model_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        Store([LocalFolder(tmp_path)]).find(parse("nothing/1"))
    assert "'nothing/1'" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "MODEL_CACHE_DIR" in str(caught.value)


def test_a_mistyped_alias_is_told_which_may_be_meant(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean yolov8n-640"):
        Store([LocalFolder(tmp_path)]).find(parse("yolov8n-64"))


def test_a_folder_here_is_told_how_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "models" / "street")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match=r"write \./models/street"):
        Store([]).find(parse("models/street"))
    assert Store([]).find(locate("./models/street")).names == NAMES


def test_a_missing_file_is_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such file"):
        read_path(tmp_path / "nothing.onnx")


class OnlyModel:
    """A provider that knows every model and remembers what it was asked."""

    place = "a shelf"

    def __init__(self, package: Package) -> None:
        self.package = package
        self.asked: list[tuple[ModelId, SecretStr | None]] = []

    def find(self, model: ModelId, api_key: SecretStr | None, /) -> Package | None:
        self.asked.append((model, api_key))
        return self.package


def test_providers_are_asked_in_order_until_one_knows(cache: Path, tmp_path: Path) -> None:
    shelf = OnlyModel(Package("shelf/1", tmp_path))
    store = Store([LocalFolder(cache), shelf])
    assert store.find(parse("toy/1")).model_id == "toy/1"
    assert shelf.asked == []
    key = SecretStr("secret")
    assert store.find(parse("other/1"), key) is shelf.package
    assert shelf.asked == [(ModelId("other", "1"), key)]


# -- what is wrong with a file ---------------------------------------------------------------


def write(name: str, content: str | bytes) -> Spoil:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def gone(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def a_folder(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return spoil


def a_pipe(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def grown(name: str, size: int) -> Spoil:
    return lambda folder: os.truncate(folder / name, size)


def asking(preprocessing: Any) -> Spoil:
    return write("environment.json", json.dumps({"PREPROCESSING": preprocessing}))


TEXTS = ("environment.json", "class_names.txt", "model_type.json")


@pytest.mark.parametrize("name", [*TEXTS, "weights.onnx"])
@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [(gone, "is missing"), (a_folder, "is not a file"), (a_pipe, "is not a file")],
)
def test_a_file_must_be_there(
    cache: Path, name: str, spoil: Callable[[str], Spoil], complaint: str
) -> None:
    check(cache, spoil(name), name, complaint)


@pytest.mark.parametrize("name", [*TEXTS, "weights.onnx"])
def test_a_file_must_not_be_empty(cache: Path, name: str) -> None:
    check(cache, write(name, b""), name, "is empty")


@pytest.mark.parametrize("name", TEXTS)
def test_a_small_file_must_be_small(cache: Path, name: str) -> None:
    check(cache, grown(name, TEXT_LIMIT + 1), name, "more than")


def test_weights_must_fit_into_a_message(cache: Path) -> None:
    check(cache, grown("weights.onnx", WEIGHTS_LIMIT + 1), "weights.onnx", "more than")


@pytest.mark.parametrize("name", TEXTS)
def test_text_must_be_utf8(cache: Path, name: str) -> None:
    check(cache, write(name, b"{\xff}"), name, "is not UTF-8: byte 1")


@pytest.mark.parametrize("name", ["environment.json", "model_type.json"])
@pytest.mark.parametrize("text", ["{", "nonsense", "[" * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_json_must_be_json(cache: Path, name: str, text: str) -> None:
    check(cache, write(name, text), name, "is not JSON")


@pytest.mark.parametrize(
    ("spoil", "name", "complaint"),
    [
        (write("model_type.json", "[]"), "model_type.json", "the whole file: .* dictionary"),
        (write("model_type.json", "{}"), "model_type.json", "project_task_type: is missing"),
        (write("model_type.json", '{"project_task_type": "object-detection", "model_type": 8}'),
         "model_type.json", "model_type: .* string"),
        (write("class_names.txt", "a\n\nc"), "class_names.txt", "line 2 is empty"),
        (write("class_names.txt", "a\nb\x07\nc"), "class_names.txt", "line 2 has an unprintable"),
        (write("class_names.txt", " \n "), "class_names.txt", "line 1 is empty"),
        (write("environment.json", "{}"), "environment.json", "PREPROCESSING: is missing"),
        (asking(7), "environment.json", "PREPROCESSING"),
        (asking("{"), "environment.json", "PREPROCESSING"),
        (asking({"resize": {"format": "Squeeze to", "width": 8, "height": 8}}),
         "environment.json", r"PREPROCESSING.resize.format: is 'Squeeze to'; choices are 'Stretch"),
        (asking({"resize": {"format": "Stretch to", "width": 8}}),
         "environment.json", "PREPROCESSING.resize.height: is missing"),
        (asking({"resize": {"width": 0, "height": 8}}), "environment.json", "resize.width"),
        (asking({"resize": {"width": 99999, "height": 8}}), "environment.json", "resize.width"),
        (asking({"grayscale": {}}), "environment.json", "grayscale.enabled: is missing"),
        (asking({"grayscale": True}), "environment.json", "PREPROCESSING.grayscale"),
        (asking({"contrast": {"enabled": True}}),
         "environment.json", "PREPROCESSING.contrast: .*choices are Contrast Stretching, "),
        (asking({"contrast": {"enabled": True, "type": "More"}}),
         "environment.json", "contrast.type: is 'More'; choices are 'Contrast Stretching'"),
        (asking({"static-crop": {"enabled": True, "x_min": 1, "x_max": 2, "y_max": 3}}),
         "environment.json", "PREPROCESSING.static-crop: .*y_min missing"),
        (asking({"static-crop": {**FULL["static-crop"], "x_min": 80}}),  # type: ignore[dict-item]
         "environment.json", "static-crop: .*x_min < x_max"),
        (asking({"static-crop": {**FULL["static-crop"], "x_max": 101}}),  # type: ignore[dict-item]
         "environment.json", "static-crop.x_max"),
        (asking({"auto-orient": {"enabled": "perhaps"}}), "environment.json", "orient.enabled"),
    ],
)  # fmt: skip
def test_each_mistake_is_called_by_its_name(
    cache: Path, spoil: Spoil, name: str, complaint: str
) -> None:
    check(cache, spoil, name, complaint)


def check(cache: Path, spoil: Spoil, name: str, complaint: str) -> None:
    folder = cache / "toy" / "1"
    spoil(folder)
    with pytest.raises(ModelArtefactError, match=complaint) as caught:
        Store([LocalFolder(cache)]).find(parse("toy/1"))
    assert str(folder / name) in str(caught.value)


def test_a_path_too_long_to_look_at_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ModelArtefactError, match="cannot be read: File name too long"):
        read_path(tmp_path / ("x" * 300 + ".onnx"))


# -- what is right about one -----------------------------------------------------------------


def test_every_step_is_read(tmp_path: Path) -> None:
    assert recipe(tmp_path, FULL) == Recipe(
        (640, 480), "Fit within", (25, 10, 75, 90), "Adaptive Equalization", True, True
    )


def test_preprocessing_may_be_json_in_json(tmp_path: Path) -> None:
    assert recipe(tmp_path, json.dumps(FULL)) == recipe(tmp_path, FULL)


def test_every_step_can_be_switched_off(tmp_path: Path) -> None:
    off = Switches(auto_orient=True, static_crop=True, contrast=True, grayscale=True)
    assert recipe(tmp_path, FULL, off) == Recipe((640, 480), "Fit within", auto_orient=False)


def test_a_step_that_is_not_enabled_needs_nothing_more(tmp_path: Path) -> None:
    steps = {key: {"enabled": False} for key in ("static-crop", "contrast", "grayscale")}
    assert recipe(tmp_path, steps) == Recipe((640, 480), auto_orient=False)


@pytest.mark.parametrize(
    ("auto_orient", "on"),
    [(True, True), (False, False), ({}, True), ({"enabled": False}, False), (None, False)],
)
def test_auto_orient_is_a_switch_or_an_object(tmp_path: Path, auto_orient: Any, on: bool) -> None:
    assert recipe(tmp_path, {"auto-orient": auto_orient}).auto_orient is on


def test_without_a_format_pictures_are_stretched(tmp_path: Path) -> None:
    assert recipe(tmp_path, {"resize": {"width": 8, "height": 8}}).resize == "Stretch to"


def test_unknown_keys_are_kept_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "environment.json"
    path.write_text(json.dumps({"PREPROCESSING": {"tile": {"rows": 2}}, "MOOD": "good"}))
    with caplog.at_level(logging.WARNING):
        environment = read_environment(path)
    assert environment.model_extra == {"MOOD": "good"}
    assert environment.preprocessing.model_extra == {"tile": {"rows": 2}}
    [record] = caplog.records
    assert "MOOD, PREPROCESSING.tile" in record.getMessage()


def test_the_keys_of_real_files_raise_no_eyebrow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = {
        "PREPROCESSING": FULL,
        "CLASS_MAP": {"0": "a"},
        "COLORS": {"a": "#4892EA"},
        "MULTICLASS": False,
        "RESOLUTION": [288, 512],
        "BATCH_SIZE": "8",
    }
    path = tmp_path / "environment.json"
    path.write_text(json.dumps(content))
    assert read_environment(path).colors == {"a": "#4892EA"}
    assert caplog.records == []


def test_names_may_come_from_windows_and_from_afar(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "class_names.txt").write_bytes("\ufeffKöln\r\n猫\r\nc d\r\n".encode())
    assert read_path(folder).names == ("Köln", "猫", "c d")

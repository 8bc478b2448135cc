"""The real ``inference-sdk``, newest, in its own environment, against a fresh server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs_sdk
from tests.server.serving import Served

HERE = Path(__file__).parent
PICTURE = HERE.parents[1] / "samples" / "street.jpg"


@pytest.fixture(scope="module")
def found(server: Served) -> dict[str, Any]:
    """What came back from everything the client can ask."""
    command = [needs_sdk(), str(HERE / "sdk_surface.py"), server.url, str(PICTURE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def same(one: Any, other: Any) -> bool:
    """But for what is new with each answer."""
    plain = []
    for answer in (one, other):
        rows = [{k: v for k, v in row.items() if k != "detection_id"} for row in answer]
        plain.append(rows)
    return bool(plain[0] == plain[1])


def test_each_task_answers_in_its_own_words(found: dict[str, Any]) -> None:
    tasks = found["tasks"]
    assert all(
        set(answer) >= {"inference_id", "time", "image", "predictions"} for answer in tasks.values()
    )
    assert tasks["street/1"]["image"] == {"width": 1280, "height": 720}
    assert list(tasks["street/1"]["predictions"][0]) == [
        "x", "y", "width", "height", "confidence", "class", "class_id", "detection_id",
    ]  # fmt: skip
    assert tasks["shapes/1"]["predictions"][0]["points"]
    assert tasks["poses/1"]["predictions"][0]["keypoints"]
    assert tasks["kinds/1"]["top"] == "cat"


def test_lists_come_back_in_order_however_they_are_sent(found: dict[str, Any]) -> None:
    (file, array, again), batch = found["list"], found["batch"]
    assert same(file["predictions"], again["predictions"])
    assert array["image"] == file["image"]
    assert [len(a["predictions"]) for a in batch] == [
        len(a["predictions"]) for a in (file, file, array)
    ]
    assert len(found["parallel"]) == 7
    assert all(same(answer["predictions"], file["predictions"]) for answer in found["parallel"])


def test_a_configuration_is_heard(found: dict[str, Any]) -> None:
    few = found["configured"]["predictions"]
    assert 0 < len(few) <= 2
    assert all(row["class"] == "bicycle" and row["confidence"] >= 0.8 for row in few)
    assert set(found["rle"]["predictions"][0]["rle"]) == {"size", "counts"}
    assert found["visualised"] == [720, 1280, 3]
    surer = [row["confidence"] for row in found["v0 configured"]["predictions"]]
    assert surer
    assert min(surer) >= 0.8


@pytest.mark.parametrize("way", ["key by header", "key by both"])
def test_a_key_may_come_in_the_header(found: dict[str, Any], way: str) -> None:
    assert same(found[way]["predictions"], found["tasks"]["street/1"]["predictions"])


def test_async_and_a_chosen_model(found: dict[str, Any]) -> None:
    assert len(found["async"]) == 2
    assert found["selected"]["top"] == "cat"


def test_models_are_described_listed_let_go_and_loaded(found: dict[str, Any]) -> None:
    assert found["described"]["task_type"] == "object-detection"
    assert (found["described"]["input_width"], found["described"]["input_height"]) == (512, 288)
    assert set(found["listed"]) == {"street/1", "shapes/1", "poses/1", "kinds/1"}
    assert "kinds/1" not in found["unloaded"]
    assert "kinds/1" in found["loaded"]
    assert found["cleared"] == []


def test_the_old_routes_say_the_same(found: dict[str, Any]) -> None:
    for model, answer in found["v0"].items():
        ours = found["tasks"][model]
        if model == "kinds/1":
            assert answer["top"] == ours["top"]
        else:
            assert len(answer["predictions"]) == len(ours["predictions"])
    assert found["v0 image"] > 1000


def test_pipelines_are_listed_read_paused_and_ended(found: dict[str, Any]) -> None:
    assert len(found["pipelines"]) == 1
    assert found["left"] == []
    assert found["consumed"][0]["predictions"]["image"]["width"] > 0
    assert all("predictions" not in output for output in found["excluded"]["outputs"])
    assert found["status"]["sources_metadata"][0]["source_id"] == 0
    assert {found[step] for step in ("paused", "resumed", "terminated")} == {"success"}


def test_a_workflow_is_told_what_to_send_instead(found: dict[str, Any]) -> None:
    status, message = found["workflow"]
    assert status == 501
    assert "model_id" in message


def test_what_is_not_there_is_an_error_with_a_reason(found: dict[str, Any]) -> None:
    status, message = found["error"]
    assert status == 503
    assert "nobody-has-this/1" in message

"""One record per frame, whole lines only, readable while it grows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit import InferencePipeline, SourceReference
from streamkit.errors import SinkError
from streamkit.sinks import JsonLinesSink, Sink
from streamkit.sinks.record import encode
from tests.fakes import Clip, numbers
from tests.sinks.making import detections, result


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_record_names_the_frame_and_says_what_was_found(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "new" / "street.jsonl")
    sink.write(result(7, at=0.1, source_id=3, prediction=detections(tracked=True)))
    sink.close()
    sink.close()

    (record,) = lines(tmp_path / "new" / "street.jsonl")
    found = record.pop("prediction")
    assert record == {
        "source_id": 3,
        "frame_id": 7,
        "timestamp": "2026-03-29T01:00:00.000000Z",
        "clock": "pts",
        "image": {"width": 320, "height": 240},
    }
    assert [row["class"] for row in found["predictions"]] == ["person", "car"]
    assert found["predictions"][0]["tracker_id"] == 12


def test_records_in_a_pipeline_say_what_their_stream_is_called(tmp_path: Path) -> None:
    sinks = [JsonLinesSink(tmp_path / "all.jsonl")]
    sources = [SourceReference(Clip(3), {"name": name}) for name in ("gate", "yard")]
    pipeline = InferencePipeline.init_with_custom_logic(sources, numbers, sinks=sinks)
    pipeline.start(use_main_thread=False)
    pipeline.join()
    told = [(each["source_id"], each["source"]) for each in lines(tmp_path / "all.jsonl")]
    assert sorted(told) == [(0, "gate")] * 3 + [(1, "yard")] * 3


def test_a_record_is_in_the_file_before_write_returns(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "street.jsonl")

    for number in range(1, 4):
        sink.write(result(number))
        assert len(lines(tmp_path / "street.jsonl")) == number
    sink.close()


def test_the_wire_form_is_the_one_other_sinks_send(tmp_path: Path) -> None:
    shared = result(1)
    with_id = shared.wire["predictions"][0]["detection_id"]

    sink = JsonLinesSink(tmp_path / "street.jsonl")
    sink.write(shared)
    sink.close()

    assert (
        lines(tmp_path / "street.jsonl")[0]["prediction"]["predictions"][0]["detection_id"]
        == with_id
    )


@pytest.mark.parametrize(("append", "frames"), [(True, [1, 2]), (False, [2])])
def test_it_appends_or_starts_anew(tmp_path: Path, append: bool, frames: list[int]) -> None:
    for number in (1, 2):
        sink = JsonLinesSink(tmp_path / "street.jsonl", append=append)
        sink.write(result(number))
        sink.close()

    assert [line["frame_id"] for line in lines(tmp_path / "street.jsonl")] == frames


def test_a_line_cut_by_a_crash_does_not_spoil_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "street.jsonl"
    path.write_text('{"frame_id":1}\n{"frame_')

    sink = JsonLinesSink(path)
    sink.write(result(2))
    sink.close()

    written = path.read_text().splitlines()
    assert written[:2] == ['{"frame_id":1}', '{"frame_']
    assert json.loads(written[2])["frame_id"] == 2


SHORT_OF_SPACE = """
import resource, sys
from streamkit.errors import SinkError
from streamkit.sinks import JsonLinesSink
from tests.sinks.making import result
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
sink = JsonLinesSink(sys.argv[1])
for number in range(20):
    try:
        sink.write(result(number))
    except SinkError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
sink.write(result(99))
sink.close()
"""


def test_a_full_disk_leaves_whole_lines_and_writing_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    path = tmp_path / "street.jsonl"

    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_SPACE, str(path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip

    told = done.stdout.splitlines()
    assert told
    assert set(told) == {f"cannot write {path}: File too large"}
    numbers = [line["frame_id"] for line in lines(path)]
    assert numbers == [*range(20 - len(told)), 99]


@pytest.mark.parametrize(
    "prediction",
    [
        {"area": np.float32(0.5), "count": np.int64(3), "mask": np.eye(2, dtype=np.uint8)},
        {"column": np.arange(6, dtype=np.float32).reshape(2, 3).T, 5: True},
        [detections(), {"nested": detections()}],
        {"classes": {"car"}, "path": Path("street.mp4")},
        "just text",
        float("nan"),
    ],
)
def test_whatever_a_function_of_the_user_returns_is_written(
    tmp_path: Path, prediction: Any
) -> None:
    sink = JsonLinesSink(tmp_path / "any.jsonl")
    sink.write(result(1, prediction=prediction))
    sink.close()

    assert len(lines(tmp_path / "any.jsonl")) == 1


def test_what_json_cannot_say_is_an_error_and_leaves_no_trace(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "any.jsonl")
    with pytest.raises(SinkError, match="object has no JSON form"):
        sink.write(result(1, prediction={"what": object()}))
    sink.close()

    assert (tmp_path / "any.jsonl").read_bytes() == b""


def test_numbers_survive_exactly() -> None:
    assert json.loads(encode({"x": np.float64(0.1), "id": 2**62})) == {"x": 0.1, "id": 2**62}


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="Is a directory"):
        JsonLinesSink(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"file/street\.jsonl"):
        JsonLinesSink(tmp_path / "file" / "street.jsonl")


def test_after_closing_writing_is_an_error(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "street.jsonl")
    sink.close()

    with pytest.raises(SinkError, match="is closed"):
        sink.write(result(1))


def test_records_go_through_a_pipe_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)

    sink = JsonLinesSink(tmp_path / "pipe")
    assert isinstance(sink, Sink)
    sink.write(result(5))
    sink.close()

    assert json.loads(os.read(reader, 65536))["frame_id"] == 5
    os.close(reader)

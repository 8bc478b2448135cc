"""Stages in a running pipeline: each stream has its own, carried frames too, down to the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from streamkit.errors import ConfigError, TrackingRequiredError
from streamkit.frame import VideoFrame
from streamkit.pipeline import InferencePipeline
from streamkit.predictions import Detections
from streamkit.sinks import open_sink
from streamkit.spec import PipelineSpec, build_pipeline
from streamkit.stages import open_stage
from tests.clips import clip
from tests.stages.making import SAMPLES, objects

LINE = {"start": [0.5, 0], "end": [0.5, 1], "units": "fractions"}


def walker(frames: Sequence[VideoFrame]) -> list[Detections]:
    """A car that drives from left to right in four seconds, in every stream."""
    return [
        objects((0, 2, 40 + 2.4 * frame.frame_id, 200), tracked=False, size=frame.size)
        for frame in frames
    ]


@pytest.mark.parametrize("infer_every", [1, 3])
def test_two_clips_are_tracked_and_counted_each_alone(tmp_path: Path, infer_every: int) -> None:
    clips = [str(clip(tmp_path / f"{n}.mp4", frames=100)) for n in range(2)]
    written = tmp_path / "out.jsonl"
    pipeline = InferencePipeline.init_with_custom_logic(
        clips,
        on_video_frame=walker,
        stages=[
            lambda: open_stage("track", {"algorithm": "ocsort"}),
            lambda: open_stage("line", LINE),
        ],
        sinks=[open_sink("jsonl", {"path": str(written)})],
        stream={"infer_every": infer_every},
    )
    pipeline.start()
    pipeline.join()
    records = [orjson.loads(line) for line in written.read_bytes().splitlines()]
    for source in (0, 1):
        mine = [record for record in records if record["source_id"] == source]
        assert len(mine) == 100
        events = [event for record in mine for event in record.get("events", ())]
        assert [(e["kind"], e["stream"], e["tracker_id"]) for e in events] == [
            ("line.in", source, 1)
        ]
        assert mine[-1]["measures"]["line"]["classes"] == {"car": {"in": 1, "out": 0}}
        tracked = [record for record in mine if record["prediction"]["predictions"]]
        assert len(tracked) > 80
        assert {row["prediction"]["predictions"][0]["tracker_id"] for row in tracked} == {1}


def test_a_line_without_a_tracker_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    pipeline = InferencePipeline.init_with_custom_logic(
        str(clip(tmp_path / "a.mp4", frames=5)),
        on_video_frame=walker,
        stages=[lambda: open_stage("line", LINE)],
    )
    pipeline.start()
    with pytest.raises(TrackingRequiredError, match="put a 'track' stage before it"):
        pipeline.join()


def test_documents_take_them_and_name_wrong_options_before_anything_runs() -> None:
    document = {
        "sources": [str(SAMPLES / "street.mp4")],
        "model": str(SAMPLES / "models" / "street" / "1"),
        "stages": [
            {"track": {"algorithm": "botsort", "lost_after": 2}},
            {"filter": {"where": 'label == "car" and area > 0.001'}},
            {"zone": {"polygon": [[0, 0], [1, 0], [1, 1]], "units": "fractions", "loiter": 5}},
            {"limit": {"cooldown": 30, "per": "track"}},
        ],
    }
    build_pipeline(PipelineSpec.of(document)).terminate()
    for name, options, told in (
        ("track", {"algorithm": "deepsort"}, "'bytetrack', 'ocsort', 'botsort' or 'sort'"),
        ("line", {"start": [0, 0]}, "missing a required .* 'end'"),
        ("zone", {"polygon": "here"}, "polygon"),
        ("speed", {"km_h": True}, "it takes: picture, ground"),
    ):
        wrong = {**document, "stages": [{name: options}]}
        with pytest.raises(ConfigError, match=told):
            build_pipeline(PipelineSpec.of(wrong))

"""Scripts written for the neighbour run after changing their import lines, and nothing else."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import av
import pytest

from tests.clips import clip

MODEL = Path(__file__).resolve().parents[1] / "samples" / "models" / "street"

RECORD = """
from functools import partial
import supervision as sv
from inference import InferencePipeline
from inference.core.interfaces.camera.entities import VideoFrame
from inference.core.interfaces.stream.sinks import VideoFileSink, multi_sink

seen = []
def count(predictions: dict, video_frame: VideoFrame) -> None:
    detections = sv.Detections.from_inference(predictions)
    seen.append((video_frame.frame_id, video_frame.source_id, len(detections)))

video_sink = VideoFileSink.init(video_file_name="out.avi", output_fps=25)
pipeline = InferencePipeline.init(
    model_id="street/1", video_reference="clip.mp4", api_key="unused", confidence=0.3,
    on_prediction=partial(multi_sink, sinks=[video_sink.on_prediction, count]),
)
pipeline.start()
pipeline.join()
video_sink.release()
assert [n for n, _, _ in seen] == list(range(1, 31)), seen
assert {s for _, s, _ in seen} == {0}
"""

RENDER = """
import cv2
from inference import InferencePipeline
from inference.core.interfaces.stream.inference_pipeline import SinkMode
from inference.core.interfaces.stream.sinks import render_boxes
from inference.core.interfaces.stream.watchdog import BasePipelineWatchDog
from functools import partial

images = []
watchdog = BasePipelineWatchDog()
updates = []
pipeline = InferencePipeline.init(
    video_reference=["clip.mp4", "clip.mp4"], model_id="street/1", max_fps=60,
    watchdog=watchdog, status_update_handlers=[updates.append], sink_mode=SinkMode.ADAPTIVE,
    on_prediction=partial(render_boxes, display_size=(320, 180), display_statistics=True,
                          on_frame_rendered=images.append),
)
pipeline.start(use_main_thread=False)
pipeline.join()
assert len(images) == 30, len(images)
assert [index for index, _ in images[0]] == [0, 1]
assert all(image.shape == (180, 320, 3) for _, image in images[0])
report = watchdog.get_report()
assert len(report.latency_reports) == 2
assert report.latency_reports[0].e2e_latency > 0
assert any(u.event_type == "INFERENCE_THREAD_FINISHED" for u in updates)
"""

CUSTOM = """
from typing import Any, List
from inference import InferencePipeline
from inference.core.interfaces.camera.entities import VideoFrame

class MyModel:
    def infer(self, video_frames: List[VideoFrame]) -> List[Any]:
        return [{"mean": float(v.image.mean()), "at": v.frame_timestamp} for v in video_frames]

got, events = [], []
pipeline = InferencePipeline.init_with_custom_logic(
    video_reference="clip.mp4",
    on_video_frame=MyModel().infer,
    on_prediction=lambda prediction, video_frame: got.append(prediction),
    on_pipeline_start=lambda: events.append("start"),
    on_pipeline_end=lambda: events.append("end"),
)
pipeline.start()
pipeline.join()
assert len(got) == 30 and events == ["start", "end"]
assert got[0]["at"].tzinfo is None
"""

BUFFER = """
from inference import InferencePipeline
from inference.core.interfaces.stream.sinks import InMemoryBufferSink

sink = InMemoryBufferSink.init(queue_size=5)
pipeline = InferencePipeline.init(
    video_reference="clip.mp4", model_id="street/1", on_prediction=sink.on_prediction)
pipeline.start()
pipeline.join()
kept = []
while not sink.empty():
    predictions, frames = sink.consume_prediction()
    kept.append(frames[0].frame_id)
assert kept == [26, 27, 28, 29, 30], kept
"""


def ported(script: str) -> str:
    """The only change: where the names are imported from."""
    return re.sub(r"^from inference[\w.]* import", "from streamkit import", script, flags=re.M)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    clip(tmp_path / "clip.mp4", frames=30, fps=25, size=(640, 360))
    return tmp_path


def run(script: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ported(script)],
        cwd=folder,
        env={"MODEL_CACHE_DIR": str(MODEL.parent), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("script", [RENDER, CUSTOM, BUFFER], ids=["render", "custom", "buffer"])
def test_a_script_runs_unchanged(script: str, workplace: Path) -> None:
    run(script, workplace)


def test_a_recording_script_runs_unchanged(workplace: Path) -> None:
    run(RECORD, workplace)
    with av.open(str(workplace / "out.avi")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


def test_a_script_that_sends_datagrams_runs_unchanged(workplace: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        port = receiver.getsockname()[1]
        run(
            "from inference import InferencePipeline\n"
            "from inference.core.interfaces.stream.sinks import UDPSink\n"
            f"sink = UDPSink.init(ip_address='127.0.0.1', port={port})\n"
            "pipeline = InferencePipeline.init(video_reference='clip.mp4', model_id='street/1',\n"
            "    on_prediction=sink.send_predictions)\n"
            "pipeline.start()\npipeline.join()\n",
            workplace,
        )
        message = json.loads(receiver.recv(65536))
    assert message["inference_metadata"]["frame_id"] == 1
    assert "predictions" in message

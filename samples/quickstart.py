"""The shortest script: a video through a model, and a line for every frame with something in it."""

from __future__ import annotations

from typing import Any

from streamkit import InferencePipeline, VideoFrame


def on_prediction(predictions: dict[str, Any], frame: VideoFrame) -> None:
    """Called for every frame; ``predictions`` is a plain dict."""
    found = [p["class"] for p in predictions["predictions"]]
    if found:
        print(f"frame {frame.frame_id}: {', '.join(sorted(found))}")


pipeline = InferencePipeline.init(
    video_reference="samples/street.mp4",  # or "rtsp://user:password@camera/stream", 0, a list
    model_id="samples/models/street/1",  # or "my-project/3", or "best.onnx"
    on_prediction=on_prediction,
)
pipeline.start()
pipeline.join()

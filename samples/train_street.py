"""Trains the sample detector on rendered streets and writes `samples/models/street/1/`.

    pip install torch==2.13.0 onnx onnxruntime pycocotools av opencv-python-headless numpy
    python samples/train_street.py

torch is needed here only; the project does not depend on it. No network, no data to fetch: the
frames are rendered from other seeds than the clip's. A CPU with two cores is enough.
"""

# mypy: allow-untyped-calls, allow-untyped-decorators, no-warn-return-any

from __future__ import annotations

import argparse
import copy
import json
import math
import tempfile
import time
import warnings
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import torch
from detector.card import Measured, Training, card
from detector.data import GREY, HEIGHT, WIDTH, Boxes, batches, load, render
from detector.evaluation import Detector, clip, held_out, hits, measure
from detector.loss import loss
from detector.net import Street, grid
from numpy.typing import NDArray
from street.scene import CLASSES
from torch import Tensor

Bytes = NDArray[np.uint8]
TRAIN_SEEDS, TRAIN_FRAMES = range(1000, 1120), 40
ADVISED = 0.4  # confidence threshold
HELD_SEEDS, HELD_FRAMES = range(5000, 5012), 25
COLOURS = MappingProxyType(
    {
        "bicycle": "#00c2a8",
        "bus": "#ff8c42",
        "car": "#3d8bfd",
        "dog": "#f72585",
        "person": "#ffd60a",
        "truck": "#9b5de5",
    }
)


class Average:
    """A slowly moving mean of the weights, steadier than the weights themselves."""

    def __init__(self, net: Street) -> None:
        self.net = copy.deepcopy(net)

    @torch.no_grad()
    def follow(self, net: Street, step: int) -> None:
        """Move a little towards the current weights."""
        keep = min(0.998, (1 + step) / (10 + step))
        for mine, theirs in zip(
            self.net.state_dict().values(), net.state_dict().values(), strict=True
        ):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - keep)


def pace(step: int, done: float) -> float:
    """Learning rate as a share of its peak: a short rise, then half a cosine."""
    rise = min(1.0, (step + 1) / 120)
    return rise * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)


def optimiser(net: Street, peak: float) -> torch.optim.AdamW:
    """AdamW; only convolution weights decay."""
    heavy = [p for p in net.parameters() if p.ndim > 1]
    light = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": heavy, "weight_decay": 0.02}, {"params": light, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=peak)


def trim(boxes: Boxes) -> Tensor:
    """The batch's truth without the empty columns at its end."""
    most = max(1, int((boxes[..., 0] >= 0).sum(1).max()))
    order = np.argsort(boxes[..., 0] < 0, axis=1, kind="stable")[:, :most]
    return torch.from_numpy(np.take_along_axis(boxes, order[..., None], 1))


@dataclass(frozen=True)
class Plan:
    """How long and how to train; it ends with whichever of the two limits comes first."""

    steps: int
    minutes: float
    batch: int
    rate: float


def train(folder: Path, plan: Plan) -> tuple[Street, int]:
    """The trained network and the number of batches it saw."""
    torch.manual_seed(0)
    net = Street(len(CLASSES)).train()
    average, pupil = Average(net), optimiser(net, plan.rate)
    points, began = grid(HEIGHT, WIDTH), time.monotonic()
    feed = batches(*load(folder, "train"), plan.batch, seed=0)
    for step in count():
        minutes = (time.monotonic() - began) / 60
        done = max(step / plan.steps, minutes / plan.minutes)
        if done >= 1.0:
            return average.net, step
        for group in pupil.param_groups:
            group["lr"] = plan.rate * pace(step, done)
        named, placed = learn(net, pupil, points, *next(feed))
        average.follow(net, step)
        if step % 25 == 0:
            print(f"{step:5d} {done:4.0%} {minutes:5.1f} min  {named:.3f} {placed:.3f}", flush=True)
    raise AssertionError("unreachable")


def learn(
    net: Street, pupil: torch.optim.Optimizer, points: Tensor, pictures: Bytes, boxes: Boxes
) -> tuple[float, float]:
    """One step; returns the score loss and the box loss."""
    sides, logits = net.raw(torch.from_numpy(pictures).float() / 255)
    named, placed = loss(points, sides, logits, trim(boxes))
    pupil.zero_grad(set_to_none=True)
    (named + 5.0 * placed).backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
    pupil.step()
    return named.item(), placed.item()


def export(net: Street, path: Path) -> None:
    """Write the network as ONNX with a free batch dimension."""
    net.fold()
    free = {"images": {0: "batch"}, "output0": {0: "batch"}}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sizes become constants is what we want
        torch.onnx.export(
            net,
            (torch.zeros(1, 3, HEIGHT, WIDTH),),
            str(path),
            opset_version=17,
            input_names=["images"],
            output_names=["output0"],
            dynamic_axes=free,
            dynamo=False,
        )
    tell_sizes(path)


def tell_sizes(path: Path) -> None:
    """State the sizes of the output that are fixed, which the exporter leaves open."""
    model = onnx.load(path)
    sizes = model.graph.output[0].type.tensor_type.shape.dim
    sizes[1].dim_value, sizes[2].dim_value = 4 + len(CLASSES), len(grid(HEIGHT, WIDTH))
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True))
    onnx.save(model, path)


def describe(folder: Path) -> None:
    """Write the files that go with the weights."""
    resize = {"enabled": True, "width": WIDTH, "height": HEIGHT, "format": "Fit (grey edges) in"}
    environment = {
        "PREPROCESSING": json.dumps({"auto-orient": {"enabled": True}, "resize": resize}),
        "CLASS_MAP": {str(i): name for i, name in enumerate(CLASSES)},
        "COLORS": dict(COLOURS),
        "BATCH_SIZE": "8",
    }
    kind = {"project_task_type": "object-detection", "model_type": "yolov8n"}
    (folder / "environment.json").write_text(json.dumps(environment, indent=4) + "\n")
    (folder / "model_type.json").write_text(json.dumps(kind, indent=4) + "\n")
    (folder / "class_names.txt").write_text("\n".join(CLASSES))


def speed(detector: Detector) -> float:
    """Median milliseconds per frame on one thread, from uint8 picture to raw output."""
    image = np.full((1, HEIGHT, WIDTH, 3), GREY, np.uint8)
    times = []
    for _ in range(60):
        began = time.perf_counter()
        detector.run(image)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the sample detector.")
    parser.add_argument("--out", type=Path, default=Path("samples/models/street/1"))
    parser.add_argument("--clip", type=Path, default=Path("samples/street.mp4"))
    scratch = Path(tempfile.gettempdir()) / "street-frames"
    parser.add_argument("--work", type=Path, default=scratch, help="rendered frames, 2.3 GB")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this long")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Render, train, export, measure, describe."""
    chosen = options()
    torch.set_num_threads(chosen.threads)
    render(HELD_SEEDS, HELD_FRAMES, chosen.work, "held", chosen.threads)
    render(TRAIN_SEEDS, TRAIN_FRAMES, chosen.work, "train", chosen.threads)
    began = time.monotonic()
    plan = Plan(chosen.steps, chosen.minutes, chosen.batch, chosen.rate)
    net, steps = train(chosen.work, plan)
    minutes = (time.monotonic() - began) / 60
    chosen.out.mkdir(parents=True, exist_ok=True)
    export(net, chosen.out / "weights.onnx")
    describe(chosen.out)
    command = f"python samples/train_street.py --steps {steps} --batch {plan.batch}"
    report(chosen.out, chosen.work, chosen.clip, Training(command, minutes))


def report(out: Path, work: Path, video: Path, training: Training) -> None:
    """Measure the exported model and write its card."""
    detector = Detector(out / "weights.onnx")
    measured = Measured(
        measure(held_out(work), detector),
        measure(clip(video), detector),
        hits(clip(video), detector, ADVISED),
        (out / "weights.onnx").stat().st_size,
        speed(detector),
    )
    text = card(measured, training)
    (out / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()

"""Trains the sample's second model, what colour a car is, and writes `samples/models/paint/1/`.

    pip install numpy onnx onnxruntime opencv-python-headless
    python samples/train_paint.py

One layer that looks at each pixel, the mean over the car's middle, one layer to the classes;
trained in NumPy in two minutes. The cars are cut out of rendered streets with other seeds than the
clip's.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from street.look import PAINTS, TAXI
from street.scene import Scene, Truth
from street.vehicles import Car

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

SIDE, HIDDEN, BATCH = 32, 24, 64
MIDDLE = (12, 26, 3, 29)
"""Rows and columns of a car's crop where its paint is: neither sky nor wheels."""
WORDS = (
    "red", "orange", "yellow", "green", "blue", "navy", "purple", "white", "silver", "grey",
    "black", "pink", "teal", "brown",
)  # fmt: skip
"""Of `PAINTS`, in order; a taxi is yellow."""
NAMES = tuple(sorted(WORDS))
TRAIN_SEEDS, HELD_SEEDS = range(2000, 2020), range(6000, 6006)
FRAMES = range(0, 600, 75)


@dataclass(frozen=True)
class Cars:
    """Crops (N, 32, 32, 3; BGR) and the number of each paint in `NAMES`."""

    crops: Bytes
    paint: NDArray[np.int64]


def word(scene: Scene, truth: Truth) -> int | None:
    """Which paint it is; `None` for what is no car."""
    drawn = scene.draws.get(truth.object_id)
    if not isinstance(drawn, Car):
        return None
    return NAMES.index("yellow" if drawn.paint == TAXI else WORDS[PAINTS.index(drawn.paint)])


def crop(picture: Bytes, truth: Truth, rng: np.random.Generator) -> Bytes:
    """With the edge that a cascade leaves, and what a detector is wrong by."""
    x1, y1, x2, y2 = truth.xyxy
    wide, high = x2 - x1, y2 - y1
    edge = 0.1 + rng.normal(0, 0.04, 4)
    left, right = int(max(0, x1 - edge[0] * wide)), int(x2 + edge[1] * wide) + 1
    top, bottom = int(max(0, y1 - edge[2] * high)), int(y2 + edge[3] * high) + 1
    part = picture[top:bottom, left:right]
    return np.asarray(cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def cars(seeds: range) -> Cars:
    """All that can be seen well."""
    crops, paints = [], []
    for seed in seeds:
        scene, rng = Scene(seed), np.random.default_rng(seed)
        for t in FRAMES:
            picture, truths = scene.frame(t)
            for truth in truths:
                paint = word(scene, truth)
                if paint is not None and truth.visible > 0.6:
                    crops.append(crop(picture, truth, rng))
                    paints.append(paint)
    return Cars(np.array(crops), np.array(paints))


def pixels(crops: Bytes) -> Floats:
    """(N, P, 3) RGB from -1 to 1 of the middle, as the graph sees them."""
    top, bottom, left, right = MIDDLE
    middle = crops[:, top:bottom, left:right, ::-1].reshape(len(crops), -1, 3)
    return (middle.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)


class Net:
    """Scores = mean(relu(pixels @ w1 + b1)) @ w2 + b2."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.weights = [
            rng.normal(0, 1, (3, HIDDEN)).astype(np.float32),
            rng.normal(0, 0.3, HIDDEN).astype(np.float32),
            rng.normal(0, 0.5, (HIDDEN, len(NAMES))).astype(np.float32),
            np.zeros(len(NAMES), np.float32),
        ]
        self.first = [np.zeros_like(w) for w in self.weights]
        self.second = [np.zeros_like(w) for w in self.weights]

    def step(self, x: Floats, paint: NDArray[np.int64], rate: float, number: int) -> float:
        """One step of Adam (Kingma and Ba 2014) down the cross-entropy; the loss before it."""
        w1, b1, w2, b2 = self.weights
        hidden = np.maximum(x @ w1 + b1, 0)
        mean = hidden.mean(axis=1)
        scores = mean @ w2 + b2
        share = np.exp(scores - scores.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        rows = np.arange(len(x))
        loss = float(-np.log(share[rows, paint] + 1e-9).mean())
        share[rows, paint] -= 1
        share /= len(x)
        back = (share @ w2.T)[:, None] * (hidden > 0) / x.shape[1]
        flat = back.reshape(-1, HIDDEN)
        self._move(
            [x.reshape(-1, 3).T @ flat, flat.sum(0), mean.T @ share, share.sum(0)], rate, number
        )
        return loss

    def _move(self, slopes: list[Floats], rate: float, number: int) -> None:
        for w, slope, m, v in zip(self.weights, slopes, self.first, self.second, strict=True):
            m += 0.1 * (slope - m)
            v += 0.001 * (slope**2 - v)
            w -= rate * (m / (1 - 0.9**number)) / (np.sqrt(v / (1 - 0.999**number)) + 1e-8)


def train(data: Cars, steps: int) -> Net:
    """From nothing, with the light varied."""
    rng = np.random.default_rng(1)
    net, x = Net(rng), pixels(data.crops)
    for number in range(1, steps + 1):
        chosen = rng.integers(0, len(x), BATCH)
        light = rng.uniform(0.85, 1.15, (BATCH, 1, 1)).astype(np.float32)
        batch = np.clip((x[chosen] + 1) * light - 1, -1, 1)
        rate = 0.02 * (1 - number / steps) + 1e-4
        loss = net.step(batch, data.paint[chosen], rate, number)
        if number % 500 == 0:
            print(f"{number} of {steps}: loss {loss:.3f}")
    return net


def export(net: Net, path: Path) -> None:
    """As ONNX: `images` (batch, 3, 32, 32) RGB from -1 to 1, `scores` (batch, classes)."""
    w1, b1, w2, b2 = net.weights
    top, bottom, left, right = MIDDLE
    constants = {
        "starts": np.array([top, left]), "ends": np.array([bottom, right]),
        "axes": np.array([2, 3]),
        "w1": w1.T.reshape(HIDDEN, 3, 1, 1), "b1": b1, "w2": w2, "b2": b2,
    }  # fmt: skip
    nodes = [
        helper.make_node("Slice", ["images", "starts", "ends", "axes"], ["middle"]),
        helper.make_node("Conv", ["middle", "w1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w2", "b2"], ["scores"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", len(NAMES)])
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "paint", [images], [scores], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def describe(folder: Path) -> None:
    """In the documented layout."""
    resize = {"resize": {"enabled": True, "width": SIDE, "height": SIDE, "format": "Stretch to"}}
    environment = {
        "PREPROCESSING": json.dumps(resize),
        "CLASS_MAP": {str(i): name for i, name in enumerate(NAMES)},
        "BATCH_SIZE": "8",
    }
    (folder / "environment.json").write_text(json.dumps(environment, indent=4) + "\n")
    kind = {"project_task_type": "classification", "model_type": "vit"}
    (folder / "model_type.json").write_text(json.dumps(kind, indent=4) + "\n")
    (folder / "class_names.txt").write_text("\n".join(NAMES) + "\n")


def right(path: Path, data: Cars) -> float:
    """The share of cars whose colour the exported graph tells."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rgb = data.crops[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    [scores] = session.run(None, {"images": (rgb / 255 - 0.5) / 0.5})
    return float((np.asarray(scores).argmax(axis=1) == data.paint).mean())


CARD = """# paint/1

What colour a car of the drawn street of `samples/street.mp4` is: a second model for cascades, small
enough to be read.

| | |
| --- | --- |
| classes | {names} |
| input | `images`, float32 [batch, 3, {side}, {side}], RGB from -1 to 1, `Stretch to` |
| output | `scores`, float32 [batch, {count}], before the softmax |
| weights | {size} bytes, fp32 ONNX, opset 17, free batch dimension |
| right | {held:.1%} of {cars} cars of {scenes} other scenes |
| training | `python samples/train_paint.py --steps {steps}` |
| licence | Apache-2.0 |
"""


def main() -> None:
    """Render, train, export, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parent
    parser.add_argument("--out", type=Path, default=here / "models" / "paint" / "1")
    parser.add_argument("--steps", type=int, default=1500)
    chosen = parser.parse_args()
    net = train(cars(TRAIN_SEEDS), chosen.steps)
    chosen.out.mkdir(parents=True, exist_ok=True)
    weights = chosen.out / "weights.onnx"
    export(net, weights)
    describe(chosen.out)
    held = cars(HELD_SEEDS)
    text = CARD.format(
        names=", ".join(NAMES),
        side=SIDE,
        count=len(NAMES),
        size=weights.stat().st_size,
        held=right(weights, held),
        cars=len(held.paint),
        scenes=len(HELD_SEEDS),
        steps=chosen.steps,
    )
    (chosen.out / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()

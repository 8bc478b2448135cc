"""The model card of the sample detector, filled in with what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from detector.data import HEIGHT, WIDTH
from detector.evaluation import Quality

TEXT = """# street/1

A small object detector for the drawn street of `samples/street.mp4`. It exists so that examples
and tests run at once, without network, key or camera.

| | |
| --- | --- |
| classes | {classes} |
| input | `images`, float32 [batch, 3, {height}, {width}], RGB / 255, `Fit (grey edges) in` |
| output | `output0`, float32 [batch, {rows}, {cells}]: cx, cy, w, h in input pixels, then scores |
| weights | {size:.2f} MB, fp32 ONNX, opset 17, free batch dimension |
| speed | {speed:.1f} ms per frame, from uint8 picture to `output0`, ONNX Runtime, one CPU thread |
| licence | Apache-2.0 |

## Quality

Average precision (COCO definition, pycocotools) on frames training never saw. Objects of which
less than a quarter is visible are ignored.

| class | AP50 held-out | AP50-95 held-out | AP50 clip | AP50-95 clip |
| --- | --- | --- | --- | --- |
{table}

*Held-out*: 300 frames of 12 scenes with other seeds than the training scenes. *Clip*: every
fourth frame of `samples/street.mp4` after H.264 decoding.

## Use

A confidence threshold of 0.4 is a good start: on the clip, {right:.1%} of the boxes are then right
(IoU of at least 0.5), and {met:.1%} of the objects that are at least half visible are found. Go
down to 0.25 if a tracker behind it can handle weak boxes. An IoU threshold of 0.5 to 0.6 for
duplicates suits the crowded pavement.

## Data and training

Rendered by `samples/street/scene.py`: 4,800 frames of 120 seeded scenes (seeds 1000 to 1119), each
with its own houses, trees, light, vehicles and people; no photographs. Pictures were
compressed, moved, mirrored, blurred and relit on the way in.

    {command}

took {minutes:.0f} minutes on two CPU cores. The network (0.55 M parameters, strides 8, 16 and
32, anchor-free) and its loss are in `samples/detector/net.py` and `samples/detector/loss.py`.

## Limits

It knows this drawn street only: expect nothing on photographs. The far pavement is its weak
spot: people there are about 50 pixels tall at 1280x720, one in four of those in full view is
missed at a threshold of 0.4, and so is every second dog there. Nothing else that is in full view
is missed more often than once in twenty.
"""


@dataclass(frozen=True)
class Training:
    """What the training run took."""

    command: str
    minutes: float


@dataclass(frozen=True)
class Measured:
    """What the exported model was found to do."""

    held: Quality
    clip: Quality
    hits: tuple[float, float]  # right boxes, found objects, at the advised threshold
    bytes: int
    speed: float  # milliseconds per frame


def card(measured: Measured, training: Training) -> str:
    """The card as Markdown."""
    cells = sum((HEIGHT // s) * (WIDTH // s) for s in (8, 16, 32))
    return TEXT.format(
        classes=", ".join(measured.held.classes),
        height=HEIGHT,
        width=WIDTH,
        rows=4 + len(measured.held.classes),
        cells=cells,
        size=measured.bytes / 1e6,
        speed=measured.speed,
        right=measured.hits[0],
        met=measured.hits[1],
        table=_table(measured.held, measured.clip),
        command=training.command,
        minutes=training.minutes,
    )


def _table(held: Quality, clip: Quality) -> str:
    rows = {name: (*held.classes[name], *clip.classes[name]) for name in held.classes}
    rows["**all**"] = (held.map50, held.map50_95, clip.map50, clip.map50_95)
    return "\n".join(
        f"| {name} | " + " | ".join(f"{v:.3f}" for v in values) + " |"
        for name, values in rows.items()
    )

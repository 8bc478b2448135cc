"""Training frames from the sample street: rendering to disk, and augmentation on the way in."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from street.pen import Image
from street.scene import CLASSES, Scene, Truth

WIDTH, HEIGHT = 512, 288  # of the network's input; both are multiples of 32 and 16:9
GREY = 114
MOST = 64  # boxes per frame at most
LEAST_VISIBLE = 0.25  # objects with less in view are neither asked for nor punished
SCENE_FRAMES = 1500

Boxes = NDArray[np.float32]  # rows of class, x0, y0, x1, y1, visible; class -1 fills up


def fit(image: Image) -> tuple[Image, float, int, int]:
    """`Fit (grey edges) in`: the input picture, the scale and the left and top margins."""
    height, width = image.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    w, h = int(width * scale), int(height * scale)
    left, top = (WIDTH - w) // 2, (HEIGHT - h) // 2
    small = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    if (w, h) == (WIDTH, HEIGHT):
        return np.asarray(small, np.uint8), scale, 0, 0
    out: Image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    out[top : top + h, left : left + w] = small
    return out, scale, left, top


def table(truth: list[Truth], scale: float, left: int, top: int) -> Boxes:
    """The truth of one frame in input pixels, always `MOST` rows."""
    rows = np.zeros((MOST, 6), np.float32)
    rows[:, 0] = -1
    for row, item in zip(rows, truth, strict=False):
        x0, y0, x1, y1 = item.xyxy
        row[0], row[5] = CLASSES.index(item.name), item.visible
        row[1:5] = x0 * scale + left, y0 * scale + top, x1 * scale + left, y1 * scale + top
    return rows


def compressed(image: Image, quality: int) -> Image:
    """The picture after lossy compression with halved colour, somewhat as from a camera."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def render_scene(seed: int, count: int) -> tuple[NDArray[np.uint8], Boxes]:
    """`count` frames spread over one scene, with their truth, ready for the network."""
    cv2.setNumThreads(1)
    scene, rng = Scene(seed, SCENE_FRAMES), np.random.default_rng([seed, 5])
    images, boxes = [], []
    for t in np.linspace(0, SCENE_FRAMES - 1, count).astype(int):
        image, truth = scene.frame(int(t))
        small, scale, left, top = fit(compressed(image, int(rng.integers(45, 95))))
        images.append(small)
        boxes.append(table(truth, scale, left, top))
    return np.stack(images), np.stack(boxes)


def render(seeds: range, count: int, folder: Path, name: str, workers: int) -> None:
    """Render many scenes into `name-images.npy` and `name-boxes.npy`, unless they exist."""
    if (folder / f"{name}-boxes.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(seeds) * count, HEIGHT, WIDTH, 3)
    path = folder / f"{name}-images.npy"
    images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    boxes = np.zeros((shape[0], MOST, 6), np.float32)
    with ProcessPoolExecutor(workers) as pool:
        for k, (pictures, rows) in enumerate(pool.map(partial(render_scene, count=count), seeds)):
            images[k * count : (k + 1) * count] = pictures
            boxes[k * count : (k + 1) * count] = rows
    images.flush()
    np.save(folder / f"{name}-boxes.npy", boxes)


def load(folder: Path, name: str) -> tuple[NDArray[np.uint8], Boxes]:
    """The rendered frames (memory-mapped) and their truth."""
    images = np.load(folder / f"{name}-images.npy", mmap_mode="r", allow_pickle=False)
    return images, np.load(folder / f"{name}-boxes.npy", allow_pickle=False)


def augment(image: Image, boxes: Boxes, rng: np.random.Generator) -> tuple[Image, Boxes]:
    """Move, mirror, blur and relight one frame; boxes follow."""
    image, boxes = _move(image, boxes.copy(), rng)
    if rng.random() < 0.5:
        image = np.asarray(image[:, ::-1])
        boxes[:, [1, 3]] = WIDTH - boxes[:, [3, 1]]
    return _relight(image, rng), boxes


def _move(image: Image, boxes: Boxes, rng: np.random.Generator) -> tuple[Image, Boxes]:
    if rng.random() < 0.3:
        return image, boxes
    zoom = float(np.exp(rng.uniform(-0.25, 0.3)))
    dx = float(rng.uniform(-0.5, 0.5) * abs(zoom - 1) * WIDTH + rng.uniform(-20, 20))
    dy = float(rng.uniform(-0.5, 0.5) * abs(zoom - 1) * HEIGHT + rng.uniform(-12, 12))
    left, top = (1 - zoom) * WIDTH / 2 + dx, (1 - zoom) * HEIGHT / 2 + dy
    matrix = np.array([[zoom, 0, left], [0, zoom, top]])
    grey = (GREY, GREY, GREY)
    moved = cv2.warpAffine(image, matrix, (WIDTH, HEIGHT), borderValue=grey)
    size = np.maximum((boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2]), 1e-3) * zoom**2
    boxes[:, 1:5] = np.clip(boxes[:, 1:5] * zoom + (left, top, left, top), 0, (WIDTH, HEIGHT) * 2)
    kept = (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2])
    boxes[:, 5] *= kept / size
    boxes[kept < 4.0, 0] = -1
    return np.asarray(moved, np.uint8), boxes


def _relight(image: Image, rng: np.random.Generator) -> Image:
    gains = float(np.exp(rng.normal(0, 0.12))) * np.exp(rng.normal(0, 0.05, 3))
    offset = float(rng.normal(0, 8))
    ramp = np.clip(np.arange(256)[:, None] * gains + offset, 0, 255).astype(np.uint8)
    image = np.asarray(cv2.LUT(image, ramp[:, None, :]), np.uint8)
    if rng.random() < 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.9))), np.uint8)
    if rng.random() < 0.15:
        image = compressed(image, int(rng.integers(55, 95)))
    return image


def batches(
    images: NDArray[np.uint8], boxes: Boxes, size: int, seed: int
) -> Iterator[tuple[NDArray[np.uint8], Boxes]]:
    """Endless augmented batches: RGB pictures (n, 3, H, W) uint8 and boxes (n, MOST, 6)."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(order) - size + 1, size):
            pairs = [augment(images[i], boxes[i], rng) for i in order[start : start + size]]
            stack = np.stack([p[0][..., ::-1].transpose(2, 0, 1) for p in pairs])
            yield stack, np.stack([p[1] for p in pairs])

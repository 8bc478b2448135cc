"""What a second model said, attached to the objects it was asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from streamkit.errors import ConfigError
from streamkit.parts import joined
from streamkit.predictions import Attributes, Detections, Floats, KeypointNames
from streamkit.stages.within import distinct, itself

Told: TypeAlias = Mapping[int, Attributes]
"""About some objects, by index; empty where there is nothing to tell."""


def with_attributes(found: Detections, name: str, told: Told) -> Detections:
    """``found`` with what is ``told`` as the attribute ``name``. Raises ``ConfigError`` where
    another stage of that name has been before."""
    before: Sequence[Attributes] = found.attributes or ({},) * len(found)
    if any(name in each for each in before):
        raise ConfigError(f"two stages tell {name!r} of one object: give one another name")
    each = [{**b, name: told[i]} if told.get(i) else b for i, b in enumerate(before)]
    return replace(found, attributes=tuple(each))


def reclassified(
    found: Detections, told: Told, names: Sequence[str]
) -> tuple[Detections, dict[int, dict[str, Any]]]:
    """Objects with the class, by ``names``, and the confidence that are told of them, and what was
    told with the class that they had before. ``names`` are known from then on."""
    every = tuple(dict.fromkeys((*found.names, *names)))
    class_id, confidence = found.class_id.copy(), found.confidence.copy()
    points = [*found.keypoint_names, *((),) * (len(every) - len(found.keypoint_names))]
    kept: dict[int, dict[str, Any]] = {}
    for i, said in told.items():
        if said:
            old, class_id[i] = int(class_id[i]), every.index(said["class"])
            confidence[i] = said["confidence"]
            points[class_id[i]] = points[class_id[i]] or points[old]
            kept[i] = {**said, "instead_of": every[old]}
    points = points if found.keypoint_names else []
    done = replace(found, class_id=class_id, confidence=confidence, names=every)
    return replace(done, keypoint_names=tuple(points)), kept


def with_pose(
    found: Detections, asked: Sequence[int], within: Mapping[int, Detections], sample: Detections
) -> tuple[Detections, dict[int, dict[str, Any]]]:
    """``found`` with the keypoints of what was found ``within`` those that were ``asked`` about;
    and the class and confidence of whom they belong to."""
    points, told = dict[int, Floats](), dict[int, dict[str, Any]]()
    for i, inner in within.items():
        best = itself(inner, found.xyxy[i])
        if best is not None and inner.keypoints is not None:
            points[i] = inner.keypoints[best]
            told[i] = {
                "class": inner.labels[best],
                "class_id": int(inner.class_id[best]),
                "confidence": float(inner.confidence[best]),
            }
    return with_keypoints(found, asked, points, sample), told


def with_keypoints(
    found: Detections, asked: Sequence[int], points: Mapping[int, Floats], sample: Detections
) -> Detections:
    """``found`` with the (K, 3) ``points`` of some of those that were ``asked`` about; the others
    of these have none. As many, and named, as those of ``sample``."""
    count = 0 if sample.keypoints is None else sample.keypoints.shape[1]
    before = found.keypoints
    most = max(count, 0 if before is None else before.shape[1])
    keypoints = np.zeros((len(found), most, 3), np.float32)
    if before is not None:
        keypoints[:, : before.shape[1]] = before
    keypoints[list(asked)] = 0
    for i, own in points.items():
        keypoints[i, : len(own)] = own
    classes = set(found.class_id[list(asked)].tolist())
    names = _named(found, classes, sample.keypoint_names)
    return replace(found, keypoints=keypoints, keypoint_names=names)


def _named(found: Detections, classes: set[int], names: KeypointNames) -> KeypointNames:
    own = found.keypoint_names or ((),) * len(found.names)
    first = next((named for named in names if named), ())
    return tuple(first if i in classes else named for i, named in enumerate(own))


def with_children(
    found: Detections, children: Mapping[int, Detections], empty: Detections
) -> Detections:
    """``found`` and behind them, best first, the ``children`` of some, with the index of their
    ``parent``. One that two neighbours both show belongs to where it is surer. ``empty``: no
    object, with the classes of the second model, which are known from then on."""
    plain = [replace(own, attributes=None, parent=None) for own in children.values()]
    within = joined(replace(empty, image_size=found.image_size), *plain)
    lengths = np.array([len(own) for own in plain], np.int64)
    parent = np.repeat(np.array(list(children), np.int64), lengths)
    order = np.argsort(-within.confidence, kind="stable")
    kept = order[distinct(within)[order]]
    alone = np.full(len(found), -1, np.int64) if found.parent is None else found.parent
    whole = joined(found, within[kept])
    return replace(whole, parent=np.concatenate((alone, parent[kept])))

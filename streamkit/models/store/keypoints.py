"""``keypoints_metadata.json``: what the keypoints of each class are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, RootModel

from streamkit.errors import ModelArtefactError
from streamkit.models.store.files import look, read_json

KeypointNames: TypeAlias = Mapping[int, tuple[str, ...]]
"""By class id, in order of their numbers."""


class Skeleton(BaseModel):
    """One class: ``{"object_class_id": 0, "keypoints": {"0": "nose", ...}, "edges": [...]}``."""

    model_config = ConfigDict(extra="allow", frozen=True)
    object_class_id: Annotated[int, Field(ge=0)]
    keypoints: dict[Annotated[int, Field(ge=0)], str]
    edges: list[Any] = []


class _Skeletons(RootModel[list[Skeleton]]):
    """The whole file."""


def read_keypoints(path: Path) -> KeypointNames | None:
    """``None`` where there is no such file. Raises ``ModelArtefactError``."""
    if look(path) is None:
        return None
    skeletons = read_json(path, _Skeletons).root
    for skeleton in skeletons:
        if sorted(skeleton.keypoints) != list(range(len(skeleton.keypoints))):
            raise ModelArtefactError(f"{path}: keypoints must be numbered from 0, without gaps")
    return {
        one.object_class_id: tuple(one.keypoints[number] for number in range(len(one.keypoints)))
        for one in skeletons
    }

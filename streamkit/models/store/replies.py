"""What the weights API answers, field by field; the shapes are those its clients rely on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

from streamkit.errors import ModelArtefactError

DEFAULT_TASK: Final = "object-detection"

DEFAULT_TYPES: Final[Mapping[str, str]] = {
    "object-detection": "yolov5v2s",
    "instance-segmentation": "yolact",
    "classification": "vit",
    "keypoint-detection": "yolov8n",
}
"""What a model is whose reply names no type, or ``ort``."""

_CONFIG: Final = ConfigDict(frozen=True, protected_namespaces=(), hide_input_in_errors=True)


class Description(BaseModel):
    """One model; the endpoints for numbered and instant ones name some fields differently."""

    model_config = _CONFIG
    task: str = Field(DEFAULT_TASK, validation_alias=AliasChoices("type", "taskType"), min_length=1)
    model_type: str | None = Field(None, validation_alias="modelType")
    weights: str | None = Field(
        None, validation_alias=AliasChoices(AliasPath("modelFiles", "ort", "model"), "model")
    )
    environment: str | dict[str, Any] | None = None
    """Where it is, or the file itself."""
    classes: list[str] | None = None
    colors: dict[str, str] | None = None
    keypoints_metadata: list[Any] | None = None

    @property
    def kind(self) -> dict[str, str]:
        """The content of ``model_type.json``. Raises ``ModelArtefactError`` if it is unknown."""
        named = None if self.model_type == "ort" else self.model_type
        model_type = named or DEFAULT_TYPES.get(self.task)
        if model_type is None:
            raise ModelArtefactError(f"the weights API names no type for a {self.task} model")
        return {"project_task_type": self.task, "model_type": model_type}

    def names(self, environment: Mapping[str, Any]) -> list[str]:
        """The class names, by class id; those of ``CLASS_MAP`` where the reply has none."""
        if self.classes:
            return self.classes
        mapped = environment.get("CLASS_MAP")
        mapped = mapped if isinstance(mapped, dict) else {}
        if not mapped or any(str(i) not in mapped for i in range(len(mapped))):
            raise ModelArtefactError("the weights API names no classes of the model")
        return [str(mapped[str(i)]) for i in range(len(mapped))]


class OrtReply(BaseModel):
    """About a numbered version."""

    model_config = _CONFIG
    ort: Description


class WorkspaceReply(BaseModel):
    """About a key."""

    model_config = _CONFIG
    workspace: str | None = None


class ProjectReply(BaseModel):
    """About a project."""

    model_config = _CONFIG
    task: str = Field(DEFAULT_TASK, validation_alias=AliasPath("project", "type"))

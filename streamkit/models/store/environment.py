"""``environment.json`` and ``model_type.json``: what a trained model says about itself."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from streamkit.models.pixels import ContrastType
from streamkit.models.preprocess import Recipe, ResizeFormat, Switches
from streamkit.models.store.files import read_json

log = logging.getLogger(__name__)

_CONFIG: Final = ConfigDict(extra="allow", frozen=True)

Side = Annotated[int, Field(ge=1, le=16384)]
Percentage = Annotated[float, Field(ge=0, le=100)]


class Switch(BaseModel):
    """A step that can be off."""

    model_config = _CONFIG
    enabled: bool


class AutoOrient(BaseModel):
    """EXIF rotation; the key alone means yes."""

    model_config = _CONFIG
    enabled: bool = True


class StaticCrop(Switch):
    """A fixed part of the picture, in percent."""

    x_min: Percentage = 0
    y_min: Percentage = 0
    x_max: Percentage = 100
    y_max: Percentage = 100

    @model_validator(mode="after")
    def _has_corners(self) -> StaticCrop:
        missing = {"x_min", "y_min", "x_max", "y_max"} - self.model_fields_set
        if self.enabled and missing:
            raise ValueError(f"{', '.join(sorted(missing))} missing")
        if self.x_min >= self.x_max or self.y_min >= self.y_max:
            raise ValueError("nothing is left: x_min < x_max and y_min < y_max are needed")
        return self


class Contrast(Switch):
    """One of the three kinds of contrast."""

    type: ContrastType | None = None

    @model_validator(mode="after")
    def _has_type(self) -> Contrast:
        if self.enabled and self.type is None:
            raise ValueError(f"type is missing; choices are {', '.join(get_args(ContrastType))}")
        return self


class Resize(BaseModel):
    """How the picture gets its size; ``enabled`` has no effect, a graph needs its size."""

    model_config = _CONFIG
    enabled: bool = True
    format: ResizeFormat = "Stretch to"
    width: Side
    height: Side


def _as_object(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


class Preprocessing(BaseModel):
    """What was done to the training pictures and must be done to every other."""

    model_config = _CONFIG
    auto_orient: Annotated[AutoOrient, BeforeValidator(_as_object)] | None = Field(
        None, alias="auto-orient"
    )
    static_crop: StaticCrop | None = Field(None, alias="static-crop")
    contrast: Contrast | None = None
    grayscale: Switch | None = None
    resize: Resize | None = None

    def recipe(self, size: tuple[int, int], off: Switches) -> Recipe:
        """The steps that are on, for an input of ``size`` (width, height)."""
        crop, contrast, gray = self.static_crop, self.contrast, self.grayscale
        orient = self.auto_orient is not None and self.auto_orient.enabled
        cropped = crop is not None and crop.enabled and not off.static_crop
        return Recipe(
            size=size,
            resize=self.resize.format if self.resize else "Stretch to",
            crop=(crop.x_min, crop.y_min, crop.x_max, crop.y_max) if crop and cropped else None,
            contrast=contrast.type if contrast and contrast.enabled and not off.contrast else None,
            grayscale=gray is not None and gray.enabled and not off.grayscale,
            auto_orient=orient and not off.auto_orient,
            from_planes=off.planes,
        )


class Environment(BaseModel):
    """``environment.json``."""

    model_config = _CONFIG
    preprocessing: Annotated[Preprocessing, BeforeValidator(_parsed)] = Field(alias="PREPROCESSING")
    class_map: dict[str, str] | None = Field(None, alias="CLASS_MAP")
    colors: dict[str, str] | None = Field(None, alias="COLORS")
    multiclass: bool = Field(False, alias="MULTICLASS")
    resolution: Any = Field(None, alias="RESOLUTION")
    batch_size: Any = Field(None, alias="BATCH_SIZE")


class ModelType(BaseModel):
    """``model_type.json``."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())
    project_task_type: Annotated[str, Field(min_length=1)]
    model_type: Annotated[str, Field(min_length=1)]


def read_environment(path: Path) -> Environment:
    """The file, checked; keys without an effect here are kept and named once in the log."""
    environment = read_json(path, Environment)
    unknown = [*(environment.model_extra or ()), *_unknown(environment.preprocessing)]
    if unknown:
        log.warning("%s: no effect here: %s", path, ", ".join(unknown))
    return environment


def _unknown(preprocessing: Preprocessing) -> list[str]:
    return [f"PREPROCESSING.{key}" for key in preprocessing.model_extra or ()]

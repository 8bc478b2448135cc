"""What requests say, in the neighbour's words; unknown fields are ignored, as there."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
)

from streamkit.errors import ConfigError
from streamkit.models.base import InferenceOptions, MaskDecodeMode, Step
from streamkit.predictions import MaskFormat

Confidence: TypeAlias = Annotated[float, Field(ge=0, le=1)]


def _known(text: str) -> str:
    """No part of an id may climb out of a folder or hide a control character."""
    if ".." in text or "\\" in text or text.startswith("/") or not text.isprintable():
        raise ValueError("a model id is like dataset/version")
    return text


_LONGEST = 4096


def _short(value: Any) -> Any:
    """A list that may be looked into: each of its elements may be wrong in several ways."""
    if isinstance(value, list) and len(value) > _LONGEST:
        raise ValueError(f"a list of at most {_LONGEST} elements is needed")
    return value


ModelName: TypeAlias = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_known)]


class _Lenient(BaseModel):
    # What was given, in the text of an error, may be a key.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, protected_namespaces=())


class Refusal(BaseModel):
    """What went wrong: for people, and for programs."""

    message: str = Field(examples=["Could not load input image. Cause: Empty image payload."])
    code: str = Field(examples=["PICTURE_INVALID"])


def refusals(**by_status: str) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI page: ``s404="no such pipeline"`` is answered with a ``Refusal``."""
    told = {"s401": "the key is missing or not accepted", "s503": "busy: try again"} | by_status
    return {
        int(status[1:]): {"description": text, "model": Refusal} for status, text in told.items()
    }


PREDICTED: dict[str, Any] = {
    "description": "one answer, or a list where a list was asked",
    "content": {
        "application/json": {
            "example": {
                "inference_id": "2b6d0c0e-3c3f-4a59-9b5e-0f9f4c6a1d55",
                "time": 0.031,
                "image": {"width": 640, "height": 360},
                "predictions": [
                    {
                        "x": 320.5,
                        "y": 180.0,
                        "width": 64.0,
                        "height": 120.0,
                        "confidence": 0.93,
                        "class": "person",
                        "class_id": 0,
                        "detection_id": "8f9e2b60-97d5-4ea3-8a34-4a6d8a8f8f3a",
                    }
                ],
            }
        }
    },
}
"""An answer of ``/infer/object_detection``."""

POSTED: dict[str, Any] = {
    "requestBody": {
        "content": {
            "text/plain": {"schema": {"type": "string", "description": "a picture in base64"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        }
    }
}
"""The body of ``POST /{dataset}/{version}``."""


class PictureRequest(_Lenient):
    """One picture: how it comes, and itself."""

    type: str = Field(max_length=32, examples=["base64"])
    """``base64``, ``url``, ``numpy`` (an ``.npy`` file in base64)."""
    value: str = Field(repr=False, examples=["https://example.com/street.jpg"])


class ModelRequest(_Lenient):
    """A model, and who asks."""

    model_id: ModelName = Field(examples=["street/1"])
    model_type: str | None = None
    api_key: SecretStr | None = None


class InferRequest(_Lenient):
    """Pictures through a model; what a model has no use for is ignored."""

    id: str | None = Field(None, max_length=128)
    api_key: SecretStr | None = None
    model_id: ModelName = Field(examples=["street/1"])
    image: Annotated[
        PictureRequest | Annotated[list[PictureRequest], Field(min_length=1)],
        BeforeValidator(_short),
    ]
    confidence: Confidence | Literal["default", "best"] = 0.4
    iou_threshold: Confidence = 0.3
    class_agnostic_nms: bool = False
    class_filter: Annotated[list[str] | None, BeforeValidator(_short)] = None
    max_candidates: int = Field(3000, ge=1, le=1_000_000)
    max_detections: int = Field(300, ge=1, le=100_000)
    keypoint_confidence: Confidence = 0.0
    mask_decode_mode: MaskDecodeMode = "accurate"
    tradeoff_factor: Confidence = 0.0
    response_mask_format: MaskFormat = "polygon"
    disable_preproc_auto_orient: bool = False
    disable_preproc_static_crop: bool = False
    disable_preproc_contrast: bool = False
    disable_preproc_grayscale: bool = False
    visualize_predictions: bool = False
    visualization_labels: bool = False
    visualization_stroke_width: int = Field(1, ge=1, le=50)

    @field_validator("mask_decode_mode", "response_mask_format", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @property
    def pictures(self) -> list[PictureRequest]:
        """One or many, as a list."""
        return self.image if isinstance(self.image, list) else [self.image]

    def options(self) -> InferenceOptions:
        """As the model takes them. ``ConfigError`` where values make no sense together."""
        confidence = 0.4 if isinstance(self.confidence, str) else self.confidence
        try:
            return InferenceOptions(
                confidence=confidence,
                iou_threshold=self.iou_threshold,
                class_agnostic_nms=self.class_agnostic_nms,
                max_candidates=self.max_candidates,
                max_detections=self.max_detections,
                class_filter=None if self.class_filter is None else tuple(self.class_filter),
                mask_decode_mode=self.mask_decode_mode,
                tradeoff_factor=self.tradeoff_factor,
                keypoint_confidence=self.keypoint_confidence,
                without=without(
                    static_crop=self.disable_preproc_static_crop,
                    contrast=self.disable_preproc_contrast,
                    grayscale=self.disable_preproc_grayscale,
                ),
            )
        except TypeError as error:
            raise ConfigError(str(error)) from error


Part: TypeAlias = Annotated[
    float, AfterValidator(lambda v: v / 100 if v > 1 else v), Field(ge=0, le=100)
]
"""A fraction, or percents as the neighbour takes them too; 1 is all, where there it is 1 %."""


class LegacyQuery(_Lenient):
    """The query of ``/{dataset}/{version}``."""

    confidence: Part = 0.4
    overlap: Part = 0.3
    keypoint_confidence: Part = 0.0
    max_detections: int = Field(300, ge=1, le=100_000)
    mask_decode_mode: MaskDecodeMode = "accurate"
    tradeoff_factor: Confidence = 0.0
    format: str = Field("json", max_length=32)
    """``json``, ``image`` or ``image_and_json``; anything else is the first."""
    image: str | None = Field(None, max_length=4096)
    image_type: Literal["base64", "numpy"] = "base64"
    labels: bool = False
    stroke: int = Field(1, ge=1, le=50)
    disable_preproc_auto_orient: bool = False
    disable_preproc_static_crop: bool = False
    disable_preproc_contrast: bool = False
    disable_preproc_grayscale: bool = False

    def options(self) -> InferenceOptions:
        """As the model takes them."""
        return InferenceOptions(
            confidence=self.confidence,
            iou_threshold=self.overlap,
            keypoint_confidence=self.keypoint_confidence,
            max_detections=self.max_detections,
            mask_decode_mode=self.mask_decode_mode,
            tradeoff_factor=self.tradeoff_factor,
            without=without(
                static_crop=self.disable_preproc_static_crop,
                contrast=self.disable_preproc_contrast,
                grayscale=self.disable_preproc_grayscale,
            ),
        )


def without(*, static_crop: bool, contrast: bool, grayscale: bool) -> frozenset[Step]:
    """The steps of preparation that are switched off."""
    off: dict[Step, bool] = {
        "static_crop": static_crop,
        "contrast": contrast,
        "grayscale": grayscale,
    }
    return frozenset(step for step, is_off in off.items() if is_off)

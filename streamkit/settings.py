"""Every environment variable streamkit reads, typed, in one place; nobody else reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_cache_path, user_data_path
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from streamkit.errors import ConfigError


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    plain = value.translate({ord(c): None for c in "[]'\" "})
    return tuple(name for name in plain.split(",") if name)


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A comma list, with or without brackets and quotes: ``[CPUExecutionProvider]``."""

PROVIDERS = (
    "CUDAExecutionProvider",
    "OpenVINOExecutionProvider",
    "CoreMLExecutionProvider",
    "CPUExecutionProvider",
)


def _cache() -> Path:
    return user_cache_path("streamkit") / "models"


def _outbox() -> Path:
    return user_data_path("streamkit") / "outbox.sqlite"


class Environment(BaseSettings):
    """Settings out of environment variables."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True, frozen=True)

    @classmethod
    def load(cls, **given: Any) -> Self:
        """The environment, ``given`` on top. Raises ``ConfigError`` naming each bad variable."""
        try:
            return cls(**given)
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise ConfigError("; ".join(lines)) from error


class Settings(Environment):
    """Read from the environment; the neighbour's names where it has them, else ``STREAMKIT_``."""

    model_cache_dir: Path = Field(
        default_factory=_cache,
        validation_alias="MODEL_CACHE_DIR",
        description="where model artifacts are kept: <dataset>/<version>/weights.onnx and so on",
    )
    model_dir: Path | None = Field(
        None,
        validation_alias="STREAMKIT_MODEL_DIR",
        description="a folder of models of your own, looked in first and never written to",
    )
    api_base_url: str = Field(
        "https://api.roboflow.com",
        validation_alias="API_BASE_URL",
        description="the weights API that model ids are resolved with",
    )
    api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("ROBOFLOW_API_KEY", "API_KEY"),
        description="the key for the weights API",
    )
    api_key_file: Path | None = Field(
        None,
        validation_alias="STREAMKIT_API_KEY_FILE",
        description="a file that holds the key, for where the environment can be seen by others",
    )
    device_id: str = Field(
        "streamkit",
        validation_alias="DEVICE_ID",
        description="what this machine calls itself to the weights API",
    )
    model_request_timeout: float = Field(
        30.0,
        validation_alias=AliasChoices(
            "ROBOFLOW_API_REQUEST_TIMEOUT", "STREAMKIT_MODEL_REQUEST_TIMEOUT"
        ),
        gt=0,
        description="seconds without a byte after which a request for a model has failed",
    )
    model_request_tries: int = Field(
        4,
        validation_alias=AliasChoices(
            "TRANSIENT_ROBOFLOW_API_ERRORS_RETRIES", "STREAMKIT_MODEL_REQUEST_TRIES"
        ),
        ge=1,
        description="how often a request for a model is made before giving up",
    )
    s3_bucket: str | None = Field(
        None,
        validation_alias=AliasChoices("STREAMKIT_S3_BUCKET", "INFER_BUCKET"),
        description="a bucket with models: <prefix>/<dataset>/<version>/weights.onnx and so on",
    )
    s3_prefix: str = Field(
        "", validation_alias="STREAMKIT_S3_PREFIX", description="where in the bucket models begin"
    )
    s3_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        description="an S3-compatible server other than Amazon's",
    )
    s3_region: str | None = Field(
        None,
        validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"),
        description="the bucket's region",
    )
    s3_access_key_id: SecretStr | None = Field(
        None, validation_alias="AWS_ACCESS_KEY_ID", description="for the bucket"
    )
    s3_secret_access_key: SecretStr | None = Field(
        None, validation_alias="AWS_SECRET_ACCESS_KEY", description="for the bucket"
    )
    s3_session_token: SecretStr | None = Field(
        None, validation_alias="AWS_SESSION_TOKEN", description="for the bucket"
    )
    models_cache_auth_enabled: bool = Field(
        False,
        validation_alias="MODELS_CACHE_AUTH_ENABLED",
        description="ask the weights API for every key before a model answers it",
    )
    models_cache_auth_cache_ttl: float = Field(
        900.0,
        validation_alias="MODELS_CACHE_AUTH_CACHE_TTL",
        gt=0,
        description="seconds for which a key's access to a model is remembered",
    )
    models_cache_auth_denial_ttl: float = Field(
        30.0,
        validation_alias="STREAMKIT_MODELS_CACHE_AUTH_DENIAL_TTL",
        gt=0,
        description="seconds for which a refusal is remembered",
    )
    models_cache_auth_cache_max_size: int = Field(
        100_000,
        validation_alias="MODELS_CACHE_AUTH_CACHE_MAX_SIZE",
        ge=1,
        description="pairs of key and model that are remembered at most",
    )
    offline_mode: bool = Field(
        False, validation_alias="OFFLINE_MODE", description="never touch the network for models"
    )
    max_active_models: int = Field(
        8, validation_alias="MAX_ACTIVE_MODELS", ge=1, description="models kept loaded at a time"
    )
    memory_free_threshold: float = Field(
        0.0,
        validation_alias="MEMORY_FREE_THRESHOLD",
        ge=0,
        lt=1,
        description="free part of RAM or GPU memory below which idle models are let go (0: never)",
    )
    disk_cache_cleanup: bool = Field(
        False,
        validation_alias="DISK_CACHE_CLEANUP",
        description="delete a downloaded model's files when it is let go for want of room",
    )

    onnxruntime_execution_providers: Names = Field(
        PROVIDERS,
        validation_alias="ONNXRUNTIME_EXECUTION_PROVIDERS",
        description="ONNX Runtime providers in order of preference; absent ones are passed over",
    )
    required_onnx_providers: Names = Field(
        (),
        validation_alias="REQUIRED_ONNX_PROVIDERS",
        description="ONNX Runtime providers without which nothing is loaded",
    )
    model_workers: int | None = Field(
        None,
        validation_alias="STREAMKIT_MODEL_WORKERS",
        ge=1,
        description="threads that run one model at the same time (default 2)",
    )
    model_threads: int | None = Field(
        None,
        validation_alias="STREAMKIT_MODEL_THREADS",
        ge=1,
        description="threads of one run (default: cores / 2)",
    )
    exact: bool = Field(
        False,
        validation_alias="STREAMKIT_EXACT",
        description="run models as they are, whatever streamkit tune has found out",
    )
    profile: Literal["default", "low-power"] = Field(
        "default",
        validation_alias="STREAMKIT_PROFILE",
        description="low-power: one run of a model at a time, on one thread",
    )
    cuda_graph: bool = Field(
        False,
        validation_alias="STREAMKIT_CUDA_GRAPH",
        description="CUDA records a model's run once and replays it (graphs of fixed sizes only)",
    )
    ort_inter_op_threads: int = Field(
        1,
        validation_alias="STREAMKIT_ORT_INTER_OP_THREADS",
        ge=1,
        description="operators of one run side by side",
    )
    ort_spinning: bool = Field(
        False,
        validation_alias="STREAMKIT_ORT_SPINNING",
        description="threads of a run wait for work by burning their core",
    )
    ort_arena: bool = Field(
        True,
        validation_alias="STREAMKIT_ORT_ARENA",
        description="keep the memory of a run on the CPU for the next",
    )
    ort_optimization: Literal["disabled", "basic", "extended", "all"] = Field(
        "all",
        validation_alias="STREAMKIT_ORT_OPTIMIZATION",
        description="ONNX Runtime's graph optimisation: disabled, basic, extended or all",
    )
    ort_rewrite: bool = Field(
        True,
        validation_alias="STREAMKIT_ORT_REWRITE",
        description="rewrite graphs before they are loaded on a CPU: the same sums in less time",
    )
    ort_path: Literal["auto", "run", "iobinding"] = Field(
        "auto",
        validation_alias="STREAMKIT_ORT_PATH",
        description="how tensors get in and out: auto (iobinding on CUDA), run or iobinding",
    )
    tensorrt_cache_dir: Path | None = Field(
        None,
        validation_alias="TENSORRT_CACHE_PATH",
        description="where TensorRT's engines are kept (default: beside the models)",
    )
    tensorrt_fp16: bool = Field(
        True,
        validation_alias="STREAMKIT_TENSORRT_FP16",
        description="TensorRT may compute in half precision",
    )
    openvino_precision: Literal["f32", "bf16", "auto"] = Field(
        "f32",
        validation_alias="STREAMKIT_OPENVINO_PRECISION",
        description="what OpenVINO computes with: f32, bf16 or auto",
    )

    confidence: float = Field(
        0.4, validation_alias="CONFIDENCE", ge=0, le=1, description="default of init(confidence=)"
    )
    iou_threshold: float = Field(
        0.3, validation_alias="IOU_THRESHOLD", ge=0, le=1, description="default of iou_threshold="
    )
    class_agnostic_nms: bool = Field(
        False, validation_alias="CLASS_AGNOSTIC_NMS", description="default of class_agnostic_nms="
    )
    max_candidates: int = Field(
        3000, validation_alias="MAX_CANDIDATES", ge=1, description="default of max_candidates="
    )
    max_detections: int = Field(
        300, validation_alias="MAX_DETECTIONS", ge=1, description="default of max_detections="
    )

    prepare_path: Literal["pixels", "planes"] = Field(
        "pixels",
        validation_alias="STREAMKIT_PREPARE_PATH",
        description="frames are scaled as pixels, or (planes) before their colours are converted",
    )
    disable_preproc_auto_orient: bool = Field(
        False, validation_alias="DISABLE_PREPROC_AUTO_ORIENT", description="ignore EXIF rotation"
    )
    disable_preproc_contrast: bool = Field(
        False, validation_alias="DISABLE_PREPROC_CONTRAST", description="ignore a model's contrast"
    )
    disable_preproc_grayscale: bool = Field(
        False,
        validation_alias="DISABLE_PREPROC_GRAYSCALE",
        description="ignore grayscale",
    )
    disable_preproc_static_crop: bool = Field(
        False, validation_alias="DISABLE_PREPROC_STATIC_CROP", description="ignore a model's crop"
    )

    predictions_queue_size: int = Field(
        512,
        validation_alias="INFERENCE_PIPELINE_PREDICTIONS_QUEUE_SIZE",
        ge=1,
        description="the most results that may wait for on_prediction when every frame is wanted",
    )
    buffer_size: int = Field(
        64,
        validation_alias="VIDEO_SOURCE_BUFFER_SIZE",
        ge=0,
        description="the most frames of a source that may wait when a buffer strategy is chosen",
    )
    restart_delay: float = Field(
        1.0,
        validation_alias="INFERENCE_PIPELINE_RESTART_ATTEMPT_DELAY",
        gt=0,
        description="seconds before the first reconnection; doubles from there",
    )
    restart_delay_max: float = Field(
        30.0,
        validation_alias="STREAMKIT_RESTART_DELAY_MAX",
        gt=0,
        description="the longest wait between reconnections, in seconds",
    )
    drop_file_frames: bool = Field(
        False,
        validation_alias="ENABLE_FRAME_DROP_ON_VIDEO_FILE_RATE_LIMITING",
        description="max_fps thins a file by its own times instead of slowing it down",
    )

    outbox: Path = Field(
        default_factory=_outbox,
        validation_alias="STREAMKIT_OUTBOX",
        description="where events wait for their receivers, unless a sink names another file",
    )

    chaos_python: Path | None = Field(
        None,
        validation_alias="STREAMKIT_CHAOS_PYTHON",
        description="a Python with GStreamer's RTSP server, for the cameras of the lab",
    )

    @classmethod
    def load(cls, **given: Any) -> Self:
        """As ``Environment.load``; the key may be in a file."""
        settings = super().load(**given)
        if settings.api_key is None and settings.api_key_file is not None:
            return settings.model_copy(update={"api_key": read_key(settings.api_key_file)})
        return settings


def read_key(path: Path) -> SecretStr:
    """The API key in a file, its first line. ``ConfigError`` where there is none."""
    try:
        lines = path.read_text("utf-8-sig").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ConfigError(f"the API key cannot be read from {path}: {reason}") from None
    if not lines:
        raise ConfigError(f"the API key cannot be read from {path}: it is empty")
    return SecretStr(lines[0].strip())


def variable(name: str, kind: type[BaseSettings] = Settings) -> str:
    """The environment variable (the first, where there are two) that sets field ``name``."""
    alias = kind.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else str(alias)


def environment(name: str) -> str | None:
    """The variable that a credential refers to, as it is now."""
    return os.environ.get(name)


_PLAIN = (
    ("PATH", "HOME", "USER", "TMPDIR", "TZ", "LANG", "SYSTEMROOT", "VIRTUAL_ENV", "DISPLAY"),
    ("LC_", "LD_", "DYLD_", "SSL_CERT_", "CUDA_", "NVIDIA_", "LIBVA_", "VDPAU_", "DRI_", "XDG_"),
)
"""Names, and beginnings of names, of variables that hold no secrets."""


def whole_environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with ``more`` on top, for a child that is to be as it is."""
    return {**os.environ, **more}


def plain_environment() -> dict[str, str]:
    """The part of the environment that a child process may see: paths, languages, drivers."""
    names, beginnings = _PLAIN
    return {k: v for k, v in os.environ.items() if k in names or k.startswith(beginnings)}

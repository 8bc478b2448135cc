"""What a manager is made of, as the settings say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from streamkit.errors import ConfigError, ModelCacheError
from streamkit.models.access import AccessControl
from streamkit.models.devices import cores
from streamkit.models.ids import ModelId, Where
from streamkit.models.preprocess import Switches
from streamkit.models.remote import RemoteFile
from streamkit.models.session import Execution
from streamkit.models.store import Store
from streamkit.models.store.cache import Cache
from streamkit.models.store.downloads import Downloads, Remote
from streamkit.models.store.fetch import OnProgress
from streamkit.models.store.http import Patience
from streamkit.models.store.local import LocalFolder
from streamkit.models.store.package import Package
from streamkit.models.store.progress import Bars
from streamkit.models.store.s3 import Bucket
from streamkit.models.store.url import WebFile
from streamkit.models.store.weights_api import WeightsApi
from streamkit.settings import Settings, variable

log = logging.getLogger(__name__)


def execution_of(settings: Settings) -> Execution:
    """Threads per run: half the cores unless said, as two workers run at a time; one with the
    low-power profile. (Without the arena, which it might do without too, a stream of 5 fps cost
    1.04 to 1.07 of the CPU, and no memory less.)"""
    frugal = settings.profile == "low-power"
    return Execution(
        settings.onnxruntime_execution_providers,
        settings.required_onnx_providers,
        settings.model_threads or (1 if frugal else max(1, cores() // 2)),
        inter_op_threads=settings.ort_inter_op_threads,
        spinning=settings.ort_spinning,
        arena=settings.ort_arena,
        cuda_graph=settings.cuda_graph,
        optimization=settings.ort_optimization,
        rewrite=settings.ort_rewrite,
        path=settings.ort_path,
        tensorrt_cache=tensorrt_cache_of(settings),
        tensorrt_fp16=settings.tensorrt_fp16,
        openvino_precision=settings.openvino_precision,
    )


def workers_of(settings: Settings) -> int:
    """How many threads run one model at a time."""
    return settings.model_workers or (1 if settings.profile == "low-power" else 2)


def tensorrt_cache_of(settings: Settings) -> Path:
    """Beside the models; what is in the model cache is theirs alone. Raises ``ConfigError``."""
    models = settings.model_cache_dir.absolute()
    chosen = settings.tensorrt_cache_dir or models.parent / "tensorrt"
    if chosen.absolute().is_relative_to(models):
        raise ConfigError(
            f"TENSORRT_CACHE_PATH {chosen} is in the model cache {models}: keep engines beside it"
        )
    return chosen


def switches_of(settings: Settings) -> Switches:
    """Steps of preparation that are left out."""
    return Switches(
        auto_orient=settings.disable_preproc_auto_orient,
        static_crop=settings.disable_preproc_static_crop,
        contrast=settings.disable_preproc_contrast,
        grayscale=settings.disable_preproc_grayscale,
        planes=settings.prepare_path == "planes",
    )


def access_of(settings: Settings, api: WeightsApi) -> AccessControl | None:
    """``None`` where every caller may use every model. Raises ``ConfigError``."""
    if not settings.models_cache_auth_enabled:
        return None
    if settings.offline_mode:
        raise ConfigError("MODELS_CACHE_AUTH_ENABLED asks the weights API: not with OFFLINE_MODE")
    return AccessControl(
        api.check,
        grant_seconds=settings.models_cache_auth_cache_ttl,
        denial_seconds=settings.models_cache_auth_denial_ttl,
        entries=settings.models_cache_auth_cache_max_size,
    )


def patience_of(settings: Settings) -> Patience:
    """How long requests may take."""
    return Patience(settings.model_request_tries, settings.model_request_timeout)


def api_of(settings: Settings) -> WeightsApi:
    """The weights API."""
    patience = patience_of(settings)
    return WeightsApi(settings.api_base_url, device_id=settings.device_id, patience=patience)


def bucket_of(settings: Settings) -> Bucket | None:
    """The bucket, if one is named."""
    if settings.s3_bucket is None:
        return None
    return Bucket(
        settings.s3_bucket,
        settings.s3_prefix,
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        credentials=(
            settings.s3_access_key_id,
            settings.s3_secret_access_key,
            settings.s3_session_token,
        ),
        patience=patience_of(settings),
    )


def store_of(
    settings: Settings,
    api: WeightsApi,
    access: AccessControl | None = None,
    progress: OnProgress | None = None,
) -> Store:
    """A folder of one's own, then the cache, then the bucket, then the weights API."""
    bucket = bucket_of(settings)
    remotes: list[Remote] = [remote for remote in (bucket, api) if remote is not None]
    allow = access.require if access is not None else None
    downloads = Downloads(
        Cache(settings.model_cache_dir),
        remotes,
        offline=settings.offline_mode,
        allow=allow,
        progress=progress or Bars(),
    )

    def from_web(file: RemoteFile) -> Package:
        web = WebFile(file, patience_of(settings))
        package = downloads.bring(web.model, None, [web])
        assert package is not None  # the only remote has it, or raises
        return replace(package, model_id=file.url.partition("?")[0])

    own = settings.model_dir
    local = [] if own is None else [LocalFolder(own, allow, variable("model_dir"))]
    return Store([*local, downloads], from_web=from_web)


def cleanup_of(settings: Settings) -> Callable[[Where], None] | None:
    """Deletes the files of a model that was downloaded; never those that somebody put there."""
    if not settings.disk_cache_cleanup:
        return None
    cache = Cache(settings.model_cache_dir)

    def cleanup(where: Where) -> None:
        if not isinstance(where, ModelId) or not cache.downloaded(where):
            return
        try:
            cache.remove(where, timeout=0)
        except ModelCacheError as error:
            log.warning("the files of %s stay: %s", where, error)

    return cleanup

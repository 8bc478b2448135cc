"""Models in S3 or what speaks like it: ``<prefix>/<dataset>/<version>/weights.onnx`` and so on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import SecretStr, ValidationError

from streamkit.errors import (
    ConfigError,
    ModelAccessError,
    ModelError,
    ModelErrorCode,
    ModelUnavailableError,
)
from streamkit.models.ids import ModelId
from streamkit.models.store.downloads import Offer
from streamkit.models.store.fetch import Download
from streamkit.models.store.http import Http, Patience
from streamkit.models.store.package import TEXTS, WEIGHTS
from streamkit.models.store.sidecar import SIDECAR, Sidecar

if TYPE_CHECKING:
    from obstore.store import S3Store

T = TypeVar("T")

_REFUSED: Final = ("PermissionDeniedError", "UnauthenticatedError")
_SIGNED_FOR: Final = timedelta(hours=1)
_WANTED: Final = frozenset((*WEIGHTS, *TEXTS))


class Bucket:
    """A remote. Looks with obstore; downloads, over signed URLs, as all others do."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str | None = None,
        credentials: tuple[SecretStr | None, SecretStr | None, SecretStr | None] = (None,) * 3,
        patience: Patience | None = None,
    ) -> None:
        """``credentials``: access key id, secret key, session token; else those of the machine."""
        self._bucket, self._prefix = bucket, prefix.strip("/")
        self._endpoint, self._region, self._credentials = endpoint, region, credentials
        self._plain = endpoint is not None and endpoint.startswith("http://")
        self._http = Http(self.place, allow_http=self._plain, patience=patience)

    @property
    def place(self) -> str:
        """The bucket, as its tools write it."""
        return f"s3://{PurePosixPath(self._bucket, self._prefix)}"

    def offer(self, model: ModelId, _api_key: SecretStr | None, /) -> Offer | None:
        """Its files; ``None`` unless its weights are there. The API key is not for the bucket."""
        store = self._open()
        folder = str(PurePosixPath(self._prefix, model.folder.as_posix()))
        names = self._asked(lambda: _names(store, folder))
        if not names & set(WEIGHTS):
            return None
        hashes = self._asked(lambda: _hashes(store, folder)) if SIDECAR in names else {}
        files = {
            name: Download(
                self._asked(lambda name=name: _signed(store, f"{folder}/{name}")),  # type: ignore[misc]
                hashes.get(name),
            )
            for name in sorted(names & _WANTED)
        }
        return Offer(f"{self.place}/{model}", self._http, files=files)

    def _open(self) -> S3Store:
        try:
            from obstore.store import S3Store
        except ImportError:
            needed = f"{self.place} needs the package obstore: install the extra 's3'"
            raise ConfigError(needed) from None
        key, hidden, token = (part and part.get_secret_value() for part in self._credentials)
        given = {
            "access_key_id": key,
            "secret_access_key": hidden,
            "session_token": token,
            "endpoint": self._endpoint,
            "region": self._region or ("us-east-1" if self._endpoint else None),
        }
        options: Any = {name: value for name, value in given.items() if value}
        patience = self._http.patience
        return S3Store(
            self._bucket,
            client_options={"allow_http": self._plain, "timeout": f"{patience.timeout:g}s"},
            retry_config={"max_retries": patience.tries - 1},
            **options,
        )

    def _asked(self, ask: Callable[[], T]) -> T:
        """The texts of obstore's errors are left out: they hold addresses and ids of keys."""
        from obstore import exceptions

        try:
            return ask()
        except exceptions.BaseError as error:
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> ModelError:
        """A listing that fails is a ``GenericError`` of obstore, the reason is in its text."""
        text, kind = str(error), type(error).__name__
        if kind == "NotFoundError" or "NoSuchBucket" in text:
            return ModelUnavailableError(f"there is no bucket {self._bucket!r}")
        if kind in _REFUSED or "403 Forbidden" in text or "401 Unauthorized" in text:
            text = f"{self.place} refuses these credentials: see AWS_ACCESS_KEY_ID"
            return ModelAccessError(text, ModelErrorCode.FORBIDDEN)
        text = f"{self.place} cannot be reached: {kind}"
        return ModelUnavailableError(text, ModelErrorCode.UNREACHABLE)


def _names(store: S3Store, folder: str) -> set[str]:
    found = store.list_with_delimiter(folder)["objects"]
    return {PurePosixPath(item["path"]).name for item in found}


def _signed(store: S3Store, path: str) -> str:
    import obstore

    return obstore.sign(store, "GET", path, _SIGNED_FOR)


def _hashes(store: S3Store, folder: str) -> dict[str, str]:
    """SHA-256 by name, if somebody put a sidecar there."""
    try:
        listed = Sidecar.model_validate_json(bytes(store.get(f"{folder}/{SIDECAR}").bytes()))
    except ValidationError:
        return {}
    return {name: seal.sha256 for name, seal in listed.files.items()}

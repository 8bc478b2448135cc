"""A plain web server: one ``.onnx`` file, or a folder described by its ``.streamkit.json``."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr, ValidationError

from streamkit.errors import ModelArtefactError, ModelErrorCode
from streamkit.models.ids import ModelId
from streamkit.models.remote import RemoteFile
from streamkit.models.store.cache import URLS
from streamkit.models.store.downloads import Offer
from streamkit.models.store.fetch import Download
from streamkit.models.store.http import Http, Patience
from streamkit.models.store.package import WEIGHTS
from streamkit.models.store.sidecar import Sidecar


class WebFile:
    """A remote that has one model. The pin covers everything: a folder's files by their list."""

    def __init__(self, file: RemoteFile, patience: Patience | None = None) -> None:
        self._file = file
        self._http = Http(str(urlsplit(file.url).hostname), patience=patience)

    @property
    def model(self) -> ModelId:
        """Under what it is kept."""
        return ModelId(URLS, self._file.sha256)

    @property
    def place(self) -> str:
        """The address."""
        return str(self._file)

    def offer(self, _model: ModelId, _api_key: SecretStr | None, /) -> Offer | None:
        """Its files; the key is for others and not sent."""
        if not urlsplit(self._file.url).path.endswith(".json"):
            weights = Download(self._file.url, self._file.sha256)
            return Offer(self.place, self._http, files={WEIGHTS[0]: weights})
        listed = self._list()
        files = {
            name: Download(self._beside(name), seal.sha256) for name, seal in listed.files.items()
        }
        return Offer(self.place, self._http, files=files)

    def _list(self) -> Sidecar:
        data = self._http.small_file(self._file.url, self._file.sha256)
        try:
            return Sidecar.model_validate_json(data)
        except ValidationError as error:
            text = f"{self.place} is no list of a model's files"
            raise ModelArtefactError(text, ModelErrorCode.HASH_MISMATCH) from error

    def _beside(self, name: str) -> str:
        parts = urlsplit(self._file.url)
        path = str(PurePosixPath(parts.path).with_name(name))
        return urlunsplit(parts._replace(path=path))

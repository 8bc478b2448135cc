"""The weights API: what a model is, and where its files are, asked with a key."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import quote

import cachetools
from pydantic import BaseModel, SecretStr, ValidationError

from streamkit.errors import (
    ModelAccessError,
    ModelArtefactError,
    ModelErrorCode,
    ModelNotFoundError,
    ModelUnavailableError,
)
from streamkit.models.ids import ModelId
from streamkit.models.keys import fingerprint
from streamkit.models.registry import STUB
from streamkit.models.store.downloads import Offer
from streamkit.models.store.fetch import Download
from streamkit.models.store.http import Http, Patience
from streamkit.models.store.package import WEIGHTS
from streamkit.models.store.replies import Description, OrtReply, ProjectReply, WorkspaceReply
from streamkit.web import bare

REPLY_SECONDS: Final = 10.0
REPLIES: Final = 1000

R = TypeVar("R", bound=BaseModel)


class WeightsApi:
    """A remote, and the authority on which key may use which model.

    Replies are remembered for ten seconds, for the same key and model only.
    """

    def __init__(
        self,
        base_url: str,
        *,
        device_id: str = "streamkit",
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._device = device_id
        plain = base_url.startswith("http://")
        self._http = Http("the weights API", allow_http=plain, patience=patience)
        self._lock = threading.Lock()
        self._replies: cachetools.TTLCache[tuple[str, str], Description]
        self._replies = cachetools.TTLCache(REPLIES, REPLY_SECONDS, clock)

    @property
    def place(self) -> str:
        """Where it is asked."""
        return f"the weights API at {bare(self._base)}"

    def describe(self, model: ModelId, api_key: SecretStr | None) -> Description:
        """What it says of ``model``. Raises ``ModelAccessError``, ``ModelNotFoundError``, ..."""
        about = fingerprint(api_key), str(model)
        with self._lock:
            known = self._replies.get(about)
        if known is None:
            known = self._ask(model, api_key)
            with self._lock:
                self._replies[about] = known
        return known

    def _ask(self, model: ModelId, api_key: SecretStr | None) -> Description:
        try:
            if model.version == "0":
                return self._stub(model, api_key)
            if model.instant:
                return self._get("/getWeights", {"model": str(model)}, api_key, Description)
            path = f"/ort/{quote(model.dataset, safe='')}/{model.version}"
            query = {"nocache": "true", "device": self._device, "dynamic": "true"}
            return self._get(path, query, api_key, OrtReply).ort
        except ModelAccessError as error:
            raise _refused(model, api_key, error) from None

    def _stub(self, model: ModelId, api_key: SecretStr | None) -> Description:
        """Version 0: only the project's task is asked for."""
        if api_key is None:
            text = f"{model} is a stub, whose task is asked for with an API key"
            raise ModelAccessError(f"{text}: set ROBOFLOW_API_KEY", ModelErrorCode.KEY_MISSING)
        workspace = self.workspace_of(api_key)
        if not workspace:
            text = "the weights API knows no workspace for this API key"
            raise ModelAccessError(text, ModelErrorCode.KEY_REFUSED)
        path = f"/{quote(workspace, safe='')}/{quote(model.dataset, safe='')}"
        task = self._get(path, {"nocache": "true"}, api_key, ProjectReply).task
        return Description(type=task, modelType=STUB)  # type: ignore[call-arg]

    def workspace_of(self, api_key: SecretStr) -> str | None:
        """Whose key it is. Raises ``ModelAccessError`` for one that is refused."""
        return self._get("/", {"nocache": "true"}, api_key, WorkspaceReply).workspace or None

    def _get(self, path: str, query: dict[str, str], api_key: SecretStr | None, kind: type[R]) -> R:
        if api_key is not None:
            query = query | {"api_key": api_key.get_secret_value()}
        reply = self._http.json(self._base + path, query)
        try:
            return kind.model_validate(reply)
        except ValidationError as error:
            wrong = ", ".join(".".join(map(str, e["loc"])) or "it" for e in error.errors())
            text = f"the weights API's answer to {path} makes no sense: see {wrong}"
            raise ModelUnavailableError(text, ModelErrorCode.MALFORMED) from None

    def check(self, model: ModelId, api_key: SecretStr | None) -> None:
        """Raise ``ModelAccessError`` or ``ModelNotFoundError`` unless the key may use it."""
        self.describe(model, api_key)

    def offer(self, model: ModelId, api_key: SecretStr | None, /) -> Offer | None:
        """Its files; ``None`` for a model that it does not know."""
        try:
            found = self.describe(model, api_key)
        except ModelNotFoundError:
            return None
        texts = {"model_type.json": json.dumps(found.kind, indent=4).encode()}
        if model.version == "0":
            return Offer(self.place, self._http, texts)
        if found.weights is None:
            raise ModelArtefactError(f"the weights API has no ONNX weights of {model}")
        environment = self._environment(found)
        texts["environment.json"] = json.dumps(environment).encode()
        texts["class_names.txt"] = "\n".join(found.names(environment)).encode()
        if found.keypoints_metadata is not None:
            keypoints = json.dumps(found.keypoints_metadata)
            texts["keypoints_metadata.json"] = keypoints.encode()
        return Offer(self.place, self._http, texts, {WEIGHTS[0]: Download(found.weights)})

    def _environment(self, found: Description) -> dict[str, object]:
        if isinstance(found.environment, str):
            environment = self._http.json(found.environment, {})
        else:
            environment = dict(found.environment or {})
        return environment | ({"COLORS": found.colors} if found.colors else {})


def _refused(
    model: ModelId, api_key: SecretStr | None, error: ModelAccessError
) -> ModelAccessError:
    if api_key is None and error.code == ModelErrorCode.KEY_REFUSED:
        text = (
            f"{model} is given to nobody without an API key (HTTP 401): give api_key=, set "
            "ROBOFLOW_API_KEY, or name a file with it in STREAMKIT_API_KEY_FILE"
        )
        return ModelAccessError(text, ModelErrorCode.KEY_MISSING)
    return ModelAccessError(f"{model}: {error}", ModelErrorCode(error.code))

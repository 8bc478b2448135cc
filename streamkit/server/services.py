"""What the routes share: models, the desk, keys, limits; one value, made once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from pydantic import SecretStr

from streamkit.models.assembly import api_of
from streamkit.models.manager import ModelManager, default_manager
from streamkit.models.store.weights_api import WeightsApi
from streamkit.server.hosting import Hosting
from streamkit.server.inference import Desk
from streamkit.server.keys import ServerKey, Workspace
from streamkit.server.ledger import Ledger
from streamkit.server.metrics import Metrics
from streamkit.server.pictures import Limits, PixelRoom
from streamkit.server.settings import ServerSettings
from streamkit.server.shelf import Shelf
from streamkit.server.strangers import House
from streamkit.settings import Settings
from streamkit.traces import TracingWatchDog, export


@dataclass(frozen=True)
class Services:
    """The parts of one server."""

    settings: ServerSettings
    manager: ModelManager
    shelf: Shelf
    desk: Desk
    key: ServerKey
    workspace: Workspace | None
    limits: Limits
    metrics: Metrics
    hosting: Hosting
    guarded: bool
    """Each request's key is asked about, so that nobody needs the server's own to infer."""
    ready: set[str] = field(default_factory=set)
    """Of the models that are loaded before it is ready, those that are."""
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    """Of this process, for ``/info``."""

    @classmethod
    def of(
        cls, settings: ServerSettings, models: Settings, manager: ModelManager | None = None
    ) -> Services:
        """As the settings say."""
        manager = manager or default_manager()
        house = House(
            settings.state / "files",
            settings.media_dir,
            settings.camera_hosts,
            settings.request_secrets,
        )
        ledger = Ledger(settings.state / "pipelines.sqlite3")
        hosting = Hosting(house, ledger, settings.max_pipelines)
        if settings.traces:
            export()
            hosting.watch = lambda name: TracingWatchDog(pipeline=name)
        shelf = Shelf(manager, models.max_active_models)
        return cls(
            settings,
            manager,
            shelf,
            Desk(shelf, settings.max_requests, settings.request_timeout, _pixels(settings)),
            ServerKey(settings.server_key),
            _workspace(settings, api_of(models)),
            Limits(
                settings.max_image_bytes, settings.max_image_pixels, settings.max_request_pixels
            ),
            Metrics(shelf, manager, hosting.stats),
            hosting,
            models.models_cache_auth_enabled,
        )

    def require_use(self, key: SecretStr | None) -> None:
        """Raise 401 for who may not even ask: with a server key, whoever does not show it needs a
        key of the weights API that is asked about."""
        if self.key and not self.guarded and self.workspace is None:
            self.key.require(key)

    def opens(self, key: SecretStr | None) -> bool:
        """Whether there is a server key, and this is it: no other authority is asked about it."""
        return bool(self.key) and self.key.opens(key)

    def close(self) -> None:
        """Let everything go."""
        self.desk.close()
        self.hosting.close()
        self.shelf.clear()


def _pixels(settings: ServerSettings) -> PixelRoom:
    """Any one request fits while there is no other."""
    most = settings.max_pixels_in_work, settings.max_request_pixels, settings.max_image_pixels
    return PixelRoom(max(most))


def _workspace(settings: ServerSettings, api: WeightsApi) -> Workspace | None:
    return None if settings.workspace is None else Workspace(settings.workspace, api.workspace_of)

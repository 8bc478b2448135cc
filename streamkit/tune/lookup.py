"""The model that a command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamkit.models.store.package import Package
    from streamkit.settings import Settings


def package_of(settings: Settings, model: str) -> Package:
    """Found where pipelines find it, brought here if need be; raises what ``lease`` raises."""
    from streamkit.models.assembly import access_of, api_of, store_of
    from streamkit.models.ids import locate

    api = api_of(settings)
    store = store_of(settings, api, access_of(settings, api))
    return store.find(locate(model), settings.api_key)

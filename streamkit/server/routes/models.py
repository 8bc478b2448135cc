"""Which models are ready: list, load, let go."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from streamkit.models.ids import parse
from streamkit.models.shared import SharedModel
from streamkit.server.keys import key_of
from streamkit.server.replies import json_reply
from streamkit.server.schemas import ModelRequest
from streamkit.server.services import Services


def model_routes(services: Services) -> APIRouter:
    """``/model/registry``, ``/model/add``, ``/model/remove``, ``/model/clear``."""
    router = APIRouter(tags=["models"])
    shelf = services.shelf

    def registry() -> Response:
        rows = [described(name, shared) for name, shared in shelf.models().items()]
        return json_reply({"models": rows})

    async def listed() -> Response:
        return registry()

    async def add(request: Request, wanted: ModelRequest) -> Response:
        key = key_of(request, wanted.api_key)
        if services.key and not services.guarded and services.workspace is None:
            services.key.require(key)
        model = parse(wanted.model_id)
        await anyio.to_thread.run_sync(shelf.add, model, services.key.strip(key))
        return registry()

    async def remove(request: Request, wanted: ModelRequest) -> Response:
        services.key.require(key_of(request, wanted.api_key))
        await anyio.to_thread.run_sync(shelf.remove, parse(wanted.model_id))
        return registry()

    async def clear(request: Request) -> Response:
        services.key.require(key_of(request))
        await anyio.to_thread.run_sync(shelf.clear)
        return registry()

    if services.settings.model_registry:
        router.get("/model/registry", summary="Models ready")(listed)
    router.post("/model/add", summary="Load a model")(add)
    router.post("/model/remove", summary="Let a model go")(remove)
    router.post("/model/clear", summary="Let all models go")(clear)
    return router


def described(name: str, shared: SharedModel) -> dict[str, Any]:
    """One row, with the neighbour's keys; ``None`` where a size or batch is open."""
    model = shared.model
    width, height = getattr(model, "canvas", (None, None))
    return {
        "model_id": name,
        "task_type": shared.task,
        "batch_size": getattr(model, "fixed_batch", None),
        "input_height": height,
        "input_width": width,
        "provider": model.provider,
        "requests": shared.timings.run.count,
    }

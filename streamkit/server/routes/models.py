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
from streamkit.server.schemas import ModelRequest, refusals
from streamkit.server.services import Services

_AT_ONCE = 8
"""Loads asked for at a time: each may take minutes, and nobody else is to wait for that."""


def model_routes(services: Services) -> APIRouter:
    """``/model/registry``, ``/model/add``, ``/model/remove``, ``/model/clear``."""
    told = refusals(s400="an id that is none", s404="no such model")
    router = APIRouter(tags=["models"], responses=told)
    shelf = services.shelf
    loading = anyio.CapacityLimiter(_AT_ONCE)

    def registry() -> Response:
        rows = [described(name, shared) for name, shared in shelf.models().items()]
        return json_reply({"models": rows})

    async def listed(request: Request) -> Response:
        services.require_use(key_of(request))
        return registry()

    async def add(request: Request, wanted: ModelRequest) -> Response:
        key = key_of(request, wanted.api_key)
        services.require_use(key)
        model = parse(wanted.model_id)
        own = services.key.strip(key)
        await anyio.to_thread.run_sync(shelf.add, model, own, limiter=loading)
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

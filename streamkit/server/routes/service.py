"""About the server itself: who it is, whether it is well, what it has done."""

from __future__ import annotations

import importlib.metadata

import anyio.to_thread
import psutil
from fastapi import APIRouter, Request
from fastapi.responses import Response

from streamkit.server.keys import key_of
from streamkit.server.metrics import PAGE
from streamkit.server.replies import json_reply
from streamkit.server.services import Services

VERSION = importlib.metadata.version("streamkit")


def service_routes(services: Services) -> APIRouter:
    """``/info``, ``/healthz``, ``/readiness``, ``/device/stats``, ``/clear_cache``."""
    router = APIRouter(tags=["service"])

    async def info() -> Response:
        return json_reply({"name": "streamkit", "version": VERSION, "uuid": services.uuid})

    async def healthz() -> Response:
        return json_reply({"status": "healthy"})

    async def readiness() -> Response:
        missing = set(services.settings.preload_models) - services.ready
        if missing:
            return json_reply({"status": "not ready", "missing": sorted(missing)}, 503)
        return json_reply({"status": "ready"})

    async def metrics() -> Response:
        return Response(services.metrics.page(), media_type=PAGE)

    async def device(request: Request) -> Response:
        services.key.require(key_of(request))
        memory = psutil.virtual_memory()
        return json_reply(
            {
                "cpu_percent": psutil.cpu_percent(),
                "cores": psutil.cpu_count(),
                "memory_total": memory.total,
                "memory_available": memory.available,
                "resident": psutil.Process().memory_info().rss,
            }
        )

    async def clear_cache(request: Request) -> Response:
        services.key.require(key_of(request))
        await anyio.to_thread.run_sync(services.shelf.clear)
        return json_reply("Cache Cleared")

    router.get("/info", summary="Name, version, id of the process")(info)
    router.get("/healthz", summary="Alive")(healthz)
    router.get("/readiness", summary="Preloaded models are there")(readiness)
    router.get("/metrics", summary="For Prometheus")(metrics)
    router.get("/device/stats", summary="CPU and memory")(device)
    router.get("/clear_cache", summary="Let all models go")(clear_cache)
    return router

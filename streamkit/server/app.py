"""The ASGI application: routes, what stands before them, and how errors are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import SecretStr

from streamkit.errors import StreamkitError
from streamkit.models.ids import parse
from streamkit.models.keys import secret
from streamkit.server.described import page
from streamkit.server.failures import INTERNAL, answer_to
from streamkit.server.fetching import Fetcher
from streamkit.server.guard import Guard, loopback
from streamkit.server.keys import key_of
from streamkit.server.metrics import Counted
from streamkit.server.replies import failure, json_reply
from streamkit.server.routes.infer import infer_routes, legacy_routes
from streamkit.server.routes.models import model_routes
from streamkit.server.routes.pipelines import pipeline_routes
from streamkit.server.routes.service import VERSION, service_routes
from streamkit.server.services import Services
from streamkit.traces import tracer_of

log = logging.getLogger(__name__)

OPEN: Final = (
    "/",
    "/docs",
    "/info",
    "/openapi.json",
    "/healthz",
    "/readiness",
    "/metrics",
)
"""Paths that need no key in dedicated mode."""
_TOLD: Final = 20
"""Errors of one request that are told."""


def create_app(services: Services) -> FastAPI:
    """A server over ``services``, which it closes at its end."""

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(services.hosting.start)
        loading = asyncio.ensure_future(_preload(services))
        yield
        loading.cancel()
        await anyio.to_thread.run_sync(services.close)

    # FastAPI's own page is made by scripts of another server, which a camera's network cannot reach
    # and which would run as a page of this one.
    app = FastAPI(title="streamkit", version=VERSION, lifespan=life, docs_url=None, redoc_url=None)
    _errors(app)
    _routes(app, services)
    if services.workspace is not None:
        app.middleware("http")(_only_members(services))
    settings = services.settings
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allow_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    app.add_middleware(
        Guard,
        most=settings.max_body_bytes,
        room=max(settings.max_body_bytes, settings.max_bodies_bytes),
        seconds=settings.body_timeout,
        per_minute=settings.requests_per_minute,
        origins=settings.allow_origins,
        local=loopback(settings.host) and not services.key,
    )
    tracer = tracer_of() if settings.traces else None
    app.add_middleware(Counted, metrics=services.metrics, tracer=tracer)
    return app


async def _preload(services: Services) -> None:
    """Load what is to be there before the server is ready; what fails is told and tried no more."""
    for name in services.settings.preload_models:
        try:
            key = services.manager.own_key
            await anyio.to_thread.run_sync(services.shelf.add, parse(name), key)
            services.ready.add(name)
        except StreamkitError as error:
            log.error("%s was to be preloaded: %s", name, error)


def _routes(app: FastAPI, services: Services) -> None:
    app.get("/docs", include_in_schema=False)(lambda: HTMLResponse(page(app.openapi())))
    app.get("/", include_in_schema=False)(lambda: RedirectResponse("docs"))
    fetcher = Fetcher.of(services.settings)
    app.include_router(pipeline_routes(services, services.hosting))
    app.include_router(service_routes(services))
    app.include_router(model_routes(services))
    app.include_router(infer_routes(services, fetcher))
    if services.settings.legacy_routes:  # last: its path fits many
        app.include_router(legacy_routes(services, fetcher))


def _errors(app: FastAPI) -> None:
    @app.exception_handler(StreamkitError)
    async def known(_request: Request, error: StreamkitError) -> Response:
        return failure(answer_to(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        # What was given stays out of it: it may be a key, or a picture.
        told = error.errors()[:_TOLD]
        wrong = [{k: e[k] for k in ("type", "loc", "msg")} for e in told]
        return json_reply({"detail": wrong, "code": "REQUEST_INVALID"}, 422)

    @app.exception_handler(Exception)
    async def unknown(_request: Request, _error: Exception) -> Response:
        return failure(INTERNAL)  # starlette logs it


Next = Callable[[Request], Awaitable[Response]]


def _only_members(services: Services) -> Callable[[Request, Next], Awaitable[Response]]:
    """Dedicated mode: keys of one workspace, in the query, the header or a JSON body; and the
    server's own, if it has one."""
    workspace = services.workspace
    assert workspace is not None

    async def check(request: Request, call_next: Next) -> Response:
        if request.scope["path"] in OPEN or request.method == "OPTIONS":
            return await call_next(request)
        key = key_of(request) or await _in_body(request)
        try:
            allowed = services.opens(key) or await workspace.admits(key)
        except StreamkitError as error:
            answer = answer_to(error)
            if answer.status != 401:
                return failure(answer)
            allowed = False
        if not allowed:
            return json_reply({"status": 401, "message": "Unauthorized api_key"}, 401)
        return await call_next(request)

    return check


async def _in_body(request: Request) -> SecretStr | None:
    """``api_key`` of a JSON object, whatever else is in it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return None
    try:
        told = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return None
    key = told.get("api_key") if isinstance(told, dict) else None
    return secret(key) if isinstance(key, str) else None

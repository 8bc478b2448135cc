"""Pipelines: begun, asked, paused and ended over HTTP; results taken, streamed or pushed."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Iterator
from typing import Annotated, Any

import anyio.to_thread
import orjson
from fastapi import APIRouter, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, SecretStr
from sse_starlette import EventSourceResponse
from starlette.websockets import WebSocketState

from streamkit.errors import StreamkitError
from streamkit.server.failures import HttpError, busy
from streamkit.server.hosting import Hosted, Hosting, report
from streamkit.server.keys import key_of
from streamkit.server.neighbour import document_of
from streamkit.server.replies import json_reply
from streamkit.server.results import Kept
from streamkit.server.schemas import refusals
from streamkit.server.services import Services

_MOST = 100
_REFUSALS = refusals(
    s400="what is wrong with the document",
    s404="no such pipeline",
    s409="not in its state",
    s501="workflows are not offered",
)
_NAMES = 64 << 10
"""Bytes of what a GET may say."""
_PLAIN = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_AT_ONCE = 8
"""Pipelines begun at a time: each may wait for its model, and nobody else is to wait for that."""


class Wanted(BaseModel):
    """A pipeline document, or the neighbour's ``InitialisePipelinePayload``."""

    model_config = ConfigDict(
        extra="allow",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [{"sources": ["rtsp://camera/1"], "model": "street/1", "max_fps": 5}]
        },
    )

    api_key: SecretStr | None = None


Cursor = Annotated[int, Query(ge=0, description="the number of the last result that you have")]
Most = Annotated[int, Query(ge=1, le=_MOST)]


def pipeline_routes(services: Services, hosting: Hosting) -> APIRouter:
    """``/inference_pipelines/...``."""
    router = APIRouter(tags=["pipelines"], prefix="/inference_pipelines", responses=_REFUSALS)
    beginning = anyio.CapacityLimiter(_AT_ONCE)

    async def initialise(request: Request, wanted: Wanted) -> Response:
        key = _allowed(services, request, wanted.api_key)
        document = document_of(wanted.model_dump(exclude={"api_key"}))
        name = await anyio.to_thread.run_sync(
            hosting.add, document, services.key.strip(key), limiter=beginning
        )
        return _told(name)

    async def listed(request: Request) -> Response:
        _allowed(services, request)
        return _told(None, pipelines=hosting.names())

    async def status(request: Request, pipeline_id: str) -> Response:
        _allowed(services, request)
        found = await anyio.to_thread.run_sync(report, hosting.find(pipeline_id))
        return _told(pipeline_id, report=found)

    async def pause(request: Request, pipeline_id: str) -> Response:
        _allowed(services, request)
        await anyio.to_thread.run_sync(hosting.pause, pipeline_id, True)
        return _told(pipeline_id)

    async def resume(request: Request, pipeline_id: str) -> Response:
        _allowed(services, request)
        await anyio.to_thread.run_sync(hosting.pause, pipeline_id, False)
        return _told(pipeline_id)

    async def terminate(request: Request, pipeline_id: str) -> Response:
        _allowed(services, request)
        await anyio.to_thread.run_sync(hosting.remove, pipeline_id)
        return _told(pipeline_id)

    router.post("/initialise", summary="Begin a pipeline")(initialise)
    router.get("/list", summary="The pipelines there are")(listed)
    router.get("/{pipeline_id}/status", summary="How one fares")(status)
    router.post("/{pipeline_id}/pause", summary="Let it rest")(pause)
    router.post("/{pipeline_id}/resume", summary="Let it go on")(resume)
    router.post("/{pipeline_id}/terminate", summary="End it for good")(terminate)
    _result_routes(router, services, hosting)
    return router


class _Listeners:
    """Those who are sent results as they come: no more than there is room for."""

    def __init__(self, room: int) -> None:
        self._room, self._there = room, 0

    def require_room(self) -> None:
        """Raise 503 where there is none."""
        if self._there >= self._room:
            raise busy(f"{self._room} are listening; try again, or ask for /results")

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """One more, for as long."""
        self._there += 1
        try:
            yield
        finally:
            self._there -= 1


def _result_routes(router: APIRouter, services: Services, hosting: Hosting) -> None:
    listeners = _Listeners(services.settings.max_listeners)

    async def consume(request: Request, pipeline_id: str, most: Most = 1) -> Response:
        _allowed(services, request)
        kept = hosting.find(pipeline_id).results.take(most)
        outputs = _without([one.output() for one in kept], await _excluded(request))
        return _told(pipeline_id, outputs=outputs, frames_metadata=[one.frame for one in kept])

    async def results(
        request: Request, pipeline_id: str, cursor: Cursor = 0, most: Most = _MOST
    ) -> Response:
        _allowed(services, request)
        hosted = hosting.find(pipeline_id)
        kept = hosted.results.after(cursor, most)
        return _told(pipeline_id, results=[one.dict() for one in kept], **_next(hosted, kept))

    async def events(request: Request, pipeline_id: str, cursor: Cursor = 0) -> Response:
        _allowed(services, request)
        last = request.headers.get("last-event-id", "")
        begin = int(last[:18]) if last.isdecimal() else cursor
        hosted = hosting.find(pipeline_id)
        listeners.require_room()
        return EventSourceResponse(_pushed(hosted, begin, listeners), ping=15)

    async def socket(websocket: WebSocket, pipeline_id: str, cursor: int = 0) -> None:
        """Results, one JSON text each, until it or the pipeline ends."""
        if not await _opens(services, key_of(websocket)):
            await websocket.close(4401)
            return
        try:
            hosted = hosting.find(pipeline_id)
            listeners.require_room()
        except HttpError as error:
            await websocket.close(4404 if error.status == 404 else 1013)
            return
        await _over(websocket, _pushed(hosted, max(0, cursor), listeners))

    router.get("/{pipeline_id}/consume", summary="Results that nobody took yet")(consume)
    router.get("/{pipeline_id}/results", summary="Results after a number")(results)
    router.get("/{pipeline_id}/events", summary="Results as server-sent events")(events)
    router.websocket("/{pipeline_id}/ws")(socket)


async def _over(websocket: WebSocket, pushed: AsyncGenerator[dict[str, Any]]) -> None:
    await websocket.accept()
    sending = asyncio.ensure_future(_send(websocket, pushed))
    leaving = asyncio.ensure_future(_left(websocket))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, leaving):
            task.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)
    if websocket.client_state is WebSocketState.CONNECTED:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it went away just now
            await websocket.close()


async def _opens(services: Services, key: SecretStr | None) -> bool:
    """As ``_allowed``; in dedicated mode no middleware sees a WebSocket."""
    if services.workspace is None:
        return services.key.opens(key)
    try:
        return services.opens(key) or await services.workspace.admits(key)
    except StreamkitError:
        return False


async def _send(websocket: WebSocket, pushed: AsyncGenerator[dict[str, Any]]) -> None:
    async with contextlib.aclosing(pushed):
        async for each in pushed:
            await websocket.send_text(each["data"])


async def _left(websocket: WebSocket) -> None:
    """Return when the client has gone; what it says is of no interest."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _pushed(
    hosted: Hosted, cursor: int, listeners: _Listeners
) -> AsyncGenerator[dict[str, Any]]:
    """Each result after ``cursor``, until the pipeline has ended and all are told. Who waits here
    holds no thread."""
    news, loop = asyncio.Event(), asyncio.get_running_loop()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(news.set)

    with listeners.one(), hosted.results.telling(tell):
        while True:
            news.clear()
            over = hosted.results.over
            kept = hosted.results.after(cursor, _MOST)
            for one in kept:
                data = orjson.dumps(one.dict(), default=str, option=_PLAIN).decode()
                yield {"id": str(one.number), "event": "result", "data": data}
                cursor = one.number
            if over and not kept:
                return
            if not kept:
                await news.wait()


def _next(hosted: Hosted, kept: list[Kept]) -> dict[str, Any]:
    return {
        "next": kept[-1].number if kept else None,
        "began": hosted.results.began,
        "last": hosted.results.last,
        "missed": hosted.results.missed,
        "state": hosted.state,
    }


def _allowed(
    services: Services, request: Request, body: SecretStr | None = None
) -> SecretStr | None:
    key = key_of(request, body)
    if services.workspace is None:
        services.key.require(key)
    return key


def _told(pipeline_id: str | None, **more: Any) -> Response:
    context = {"request_id": str(uuid.uuid4()), "pipeline_id": pipeline_id}
    return json_reply({"status": "success", "context": context, **more})


async def _excluded(request: Request) -> set[str]:
    """The neighbour's client sends ``{"excluded_fields": [...]}`` with a GET."""
    body = await request.body()
    if len(body) > _NAMES:
        return set()
    try:
        told = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        return set()
    names = told.get("excluded_fields") if isinstance(told, dict) else None
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def _without(outputs: list[dict[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    return [{k: v for k, v in one.items() if k not in names} for one in outputs]

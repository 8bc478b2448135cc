"""From a request to its answer: pictures, a model, the wire form; on threads of its own."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cv2
from pydantic import SecretStr
from starlette.requests import Request

from streamkit.errors import ClosedError, StreamkitError
from streamkit.frame import Image
from streamkit.models.base import InferenceOptions
from streamkit.models.devices import cores
from streamkit.models.ids import ModelId
from streamkit.models.opened import Ask
from streamkit.predictions import Detections, MaskFormat, Prediction
from streamkit.server.drawing import Look, drawn
from streamkit.server.failures import HttpError, busy
from streamkit.server.pictures import PixelRoom, Reserve
from streamkit.server.porter import Porter
from streamkit.server.shelf import Shelf

_SLOTS = 16
"""Questions worked on at a time, at least: enough to fill a batch while another one runs."""

Pictures: TypeAlias = Callable[[Reserve], Iterable[Image]]
"""Fetches and decodes, one after the other, each when there is room for it; called on a thread."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, whichever way it came."""

    model: ModelId
    key: SecretStr | None = field(repr=False)
    pictures: Pictures
    options: InferenceOptions = field(default_factory=InferenceOptions)
    masks: MaskFormat = "polygon"
    look: Look | None = None
    """How to draw the answer; ``None``: not at all."""
    id: str | None = None
    far: bool = False
    """Pictures have to be fetched from elsewhere, which may take any time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The wire form of each picture's answer, and what made it."""

    bodies: list[dict[str, Any]]
    model: str
    seconds: float
    loaded: bool
    """The model was loaded for this request."""
    pictures: list[bytes] = field(repr=False, default_factory=list)
    """JPEG, where they were drawn."""


class Desk:
    """Takes questions to models: ``room`` at a time, of which a few are unpacked and worked on;
    the others wait as they came, first come, first served. Those whose pictures are far away wait
    for one another only, and so do those whose model is not there."""

    def __init__(self, shelf: Shelf, room: int, timeout: float, pixels: PixelRoom) -> None:
        """``pixels``: what all of them together may unpack."""
        self.shelf, self._timeout, self._room = shelf, timeout, room
        self._porter, self._pixels = Porter(shelf, room), pixels
        self.asked = 0
        """Questions under way."""
        self._works: set[_Work] = set()
        slots = min(room, max(_SLOTS, 4 * cores()))
        self._near, self._far = asyncio.Semaphore(slots), asyncio.Semaphore(slots)
        self._pool = ThreadPoolExecutor(2 * slots, "streamkit request")

    async def ask(self, request: Request, question: Question) -> Reply:
        """The answer. Raises 503 when there are too many, 504 when it takes too long; a client
        that goes away takes its question along."""
        if self.asked >= self._room:
            raise busy(f"{self._room} requests are under way; try again")
        self.asked += 1
        try:
            return await self._raced(request, question)
        finally:
            self.asked -= 1

    async def _raced(self, request: Request, question: Question) -> Reply:
        work = _Work(self.shelf, question, self._pixels)
        self._works.add(work)
        answer = asyncio.ensure_future(self._turn(work))
        answer.add_done_callback(lambda _: self._works.discard(work))
        gone = asyncio.ensure_future(_gone(request))
        timeout = min(self._timeout, _patience(request) or self._timeout)
        both: set[asyncio.Future[Any]] = {answer, gone}
        try:
            done, _ = await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the server ends
            _abandon(work, answer, _left())
            raise
        finally:
            gone.cancel()
        if answer in done:
            return answer.result()
        error = _left() if gone in done else _late(timeout)
        _abandon(work, answer, error)
        raise error

    async def _turn(self, work: _Work) -> Reply:
        await self._porter.bring(work.question.model, work.question.key)
        async with self._far if work.question.far else self._near:
            work.begun = True
            return await asyncio.get_running_loop().run_in_executor(self._pool, work.run)

    def close(self) -> None:
        """Wait for nobody; who still waits for an answer is told."""
        for work in list(self._works):
            work.give_up(ClosedError("the server is stopping"))
        self._porter.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _abandon(work: _Work, answer: asyncio.Future[Reply], error: StreamkitError) -> None:
    work.give_up(error)
    if not work.begun:
        answer.cancel()
    answer.add_done_callback(lambda it: it.cancelled() or it.exception())  # nobody else will


class _Work:
    """One question on a thread of the pool; may be given up at any moment."""

    def __init__(self, shelf: Shelf, question: Question, pixels: PixelRoom) -> None:
        self._shelf, self.question, self._pixels = shelf, question, pixels
        self._known = shelf.has(question.model)
        self.begun = False
        """Its turn has come."""
        self._asking: Ask | None = None
        self._given_up: StreamkitError | None = None

    def give_up(self, error: StreamkitError) -> None:
        self._given_up = error
        if self._asking is not None:
            self._asking.give_up(error)

    def run(self) -> Reply:
        self._still_wanted()
        with self._pixels.share() as reserve:
            return self._answered(reserve)

    def _answered(self, reserve: Reserve) -> Reply:
        question, began = self.question, time.perf_counter()
        pictures = list[Image]()
        for picture in question.pictures(reserve):
            pictures.append(picture)
            self._still_wanted()
        with self._shelf.using(question.model, question.key) as shared:
            self._asking = asking = Ask(shared, pictures, question.options)
            self._still_wanted()
            predictions = asking.predictions()
            name = shared.model.model_id
        seconds = time.perf_counter() - began
        bodies = [_body(question, found, seconds) for found in predictions]
        shown = _shown(question, pictures, predictions)
        if question.look is not None and question.look.inline:
            for body, jpeg in zip(bodies, shown, strict=True):
                body["visualization"] = base64.b64encode(jpeg).decode()
        return Reply(bodies, name, seconds, not self._known, shown)

    def _still_wanted(self) -> None:
        if self._given_up is not None:
            raise self._given_up


def _body(question: Question, found: Prediction, seconds: float) -> dict[str, Any]:
    wire = found.dict(question.masks) if isinstance(found, Detections) else found.dict()
    if wire.get("is_stub"):
        return {"time": seconds, **wire}
    return {"inference_id": question.id or str(uuid.uuid4()), "time": seconds, **wire}


def _shown(
    question: Question, pictures: Sequence[Image], found: Sequence[Prediction]
) -> list[bytes]:
    if question.look is None:
        return []
    return [_jpeg(drawn(*each, question.look)) for each in zip(pictures, found, strict=True)]


def _jpeg(image: Image) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


async def _gone(request: Request) -> None:
    """Return when the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _patience(request: Request) -> float | None:
    """What the client says it waits: ``X-Request-Timeout``, seconds."""
    try:
        seconds = float(request.headers.get("x-request-timeout", ""))
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def _late(timeout: float) -> HttpError:
    return HttpError(504, f"no answer within {timeout:g} s", "REQUEST_TIMEOUT")


def _left() -> HttpError:
    return HttpError(499, "the client hung up", "CLIENT_CLOSED_REQUEST")

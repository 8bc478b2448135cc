"""Pictures through models: ``/infer/{task}`` and the legacy ``/{dataset}/{version}``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import SecretStr
from starlette.datastructures import UploadFile

from streamkit.frame import Image
from streamkit.models.ids import parse
from streamkit.server.drawing import Look
from streamkit.server.failures import HttpError, PictureError
from streamkit.server.fetching import Fetcher
from streamkit.server.inference import Pictures, Question
from streamkit.server.keys import key_of
from streamkit.server.pictures import Limits, Reserve, from_base64, from_bytes
from streamkit.server.replies import pictured, predicted
from streamkit.server.schemas import (
    POSTED,
    PREDICTED,
    InferRequest,
    LegacyQuery,
    PictureRequest,
    refusals,
)
from streamkit.server.services import Services

TASKS = ("object_detection", "instance_segmentation", "classification", "keypoints_detection")
"""The last part of each path; the model decides what comes back, as in the neighbour."""

_SOURCES = ("base64", "url", "numpy")
_REFUSALS = refusals(
    s400="a picture or an id that is none",
    s404="no such model",
    s413="too large, or too many",
    s504="no answer in time",
)


def infer_routes(services: Services, fetcher: Fetcher) -> APIRouter:
    """``POST /infer/object_detection`` and its siblings."""
    router = APIRouter(tags=["inference"], responses=_REFUSALS)

    async def infer(request: Request, question: InferRequest) -> Response:
        asked = asking(services, fetcher, question, key_of(request, question.api_key))
        reply = await services.desk.ask(request, asked)
        return predicted(reply, many=isinstance(question.image, list))

    for task in TASKS:
        router.add_api_route(
            f"/infer/{task}",
            infer,
            methods=["POST"],
            operation_id=f"infer_{task}",
            responses={200: PREDICTED},
            summary=f"{task.replace('_', ' ').capitalize()} by a fine-tuned model",
        )
    return router


def asking(
    services: Services, fetcher: Fetcher, question: InferRequest, key: SecretStr | None
) -> Question:
    """The question in a JSON body. Raises ``ConfigError`` and ``HttpError``."""
    services.require_use(key)
    if len(question.pictures) > services.settings.max_images:
        text = f"{len(question.pictures)} pictures; the most are {services.settings.max_images}"
        raise HttpError(413, text, "TOO_MANY_PICTURES")
    look = Look(question.visualization_labels, question.visualization_stroke_width)
    return Question(
        parse(question.model_id),
        services.key.strip(key),
        decoding(question, services.limits, fetcher),
        question.options(),
        question.response_mask_format,
        look if question.visualize_predictions else None,
        question.id,
        far=any(_is_far(given) for given in question.pictures),
    )


def decoding(question: InferRequest, limits: Limits, fetcher: Fetcher) -> Pictures:
    """The pictures of a JSON body, when somebody wants them; bounded one by one and together."""
    orient = not question.disable_preproc_auto_orient

    def pictures(reserve: Reserve) -> Iterator[Image]:
        left = limits.in_all
        for given in question.pictures:
            fitting = replace(limits, pixels=min(limits.pixels, left), reserve=reserve)
            found = one_picture(given, fitting, fetcher, orient)
            left -= found.shape[0] * found.shape[1]
            yield found

    return pictures


def _is_far(given: PictureRequest) -> bool:
    return given.type.lower() == "url"


def one_picture(given: PictureRequest, limits: Limits, fetcher: Fetcher, orient: bool) -> Image:
    """A picture however it came. Raises ``PictureError``."""
    if _is_far(given):
        return from_bytes(fetcher.fetch(given.value), limits, orient=orient)
    if given.type.lower() in ("base64", "numpy"):
        return from_base64(given.value, limits, orient=orient)
    known = ", ".join(_SOURCES)
    raise PictureError(f"type {given.type!r} is not taken; choose from {known}.")


def legacy_routes(services: Services, fetcher: Fetcher) -> APIRouter:
    """``POST`` and ``GET /{dataset}/{version}``: options in the query, a picture as the body."""
    router = APIRouter(tags=["legacy"], responses=_REFUSALS)

    async def legacy(
        request: Request, dataset_id: str, version_id: str, query: Annotated[LegacyQuery, Query()]
    ) -> Response:
        key = key_of(request)
        services.require_use(key)
        model = parse(f"{dataset_id}/{version_id}")
        pictures = await _posted(request, query, services.limits, fetcher)
        look = _look(query)
        asked = Question(
            model,
            services.key.strip(key),
            pictures,
            query.options(),
            look=look,
            far=bool(query.image),
        )
        reply = await services.desk.ask(request, asked)
        return pictured(reply) if look and not look.inline else predicted(reply, many=False)

    for method in ("GET", "POST"):
        router.add_api_route(
            "/{dataset_id}/{version_id}",
            legacy,
            methods=[method],
            operation_id=f"legacy_{method.lower()}",
            responses={200: PREDICTED},
            openapi_extra=POSTED if method == "POST" else None,
            summary="One picture through a model, as the hosted API takes it",
        )
    return router


def _look(query: LegacyQuery) -> Look | None:
    if query.format not in ("image", "image_and_json"):
        return None
    return Look(query.labels, query.stroke, inline=query.format == "image_and_json")


async def _posted(
    request: Request, query: LegacyQuery, limits: Limits, fetcher: Fetcher
) -> Pictures:
    """By address, as a file of a form, or as base64, whatever the body is called."""
    orient, url = not query.disable_preproc_auto_orient, query.image
    if url:
        return _alone(limits, lambda fit: from_bytes(fetcher.fetch(url), fit, orient=orient))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind:
        raise HttpError(400, "Content-Type is missing: what is the body?", "CONTENT_TYPE_MISSING")
    if kind == "multipart/form-data":
        data = await _file(request)
        return _alone(limits, lambda fit: from_bytes(data, fit, orient=orient))
    text = (await request.body()).decode("latin-1").strip()
    return _alone(limits, lambda fit: from_base64(text, fit, orient=orient))


def _alone(limits: Limits, one: Callable[[Limits], Image]) -> Pictures:
    return lambda reserve: [one(replace(limits, reserve=reserve))]


async def _file(request: Request) -> bytes:
    async with request.form(max_files=1, max_fields=16) as form:
        part = form.get("file")
        if not isinstance(part, UploadFile):
            raise HttpError(400, "the form has no part named 'file'", "PICTURE_MISSING")
        return await part.read()

"""Answers on the wire: JSON by orjson, pictures, headers that tell what made them."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from streamkit.server.failures import Answer
from streamkit.server.inference import Reply

_PLAIN = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def json_reply(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``content`` as JSON; what stages of others say may hold anything, and is told as text."""
    body = orjson.dumps(content, default=str, option=_PLAIN)
    return Response(body, status, headers, media_type="application/json")


def failure(answer: Answer) -> Response:
    """What went wrong."""
    return json_reply(answer.body(), answer.status, answer.headers)


def predicted(reply: Reply, *, many: bool) -> Response:
    """One answer, or a list where a list was asked."""
    return json_reply(reply.bodies if many else reply.bodies[0], headers=told(reply))


def pictured(reply: Reply) -> Response:
    """The picture alone."""
    return Response(reply.pictures[0], headers=told(reply), media_type="image/jpeg")


def told(reply: Reply) -> dict[str, str]:
    """The neighbour's headers."""
    return {
        "X-Model-Id": reply.model.encode("ascii", "replace").decode(),
        "X-Model-Cold-Start": "true" if reply.loaded else "false",
        "X-Processing-Time": f"{reply.seconds:.6f}",
    }

"""The picture that shows an event, as a part of the JSON that is sent."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

from streamkit.events import Event
from streamkit.predictions import Result

_QUALITY: Final = 80
_TYPES: Final = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png",
                 ".webp": "image/webp"}  # fmt: skip


def embedded(event: Event, result: Result) -> dict[str, Any]:
    """``kind``, ``media_type`` and ``data`` (base64): the event's own snapshot where there is one
    on the disk, else the picture of ``result`` as JPEG."""
    kept = _kept(event)
    media_type, data = kept if kept is not None else ("image/jpeg", _jpeg(result))
    return {
        "kind": "snapshot",
        "media_type": media_type,
        "data": base64.b64encode(data).decode(),
    }


def _kept(event: Event) -> tuple[str, bytes] | None:
    for each in event.evidence:
        if each.kind == "snapshot" and each.path and each.size is not None:
            path = Path(each.path)
            try:
                return _TYPES[path.suffix.lower()], path.read_bytes()
            except (OSError, KeyError):
                continue
    return None


def _jpeg(result: Result) -> bytes:
    import cv2

    return bytes(cv2.imencode(".jpg", result.image, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1])

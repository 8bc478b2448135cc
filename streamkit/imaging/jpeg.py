"""Pictures as JPEG files: encoded, and written so that nobody ever sees half of one."""

from __future__ import annotations

from pathlib import Path

from streamkit.frame import Image


def jpeg(image: Image, quality: int = 90) -> bytes:
    """``image`` (H x W x 3 ``uint8`` BGR) as a JPEG file. ``quality``: 1..100, as libjpeg has it.
    Raises ``ValueError`` for what is no picture."""
    import cv2

    if image.ndim != 3 or not image.size:
        raise ValueError(f"no picture: its shape is {image.shape}")
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of {image.shape[1]} x {image.shape[0]} does not fit into JPEG")
    return data.tobytes()


def write_whole(path: Path, data: bytes) -> None:
    """``data`` under ``path`` at once, in place of what was there. Raises ``OSError``, and then
    leaves nothing of it behind."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise

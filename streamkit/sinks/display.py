"""Whether a window can be opened here, found out without risking the process."""

from __future__ import annotations

import functools
import subprocess
import sys

from streamkit.errors import SinkError

_PROBE = "import cv2; cv2.namedWindow('streamkit')"


def require_display() -> None:
    """Raise ``SinkError`` where no window can be opened; takes half a second, once per process."""
    trouble = _trouble()
    if trouble:
        raise SinkError(f"no window can be opened here: {trouble}")


@functools.cache
def _trouble() -> str:
    """What is in the way, or nothing. A child tries: without a display Qt aborts its process."""
    command = [sys.executable, "-c", _PROBE]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if child.returncode == 0:
        return ""
    if "not implemented" in child.stderr:
        return "this OpenCV was built without windows (opencv-python-headless)"
    return "there is no display (on Linux: is DISPLAY set, and an X server running?)"

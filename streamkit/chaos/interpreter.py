"""Find a Python that has GStreamer's bindings: they come with the system, not from PyPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from streamkit.errors import ConfigError

PROBE = (
    "import gi; gi.require_version('GstRtspServer', '1.0')\n"
    "from gi.repository import Gst, GstRtspServer; Gst.init(None)\n"
    "need = 'appsrc h264parse h265parse jpegparse rtph264pay rtph265pay rtpjpegpay x264enc'\n"
    "missing = [name for name in need.split() if Gst.ElementFactory.find(name) is None]\n"
    "raise SystemExit('GStreamer lacks ' + ', '.join(missing) if missing else 0)"
)
PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-rtsp "
    "gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
    "gstreamer1.0-plugins-ugly"
)


@cache
def find(wanted: Path | None = None) -> str:
    """The interpreter to run the cameras on; ``wanted`` is the setting, and then the only choice.

    ``ConfigError`` names the packages where there is none. The answer is kept for the process.
    """
    said = ""
    for candidate in [str(wanted)] if wanted else _candidates():
        said = lacks(candidate)
        if not said:
            return candidate
    raise ConfigError(
        f"no Python with GStreamer's RTSP server was found ({said}); on Debian or Ubuntu: "
        f"apt install {PACKAGES}; a Python elsewhere is named by STREAMKIT_CHAOS_PYTHON"
    )


def lacks(python: str) -> str:
    """What ``python`` misses, in one line; empty when it has everything."""
    command = [python, "-I", "-c", PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{python}: {error}"
    said = done.stderr.strip().splitlines()
    return f"{python}: {said[-1] if said else done.returncode}" if done.returncode else ""


def _candidates() -> Iterator[str]:
    """This Python, then every python3 on the path, then the system's, each once."""
    folders = [*os.get_exec_path(), "/usr/bin", "/usr/local/bin"]
    found = [shutil.which("python3", path=folder) for folder in folders]
    yield from dict.fromkeys([sys.executable, *filter(None, found)])

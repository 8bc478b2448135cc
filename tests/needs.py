"""What a test needs of the machine: skip with a reason, or fail where it was promised.

``STREAMKIT_REQUIRE_REAL=1`` (set by ``.ci/run``) turns every such skip into a failure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
SDK_PYTHON = Path(__file__).resolve().parents[1] / ".venv-sdk" / "bin" / "python"
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"


def needs_rtsp_server() -> None:
    """GStreamer's RTSP server with its Python bindings, on the system's own python3."""
    if missing := _gstreamer_missing():
        _lacking(f"no GStreamer RTSP server: {missing}")


def needs_real_data(name: str) -> Path:
    """A file of the shared real test material, for example ``videos/x.mp4``. Never required."""
    path = REAL_DATA / name
    if not path.exists():
        pytest.skip(f"real test material is not here: {name}")
    return path


def needs_program(name: str) -> str:
    """A program on the path, as an absolute path."""
    found = shutil.which(name)
    if found is None:
        _lacking(f"the program {name!r} is not installed")
    assert found is not None
    return found


@contextmanager
def needs_mounts(folder: Path, *options: str) -> Iterator[Path]:
    """``mount options folder``, which only root may, and not in every container. Never required."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def needs_package(name: str) -> None:
    """A Python package of the ``dev`` extra."""
    if importlib.util.find_spec(name) is None:
        _lacking(f"the package {name!r} is not installed")


def needs_sdk() -> str:
    """The Python of an environment with ``inference-sdk``, whose pins are not ours."""
    found = os.environ.get("STREAMKIT_SDK_PYTHON") or str(SDK_PYTHON)
    if not Path(found).exists():
        _lacking(f"no inference-sdk: {found} does not exist; see .ci/run")
    return found


def _lacking(reason: str) -> None:
    if os.environ.get("STREAMKIT_REQUIRE_REAL") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@cache
def _gstreamer_missing() -> str:
    """Empty when everything is there, else the last line of what went wrong."""
    probe = (
        "import gi; gi.require_version('GstRtspServer', '1.0');"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
        "missing = [e for e in ('h264parse', 'h265parse', 'rtph264pay', 'rtpjpegpay', 'appsrc')"
        " if Gst.ElementFactory.find(e) is None]; assert not missing, missing"
    )
    if not Path(SYSTEM_PYTHON).exists():
        return f"{SYSTEM_PYTHON} does not exist"
    done = subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, text=True)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""

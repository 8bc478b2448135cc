"""One lab for all tests of faults, and cameras that are well again after each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamkit.chaos.camera import Camera
from streamkit.chaos.lab import Lab, LabCamera
from tests.clips import clip
from tests.needs import needs_rtsp_server


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of numbered pictures, 25 a second, a key frame every 10."""
    return clip(tmp_path_factory.mktemp("chaos") / "clip.mp4", frames=100, gop=10)


@pytest.fixture(scope="module")
def lab(numbered: Path) -> Iterator[Lab]:
    """Cameras without and with passwords, over TLS, and a clock; the open one at twice its rate."""
    needs_rtsp_server()
    cameras = [
        Camera(name="open", clip=numbered, fps=50),
        Camera(name="basic", clip=numbered, auth="basic"),
        Camera(name="digest", clip=numbered, auth="digest"),
        Camera(name="tls", clip=numbered, tls=True),
        Camera(name="clock"),
        Camera(name="h265", pattern="bars", codec="h265", size=(320, 240), fps=10),
        Camera(name="mjpeg", pattern="ball", codec="mjpeg", size=(320, 240)),
    ]
    with Lab(cameras, seed=1) as running:
        yield running


@pytest.fixture(autouse=True)
def well_again(request: pytest.FixtureRequest) -> Iterator[None]:
    """No fault outlives its test."""
    yield
    if "lab" in request.fixturenames:
        for one in request.getfixturevalue("lab"):
            one.clear()


@pytest.fixture
def cam(lab: Lab) -> LabCamera:
    """A camera without a password."""
    return lab["open"]
